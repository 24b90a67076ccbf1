"""The smallest ring there is: it sends back what it is told."""

from collections.abc import Iterable
from typing import Any, override

from ringsim.rings.base import (
    NOTIFY,
    READ,
    WRITE,
    WRITE_NO_RESPONSE,
    Characteristic,
    Notification,
    Service,
    VirtualRing,
    uuid16,
)

SERVICE, MODEL, COMMAND, ANSWER = uuid16(0x1234), uuid16(0x2A24), uuid16(1), uuid16(2)
MODEL_HANDLE, COMMAND_HANDLE, ANSWER_HANDLE = 2, 4, 6


class EchoRing(VirtualRing):
    """Echoes writes as notifications; a write beginning with 08 reboots it."""

    model = "Echo"

    @property
    @override
    def services(self) -> tuple[Service, ...]:
        return (
            Service(
                SERVICE,
                1,
                (
                    Characteristic(MODEL, MODEL_HANDLE, READ),
                    Characteristic(COMMAND, COMMAND_HANDLE, WRITE | WRITE_NO_RESPONSE),
                    Characteristic(ANSWER, ANSWER_HANDLE, NOTIFY),
                ),
            ),
        )

    @override
    def read(self, uuid: str) -> bytes:
        return self.model.encode()

    @override
    def write(self, uuid: str, data: bytes) -> Iterable[Notification]:
        if data[:1] == b"\x08":
            self.reboot(1)
            return ()
        return (Notification(ANSWER, data),)

    @override
    def truth(self) -> dict[str, Any]:
        return {"battery": self.battery}


def echo_ring(number: int = 1, **options: Any) -> EchoRing:
    """Make a ring with an address and a name of its own."""
    return EchoRing(f"AA:BB:CC:DD:EE:{number:02X}", f"Echo {number}", **options)
