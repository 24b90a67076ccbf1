"""Viatom 0xAA family: bytes ↔ dataclasses. No I/O. Sections refer to docs/protocols/viatom.md."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
import json

from ..errors import RingRefused
from ..link import Decoder, Request
from ..oximeter.frames import (
    Live,
    MarkedFramer,
    allows,
    believable,
    motion,
    name_time,
    payload_of,
    percent,
    perfusion_index,
    pulse,
    spo2,
    word,
)
from ..oximeter.frames import encode as encode_frame

REQUEST, REPLY = 0xAA, 0x55
MAX_PAYLOAD = 8192
OK = 0
MAX_VERSION = 32
TIME_FORMAT = "%Y-%m-%d,%H:%M:%S"
# Replies don't tell what they answer (§3); there is one request under way, ever.
ANSWER = 0


class Command(IntEnum):
    """Every command that may be sent; 18-1A erase and flash and are not here (§4)."""

    READ_START = 0x03
    READ_CONTENT = 0x04
    READ_END = 0x05
    INFO = 0x14
    PARA_SYNC = 0x16
    RT_PARAM = 0x17
    RT_WAVE = 0x1B


def framer() -> MarkedFramer:
    """Return what reassembles replies."""
    return MarkedFramer(REPLY, MAX_PAYLOAD)


def encode(command: int, payload: bytes = b"", block: int = 0) -> bytes:
    """Build a request frame."""
    return encode_frame(REQUEST, command, block, payload)


def answered(_: bytes) -> int:
    """Return the one routing key there is."""
    return ANSWER


def may_send(data: bytes) -> bool:
    """Whether these bytes are a request that can't harm the ring."""
    return allows(data, REQUEST, frozenset(Command))


@dataclass(frozen=True, slots=True)
class Info:
    """What INFO says (§5): who the ring is, its clock, its files, and all keys as they came."""

    serial: str
    firmware: str | None
    hardware: str | None
    branch: str
    clock: datetime | None
    files: tuple[str, ...]
    values: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class LegacyLive(Live):
    """Live values with what only this family has."""

    lead_raw: int
    steps_count: int | None = None


def parse_info(payload: bytes) -> Info | None:
    """Read the JSON of INFO; a ring without a serial number is no ring."""
    try:
        found = json.loads(_text(payload))
    except ValueError, RecursionError:
        return None
    if not isinstance(found, dict):
        return None
    values = {str(key): str(value) for key, value in found.items()}
    serial = values.get("SN", "").strip()
    if not (serial.isascii() and serial.isalnum() and len(serial) <= 32):
        return None
    clock = None
    with suppress(ValueError):
        clock = believable(datetime.strptime(values.get("CurTIME", ""), TIME_FORMAT))  # noqa: DTZ007
    hardware = " ".join(filter(None, (values.get("Model"), values.get("HardwareVer"))))
    firmware = values.get("SoftwareVer", "")
    return Info(
        serial,
        firmware[:MAX_VERSION] or None,
        hardware[:MAX_VERSION] or None,
        values.get("BranchCode", ""),
        clock,
        parse_files(values),
        values,
    )


def parse_files(values: Mapping[str, str]) -> tuple[str, ...]:
    """Return the names in FileList, which may be empty, bracketed or end in a comma."""
    names = values.get("FileList", "").strip("[] ").split(",")
    return tuple(name for name in map(str.strip, names) if name_time(name))


def parse_live(payload: bytes) -> LegacyLive | None:
    """Read RT_PARAM (§6): 12 bytes, or 13 with alarm states."""
    if len(payload) not in (12, 13):
        return None
    return LegacyLive(
        spo2_pct=spo2(payload[0]),
        heart_rate_bpm=pulse(word(payload, 1)),
        perfusion_index_pct=perfusion_index(payload[10]),
        motion_raw=motion(payload[9]),
        battery_pct=percent(payload[7]),
        battery_state_raw=payload[8],
        lead_raw=payload[11],
        steps_count=word(payload, 3, 4),
    )


def parse_wave(payload: bytes) -> LegacyLive | None:
    """Read the values that lead an RT_WAVE (§7.1); a payload below 13 bytes holds none."""
    if len(payload) < 13:
        return None
    return LegacyLive(
        spo2_pct=spo2(payload[0]),
        heart_rate_bpm=pulse(word(payload, 1)),
        perfusion_index_pct=perfusion_index(payload[5]),
        motion_raw=None,
        battery_pct=percent(payload[3]),
        battery_state_raw=payload[4],
        lead_raw=payload[6],
    )


def parse_size(payload: bytes) -> int | None:
    """Read the size of the opened file."""
    return word(payload, 0, 4) if len(payload) == 4 else None


def checked(frame: bytes) -> bytes:
    """Return the payload of a reply. Raises `RingRefused` with the ring's code (§3)."""
    payload = payload_of(frame)
    if frame[1] != OK:
        code = word(payload, 0, 4) if len(payload) == 4 else None
        raise RingRefused(f"Status {frame[1]}, code {code}", code)
    return payload


def single[T](parse: Callable[[bytes], T | None]) -> Callable[[], Decoder[T]]:
    """Make a decoder for a reply of one frame; what can't be the answer is dropped."""

    def decode() -> Decoder[T]:
        reason = None
        while True:
            frame = yield reason
            value = parse(checked(frame))
            if value is not None:
                return value
            reason = "content"

    return decode


def info() -> Request[Info]:
    """Ask who the ring is, and for everything it can tell as text."""
    return _ask(Command.INFO, parse=parse_info, first=6)


def live() -> Request[LegacyLive]:
    """Ask for the values of now."""
    return _ask(Command.RT_PARAM, parse=parse_live, first=2.5)


def live_of_wave() -> Request[LegacyLive]:
    """Ask for the values of now from models that are read by their waveform."""
    return _ask(Command.RT_WAVE, b"\0", parse=parse_wave, first=2.5)


def para_sync(values: Mapping[str, str]) -> Request[bool]:
    """Write settings; what the ring answers says nothing (§7.3)."""
    payload = json.dumps(dict(values), separators=(",", ":")).encode("ascii")
    return _ask(Command.PARA_SYNC, payload, parse=lambda _: True, first=6)


def set_time(ring_time: datetime) -> Request[bool]:
    """Set the clock."""
    return para_sync({"SetTIME": ring_time.strftime(TIME_FORMAT)})


def read_start(name: str) -> Request[int]:
    """Open a file; gives its size. A late second answer could pass for data, so never repeated."""
    payload = name.encode("ascii") + b"\0"
    return _ask(Command.READ_START, payload, parse=parse_size, first=6, repeat=False)


def read_end() -> Request[bool]:
    """Close the file."""
    return _ask(Command.READ_END, parse=lambda _: True, first=3, repeat=False)


class Blocks:
    """Asks for the blocks of a file, and learns whether the ring echoes their number (§8.2)."""

    def __init__(self) -> None:
        """Know nothing of the ring yet."""
        self._echoes: bool | None = None
        self._before = b""

    def read(self, block: int) -> Request[bytes]:
        """Ask for a block. Repeated only where a late answer can't pass for another block."""
        return Request(
            encode(Command.READ_CONTENT, block=block),
            frozenset({ANSWER}),
            lambda: self._decode(block),
            first=6,
            repeat=bool(self._echoes),
        )

    def _decode(self, block: int) -> Decoder[bytes]:
        frame = yield None
        while frame[1] == OK and not self._belongs(block, frame):
            frame = yield "block"
        self._before = payload_of(frame)
        return checked(frame)

    def _belongs(self, asked: int, frame: bytes) -> bool:
        said = word(frame, 3)
        if self._echoes is None and asked:
            if said == asked:
                self._echoes = True
            # The first block sent twice says 0 as well.
            elif said == 0 and payload_of(frame) != self._before:
                self._echoes = False
        return said == (0 if self._echoes is False else asked)


def _ask[T](
    command: Command,
    payload: bytes = b"",
    *,
    parse: Callable[[bytes], T | None],
    first: float,
    repeat: bool = True,
) -> Request[T]:
    return Request(
        encode(command, payload), frozenset({ANSWER}), single(parse), first=first, repeat=repeat
    )


def _text(payload: bytes) -> str:
    """Return the JSON without padding and control characters."""
    return "".join(char for char in payload.decode("ascii", "ignore") if char.isprintable())
