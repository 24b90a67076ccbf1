"""A connected client that answers as a test tells it, and that objects to misuse."""

from collections.abc import Callable, Iterable
from typing import Any

from bleak import BleakClient
from bleak.exc import BleakError

type Answer = Callable[[str, bytes], Iterable[bytes]]


class FakeClient:
    """Stands for `BleakClient`: `answer(uuid, data)` yields what is notified after a write."""

    def __init__(self, notify: str, write: str, answer: Answer) -> None:
        self.is_connected = False
        self.written: list[bytes] = []
        self.answer = answer
        self._notify, self._write = notify, write
        self._callback: Callable[[object, bytearray], None] | None = None
        self._on_lost: Callable[[Any], None] = lambda _: None
        self.services = self

    def get_characteristic(self, uuid: str) -> str | None:
        return uuid if uuid in (self._notify, self._write) else None

    async def connect(self, on_lost: Callable[[BleakClient], None]) -> Any:
        assert not self.is_connected
        self.is_connected = True
        self._on_lost = on_lost
        return self

    async def start_notify(self, uuid: str, callback: Callable[[object, bytearray], None]) -> None:
        assert self.is_connected
        assert uuid == self._notify
        assert self._callback is None
        self._callback = callback

    async def write_gatt_char(self, uuid: str, data: bytes, *, response: bool) -> None:
        if not self.is_connected:
            raise BleakError("not connected")
        assert not response, "these commands are written without response"
        assert uuid == self._write
        self.written.append(bytes(data))
        for notification in self.answer(uuid, bytes(data)):
            self.notify(notification)

    def notify(self, data: bytes) -> None:
        assert self._callback
        self._callback(None, bytearray(data))

    def drop(self) -> None:
        """Lose the link."""
        self.is_connected = False
        self._on_lost(self)

    async def disconnect(self) -> None:
        self.is_connected = False
        self._on_lost(self)
