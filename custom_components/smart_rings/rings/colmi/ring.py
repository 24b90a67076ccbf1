"""Colmi R02 family: the conversation. Sections refer to docs/protocols/colmi.md."""

import asyncio
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
)
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from statistics import mean, median
from typing import override

from ..clock import SLACK
from ..errors import RingError, RingNotSupported, RingProtocolError, RingRefused, RingTimeout
from ..link import Channel, Request
from ..models import (
    Batch,
    Capability,
    Cursor,
    Metric,
    Phase,
    Record,
    RingInfo,
    RingState,
    Sample,
    Setting,
    Sleep,
    Stage,
    Value,
    plausible,
)
from ..recognise import Model, Rule
from ..ring import Ring
from . import frames
from .frames import Command, Days, Measurement, Push, Reading
from .settings import FIELDS, HEART_RATE, TOGGLES, Held, Register

V1_SERVICE = "6e40fff0-b5a3-f393-e0a9-e50e24dcca9e"
V1_WRITE = "6e400002-b5a3-f393-e0a9-e50e24dcca9e"
V1_NOTIFY = "6e400003-b5a3-f393-e0a9-e50e24dcca9e"
V2_WRITE = "de5bf72a-d711-4e47-af26-65e3012a5dc7"
V2_NOTIFY = "de5bf729-d711-4e47-af26-65e3012a5dc7"
FIRMWARE = "00002a26-0000-1000-8000-00805f9b34fb"
HARDWARE = "00002a27-0000-1000-8000-00805f9b34fb"

# Every client that talks at once loses the first answer now and then (§2).
SETTLE = 0.5
DAYS_KEPT = 7
# A ring's clock is off by seconds, and a day of a log takes some to be read.
UNSURE = timedelta(minutes=1)
# While it measures, a ring says something at least once a second, if it only is that it has none.
LIVE_SILENCE = 10
LIVE_FRAMES = frozenset({Command.MEASURE})
# The first value takes up to half a minute (§7.1).
LIVE_PATIENCE = 60
# Ring time is naive; slots of a day are counted from any midnight.
EPOCH = datetime(2000, 1, 1)  # noqa: DTZ001


def _model(key: str, manufacturer: str, name: str, *names: str) -> Model:
    return Model(f"colmi_{key}", manufacturer, name, tuple(Rule(name=n) for n in names))


MODELS = (
    _model("r02", "Colmi", "R02", "R02_####", "COLMI R02*", "Colmi R02*", "TR-R02*"),
    _model("r03", "Colmi", "R03", "R03_####"),
    _model("r06", "Colmi", "R06", "R06_####"),
    _model("r07", "Colmi", "R07", "COLMI R07_####"),
    _model("r08", "Colmi", "R08", "R08_####"),
    _model("r09", "Colmi", "R09", "R09_####"),
    _model("r10", "Colmi", "R10", "COLMI R10_####"),
    _model("r11", "Colmi", "R11", "R11_####", "R11C_####"),
    _model("r12", "Colmi", "R12", "COLMI R12_####"),
    _model("yawell_r05", "Yawell", "R05", "R05_####"),
    _model("yawell_r10", "Yawell", "R10", "R10_####"),
    _model("h59", "QRing", "H59", "H59_####"),
    Model(
        "colmi_qring",
        "QRing",
        "Smart ring",
        (
            *(Rule(name=n) for n in ("boAtring*", "Hello Ring*", "MERLIN*", "VK-5098*", "QRing*")),
            Rule(service_uuid=V1_SERVICE),
        ),
    ),
)

ALWAYS = frozenset(
    {
        Capability.BATTERY,
        Capability.CHARGING,
        Capability.HEART_RATE,
        Capability.STEPS,
        Capability.DISTANCE,
        Capability.ENERGY,
        Capability.MEASURE_HEART_RATE,
        Capability.LIVE,
        Capability.SET_TIME,
        Capability.RESTART,
        Capability.FIND,
    }
)

MEASUREMENTS = {
    m.metric: m
    for m in (
        Measurement(Metric.HEART_RATE, Reading.HEART_RATE, 0x00, 3, 45),
        Measurement(Metric.SPO2, Reading.SPO2, 0x25, 3, 45),
        Measurement(Metric.STRESS, Reading.STRESS, 0x25, 5, 45),
        Measurement(Metric.HRV, Reading.HRV, 0x25, 1, 90),
    )
}

STAGES = {2: Stage.LIGHT, 3: Stage.DEEP, 4: Stage.REM, 5: Stage.AWAKE}

# The others have none, and those asked for its settings are silent (§6.9).
WITH_DISPLAY = frozenset({"colmi_r11", "colmi_r12"})


class ColmiRing(Ring):
    """A ring of the QRing protocol: 16-byte commands (V1), and big data (V2) where it has it."""

    models = MODELS
    live_metrics = frozenset({Metric.HEART_RATE})
    keeps = timedelta(days=DAYS_KEPT)
    settings = tuple(field.setting for field in FIELDS)

    @override
    async def open(self) -> None:
        # Commands of an R08 time out at random when 2A27 was not read first (§2).
        hardware, firmware = await self.link.read(HARDWARE), await self.link.read(FIRMWARE)
        self._v1 = Channel(
            self.link,
            V1_WRITE,
            V1_NOTIFY,
            frames.V1Framer(),
            frames.answered,
            frames.may_send,
            self._pushed,
        )
        self._v2 = Channel(
            self.link,
            V2_WRITE,
            V2_NOTIFY,
            frames.V2Framer(),
            frames.answered_big,
            frames.may_send_big,
            self._pushed,
        )
        await self.link.open(self._v1)
        # Of a link that is lost nothing can be said any more.
        self._has_v2 = self.link.has(V2_NOTIFY)
        if self._has_v2:
            await self.link.open(self._v2)
        self._battery: frames.Battery | None = None
        self._totals: frames.Totals | None = None
        self._clock_off = timedelta()
        self._activity: dict[date, tuple[frames.ActivityEntry, ...]] = {}
        self._overdue: set[str] = set()
        self._last_read: datetime | None = None
        self.memory.info = RingInfo(_text(firmware), _text(hardware))
        self.memory.capabilities |= self._sure
        await asyncio.sleep(SETTLE)

    @override
    async def info(self) -> RingInfo:
        return self.memory.info

    @override
    async def state(self) -> RingState:
        self._battery = await self._v1.request(frames.BATTERY)
        self._totals = await self.attempt(self._v1, frames.TODAY, "today") or self._totals
        if self._totals is None or not self._totals.steps:
            self._totals = frames.total(await self._activity_of(0) or ())
        return RingState(
            self._battery.battery_percent, self._battery.charging, latest=self._today()
        )

    @override
    async def history(self, cursor: Cursor) -> AsyncGenerator[Batch]:
        marks = dict(cursor)
        if marks:
            self._last_read = self.clock.utc(datetime.fromisoformat(max(marks.values())))
        if Metric.HEART_RATE not in self.memory.logging:
            await self._held(HEART_RATE)
        for log in LOGS:
            days = self._days_due(log, marks.get(log.key)) if await self._keeps(log) else []
            if days and log.relative and not await self._confirm_today():
                continue
            for days_ago in days:
                if self._clock_off or not self._same_day():
                    return
                if (records := await log.read(self, log, days_ago)) is None:
                    break
                marks[log.key] = self._read_until(days_ago, log).isoformat()
                yield Batch(records, dict(marks))

    @override
    async def set_time(self) -> None:
        setting = self.clock.target()
        said = await self._v1.request(
            frames.set_time((setting.at + setting.offset).replace(tzinfo=None))
        )
        if self._clock_off:
            self.clock.was_off(self._last_read, self._clock_off)
            self._clock_off = timedelta()
        self.clock.written(setting)
        self._learn(said)

    @override
    def clock_due(self) -> bool:
        return bool(self._clock_off) or super().clock_due()

    @override
    async def restart(self) -> None:
        await self._v1.send(frames.RESTART)

    @override
    async def find(self) -> None:
        await self._v1.send(frames.FIND)

    @override
    async def measure(self, metric: Metric) -> Sample:
        if (measurement := MEASUREMENTS.get(metric)) is None:
            raise RingNotSupported(f"measure {metric}")
        await self._refuse_on_charger()
        try:
            values = await self._v1.request(frames.measure(measurement))
        finally:
            # A ring that was not told to stop measures on and drains its battery (§7.1).
            with suppress(RingError):
                await self._v1.send(frames.stop(measurement.reading))
        # Stress jitters by its nature, a heart rate has outliers.
        value = mean(values) if metric is Metric.STRESS else median(values)
        # The ring keeps what it measured under the minute: there it is the same record (§9.5).
        return Sample(metric, self.clock.now().replace(second=0, microsecond=0), round(value))

    @override
    async def live(self) -> AsyncGenerator[RingState]:
        while True:
            await self._refuse_on_charger()
            async with (
                self._streaming() as reading,
                aclosing(self._v1.listen(LIVE_FRAMES, LIVE_SILENCE)) as heard,
            ):
                # Some rings say ten values and no more, some one: they have to be started again.
                with suppress(RingTimeout):
                    async with aclosing(self._live_states(reading, heard)) as states:
                        async for state in states:
                            yield state

    @asynccontextmanager
    async def _streaming(self) -> AsyncGenerator[Reading]:
        """Let the ring measure its heart rate on and on, in a form its firmware knows (§7.2)."""
        reading = Reading.LIVE_HEART_RATE
        try:
            if not await self.attempt(self._v1, frames.stream(reading), "live"):
                reading = Reading.HEART_RATE
                await self._v1.request(frames.stream(reading))
            yield reading
        finally:
            # A ring that was not told to stop measures on and drains its battery (§7.1).
            with suppress(RingError):
                await self._v1.send(frames.stop(reading))

    async def _live_states(
        self, reading: Reading, heard: AsyncIterator[bytes]
    ) -> AsyncGenerator[RingState]:
        """Turn what is heard into states, until there has been no value for long."""
        loop = asyncio.get_running_loop()
        found = asked = loop.time()
        async for frame in heard:
            if (now := loop.time()) - asked > LIVE_PATIENCE:
                asked = now
                self._battery = await self._v1.request(frames.BATTERY)
            kind, error, value = frames.parse_reading(frame)
            latest: dict[Metric, Sample] = {}
            if kind == reading and not error and plausible(Metric.HEART_RATE, value):
                found = now
                latest[Metric.HEART_RATE] = Sample(Metric.HEART_RATE, self.clock.now(), value)
            elif now - found > LIVE_PATIENCE:
                return
            if self._battery:
                yield RingState(
                    self._battery.battery_percent, self._battery.charging, latest=latest
                )

    async def _refuse_on_charger(self) -> None:
        """Refuse what a ring can't do while it is charged."""
        self._battery = await self._v1.request(frames.BATTERY)
        if self._battery.charging:
            raise RingRefused("The ring is charging", "charging")

    @override
    async def read_settings(self) -> Mapping[str, Value]:
        fields = [f for f in FIELDS if (needs := f.setting.capability) is None or self.can(needs)]
        found: dict[str, Value] = {}
        for register in dict.fromkeys(field.register for field in fields):
            if held := await self._held(register):
                of_it = (field for field in fields if field.register is register)
                told = ((field.setting.key, field.get(held)) for field in of_it)
                found |= {key: value for key, value in told if value is not None}
        return found

    @override
    async def change(self, setting: Setting, value: Value) -> Value:
        (field,) = (field for field in FIELDS if field.setting is setting)
        held = await self._v1.request(field.register.read())
        await self._v1.request(field.register.write(field.put(held, value)))
        held = await self._v1.request(field.register.read())
        self._note_interval(field.register, held)
        if (told := field.get(held)) is None:
            raise RingProtocolError(f"{setting.key} is {held[field.name]}")
        return told

    async def _held(self, register: Register) -> Held | None:
        """Read a register, if the firmware knows it."""
        held = await self.attempt(self._v1, register.read(), register.command.name.lower())
        if held:
            self._note_interval(register, held)
        return held

    def _note_interval(self, register: Register, held: Held) -> None:
        if register is HEART_RATE:
            # Other apps write what no ring can keep to (§6.5).
            minutes = min(max(held["interval_min"], 5), 60)
            self.memory.logging[Metric.HEART_RATE] = timedelta(minutes=minutes)

    @property
    def _sure(self) -> frozenset[Capability]:
        """What rings of this model can do, whatever they say."""
        return ALWAYS | ({Capability.DISPLAY} if self.model.key in WITH_DISPLAY else set())

    def _learn(self, said: frozenset[Capability]) -> None:
        """Take over the capability bits; what needs V2 exists only where there is V2."""
        logged = {log.capability for log in LOGS if self._reaches(log)}
        lacking = {log.capability for log in LOGS if self.lacks(log.key)}
        measured = {Capability(f"measure_{m}") for m in MEASUREMENTS if Capability(m) in said}
        self.memory.capabilities = self._sure | ((said & logged) - lacking) | measured
        self.memory.notes["said"] = sorted(said)

    def _reaches(self, log: Log) -> bool:
        return not log.big or self._has_v2

    async def _keeps(self, log: Log) -> bool:
        """Whether this unit keeps a log, as far as is known.

        The capability bits come only with the clock, and that after history. Until then a log that
        not every ring has is read if the ring says it records it: on what they don't know, rings
        are silent for long, and what waits for the next contact is not lost.
        """
        if not self._reaches(log) or self.refuses(log.key):
            return False
        if (said := self.memory.notes.get("said")) is not None:
            return log.capability in self._sure or log.capability in said
        if log.capability in TOGGLES:
            held = await self._held(TOGGLES[log.capability])
            return held is not None and held["enabled"] == 1
        return True

    def _pushed(self, frame: bytes) -> None:
        """Take what the ring says unasked (§10)."""
        if frame[0] == frames.PUSH and frame[1] == Push.BATTERY:
            self._battery = frames.parse_battery(frame) or self._battery
        elif frame[0] == frames.PUSH and frame[1] == Push.LIVE_ACTIVITY:
            self._totals = frames.parse_totals(frame)

    def _today(self) -> dict[Metric, Sample]:
        """Return the totals as counters since the ring's midnight."""
        midnight = self.clock.utc(datetime.combine(self._ring_today(), time()))
        if self._totals is None or midnight is None or self._clock_off or not self._same_day():
            return {}
        values = {
            Metric.STEPS: self._totals.steps,
            Metric.DISTANCE: self._totals.distance_m,
            Metric.ENERGY: self._totals.calories_cal / 1000,
        }
        return {
            metric: Sample(metric, midnight, value, self.clock.now() - midnight)
            for metric, value in values.items()
            if plausible(metric, value)
        }

    def _same_day(self) -> bool:
        """Whether the ring's today is ours, as far as that depends on seconds."""
        now = self.clock.ring_time()
        return (now - UNSURE).date() == (now + UNSURE).date()

    def _ring_today(self) -> date:
        return self.clock.ring_time().date()

    def _at(self, days_ago: int, minute: int) -> datetime:
        """Return the ring time of a minute of a day."""
        return datetime.combine(self._ring_today(), time()) + timedelta(
            days=-days_ago, minutes=minute
        )

    def _days_due(self, log: Log, mark: str | None) -> list[int]:
        """Return which days may hold something new, oldest first; a whole log counts as today's."""
        now = self.clock.ring_time()
        oldest = now - timedelta(days=DAYS_KEPT - 1)
        read = datetime.fromisoformat(mark) if mark else oldest
        slot = self._slot(log)
        if mark and (read - EPOCH) // slot == (now - EPOCH) // slot:
            return []
        if log.big:
            return [0]
        # The last slot of a day may be written a little after it.
        first = max(read - slot, oldest).date()
        return list(range((now.date() - first).days, -1, -1))

    def _read_until(self, days_ago: int, log: Log) -> datetime:
        return min(self.clock.ring_time(), self._at(days_ago - 1, 0) + 2 * self._slot(log))

    def _slot(self, log: Log) -> timedelta:
        slot = timedelta(minutes=log.minutes)
        return self.memory.logging.get(Metric.HEART_RATE, slot) if log is HEART_RATE_LOG else slot

    async def _confirm_today(self) -> bool:
        """Find out whether the ring's today is ours: only activity is stored with its date.

        A day without a step has none, so that an earlier one has to tell. Where none ever does,
        the ring is believed.
        """
        for days_ago in range(DAYS_KEPT):
            if self._clock_off:
                break
            entries = await self._activity_of(days_ago)
            if entries is None:
                return self.lacks(Capability.STEPS)
            if entries:
                break
        return not self._clock_off

    async def _activity_of(self, days_ago: int) -> tuple[frames.ActivityEntry, ...] | None:
        """Return the activity of a day, asked for once a contact; notice a clock days off."""
        if not self._same_day():
            return None
        day = self._at(days_ago, 0).date()
        if day not in self._activity:
            # A ring may say all of a day twice (§8.2).
            late = {entries[0].date for entries in self._activity.values() if entries}
            entries = await self._ask_day(frames.activity_log(days_ago, late), Capability.STEPS)
            if entries is None:
                return None
            self._activity[day] = entries
            if entries and entries[0].date != day:
                self._clock_off = entries[0].date - day
                self.dropped["clock off by days"] += 1
        return self._activity[day]

    async def _ask_day[T](self, request: Request[T], feature: str) -> T | None:
        """Ask for a day of a log; after a silence not again on this link.

        Its answer may still come, and does not always tell of which day it is.
        """
        if feature in self._overdue:
            return None
        if (reply := await self.attempt(self._v1, request, feature)) is None:
            self._overdue.add(feature)
        return reply

    async def read_activity(self, _: Log, days_ago: int) -> list[Record] | None:
        """Read steps, distance and energy of a day."""
        if (entries := await self._activity_of(days_ago)) is None or self._clock_off:
            return None
        # All rings seen add up whole hours; the protocol has quarters (§8.2).
        hourly = all(entry.quarter_hour_index % 4 == 0 for entry in entries)
        duration = timedelta(minutes=60 if hourly else 15)
        columns: dict[Metric, Callable[[frames.ActivityEntry], float]] = {
            Metric.STEPS: lambda entry: entry.steps,
            Metric.DISTANCE: lambda entry: entry.distance_m,
            Metric.ENERGY: lambda entry: entry.calories_cal / 1000,
        }
        times = [self._at(days_ago, entry.quarter_hour_index * 15) for entry in entries]
        return [
            sample
            for metric, value in columns.items()
            for sample in self.readings(
                metric, zip(times, map(value, entries), strict=True), duration
            )
        ]

    async def read_heart_rate(self, log: Log, days_ago: int) -> list[Record] | None:
        """Read the heart rate of a day."""
        echoes = [frames.echo_of(self._at(day, 0).date()) for day in range(DAYS_KEPT)]
        echo = echoes.pop(days_ago)
        request = frames.heart_rate_log(echo, days_ago, echoes)
        return self._placed(log, await self._ask_day(request, log.key))

    async def read_half_hours(self, log: Log, days_ago: int) -> list[Record] | None:
        """Read the stress or HRV of a day."""
        request = frames.slot_log(HALF_HOURS[log.capability], days_ago)
        return self._placed(log, await self._ask_day(request, log.key))

    async def read_days(self, log: Log, _: int) -> list[Record] | None:
        """Read a log of V2, whole."""
        return self._placed(log, await self.attempt(self._v2, WHOLE[log.key], log.key))

    async def read_sleep(self, _log: Log, _days_ago: int) -> list[Record] | None:
        """Read all nights and naps, in the form of the request this firmware answers (§9.1)."""
        for form in frames.SLEEP_FORMS:
            request = frames.sleep_log(form)
            sleeps = await self.attempt(self._v2, request, f"sleep {form.hex()}")
            if sleeps is not None:
                kinds = ((sleeps.nights, False), (sleeps.naps, True))
                found = (
                    self._sleep(session, nap=nap) for sessions, nap in kinds for session in sessions
                )
                return [sleep for sleep in found if sleep]
        return None

    def _placed(self, log: Log, days: Days | None) -> list[Record] | None:
        """Turn days ago → (minute, value) into samples."""
        if days is None:
            return None
        kept = {days_ago: day for days_ago, day in days.items() if days_ago < DAYS_KEPT}
        self.dropped[f"{log.key}: out of range"] += len(days) - len(kept)
        values = (
            (self._at(days_ago, minute), value)
            for days_ago, day in kept.items()
            for minute, value in day
        )
        return list(self.readings(Metric(log.capability), values))

    def _sleep(self, session: frames.Session, *, nap: bool) -> Sleep | None:
        """Place a night or nap; stages follow each other in elapsed time from its start (§9.3)."""
        minutes = (session.end_minute_of_day - session.start_minute_of_day) % frames.MINUTES_A_DAY
        ring_start = self._at(
            session.days_ago + session.starts_previous_day, session.start_minute_of_day
        )
        start = self.clock.utc(ring_start)
        if start is None or not minutes or session.days_ago >= DAYS_KEPT:
            self.dropped["sleep: time not certain"] += 1
            return None
        end = start + timedelta(minutes=minutes)
        if end > self.clock.now() + SLACK:
            self.dropped["sleep: still to come"] += 1
            return None
        return Sleep(start, end, tuple(_phases(session.stages, start, end)), nap)


def _text(value: bytes) -> str | None:
    shown = filter(str.isprintable, value.decode("ascii", "ignore"))
    return "".join(shown).strip()[:32] or None


def _phases(stages: Iterable[tuple[int, int]], start: datetime, end: datetime) -> Iterator[Phase]:
    """Lay stages out from the start; what they leave of the time until the end is unknown."""
    at = start
    for code, minutes in stages:
        until = min(at + timedelta(minutes=minutes), end)
        if until > at:
            yield Phase(STAGES.get(code, Stage.UNKNOWN), at, until)
        at = until
    if at < end:
        yield Phase(Stage.UNKNOWN, at, end)


@dataclass(frozen=True, slots=True)
class Log:
    """A log the ring keeps: what reads it, and how many minutes apart its records are.

    It is read day after day, or whole if it is `big` data. A `relative` one counts days back from
    the ring's today, so that it can't be trusted when the ring's calendar is off.
    """

    capability: Capability
    minutes: int
    read: Callable[[ColmiRing, Log, int], Awaitable[list[Record] | None]]
    name: str = ""
    big: bool = False
    relative: bool = True

    @property
    def key(self) -> str:
        """Its name in cursor and memory."""
        return self.name or self.capability


MANUAL = "manual_heart_rate"
HALF_HOURS = {Capability.STRESS: Command.STRESS_LOG, Capability.HRV: Command.HRV_LOG}
WHOLE = {
    Capability.SPO2: frames.SPO2_LOG,
    Capability.TEMPERATURE: frames.TEMPERATURE_LOG,
    MANUAL: frames.MANUAL_HEART_RATE_LOG,
}

HEART_RATE_LOG = Log(Capability.HEART_RATE, 5, ColmiRing.read_heart_rate, relative=False)
LOGS = (
    Log(Capability.STEPS, 15, ColmiRing.read_activity),
    HEART_RATE_LOG,
    Log(Capability.STRESS, 30, ColmiRing.read_half_hours),
    Log(Capability.HRV, 30, ColmiRing.read_half_hours),
    Log(Capability.SPO2, 60, ColmiRing.read_days, big=True),
    Log(Capability.TEMPERATURE, 30, ColmiRing.read_days, big=True),
    Log(Capability.SLEEP, 60, ColmiRing.read_sleep, big=True),
    Log(Capability.HEART_RATE, 60, ColmiRing.read_days, MANUAL, big=True),
)
