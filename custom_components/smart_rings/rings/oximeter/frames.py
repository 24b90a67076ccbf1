"""Frames, readings and dates of both Viatom families. No I/O.

Sections refer to docs/protocols/viatom.md unless they name oxyii.md.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import override

from ..link import Framer
from ..models import Metric, plausible

HEADER = 7


def _crc_row(byte: int) -> int:
    for _ in range(8):
        byte = (byte << 1 ^ (0x07 if byte & 0x80 else 0)) & 0xFF
    return byte


_CRC = bytes(_crc_row(byte) for byte in range(256))


def crc8(data: bytes) -> int:
    """CRC-8 with polynomial 0x07 over header and payload (§3.1)."""
    crc = 0
    for byte in data:
        crc = _CRC[crc ^ byte]
    return crc


def encode(marker: int, opcode: int, field: int, payload: bytes = b"") -> bytes:
    """Build a frame; `field` is the block number (0xAA) or flag and sequence (0xA5)."""
    head = bytes((marker, opcode, opcode ^ 0xFF)) + field.to_bytes(2, "little")
    body = head + len(payload).to_bytes(2, "little") + payload
    return body + bytes((crc8(body),))


def allows(data: bytes, marker: int, opcodes: Collection[int]) -> bool:
    """Whether these bytes are one whole frame with one of these opcodes."""
    return (
        len(data) > HEADER
        and data[0] == marker
        and data[1] in opcodes
        and data[1] ^ data[2] == 0xFF
        and len(data) == _size(data, 0)
        and crc8(data[:-1]) == data[-1]
    )


def payload_of(frame: bytes) -> bytes:
    """Return what a frame carries."""
    return frame[HEADER:-1]


def word(data: bytes, at: int, size: int = 2) -> int:
    """Read a little-endian number."""
    return int.from_bytes(data[at : at + size], "little")


def _size(data: bytes, at: int) -> int:
    return HEADER + word(data, at + 5) + 1


class MarkedFramer(Framer):
    """Whole frames from notifications, however they are split (§3.2).

    File data can look like a frame. So a frame that stands inside an unfinished one is held back
    until the outer one proves false, or nothing more comes (`rest`).
    """

    def __init__(self, marker: int, longest: int) -> None:
        """Take the first byte of every frame, and the longest payload to be believed."""
        self.dropped: Counter[str] = Counter()
        self._marker = marker
        self._longest = HEADER + longest + 1
        self._data = b""

    @override
    def feed(self, data: bytes) -> Iterable[bytes]:
        self._data += data
        return list(self._frames())

    @override
    def rest(self) -> Iterable[bytes]:
        found: list[bytes] = []
        while self._data:
            self._drop("unfinished")
            found += self._frames()
        return found

    @override
    def reset(self) -> None:
        if self._data:
            self.dropped["unfinished"] += 1
        self._data = b""

    def _frames(self) -> Iterator[bytes]:
        while (at := self._data.find(self._marker)) >= 0:
            self._data = self._data[at:]
            if len(self._data) < 3:
                return
            if self._data[1] ^ self._data[2] != 0xFF:
                self._drop()
            elif len(self._data) < HEADER:
                return
            elif (size := _size(self._data, 0)) > self._longest:
                self._drop("length")
            elif len(self._data) < size:
                return
            elif crc8(self._data[: size - 1]) != self._data[size - 1]:
                self._drop("checksum")
            else:
                frame, self._data = self._data[:size], self._data[size:]
                yield frame
        self._data = b""

    def _drop(self, reason: str = "") -> None:
        """Give up the candidate at the beginning; what follows it may hold another."""
        if reason:
            self.dropped[reason] += 1
        self._data = self._data[1:]


@dataclass(frozen=True, slots=True)
class Live:
    """What the sensor says now; `None` is no reading (§6, oxyii.md §7.1)."""

    spo2_pct: int | None
    heart_rate_bpm: int | None
    perfusion_index_pct: float | None
    motion_raw: int | None
    battery_pct: int | None
    battery_state_raw: int

    @property
    def valid(self) -> bool:
        """Whether there is a finger to be measured: both values count or none does."""
        return self.spo2_pct is not None and self.heart_rate_bpm is not None


CHARGING = 1


def spo2(value: int) -> int | None:
    """Return a plausible SpO2; 0, 127 and 255 are none."""
    return value if plausible(Metric.SPO2, value) else None


def pulse(value: int) -> int | None:
    """Return a plausible pulse; 0, 255, 511 and 65535 are none."""
    return value if plausible(Metric.HEART_RATE, value) else None


def perfusion_index(value: int) -> float | None:
    """Return the perfusion index in percent."""
    return None if value in (0, 0xFF) else value / 10


def motion(value: int) -> int | None:
    """Return the motion, a unitless acceleration vector."""
    return None if value == 0xFF else value


def percent(value: int) -> int | None:
    """Return a charge."""
    return value if value <= 100 else None


def calendar(data: bytes) -> datetime | None:
    """Read u16 year, month, day, hour, minute, second; `None` where that is no date."""
    try:
        return believable(datetime(word(data, 0), *data[2:7]))  # noqa: DTZ001 - a ring's clock is naive
    except TypeError, ValueError:
        return None


def believable(at: datetime) -> datetime | None:
    """Return a time that a ring may show, and that can be reckoned with."""
    return at if 2000 <= at.year < 2100 else None


def name_time(name: str) -> datetime | None:
    """Return the start that the name of a stored file tells, `None` where it is no such name."""
    if len(name) != 14 or not name.isascii() or not name.isdigit():
        return None
    try:
        return believable(datetime.strptime(name, "%Y%m%d%H%M%S"))  # noqa: DTZ007 - as above
    except ValueError:
        return None
