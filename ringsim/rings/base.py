"""What every virtual ring is: advertisement, GATT table, clock and faults, as plain attributes."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

FLAGS = b"\x02\x01\x06"
NAME, MANUFACTURER, SERVICE_128 = 0x09, 0xFF, 0x07

READ, WRITE_NO_RESPONSE, WRITE, NOTIFY, INDICATE = 0x02, 0x04, 0x08, 0x10, 0x20


def utcnow() -> datetime:
    """Return the present instant."""
    return datetime.now(UTC)


def uuid16(number: int) -> str:
    """Return a 16-bit UUID in its long form."""
    return f"0000{number:04x}-0000-1000-8000-00805f9b34fb"


@dataclass(frozen=True, slots=True)
class Characteristic:
    """One entry of the GATT table."""

    uuid: str
    handle: int
    properties: int


@dataclass(frozen=True, slots=True)
class Service:
    """A service and its characteristics."""

    uuid: str
    handle: int
    characteristics: tuple[Characteristic, ...]


@dataclass(frozen=True, slots=True)
class Notification:
    """What a ring sends, `delay` seconds after what made it send."""

    uuid: str
    value: bytes
    delay: float = 0.0


@dataclass(slots=True)
class Faults:
    """What goes wrong with a ring. Every number counts what it is about and stays until unset.

    Counts of notifications are those of one connection, from 1 on.
    """

    refuse_connections: int = 0
    """Refuse so many connections; -1 for all."""
    hang_on_connect: bool = False
    att_error: int | None = None
    """Answer whatever ATT asks with this code: 5, 8, 12 and 15 of a ring that wants a bond."""
    drop_after: int | None = None
    """Lose the link after this notification, once."""
    drop_after_each: bool = False
    """With `drop_after`: do it in every connection."""
    corrupt: frozenset[int] = frozenset()
    duplicate: frozenset[int] = frozenset()
    swallow: frozenset[int] = frozenset()
    delay: float = 0.0
    """Seconds every notification is late."""
    split: int | None = None
    """Cut notifications into pieces of so many bytes."""
    ignore: frozenset[int] = frozenset()
    """Opcodes that get no reply."""
    answer_other: Mapping[int, bytes] = field(default_factory=dict)
    """Opcode → the frame that is sent in place of its reply."""
    endless: frozenset[int] = frozenset()
    """Opcodes whose reply never ends."""


@dataclass(slots=True)
class Clock:
    """A naive clock: it shows UTC plus an offset that only setting, drifting and faults change."""

    now: Callable[[], datetime] = utcnow
    offset: timedelta = timedelta()
    drift: float = 0.0
    """Seconds gained per day."""
    set_at: datetime | None = None

    def read(self, at: datetime | None = None) -> datetime:
        """What the clock shows, without a zone."""
        at = at or self.now()
        days = (at - self.set_at) / timedelta(days=1) if self.set_at else 0.0
        return (at + self.offset + timedelta(seconds=self.drift * days)).replace(tzinfo=None)

    def set(self, shown: datetime) -> None:
        """Let it show this now."""
        self.set_at = self.now()
        self.offset = shown.replace(tzinfo=UTC) - self.set_at

    def jump(self, by: timedelta) -> None:
        """Let it be wrong."""
        self.offset += by


class VirtualRing(ABC):
    """A ring without a radio. `ringsim.radio` carries its bytes.

    A family says what is in the GATT table, what a read returns and what a write brings. All it
    answers is computed from what it stores and from its clock.
    """

    model: str
    mtu: int = 247
    stays_on_air: bool = False
    """Whether it advertises while it is connected."""

    def __init__(
        self,
        address: str,
        name: str,
        *,
        now: Callable[[], datetime] = utcnow,
        name_in_scan_response: bool = False,
        manufacturer: bytes = b"",
        service_uuids: Iterable[str] = (),
        address_type: int = 1,
    ) -> None:
        """Take what it advertises, and where the time comes from."""
        self.address = address
        self.address_type = address_type
        self.name = name
        self.name_in_scan_response = name_in_scan_response
        self.manufacturer = manufacturer
        self.service_uuids = tuple(service_uuids)
        self.now = now
        self.clock = Clock(now)
        self.faults = Faults()
        self.powered = True
        self.battery = 80
        self.charging = False
        self.worn = True
        self.abuse: list[bytes] = []
        """Requests that would have harmed a real ring; it does nothing on them."""
        self.emit: Callable[[Notification], None] = lambda _: None
        """Set by the radio while connected: sends what the ring has to say by itself."""
        self.schedule: Callable[[float, Callable[[], None]], None] = lambda *_: None
        """Set by the radio while connected: calls back after some seconds, if still connected."""
        self.reboot: Callable[[float], None] = lambda _: None
        """Set by the radio: drop the link and be silent for some seconds."""

    @property
    def advertisement(self) -> bytes:
        """The primary advertisement, as AD structures."""
        parts = [FLAGS]
        if self.service_uuids:
            uuids = b"".join(UUID(u).bytes[::-1] for u in self.service_uuids)
            parts.append(_structure(SERVICE_128, uuids))
        if self.manufacturer:
            parts.append(_structure(MANUFACTURER, self.manufacturer))
        if not self.name_in_scan_response:
            parts.append(_structure(NAME, self.name.encode()))
        return b"".join(parts)

    @property
    def scan_response(self) -> bytes:
        """What an active scanner hears on top."""
        return _structure(NAME, self.name.encode()) if self.name_in_scan_response else b""

    @property
    def awake(self) -> bool:
        """Whether it advertises and takes connections."""
        return self.powered

    def opcode(self, data: bytes) -> int:
        """Which of the opcodes that `faults` name a write, just taken, was about; -1 for none."""
        return data[0] if data else -1

    @property
    @abstractmethod
    def services(self) -> tuple[Service, ...]:
        """The GATT table."""

    @abstractmethod
    def read(self, uuid: str) -> bytes:
        """Return the value of a readable characteristic."""

    @abstractmethod
    def write(self, uuid: str, data: bytes) -> Iterable[Notification]:
        """Take a write and return what is notified for it."""

    @abstractmethod
    def truth(self) -> dict[str, Any]:
        """Return, as JSON, what an outside observer should come to know."""

    def linked(self) -> None:  # noqa: B027
        """Begin a connection."""

    def unlinked(self) -> None:  # noqa: B027
        """End a connection: streams stop."""


def _structure(kind: int, value: bytes) -> bytes:
    return bytes((len(value) + 1, kind)) + value
