"""Colmi R02 family: bytes ↔ dataclasses. No I/O. Sections refer to docs/protocols/colmi.md."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from enum import IntEnum

from ..errors import RingRefused
from ..link import Decoder, Request
from ..models import Metric, plausible

FRAME_SIZE = 16
NO_DATA = 0xFF
UNSUPPORTED = 0xEE
MINUTES_A_DAY = 1440


class Command(IntEnum):
    """Every V1 opcode that may be sent; what erases, powers off or flashes is not here (§12)."""

    SET_TIME = 0x01
    BATTERY = 0x03
    DISPLAY = 0x05
    RESTART = 0x08
    BLINK = 0x10
    HEART_RATE_LOG = 0x15
    HEART_RATE_SETTINGS = 0x16
    GOALS = 0x21
    AUTO_SPO2 = 0x2C
    AUTO_STRESS = 0x36
    STRESS_LOG = 0x37
    AUTO_HRV = 0x38
    HRV_LOG = 0x39
    AUTO_TEMPERATURE = 0x3A
    SUPPORT = 0x3C
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
    NAP = 0x3E


class Reading(IntEnum):
    """What can be measured on request (§7.1); the others of the protocol give invented numbers."""

    HEART_RATE = 0x01
    SPO2 = 0x03
    STRESS = 0x08
    HRV = 0x0A
    LIVE_HEART_RATE = 0x06


class Push(IntEnum):
    """Unsolicited 0x73 events that mean something to us (§10)."""

    NEW_HEART_RATE = 0x01
    NEW_SPO2 = 0x03
    NEW_STEPS = 0x04
    NEW_TEMPERATURE = 0x05
    BATTERY = 0x0C
    LIVE_ACTIVITY = 0x12
    NEW_HRV = 0x2B
    NEW_STRESS = 0x2C
    GESTURE = 0x2D


PUSH = 0x73
PACKET_LENGTH = 0x2F
# Opcodes of replies and streams that have bit 7 set without being an error (§3.2).
HIGH_OPCODES = frozenset({0x93, 0xA1, 0xBF, 0xC0, 0xC6, 0xC7, 0xC9, 0xCA, 0xFF})
GESTURES = {1: "swipe_up", 2: "swipe_down", 3: "tap", 4: "long_press"}


# --- V1: 16-byte frames (§3)


def checksum(body: bytes) -> int:
    """Sum of the first 15 bytes modulo 256 (§3.1)."""
    return sum(body) & 0xFF


def encode(command: Command, *payload: int) -> bytes:
    """Build a V1 frame from an opcode and at most 14 payload bytes."""
    body = bytes((command, *payload)).ljust(FRAME_SIZE - 1, b"\0")
    return body + bytes((checksum(body),))


def may_send(data: bytes) -> bool:
    """Whether these bytes are a V1 request that can't harm the ring."""
    return data[0] in Command and (data[0] != Command.RESTART or not any(data[1:-1]))


def answered(frame: bytes) -> int:
    """Which command a V1 frame answers; an error frame has bit 7 set (§3.2)."""
    return frame[0] if frame[0] in HIGH_OPCODES else frame[0] & 0x7F


class V1Framer:
    """Whole V1 frames from notifications; a frame may come in pieces."""

    def __init__(self) -> None:
        """Start with nothing."""
        self.dropped: Counter[str] = Counter()
        self._rest = b""

    def feed(self, data: bytes) -> Iterable[bytes]:
        """Yield the frames that pass their checksum."""
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

    def reset(self) -> None:
        """Forget an unfinished frame."""
        if self._rest:
            self.dropped["length"] += 1
        self._rest = b""


# --- V2: big data (§9.1)

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
    return len(data) >= V2_HEADER and data[0] == 0xBC and data[1] in BigData


class V2Framer:
    """Whole V2 messages from notifications; a message always starts in a new notification."""

    def __init__(self) -> None:
        """Start with nothing."""
        self.dropped: Counter[str] = Counter()
        self._message = b""

    def feed(self, data: bytes) -> Iterable[bytes]:
        """Yield the messages that pass their CRC."""
        if not self._message and data[:1] != b"\xbc":
            self.dropped["stray"] += 1
            return
        self._message += data
        if len(self._message) < V2_HEADER:
            return
        size = int.from_bytes(self._message[2:4], "little") + V2_HEADER
        if size > V2_MAX or len(self._message) > size:
            self.dropped["length"] += 1
            self._message = b""
        elif len(self._message) == size:
            message, self._message = self._message, b""
            if crc16(message[V2_HEADER:]) == int.from_bytes(message[4:6], "little"):
                yield message
            else:
                self.dropped["checksum"] += 1

    def reset(self) -> None:
        """Forget an unfinished message."""
        if self._message:
            self.dropped["length"] += 1
        self._message = b""


# --- what the frames say


@dataclass(frozen=True, slots=True)
class Battery:
    """Charge in percent, and whether the ring lies on its charger."""

    battery_percent: int
    charging: bool


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What the firmware says it can do; not always exact (§6.1)."""

    temperature: bool
    spo2: bool
    blood_pressure: bool
    weather: bool
    screen_width_px: int
    screen_height_px: int
    new_sleep_protocol: bool
    manual_heart_rate: bool
    blood_sugar: bool
    max_contacts: int
    stress: bool
    hrv: bool


@dataclass(frozen=True, slots=True)
class Support:
    """What the 0x3C bits say (§6.13)."""

    touch: bool
    ble_pair: bool
    gesture: bool
    interval_temperature: bool


@dataclass(frozen=True, slots=True)
class Totals:
    """Counters since the ring's midnight; energy in small calories, distance in metres."""

    steps: int
    running_steps: int
    calories_cal: int
    distance_m: int
    duration_min: int


@dataclass(frozen=True, slots=True)
class Goals:
    """Daily goals (§6.7)."""

    steps: int
    calories_cal: int
    distance_m: int
    sport_min: int
    sleep_min: int


@dataclass(frozen=True, slots=True)
class LogSettings:
    """Heart-rate logging (§6.5): flag 1 is on, 2 is off."""

    enabled: bool
    interval_min: int


@dataclass(frozen=True, slots=True)
class Display:
    """The display of an R12 or R11 (§6.9)."""

    enabled: bool
    wearing_hand: str
    brightness_level: int
    start_minute_of_day: int
    end_minute_of_day: int


@dataclass(frozen=True, slots=True)
class Slots:
    """A day in equal slots from the ring's midnight on; 0 is no reading."""

    interval_min: int
    values: tuple[int, ...]
    packet_count: int
    echo: int

    def readings(self) -> Iterator[tuple[int, int]]:
        """Yield (minute of the day, value)."""
        return ((n * self.interval_min, v) for n, v in enumerate(self.values) if v)


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


type DayReadings = dict[int, tuple[tuple[int, float], ...]]
"""Days before the ring's today → (minute of the day, value)."""


def _u(data: bytes, start: int, size: int) -> int:
    return int.from_bytes(data[start : start + size], "little")


def _u_be(data: bytes, start: int, size: int) -> int:
    return int.from_bytes(data[start : start + size], "big")


def _bcd(value: int) -> int:
    """Binary coded decimal → number; -1 for what is none."""
    high, low = divmod(value, 16)
    return high * 10 + low if high < 10 and low < 10 else -1


def parse_battery(frame: bytes) -> Battery | None:
    """0x03, or the battery push shifted by one (§6.2, §10)."""
    offset = 2 if frame[0] == PUSH else 1
    percent, charging = frame[offset], frame[offset + 1]
    return Battery(percent, charging == 1) if percent <= 100 else None


def parse_capabilities(frame: bytes) -> Capabilities:
    """The reply to set-time (§6.1)."""
    return Capabilities(
        temperature=frame[1] == 1,
        spo2=bool(frame[4] & 0x02),
        blood_pressure=bool(frame[4] & 0x04),
        weather=bool(frame[4] & 0x20),
        screen_width_px=_u(frame, 5, 2),
        screen_height_px=_u(frame, 7, 2),
        new_sleep_protocol=frame[9] == 1,
        manual_heart_rate=bool(frame[12] & 0x01),
        blood_sugar=bool(frame[12] & 0x80),
        max_contacts=frame[13] * 10 or 20,
        stress=bool(frame[14] & 0x10),
        hrv=bool(frame[14] & 0x20),
    )


def parse_support(frame: bytes) -> Support:
    """0x3C."""
    return Support(
        touch=bool(frame[2] & 0x01),
        ble_pair=bool(frame[2] & 0x08),
        gesture=bool(frame[2] & 0x80),
        interval_temperature=bool(frame[9] & 0x80),
    )


def parse_totals(frame: bytes) -> Totals:
    """0x48, all big endian (§6.12)."""
    steps, running, calories, distance = (_u_be(frame, at, 3) for at in (1, 4, 7, 10))
    return Totals(steps, running, calories, distance, _u_be(frame, 13, 2))


def total(entries: Iterable[ActivityEntry]) -> Totals:
    """Add up a day's activity, for firmware that leaves its totals at 0."""
    rows = [(e.steps, e.calories_cal, e.distance_m) for e in entries]
    steps, calories, distance = (
        (sum(column) for column in zip(*rows, strict=True)) if rows else (0, 0, 0)
    )
    return Totals(steps, 0, calories, distance, 0)


def parse_live_activity(frame: bytes) -> Totals:
    """The live totals push, big endian (§10)."""
    steps, calories, distance = (_u_be(frame, at, 3) for at in (2, 5, 8))
    return Totals(steps, 0, calories, distance, 0)


def parse_goals(frame: bytes) -> Goals | None:
    """0x21 read; a write is only acknowledged."""
    if frame[1] != 1:
        return None
    steps, calories, distance = (_u(frame, at, 3) for at in (2, 5, 8))
    return Goals(steps, calories, distance, _u(frame, 11, 2), _u(frame, 13, 2))


def parse_log_settings(frame: bytes) -> LogSettings | None:
    """0x16 read; the acknowledgement of a write has interval 0 and says nothing (§6.5)."""
    return LogSettings(frame[2] == 1, frame[3]) if frame[1] == 1 else None


def parse_display(frame: bytes) -> Display | None:
    """0x05 (§6.9)."""
    if frame[1] != 3 or frame[3] not in (1, 2) or max(frame[7], frame[9]) > 23:
        return None
    return Display(
        enabled=frame[2] == 1,
        wearing_hand="left" if frame[3] == 1 else "right",
        brightness_level=frame[4],
        start_minute_of_day=frame[7] * 60 + frame[8],
        end_minute_of_day=frame[9] * 60 + frame[10],
    )


# --- decoders: frames of one reply → its value


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


NO_SLOTS = Slots(5, (), 0, 0)


def slots(echo_size: int, late: Iterable[int] = ()) -> Callable[[], Decoder[Slots]]:
    """Decode a day in slots (§8.1, §8.3): a header, a frame with an echo of the request, the rest.

    Frames of an earlier request may still be on their way: one that echoes a value of `late`
    belongs to such a one, and so does all up to the next header. `NO_SLOTS` is "nothing stored".
    """

    def decode() -> Decoder[Slots]:
        reason = None
        count = interval = echo = 0
        parts: dict[int, bytes] = {}
        while True:
            frame = _accepted((yield reason))
            reason, index = None, frame[1]
            if index == NO_DATA:
                return NO_SLOTS
            if index == 0:
                count, interval, parts = frame[2], frame[3], {}
                if count < 2 or not interval or MINUTES_A_DAY % interval:
                    reason, count = "content", 0
                continue
            if index >= count:
                reason = "stray"
                continue
            if index == 1:
                echo = _u(frame, 2, echo_size)
                if echo in late:
                    reason, count = "late", 0
                    continue
            parts[index] = frame[2 + echo_size if index == 1 else 2 : -1]
            if len(parts) == count - 1:
                values = b"".join(parts[n] for n in range(1, count))
                return Slots(interval, tuple(values[: MINUTES_A_DAY // interval]), count, echo)

    return decode


def parse_activity(frame: bytes, factor: int) -> ActivityEntry | None:
    """One bucket of 0x43 (§8.2)."""
    try:
        day = date(2000 + _bcd(frame[1]), _bcd(frame[2]), _bcd(frame[3]))
    except ValueError:
        return None
    if frame[4] >= 96:
        return None
    return ActivityEntry(day, frame[4], _u(frame, 7, 2) * factor, _u(frame, 9, 2), _u(frame, 11, 2))


def activity() -> Decoder[tuple[ActivityEntry, ...]]:
    """Decode the activity of a day: a header, then one frame a bucket, in any order (§8.2).

    The header says how many, and in what unit energy comes. Without it that is the one asked for.
    """
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
        else:
            entries[frame[5]] = entry
            if len(entries) == frame[6]:
                return tuple(sorted(entries.values(), key=lambda e: e.quarter_hour_index))


@dataclass(frozen=True, slots=True)
class Measurement:
    """How a metric is measured on request (§7.1): how many values, and the time they may need."""

    metric: Metric
    reading: Reading
    start: int
    values: int
    seconds: float


def parse_reading(frame: bytes) -> tuple[int, int, int]:
    """0x69: which reading, its error code, its value (0 while warming up)."""
    return frame[1], frame[2], frame[3]


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


def started(reading: Reading) -> Callable[[], Decoder[bool]]:
    """Decode that a measurement began: its first frame, whatever it says."""

    def decode() -> Decoder[bool]:
        reason = None
        while parse_reading(_accepted((yield reason)))[0] != reading:
            reason = "stray"
        return True

    return decode


# --- V2 decoders


def parse_days(
    payload: bytes, size: int, read: Callable[[bytes], Iterable[tuple[int, float]]]
) -> DayReadings:
    """Split a payload into blocks of a day; nothing for one that is no whole number of blocks."""
    if len(payload) % size:
        return {}
    blocks = (payload[at : at + size] for at in range(0, len(payload), size))
    return {block[0]: tuple(read(block)) for block in blocks}


def _spo2_pairs(block: bytes) -> Iterator[tuple[int, tuple[int, int]]]:
    for hour in range(24):
        low, high = sorted(block[1 + 2 * hour : 3 + 2 * hour])
        if high:
            yield hour * 60, (low, high)


def parse_spo2(payload: bytes) -> dict[int, tuple[tuple[int, tuple[int, int]], ...]]:
    """Return days ago → (minute, (lowest, highest)); a pair is in no known order (§9.2)."""
    if len(payload) % 49:
        return {}
    return {
        payload[at]: tuple(_spo2_pairs(payload[at : at + 49])) for at in range(0, len(payload), 49)
    }


def parse_temperature(payload: bytes) -> DayReadings:
    """Return skin temperatures in °C (§9.4): 48 values a block, tenths above 20."""
    return parse_days(
        payload, 50, lambda b: ((n * b[1], round(v / 10 + 20, 1)) for n, v in enumerate(b[2:]) if v)
    )


def parse_manual_heart_rate(payload: bytes) -> DayReadings:
    """Return heart rates that were measured by hand (§9.5)."""
    if len(payload) % 3 != 1:
        return {}
    triples = (payload[at : at + 3] for at in range(1, len(payload), 3))
    return {payload[0]: tuple((_u(t, 0, 2), t[2]) for t in triples)}


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
            _u(payload, at + 2, 2),
            _u(payload, at + 4, 2),
            tuple(zip(body[::2], body[1::2], strict=False)),
        )
        if payload[at + 1] < 4 or end > len(payload):
            break
        if max(session.start_minute_of_day, session.end_minute_of_day) < MINUTES_A_DAY:
            sessions.append(session)
        at = end
    return tuple(sessions)


def payload_of(message: bytes) -> bytes:
    """Return the payload of a V2 message; a single 00 is the empty answer."""
    payload = message[V2_HEADER:]
    return b"" if payload == b"\0" else payload


def big[T](parse: Callable[[bytes], T]) -> Callable[[], Decoder[T]]:
    """Decode a V2 reply of one message."""

    def decode() -> Decoder[T]:
        return parse(payload_of((yield None)))

    return decode


@dataclass(frozen=True, slots=True)
class Sleeps:
    """What one sleep request brought."""

    nights: tuple[Session, ...]
    naps: tuple[Session, ...]


def sleeps() -> Decoder[Sleeps]:
    """Decode nights and the naps that may come, unasked, before them (§9.3)."""
    naps: tuple[Session, ...] = ()
    while True:
        message = yield None
        sessions = parse_sessions(payload_of(message))
        if message[1] == BigData.SLEEP:
            return Sleeps(sessions, naps)
        naps = sessions


# --- requests


def _ask[T](command: Command, *payload: int, parse: Callable[[bytes], T | None]) -> Request[T]:
    return Request(encode(command, *payload), frozenset({command}), single(parse))


def _ask_big[T](kind: BigData, payload: bytes, parse: Callable[[bytes], T]) -> Request[T]:
    return Request(encode_big(kind, payload), frozenset({kind}), big(parse))


def set_time(ring_time: datetime) -> Request[Capabilities]:
    """Set the clock; language 1 is English, rings have no text (§6.1)."""
    fields = (
        ring_time.year - 2000,
        ring_time.month,
        ring_time.day,
        ring_time.hour,
        ring_time.minute,
        ring_time.second,
    )
    return _ask(Command.SET_TIME, *(int(str(f), 16) for f in fields), 1, parse=parse_capabilities)


def battery() -> Request[Battery]:
    """Ask for the battery."""
    return _ask(Command.BATTERY, parse=parse_battery)


def support() -> Request[Support]:
    """Ask for the support bits."""
    return _ask(Command.SUPPORT, parse=parse_support)


def today() -> Request[Totals]:
    """Ask for the totals since midnight."""
    return _ask(Command.TODAY, parse=parse_totals)


def goals() -> Request[Goals]:
    """Ask for the daily goals."""
    return _ask(Command.GOALS, 1, parse=parse_goals)


def set_goals(wanted: Goals) -> Request[bool]:
    """Write the daily goals."""
    fields = b"".join(
        v.to_bytes(3, "little") for v in (wanted.steps, wanted.calories_cal, wanted.distance_m)
    )
    fields += wanted.sport_min.to_bytes(2, "little") + wanted.sleep_min.to_bytes(2, "little")
    return _ask(Command.GOALS, 2, *fields, parse=lambda frame: frame[1] == 2 or None)


def log_settings() -> Request[LogSettings]:
    """Ask for the heart-rate logging."""
    return _ask(Command.HEART_RATE_SETTINGS, 1, parse=parse_log_settings)


def set_log_settings(wanted: LogSettings) -> Request[bool]:
    """Write the heart-rate logging, with no alarms."""
    flag = 1 if wanted.enabled else 2
    return _ask(
        Command.HEART_RATE_SETTINGS,
        2,
        flag,
        wanted.interval_min,
        parse=lambda frame: frame[1] == 2 or None,
    )


def _toggle_prefix(command: Command) -> tuple[int, ...]:
    return (3,) if command == Command.AUTO_TEMPERATURE else ()


def toggle(command: Command) -> Request[bool]:
    """Ask whether a metric is recorded by itself (§6.4)."""
    at = 1 + len(_toggle_prefix(command))
    return _ask(
        command,
        *_toggle_prefix(command),
        1,
        parse=lambda frame: frame[at + 1] == 1 if frame[at] == 1 else None,
    )


def set_toggle(command: Command, *, enabled: bool) -> Request[bool]:
    """Switch the recording of a metric; newer firmware wants all of temperature's record (§6.4)."""
    record = (30, 5, 10, 0, 0xB9) if command == Command.AUTO_TEMPERATURE else ()
    at = 1 + len(_toggle_prefix(command))
    return _ask(
        command,
        *_toggle_prefix(command),
        2,
        int(enabled),
        *record,
        parse=lambda frame: frame[at] == 2 or None,
    )


def display() -> Request[Display]:
    """Ask for the display settings."""
    return _ask(Command.DISPLAY, 3, parse=parse_display)


def echo_of(day: date) -> int:
    """Return the day as the ring writes it: its midnight read as UTC seconds (§8.1)."""
    return int(datetime.combine(day, time(), UTC).timestamp())


def heart_rate_log(timestamp: int, late: Iterable[int] = ()) -> Request[Slots]:
    """Ask for the heart rate of a day, named by any of its local seconds read as UTC."""
    return Request(
        encode(Command.HEART_RATE_LOG, *timestamp.to_bytes(4, "little")),
        frozenset({Command.HEART_RATE_LOG}),
        slots(4, late),
    )


def slot_log(command: Command, days_ago: int) -> Request[Slots]:
    """Ask for the stress or HRV of a day (§8.3)."""
    late = frozenset(range(7)) - {days_ago}
    return Request(encode(command, days_ago), frozenset({command}), slots(1, late))


def activity_log(days_ago: int) -> Request[tuple[ActivityEntry, ...]]:
    """Ask for the activity of a day, all its quarters, energy in the new unit (§8.2)."""
    return Request(
        encode(Command.ACTIVITY_LOG, days_ago, 0x0F, 0x00, 0x5F, 0x01),
        frozenset({Command.ACTIVITY_LOG}),
        activity,
    )


SLEEP_FORMS = (b"\xff\x01", b"\xff", b"")
"""The payloads that ask for sleep, newest firmware first (§9.1)."""


def sleep_log(form: bytes) -> Request[Sleeps]:
    """Ask for all nights and naps."""
    return Request(
        encode_big(BigData.SLEEP, form),
        frozenset({BigData.SLEEP, BigData.NAP}),
        sleeps,
        repeat=False,
    )


def spo2_log() -> Request[dict[int, tuple[tuple[int, tuple[int, int]], ...]]]:
    """Ask for the SpO2 of all days."""
    return _ask_big(BigData.SPO2, b"\xff", parse_spo2)


def temperature_log(days: int) -> Request[DayReadings]:
    """Ask for the skin temperature of the last days."""
    return _ask_big(BigData.TEMPERATURE, bytes((days,)), parse_temperature)


def manual_heart_rate_log() -> Request[DayReadings]:
    """Ask for today's heart rates that were measured by hand."""
    return _ask_big(BigData.MANUAL_HEART_RATE, b"\0", parse_manual_heart_rate)


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
        started(reading),
        repeat=False,
    )


def stop(reading: Reading, value: int = 0) -> bytes:
    """End a measurement; 0 cancels."""
    return encode(Command.MEASURE_STOP, reading, value)


def find() -> bytes:
    """Light the LED for about ten seconds; an R08 does not answer (§6.10)."""
    return encode(Command.FIND, 0x55, 0xAA)


def blink() -> bytes:
    """Blink twice."""
    return encode(Command.BLINK)


def restart() -> bytes:
    """Restart. The only form of 0x08 that may be sent: 01 powers off (§6.11)."""
    return encode(Command.RESTART, 0)
