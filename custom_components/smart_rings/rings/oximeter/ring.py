"""The conversation both Viatom families share, and the way their recordings are taken.

Sections refer to docs/protocols/viatom.md unless they name oxyii.md.
"""

from abc import abstractmethod
import asyncio
from base64 import b85decode, b85encode
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, override
import zlib

from .. import recordings
from ..errors import RingError, RingNotSupported, RingProtocolError, RingRefused, RingTimeout
from ..link import Channel, Framer
from ..models import (
    Batch,
    Capability,
    Cursor,
    Metric,
    Recording,
    RecordingFormat,
    RingInfo,
    RingState,
    Sample,
    Setting,
    SettingKind,
    Value,
)
from ..recordings import Stored
from ..ring import Ring
from .frames import CHARGING, Live, name_time

# Longer writes fail at the smallest MTU; pieces are understood by all (§2, oxyii.md §2.1).
PIECE = 20
# The ring is not ready for a request at once (§3.3).
SETTLE = 0.5
# A ring that hands out a file in smaller pieces would be asked for ever.
SMALLEST_BLOCK = 8

# The ring's clock is written when it is off by more than this; it drifts seconds in a day.
CLOCK_TOLERANCE = timedelta(seconds=5)
# Bytes between two notes of how far a download came.
CHECKPOINT = 16_384
LIVE_INTERVAL = 1.0
# How often a file that can't be right is asked for.
ATTEMPTS = 3
# A ring that was taken off is on the air for 130 s (oxyii.md §11), and a contact takes seconds.
SOON = timedelta(seconds=100)
# A ring that is worn so long after it was seen worn has begun another recording meanwhile.
ANOTHER = timedelta(hours=2)

SPO2_VIBRATION = "spo2_alarm_vibration"
SPO2_SOUND = "spo2_alarm_sound"
SPO2_LIMIT = "spo2_alarm_limit"
PULSE_VIBRATION = "pulse_alarm_vibration"
PULSE_SOUND = "pulse_alarm_sound"
PULSE_LOW = "pulse_alarm_low"
PULSE_HIGH = "pulse_alarm_high"
VIBRATION = "vibration"
BUZZER = "buzzer"
DISPLAY = "display"
BRIGHTNESS = "brightness"

BRIGHTNESSES = ("low", "medium", "high")

SETTINGS = (
    Setting(SPO2_VIBRATION, SettingKind.SWITCH),
    Setting(SPO2_SOUND, SettingKind.SWITCH),
    Setting(SPO2_LIMIT, SettingKind.NUMBER, 80, 95, unit="%"),
    Setting(PULSE_VIBRATION, SettingKind.SWITCH),
    Setting(PULSE_SOUND, SettingKind.SWITCH),
    Setting(PULSE_LOW, SettingKind.NUMBER, 30, 110, 5, unit="bpm"),
    Setting(PULSE_HIGH, SettingKind.NUMBER, 70, 220, 5, unit="bpm"),
    Setting(VIBRATION, SettingKind.NUMBER, 0, 100, 20, unit="%"),
    Setting(BUZZER, SettingKind.NUMBER, 20, 100, 20, unit="%"),
    Setting(BRIGHTNESS, SettingKind.SELECT, options=BRIGHTNESSES),
)


def numbered(names: Sequence[str]) -> Mapping[str, int]:
    """Return names by which a ring's numbers from 0 on go."""
    return {name: number for number, name in enumerate(names)}


@dataclass(frozen=True, slots=True)
class Code:
    """How a ring's number stands for a setting: as it is, by name, or one bit of it."""

    names: Mapping[str, int] | None = None
    bit: int | None = None

    def read(self, raw: int) -> Value | None:
        """Return what the number means, `None` where it means nothing known."""
        if self.bit is not None:
            return bool(raw >> self.bit & 1)
        if self.names is not None:
            return next((name for name, number in self.names.items() if number == raw), None)
        return raw

    def change(self, raw: int, value: Value) -> int:
        """Return the number for a value; of several bits the others stay."""
        if self.bit is not None:
            return raw & ~(1 << self.bit) | bool(value) << self.bit
        return self.names[str(value)] if self.names is not None else int(value)


PLAIN = Code()

ALWAYS = frozenset(
    {
        Capability.BATTERY,
        Capability.CHARGING,
        Capability.WORN,
        Capability.HEART_RATE,
        Capability.SPO2,
        Capability.RECORDING,
        Capability.LIVE,
        Capability.SET_TIME,
    }
)


@dataclass(slots=True)
class Marks:
    """Which of the files a ring holds were taken: the cursor of both families.

    `part` is how far the download of one file came before the link was lost.
    """

    done: set[str]
    sizes: dict[str, int]
    bad: dict[str, int]
    part: tuple[str, bytes]

    @classmethod
    def of(cls, cursor: Cursor, names: Iterable[str]) -> Marks:
        """Read a cursor, without what the ring no longer holds."""
        held = set(names)
        name, packed = cursor.get("part", ("", ""))
        return cls(
            held & set(cursor.get("done", ())),
            {name: size for name, size in cursor.get("sizes", {}).items() if name in held},
            {name: times for name, times in cursor.get("bad", {}).items() if name in held},
            (name, zlib.decompress(b85decode(packed)) if name in held else b""),
        )

    def batch(self, *records: Recording) -> Batch:
        """Return what is to be kept together with these marks."""
        name, data = self.part
        cursor: dict[str, Any] = {"done": sorted(self.done)}
        if self.sizes:
            cursor["sizes"] = dict(self.sizes)
        if self.bad:
            cursor["bad"] = dict(self.bad)
        if data:
            cursor["part"] = [name, b85encode(zlib.compress(data)).decode("ascii")]
        return Batch(records, cursor)

    def finish(self, name: str) -> None:
        """Never ask for this file again."""
        self.done.add(name)
        self.sizes.pop(name, None)
        self.bad.pop(name, None)

    def reject(self, name: str) -> None:
        """Count a download that can't be right; give the file up in the end."""
        self.bad[name] = self.bad.get(name, 0) + 1
        if self.bad[name] >= ATTEMPTS:
            self.finish(name)


class OximeterRing(Ring):
    """What an oximeter does, whichever way its family says it.

    A recording is taken when it is finished and the ring is not worn. `history` yields batches
    without records, too: how far a long download came, so that the next connection goes on there.
    """

    identity_is_serial = True
    slots = 4
    senses = live_metrics = frozenset(
        {Metric.SPO2, Metric.HEART_RATE, Metric.PERFUSION_INDEX, Metric.MOTION}
    )
    resumes: ClassVar[bool] = False
    """Whether a file can be read from any offset on."""
    largest: ClassVar[int] = 2_000_000
    """The most bytes a stored file may claim to have (§8.1)."""

    @override
    async def open(self) -> None:
        self._worn: bool | None = None
        self._clock_off: timedelta | None = None
        self._streamed = False
        self._taken = 0
        self._all_told = False
        self.memory.capabilities |= ALWAYS
        self.memory.logging = dict.fromkeys(recordings.RECORDED, timedelta(seconds=1))

    async def _subscribe(
        self,
        write: str,
        notify: str,
        framer: Framer,
        key: Callable[[bytes], int],
        may_send: Callable[[bytes], bool],
    ) -> None:
        """Open the channel all requests go through."""
        self._channel = Channel(
            self.link, write, notify, framer, key, may_send, self._unsolicited, piece=PIECE
        )
        await self.link.open(self._channel)
        await asyncio.sleep(SETTLE)

    @override
    async def info(self) -> RingInfo:
        return self.memory.info

    @override
    async def set_time(self) -> None:
        setting = self.clock.target()
        await self._write_clock((setting.at + setting.offset).replace(tzinfo=None))
        self._clock_off = timedelta()
        self.clock.written(setting)

    @override
    def clock_due(self) -> bool:
        off = self._clock_off
        # Only behind all it recorded by its clock: what is listed later is of the new time.
        settled = self._all_told and not self._worn
        return settled and off is not None and abs(off) > CLOCK_TOLERANCE

    @override
    async def live(self) -> AsyncGenerator[RingState]:
        self._streamed = True
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            yield self._state_of(await self._sample())
            due = max(due + LIVE_INTERVAL, loop.time())
            await asyncio.sleep(due - loop.time())

    @override
    async def history(self, cursor: Cursor) -> AsyncGenerator[Batch]:
        self.again = SOON
        readable = await self._files_readable()
        was_worn = "worn_at" in self.memory.notes
        self._count_wearing()
        if not readable:
            self.again = SOON if self._worn or self._streamed else None
            return
        names = await self._list()
        marks = Marks.of(cursor, names)
        self._count_unread(names, marks)
        # What was recorded until just now is listed only when the ring has counted down.
        missing = was_worn and not self.memory.unread
        for name in sorted(set(names) - marks.done, key=lambda name: (name != marks.part[0], name)):
            ring_time = name_time(name)
            if ring_time is None or not self.clock.instants(ring_time):
                self.dropped["recording: time not certain"] += 1
                continue
            try:
                async with aclosing(self._take(name, ring_time, marks)) as batches:
                    async for batch in batches:
                        yield batch
            except (RingRefused, RingProtocolError) as err:
                self.dropped[f"recording: {type(err).__name__}"] += 1
            except RingTimeout:
                if not (self.resumes and self._taken):
                    raise
                # Some rings give only so much per connection (oxyii.md §2).
                self.dropped["recording: goes on in a new connection"] += 1
                self._count_unread(names, marks)
                return
        self._count_unread(names, marks)
        waits = self.memory.notes.get("waits", 0) + 1 if marks.part[1] or marks.bad else 0
        self.memory.notes["waits"] = waits = waits or int(missing)
        # Each connection keeps the ring on the air (oxyii.md §11): not for ever.
        self.again = SOON if 0 < waits <= ATTEMPTS else None
        self._all_told = self.again is None

    def _count_wearing(self) -> None:
        """Count a recording that began since the files were listed."""
        notes, now = self.memory.notes, self.clock.now().timestamp()
        if not self._worn:
            notes.pop("worn_at", None)
            return
        if now - notes.get("worn_at", 0) > ANOTHER.total_seconds():
            self.memory.unread += 1
        notes["worn_at"] = now

    def _count_unread(self, names: Iterable[str], marks: Marks) -> None:
        self.memory.unread = len(set(names) - marks.done - marks.sizes.keys())

    async def _take(self, name: str, ring_time: datetime, marks: Marks) -> AsyncGenerator[Batch]:
        """Download one file, and yield what to keep of it."""
        if marks.part[0] != name:
            marks.part = (name, b"")
        async with self._opened(name) as size:
            if size == marks.sizes.get(name):
                marks.finish(name)
                yield marks.batch()
                return
            async with aclosing(self._download(size, marks)) as batches:
                async for batch in batches:
                    yield batch
        _, data = marks.part
        marks.part = ("", b"")
        yield self._judge(name, ring_time, data, size, marks)

    async def _download(self, size: int, marks: Marks) -> AsyncGenerator[Batch]:
        """Read the open file into `marks.part`; yield how far it came now and then."""
        name, part = marks.part
        data = bytearray(part if self.resumes and len(part) <= size else b"")
        noted = len(data)
        try:
            while len(data) < size:
                if not (block := await self._read_block(len(data))):
                    break  # its size was not what can be read (oxyii.md §5.3)
                data += block[: size - len(data)]
                self._taken += len(block)
                if len(block) < SMALLEST_BLOCK:
                    break
                if self.resumes and len(data) - noted >= CHECKPOINT:
                    noted = len(data)
                    marks.part = (name, bytes(data))
                    yield marks.batch()
        except RingError:
            if self.resumes and len(data) > noted:
                marks.part = (name, bytes(data))
                yield marks.batch()
            raise
        marks.part = (name, bytes(data))

    def _judge(self, name: str, ring_time: datetime, data: bytes, size: int, marks: Marks) -> Batch:
        """Decide what a download is: a recording, one that waits, or rubbish."""
        try:
            stored = recordings.parse(data)
        except RingProtocolError:
            stored = None
        if stored and not stored.finished:
            # What stands where the trailer will be is unknown; the samples before it stay.
            self.dropped["recording: not finished"] += 1
            marks.part = (name, data[: -recordings.TRAILER])
            return marks.batch()
        if not (stored and self._is_sound(stored, ring_time, whole=len(data) == size)):
            self.dropped["recording: damaged"] += 1
            marks.reject(name)
            return marks.batch()
        if stored.format is RecordingFormat.VLD:
            # Such a file has no mark that says it is finished: its size is looked at once more.
            marks.sizes[name] = size
        else:
            marks.finish(name)
        interval = timedelta(seconds=stored.interval_s)
        start = self.clock.utc(ring_time, length=len(stored) * interval, new=True)
        if start is None:
            self.dropped["recording: time not certain"] += 1
            return marks.batch()
        return marks.batch(Recording(start, interval, len(stored), stored.format, data))

    @staticmethod
    def _is_sound(stored: Stored, ring_time: datetime, *, whole: bool) -> bool:
        """Whether a download is the file asked for, from its first byte to its last."""
        # Some rings answer a name with the file they sent before (§8.3).
        asked_for = stored.start == ring_time
        return asked_for and (stored.intact if stored.format is RecordingFormat.OXYII else whole)

    @asynccontextmanager
    async def _opened(self, name: str) -> AsyncGenerator[int]:
        """Open a file, and close it whatever happens; gives its size in bytes."""
        try:
            size = await self._open_file(name)
            if not 0 < size <= self.largest:
                raise RingProtocolError(f"{name} has {size} bytes")
            yield size
        finally:
            with suppress(RingError):
                await self._close_file()

    def _read_clock(self, ring_time: datetime | None) -> None:
        """Take note of what the ring's clock shows."""
        if ring_time is None:
            self.dropped["clock: no date"] += 1
            self._clock_off = timedelta.max
            return
        since = self.memory.notes.get("clock_read")
        self._clock_off = self.clock.read(
            ring_time, None if since is None else datetime.fromtimestamp(since, UTC)
        )
        self.memory.notes["clock_read"] = self.clock.now().timestamp()

    @staticmethod
    def _read_back(settings: Mapping[str, Value], setting: Setting) -> Value:
        """Return what the ring says a setting is after it was written."""
        if (value := settings.get(setting.key)) is None:
            raise RingProtocolError(f"What {setting.key} is now makes no sense")
        return value

    def _unsolicited(self, _: bytes) -> None:
        """Count what nobody asked for: a push, or an answer that came too late."""
        self.dropped["unsolicited"] += 1

    def _know(self, info: RingInfo) -> None:
        """Take over who the ring is; another one at the same address is not ours."""
        known = self.memory.info.serial
        if known and known != info.serial:
            raise RingNotSupported("Another ring answers")
        self.memory.info = info

    def _state_of(self, live: Live, voltage: float | None = None) -> RingState:
        """Turn a reading into the state; without a finger there are no values."""
        now = self.clock.now()
        values = {
            Metric.SPO2: live.spo2_pct,
            Metric.HEART_RATE: live.heart_rate_bpm,
            Metric.PERFUSION_INDEX: live.perfusion_index_pct,
            Metric.MOTION: live.motion_raw,
        }
        # Some firmware says nothing of these, or always 0.
        self.memory.capabilities |= {
            Capability(metric) for metric, value in values.items() if value is not None
        }
        return RingState(
            battery=live.battery_pct,
            charging=live.battery_state_raw == CHARGING,
            worn=self._worn,
            voltage=voltage,
            latest={
                metric: Sample(metric, now, value)
                for metric, value in values.items()
                if live.valid and value is not None
            },
        )

    @abstractmethod
    async def _sample(self) -> Live:
        """Read what the sensor says now; sets `_worn`."""

    @abstractmethod
    async def _files_readable(self) -> bool:
        """Whether stored files may be read on this connection."""

    @abstractmethod
    async def _list(self) -> list[str]:
        """Return the names of the stored files."""

    @abstractmethod
    async def _open_file(self, name: str) -> int:
        """Open a stored file and return its size in bytes."""

    @abstractmethod
    async def _read_block(self, offset: int) -> bytes:
        """Read what comes next of the open file; as many bytes as the ring likes."""

    @abstractmethod
    async def _close_file(self) -> None:
        """Close the open file."""

    @abstractmethod
    async def _write_clock(self, ring_time: datetime) -> None:
        """Set the ring's clock."""
