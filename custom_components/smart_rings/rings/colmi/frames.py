"""Colmi R02 family: bytes ↔ dataclasses. No I/O. Sections refer to docs/protocols/colmi.md."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from enum import IntEnum
from typing import override

from ..errors import RingRefused
from ..link import Decoder, Framer, Request
from ..models import Capability, Metric, plausible

FRAME_SIZE = 16
NO_DATA = 0xFF
UNSUPPORTED = 0xEE
PUSH = 0x73
MINUTES_A_DAY = 1440
# Opcodes of replies and streams that have bit 7 set without being an error (§3.2).
HIGH_OPCODES = frozenset({0x93, 0xA1, 0xBF, 0xC0, 0xC6, 0xC7, 0xC9, 0xCA, 0xFF})


class Command(IntEnum):
    """Every V1 opcode that may be sent; what erases, powers off or flashes is not here (§12)."""

    SET_TIME = 0x01
    BATTERY = 0x03
    DISPLAY = 0x05
    RESTART = 0x08
    HEART_RATE_LOG = 0x15
    HEART_RATE_SETTINGS = 0x16
    GOALS = 0x21
    AUTO_SPO2 = 0x2C
    AUTO_STRESS = 0x36
    STRESS_LOG = 0x37
    AUTO_HRV = 0x38
    HRV_LOG = 0x39
    AUTO_TEMPERATURE = 0x3A
    ACTIVITY_LOG = 0x43
    TODAY = 0x48
    FIND = 0x50
    MEASURE = 0x69
    MEASURE_STOP = 0x6A


class BigData(IntEnum):
    """Every V2 type that may be asked for; 01-05 and 31-33 flash, 47 starts a storm (§9, §12)."""

    TEMPERATURE = 0x25
    SLEEP = 0x27
    MANUAL_HEART_RATE = 0x28
    SPO2 = 0x2A


# Comes unasked, with the nights (§9.3).
NAP = 0x3E


class Reading(IntEnum):
    """What can be measured on request (§7.1); the others of the protocol give invented numbers."""

    HEART_RATE = 0x01
    SPO2 = 0x03
    STRESS = 0x08
    HRV = 0x0A
    LIVE_HEART_RATE = 0x06


class Push(IntEnum):
    """Unsolicited 0x73 events that tell a value we show (§10)."""

    BATTERY = 0x0C
    LIVE_ACTIVITY = 0x12


# V1: 16-byte frames (§3)


def checksum(body: bytes) -> int:
    """Sum of the first 15 bytes modulo 256 (§3.1)."""
    return sum(body) & 0xFF


def encode(command: Command, *payload: int) -> bytes:
    """Build a V1 frame from an opcode and at most 14 payload bytes."""
    body = bytes((command, *payload)).ljust(FRAME_SIZE - 1, b"\0")
    return body + bytes((checksum(body),))


def may_send(data: bytes) -> bool:
    """Whether these bytes are a V1 request that can't harm the ring."""
    whole = len(data) == FRAME_SIZE and checksum(data[:-1]) == data[-1]
    return whole and data[0] in Command and (data[0] != Command.RESTART or not any(data[1:-1]))


def answered(frame: bytes) -> int:
    """Which command a V1 frame answers; an error frame has bit 7 set (§3.2)."""
    return frame[0] if frame[0] in HIGH_OPCODES else frame[0] & 0x7F


class _Buffer(Framer):
    """Holds what is unfinished."""

    def __init__(self) -> None:
        self.dropped: Counter[str] = Counter()
        self._rest = b""

    @override
    def reset(self) -> None:
        if self._rest:
            self.dropped["length"] += 1
        self._rest = b""


class V1Framer(_Buffer):
    """Whole V1 frames that pass their checksum; a frame may come in pieces."""

    @override
    def feed(self, data: bytes) -> Iterable[bytes]:
        if len(data) == FRAME_SIZE and checksum(data[:-1]) == data[-1]:
            self.reset()
            yield data
            return
        self._rest += data
        while len(self._rest) >= FRAME_SIZE:
            frame, self._rest = self._rest[:FRAME_SIZE], self._rest[FRAME_SIZE:]
            if checksum(frame[:-1]) != frame[-1]:
                self.dropped["checksum"] += 1
                self._rest = b""
            else:
                yield frame


# V2: big data (§9.1)

V2_HEADER = 6
# Seven days of the longest kind are about 4 KiB.
V2_MAX = 8192


def crc16(data: bytes) -> int:
    """CRC-16/MODBUS; 0xFFFF for nothing."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return crc


def encode_big(kind: BigData, payload: bytes = b"") -> bytes:
    """Build a V2 request."""
    head = len(payload).to_bytes(2, "little") + crc16(payload).to_bytes(2, "little")
    return bytes((0xBC, kind)) + head + payload


def answered_big(message: bytes) -> int:
    """Which type a V2 message answers."""
    return message[1]


def may_send_big(data: bytes) -> bool:
    """Whether these bytes are a V2 request that can't harm the ring."""
    known = len(data) >= V2_HEADER and data[1] in BigData
    return known and data == encode_big(BigData(data[1]), data[V2_HEADER:])


def payload_of(message: bytes) -> bytes:
    """Return the payload of a V2 message; a single 00 is the empty answer."""
    payload = message[V2_HEADER:]
    return b"" if payload == b"\0" else payload


class V2Framer(_Buffer):
    """Whole V2 messages that pass their CRC; each starts in a new notification."""

    @override
    def feed(self, data: bytes) -> Iterable[bytes]:
        if not self._rest and data[:1] != b"\xbc":
            self.dropped["stray"] += 1
            return
        self._rest += data
        if len(self._rest) < V2_HEADER:
            return
        size = int.from_bytes(self._rest[2:4], "little") + V2_HEADER
        if size > V2_MAX or len(self._rest) > size:
            self.reset()
        elif len(self._rest) == size:
            message, self._rest = self._rest, b""
            if crc16(message[V2_HEADER:]) == int.from_bytes(message[4:6], "little"):
                yield message
            else:
                self.dropped["checksum"] += 1


# What the frames say


@dataclass(frozen=True, slots=True)
class Battery:
    """Charge in percent, and whether the ring lies on its charger."""

    battery_percent: int
    charging: bool


@dataclass(frozen=True, slots=True)
class Totals:
    """Counters since the ring's midnight; energy in small calories, distance in metres."""

    steps: int
    calories_cal: int
    distance_m: int


@dataclass(frozen=True, slots=True)
class ActivityEntry:
    """The activity of a time from `quarter_hour_index` on; energy in small calories."""

    date: date
    quarter_hour_index: int
    calories_cal: int
    steps: int
    distance_m: int


@dataclass(frozen=True, slots=True)
class Session:
    """A night or nap as the ring counts: days before its today, minutes after midnight (§9.3)."""

    days_ago: int
    start_minute_of_day: int
    end_minute_of_day: int
    stages: tuple[tuple[int, int], ...]

    @property
    def starts_previous_day(self) -> bool:
        """Whether it began before the midnight of the day it ended on."""
        return self.start_minute_of_day > self.end_minute_of_day


@dataclass(frozen=True, slots=True)
class Sleeps:
    """What one sleep request brought."""

    nights: tuple[Session, ...]
    naps: tuple[Session, ...]


@dataclass(frozen=True, slots=True)
class Measurement:
    """How a metric is measured on request (§7.1): how many values, and the time they may need."""

    metric: Metric
    reading: Reading
    start: int
    values: int
    seconds: float


type Days = Mapping[int, tuple[tuple[int, float], ...]]
"""Days before the ring's today → (minute of the day, value)."""

CAPABILITY_BITS = {
    Capability.TEMPERATURE: (1, 0x01),
    Capability.SPO2: (4, 0x02),
    Capability.SLEEP: (9, 0x01),
    Capability.STRESS: (14, 0x10),
    Capability.HRV: (14, 0x20),
}
"""Offset and bit in the reply to set-time (§6.1)."""


def unsigned(data: bytes, start: int, size: int) -> int:
    """Return a little-endian number."""
    return int.from_bytes(data[start : start + size], "little")


def _bcd(value: int) -> int:
    """Binary coded decimal → number; -1 for what is none."""
    high, low = divmod(value, 16)
    return high * 10 + low if high < 10 and low < 10 else -1


def parse_battery(frame: bytes) -> Battery | None:
    """0x03, or the battery push shifted by one (§6.2, §10)."""
    offset = 2 if frame[0] == PUSH else 1
    percent, charging = frame[offset], frame[offset + 1]
    return Battery(percent, charging == 1) if percent <= 100 else None


def parse_capabilities(frame: bytes) -> frozenset[Capability]:
    """Return what the firmware says it can do, in reply to set-time; not always exact (§6.1)."""
    return frozenset(able for able, (at, bit) in CAPABILITY_BITS.items() if frame[at] & bit)


def parse_totals(frame: bytes) -> Totals:
    """0x48, or the live totals push: big endian, unlike all else (§6.12, §10)."""
    offsets = (2, 5, 8) if frame[0] == PUSH else (1, 7, 10)
    return Totals(*(int.from_bytes(frame[at : at + 3], "big") for at in offsets))


def total(entries: Iterable[ActivityEntry]) -> Totals:
    """Add up a day's activity, for firmware that leaves its totals at 0."""
    rows = list(entries)
    return Totals(
        sum(row.steps for row in rows),
        sum(row.calories_cal for row in rows),
        sum(row.distance_m for row in rows),
    )


def parse_activity(frame: bytes, factor: int) -> ActivityEntry | None:
    """One bucket of 0x43 (§8.2)."""
    try:
        day = date(2000 + _bcd(frame[1]), _bcd(frame[2]), _bcd(frame[3]))
    except ValueError:
        return None
    if frame[4] >= 96:
        return None
    return ActivityEntry(
        day, frame[4], unsigned(frame, 7, 2) * factor, unsigned(frame, 9, 2), unsigned(frame, 11, 2)
    )


def parse_reading(frame: bytes) -> tuple[int, int, int]:
    """0x69: which reading, its error code, its value (0 while warming up)."""
    return frame[1], frame[2], frame[3]


def _slots(values: Iterable[float], minutes: int) -> tuple[tuple[int, float], ...]:
    """Read a day in equal slots from the ring's midnight on; 0 is no reading."""
    return tuple((n * minutes, value) for n, value in enumerate(values) if value)


def _blocks(payload: bytes, size: int) -> Iterator[bytes]:
    """Split a payload into blocks of a day, if it is a whole number of them."""
    if len(payload) % size == 0:
        yield from (payload[at : at + size] for at in range(0, len(payload), size))


def parse_spo2(payload: bytes) -> Days:
    """Return the lowest SpO2 of each hour; the two of an hour are in no known order (§9.2)."""
    return {
        block[0]: _slots((min(pair) for pair in zip(block[1::2], block[2::2], strict=True)), 60)
        for block in _blocks(payload, 49)
    }


def parse_temperature(payload: bytes) -> Days:
    """Return skin temperatures in °C (§9.4): 48 values a block, tenths above 20."""
    return {
        block[0]: _slots((value and round(value / 10 + 20, 1) for value in block[2:]), 30)
        for block in _blocks(payload, 50)
        if block[1] == 30
    }


def parse_manual_heart_rate(payload: bytes) -> Days:
    """Return heart rates that were measured by hand (§9.5)."""
    if len(payload) % 3 != 1:
        return {}
    triples = ((unsigned(payload, at, 2), payload[at + 2]) for at in range(1, len(payload), 3))
    return {payload[0]: tuple(triple for triple in triples if triple[0] < MINUTES_A_DAY)}


def parse_sessions(payload: bytes) -> tuple[Session, ...]:
    """Return nights or naps; what is cut short or out of range is left out (§9.3)."""
    sessions, at = [], 1
    for _ in range(payload[0] if payload else 0):
        if at + 6 > len(payload):
            break
        end = at + 2 + payload[at + 1]
        body = payload[at + 6 : end]
        session = Session(
            payload[at],
            unsigned(payload, at + 2, 2),
            unsigned(payload, at + 4, 2),
            tuple(zip(body[::2], body[1::2], strict=False)),
        )
        if payload[at + 1] < 4 or end > len(payload):
            break
        if max(session.start_minute_of_day, session.end_minute_of_day) < MINUTES_A_DAY:
            sessions.append(session)
        at = end
    return tuple(sessions)


# Decoders: frames of one reply → its value


def _accepted(frame: bytes) -> bytes:
    """Raise for an error frame; return any other."""
    if frame[0] & 0x80 and frame[0] not in HIGH_OPCODES:
        unsupported = frame[1] == UNSUPPORTED
        raise RingRefused(
            f"Command {frame[0] & 0x7F:02x} refused", "unsupported" if unsupported else frame[1]
        )
    return frame


def single[T](parse: Callable[[bytes], T | None]) -> Callable[[], Decoder[T]]:
    """Decode a reply of one frame; a frame that makes no sense is dropped."""

    def decode() -> Decoder[T]:
        reason = None
        while True:
            frame = _accepted((yield reason))
            if (value := parse(frame)) is not None:
                return value
            reason = "content"

    return decode


def big[T](parse: Callable[[bytes], T]) -> Callable[[], Decoder[T]]:
    """Decode a V2 reply of one message."""

    def decode() -> Decoder[T]:
        return parse(payload_of((yield None)))

    return decode


def day_log(
    days_ago: int, echo_size: int, late: Collection[int] = ()
) -> Callable[[], Decoder[Days]]:
    """Decode a day in slots (§8.1, §8.3): a header, a frame with an echo of the request, the rest.

    Frames of an earlier request may still be on their way: one that echoes a value of `late`
    belongs to such a one, and so does all up to the next header.
    """

    def decode() -> Decoder[Days]:
        reason = None
        count = interval = 0
        parts: list[bytes] = []
        while True:
            frame = _accepted((yield reason))
            reason, index = None, frame[1]
            if index == NO_DATA:
                return {}
            if index == 0:
                count, interval, parts = frame[2], frame[3], []
                if count < 2 or not interval or MINUTES_A_DAY % interval:
                    reason, count = "content", 0
                continue
            if index != len(parts) + 1 or index >= count:
                reason = "stray"
                continue
            if index == 1 and unsigned(frame, 2, echo_size) in late:
                reason, count = "late", 0
                continue
            parts.append(frame[2 + echo_size if index == 1 else 2 : -1])
            if len(parts) == count - 1:
                values = b"".join(parts)
                return {days_ago: _slots(values[: MINUTES_A_DAY // interval], interval)}

    return decode


def activity(
    late: Collection[date] = (),
) -> Callable[[], Decoder[tuple[ActivityEntry, ...]]]:
    """Decode the activity of a day: a header, then one frame a bucket, in any order (§8.2).

    The header says how many, and in what unit energy comes. Without it that is the one asked for.
    All are of one date; those of a date in `late` belong to an earlier request.
    """

    def decode() -> Decoder[tuple[ActivityEntry, ...]]:
        reason = None
        factor, entries = 10, dict[int, ActivityEntry]()
        while True:
            frame = _accepted((yield reason))
            reason = None
            if frame[1] == NO_DATA:
                return ()
            if frame[1] == 0xF0:
                factor, entries = 10 if frame[3] == 1 else 1, {}
                if not frame[2]:
                    return ()
            elif frame[5] >= frame[6] or (entry := parse_activity(frame, factor)) is None:
                reason = "content"
            elif entry.date in late:
                reason = "late"
            else:
                if any(other.date != entry.date for other in entries.values()):
                    reason, entries = "late", {}
                entries[frame[5]] = entry
                if len(entries) == frame[6]:
                    return tuple(sorted(entries.values(), key=lambda e: e.quarter_hour_index))

    return decode


def measured(measurement: Measurement) -> Callable[[], Decoder[tuple[int, ...]]]:
    """Decode a measurement: wait until enough values came."""

    def decode() -> Decoder[tuple[int, ...]]:
        values: list[int] = []
        reason = None
        while len(values) < measurement.values:
            reading, error, value = parse_reading(_accepted((yield reason)))
            reason = None
            if reading != measurement.reading:
                reason = "stray"
            elif error == 1:
                raise RingRefused("The ring is not worn", "not_worn")
            # Error 2 is a gap in the signal, value 0 the warm-up: the ring goes on by itself.
            elif not error and value:
                if plausible(measurement.metric, value):
                    values.append(value)
                else:
                    reason = "implausible"
        return tuple(values)

    return decode


def sleeps() -> Decoder[Sleeps]:
    """Decode nights and the naps that may come, unasked, before them (§9.3)."""
    naps: tuple[Session, ...] = ()
    while True:
        message = yield None
        sessions = parse_sessions(payload_of(message))
        if message[1] == BigData.SLEEP:
            return Sleeps(sessions, naps)
        naps = sessions


# Requests


def ask[T](parse: Callable[[bytes], T | None], command: Command, *payload: int) -> Request[T]:
    """Return a request whose reply is one frame."""
    return Request(encode(command, *payload), frozenset({command}), single(parse))


def _ask_big(parse: Callable[[bytes], Days], kind: BigData, *payload: int) -> Request[Days]:
    return Request(encode_big(kind, bytes(payload)), frozenset({kind}), big(parse))


BATTERY = ask(parse_battery, Command.BATTERY)
TODAY = ask(parse_totals, Command.TODAY)
SPO2_LOG = _ask_big(parse_spo2, BigData.SPO2, 0xFF)
"""All days."""
TEMPERATURE_LOG = _ask_big(parse_temperature, BigData.TEMPERATURE, 6)
"""Today and the six days before."""
MANUAL_HEART_RATE_LOG = _ask_big(parse_manual_heart_rate, BigData.MANUAL_HEART_RATE, 0)
"""Today."""
SLEEP_FORMS = (b"\xff\x01", b"\xff", b"")
"""The payloads that ask for sleep, newest firmware first (§9.1)."""
FIND = encode(Command.FIND, 0x55, 0xAA)
"""Lights the LED for about ten seconds; an R08 does not answer (§6.10)."""
RESTART = encode(Command.RESTART, 0)
"""The only form of 0x08 that may be sent: 01 powers off (§6.11)."""


def set_time(ring_time: datetime) -> Request[frozenset[Capability]]:
    """Set the clock; language 1 is English, rings have no text (§6.1)."""
    fields = ring_time.strftime("%y %m %d %H %M %S").split()
    return ask(parse_capabilities, Command.SET_TIME, *(int(field, 16) for field in fields), 1)


def echo_of(day: date) -> int:
    """Return the day as the ring writes it: its midnight read as UTC seconds (§8.1)."""
    return int(datetime.combine(day, time(), UTC).timestamp())


def _ask_day[T](decode: Callable[[], Decoder[T]], command: Command, *payload: int) -> Request[T]:
    """Return a request for a day; its repetition might be answered with what is late of it."""
    return Request(encode(command, *payload), frozenset({command}), decode, repeat=False)


def heart_rate_log(timestamp: int, days_ago: int = 0, late: Collection[int] = ()) -> Request[Days]:
    """Ask for the heart rate of a day, named by any of its local seconds read as UTC."""
    decode = day_log(days_ago, 4, late)
    return _ask_day(decode, Command.HEART_RATE_LOG, *timestamp.to_bytes(4, "little"))


def slot_log(command: Command, days_ago: int) -> Request[Days]:
    """Ask for the stress or HRV of a day (§8.3)."""
    late = frozenset(range(7)) - {days_ago}
    return _ask_day(day_log(days_ago, 1, late), command, days_ago)


def activity_log(days_ago: int, late: Collection[date] = ()) -> Request[tuple[ActivityEntry, ...]]:
    """Ask for the activity of a day, all its quarters, energy in the new unit (§8.2)."""
    payload = (days_ago, 0x0F, 0x00, 0x5F, 0x01)
    return _ask_day(activity(late), Command.ACTIVITY_LOG, *payload)


def sleep_log(form: bytes) -> Request[Sleeps]:
    """Ask for all nights and naps."""
    return Request(
        encode_big(BigData.SLEEP, form),
        frozenset({BigData.SLEEP, NAP}),
        sleeps,
        repeat=False,
    )


def measure(measurement: Measurement) -> Request[tuple[int, ...]]:
    """Start a measurement and wait for its values."""
    return Request(
        encode(Command.MEASURE, measurement.reading, measurement.start),
        frozenset({Command.MEASURE}),
        measured(measurement),
        first=10,
        # A ring that searches for a signal, or has said all ten values, is silent for a while.
        idle=measurement.seconds,
        total=measurement.seconds,
        repeat=False,
    )


def stream(reading: Reading) -> Request[bool]:
    """Start a measurement that goes on until it is stopped; its values are to be listened for."""
    return Request(
        encode(Command.MEASURE, reading, 1),
        frozenset({Command.MEASURE}),
        # Its first frame, whatever it says, tells that it began.
        single(lambda frame: parse_reading(frame)[0] == reading or None),
        repeat=False,
    )


def stop(reading: Reading) -> bytes:
    """Cancel a measurement."""
    return encode(Command.MEASURE_STOP, reading, 0)
