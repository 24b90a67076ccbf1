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
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from statistics import mean, median
from typing import override

from ..errors import RingError, RingNotSupported, RingRefused, RingTimeout
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
    SettingKind,
    Sleep,
    Stage,
    Value,
    plausible,
)
from ..recognise import Model, Rule
from ..ring import Ring
from . import frames
from .frames import Command, Measurement, Push, Reading

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

AUTOMATIC = {
    "spo2_logging": (Command.AUTO_SPO2, Capability.SPO2),
    "stress_logging": (Command.AUTO_STRESS, Capability.STRESS),
    "hrv_logging": (Command.AUTO_HRV, Capability.HRV),
    "temperature_logging": (Command.AUTO_TEMPERATURE, Capability.TEMPERATURE),
}
GOALS = {
    # key: (field of Goals, factor to the ring's unit)
    "steps_goal": ("steps", 1),
    "distance_goal": ("distance_m", 1),
    "energy_goal": ("calories_cal", 1000),
}


class ColmiRing(Ring):
    """A ring of the QRing protocol: 16-byte commands (V1), and big data (V2) where it has it."""

    models = MODELS
    live_metrics = frozenset({Metric.HEART_RATE})
    keeps = timedelta(days=DAYS_KEPT)
    settings = (
        Setting("heart_rate_logging", SettingKind.SWITCH),
        Setting("heart_rate_interval", SettingKind.NUMBER, 5, 60, 5, unit="min"),
        *(
            Setting(key, SettingKind.SWITCH, capability=able)
            for key, (_, able) in AUTOMATIC.items()
        ),
        Setting("steps_goal", SettingKind.NUMBER, 100, 50_000, 100, unit="steps"),
        Setting("distance_goal", SettingKind.NUMBER, 100, 50_000, 100, unit="m"),
        Setting("energy_goal", SettingKind.NUMBER, 10, 5000, 10, unit="kcal"),
    )

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
        if self.link.has(V2_NOTIFY):
            await self.link.open(self._v2)
        self._battery: frames.Battery | None = None
        self._totals: frames.Totals | None = None
        self._clock_off = timedelta()
        self._activity: dict[int, tuple[frames.ActivityEntry, ...]] = {}
        self._echoes: set[int] = set()
        self._last_read: datetime | None = None
        self.memory.info = RingInfo(_text(firmware), _text(hardware))
        self.memory.capabilities |= ALWAYS
        await asyncio.sleep(SETTLE)

    @override
    async def info(self) -> RingInfo:
        return self.memory.info

    @override
    async def state(self) -> RingState:
        self._battery = await self._v1.request(frames.battery())
        self._totals = await self.attempt(self._v1, frames.today(), "today") or self._totals
        if self._totals is None or not self._totals.steps:
            self._totals = frames.total(await self._activity_of(0) or ())
        return RingState(
            self._battery.battery_percent, self._battery.charging, latest=self._today()
        )

    @override
    async def history(self, cursor: Cursor) -> AsyncIterator[Batch]:
        marks = dict(cursor)
        if marks:
            self._last_read = self.clock.utc(datetime.fromisoformat(max(marks.values())))
        if Metric.HEART_RATE not in self.memory.logging:
            await self._log_settings()
        for log in LOGS:
            days = self._days_due(log, marks.get(log.key)) if self._logs(log) else []
            if days and log.relative:
                await self._confirm_today()
            for days_ago in days:
                if self._clock_off:
                    return
                today = self._ring_today()
                records = await log.read(self, days_ago)
                if records is None or self._ring_today() != today:
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
        await self._v1.send(frames.restart())

    @override
    async def find(self) -> None:
        await self._v1.send(frames.find())

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
                    async for state in self._live_states(reading, heard):
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
    ) -> AsyncIterator[RingState]:
        """Turn what is heard into states, until there has been no value for long."""
        loop = asyncio.get_running_loop()
        found = asked = loop.time()
        async for frame in heard:
            if (now := loop.time()) - asked > LIVE_PATIENCE:
                asked = now
                self._battery = await self._v1.request(frames.battery())
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
        self._battery = await self._v1.request(frames.battery())
        if self._battery.charging:
            raise RingRefused("The ring is charging", "charging")

    @override
    async def read_settings(self) -> Mapping[str, Value]:
        found: dict[str, Value] = {}
        if logging := await self._log_settings():
            found["heart_rate_logging"] = logging.enabled
            found["heart_rate_interval"] = logging.interval_min
        for key, (command, capability) in AUTOMATIC.items():
            if self.can(capability):
                enabled = await self.attempt(self._v1, frames.toggle(command), key)
                if enabled is not None:
                    found[key] = enabled
        if goals := await self.attempt(self._v1, frames.goals(), "goals"):
            found |= {key: getattr(goals, name) / factor for key, (name, factor) in GOALS.items()}
        return found

    @override
    async def change(self, setting: Setting, value: Value) -> Value:
        if setting.key in AUTOMATIC:
            command, _ = AUTOMATIC[setting.key]
            await self._v1.request(frames.set_toggle(command, enabled=bool(value)))
        elif setting.key in GOALS:
            name, factor = GOALS[setting.key]
            goals = await self._v1.request(frames.goals())
            await self._v1.request(
                frames.set_goals(replace(goals, **{name: int(float(value) * factor)}))
            )
        else:
            logging = await self._v1.request(frames.log_settings())
            changed = (
                replace(logging, enabled=bool(value))
                if setting.key == "heart_rate_logging"
                else replace(logging, interval_min=int(value))
            )
            await self._v1.request(frames.set_log_settings(changed))
        return (await self.read_settings())[setting.key]

    async def _log_settings(self) -> frames.LogSettings | None:
        """Read how often the heart rate is recorded, into the memory too."""
        settings = await self.attempt(self._v1, frames.log_settings(), "heart_rate_settings")
        if settings:
            self.memory.logging[Metric.HEART_RATE] = timedelta(minutes=settings.interval_min or 5)
        return settings

    def _learn(self, said: frames.Capabilities) -> None:
        """Take over the capability bits; what needs V2 exists only where there is V2."""
        big = self.link.has(V2_NOTIFY)
        told = {
            Capability.SPO2: said.spo2 and big,
            Capability.MEASURE_SPO2: said.spo2,
            Capability.TEMPERATURE: said.temperature and big,
            Capability.SLEEP: said.new_sleep_protocol and big,
            Capability.STRESS: said.stress,
            Capability.MEASURE_STRESS: said.stress,
            Capability.HRV: said.hrv,
            Capability.MEASURE_HRV: said.hrv,
        }
        refused = {log.capability for log in LOGS if self.refuses(log.key)}
        self.memory.capabilities = ALWAYS | {c for c, able in told.items() if able} - refused
        self.memory.notes["told"] = True

    def _logs(self, log: Log) -> bool:
        """Whether to ask for a log: the unit has it, or has not yet said what it has."""
        return (not log.big or self.link.has(V2_NOTIFY)) and (
            not self.memory.notes.get("told") or self.can(log.capability)
        )

    def _pushed(self, frame: bytes) -> None:
        """Take what the ring says unasked (§10)."""
        if frame[0] == frames.PUSH and frame[1] == Push.BATTERY:
            self._battery = frames.parse_battery(frame) or self._battery
        elif frame[0] == frames.PUSH and frame[1] == Push.LIVE_ACTIVITY:
            self._totals = frames.parse_live_activity(frame)

    def _today(self) -> dict[Metric, Sample]:
        """Return the totals as counters since the ring's midnight."""
        midnight = self.clock.utc(datetime.combine(self._ring_today(), time()))
        if self._totals is None or midnight is None or self._clock_off:
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
        if not log.by_day:
            return [0]
        # The last slot of a day may be written a little after it.
        first = max(read - slot, oldest).date()
        return list(range((now.date() - first).days, -1, -1))

    def _read_until(self, days_ago: int, log: Log) -> datetime:
        return min(self.clock.ring_time(), self._at(days_ago - 1, 0) + 2 * self._slot(log))

    def _slot(self, log: Log) -> timedelta:
        if log.key == Metric.HEART_RATE:
            return self.memory.logging.get(Metric.HEART_RATE, log.slot)
        return log.slot

    async def _confirm_today(self) -> None:
        """Find out whether the ring's today is ours: only activity is stored with its date.

        A day without a step has none, so that an earlier one has to tell.
        """
        for days_ago in range(DAYS_KEPT):
            if self._clock_off or await self._activity_of(days_ago) != ():
                return

    async def _activity_of(self, days_ago: int) -> tuple[frames.ActivityEntry, ...] | None:
        """Return the activity of a day, asked for once a contact; notice a clock days off."""
        if days_ago not in self._activity:
            entries = await self.attempt(self._v1, frames.activity_log(days_ago), "activity")
            if entries is None:
                return None
            self._activity[days_ago] = entries
        expected = self._at(days_ago, 0).date()
        for entry in self._activity[days_ago]:
            if entry.date != expected:
                self._clock_off = entry.date - expected
                self.dropped["clock off by days"] += 1
        return self._activity[days_ago]

    async def read_activity(self, days_ago: int) -> list[Record] | None:
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

    async def read_heart_rate(self, days_ago: int) -> list[Record] | None:
        """Read the heart rate of a day."""
        echo = frames.echo_of(self._at(days_ago, 0).date())
        late = frozenset(self._echoes - {echo})
        self._echoes.add(echo)
        return await self._read_slots(
            Metric.HEART_RATE, frames.heart_rate_log(echo, late), days_ago
        )

    async def read_stress(self, days_ago: int) -> list[Record] | None:
        """Read the stress of a day."""
        request = frames.slot_log(Command.STRESS_LOG, days_ago)
        return await self._read_slots(Metric.STRESS, request, days_ago)

    async def read_hrv(self, days_ago: int) -> list[Record] | None:
        """Read the HRV of a day."""
        request = frames.slot_log(Command.HRV_LOG, days_ago)
        return await self._read_slots(Metric.HRV, request, days_ago)

    async def read_spo2(self, _: int) -> list[Record] | None:
        """Read the SpO2 of all days: of each hour's two values, the lowest."""
        days = await self.attempt(self._v2, frames.spo2_log(), Metric.SPO2)
        if days is None:
            return None
        lowest = {day: [(minute, low) for minute, (low, _) in pairs] for day, pairs in days.items()}
        return self._of_days(Metric.SPO2, lowest)

    async def read_temperature(self, _: int) -> list[Record] | None:
        """Read the skin temperature of all days."""
        request = frames.temperature_log(DAYS_KEPT - 1)
        days = await self.attempt(self._v2, request, Metric.TEMPERATURE)
        return None if days is None else self._of_days(Metric.TEMPERATURE, days)

    async def read_manual(self, _: int) -> list[Record] | None:
        """Read the heart rates that were measured on request today, each at its minute."""
        request = frames.manual_heart_rate_log()
        days = await self.attempt(self._v2, request, "manual_heart_rate")
        return None if days is None else self._of_days(Metric.HEART_RATE, days)

    async def read_sleep(self, _: int) -> list[Record] | None:
        """Read all nights and naps, in the form of the request this firmware answers (§9.1)."""
        forms: tuple[bytes, ...] = frames.SLEEP_FORMS
        if (known := self.memory.notes.get("sleep_form")) is not None:
            forms = (bytes.fromhex(known),)
        for form in forms:
            sleeps = await self.attempt(self._v2, frames.sleep_log(form), f"sleep {form.hex()}")
            if sleeps is not None:
                self.memory.notes["sleep_form"] = form.hex()
                kinds = ((sleeps.nights, False), (sleeps.naps, True))
                found = (
                    self._sleep(session, nap=nap) for sessions, nap in kinds for session in sessions
                )
                return [sleep for sleep in found if sleep]
        return None

    async def _read_slots(
        self, metric: Metric, request: Request[frames.Slots], days_ago: int
    ) -> list[Record] | None:
        log = await self.attempt(self._v1, request, metric)
        return None if log is None else self._of_days(metric, {days_ago: log.readings()})

    def _of_days(
        self, metric: Metric, days: Mapping[int, Iterable[tuple[int, float]]]
    ) -> list[Record]:
        """Turn days ago → (minute, value) into samples."""
        values = (
            (self._at(days_ago, minute), value)
            for days_ago, day in days.items()
            for minute, value in day
        )
        return list(self.readings(metric, values))

    def _sleep(self, session: frames.Session, *, nap: bool) -> Sleep | None:
        """Place a night or nap; stages follow each other in elapsed time from its start (§9.3)."""
        minutes = (session.end_minute_of_day - session.start_minute_of_day) % frames.MINUTES_A_DAY
        ring_start = self._at(
            session.days_ago + session.starts_previous_day, session.start_minute_of_day
        )
        start = self.clock.utc(ring_start)
        if start is None or not minutes:
            self.dropped["sleep: time not certain"] += 1
            return None
        end = start + timedelta(minutes=minutes)
        return Sleep(start, end, tuple(_phases(session.stages, start, end)), nap)


def _text(value: bytes) -> str | None:
    return value.decode("ascii", "ignore").strip("\0 ")[:32] or None


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
    """A log the ring keeps: what reads it, and how finely it is kept.

    `by_day` logs are read day after day, the others whole. A `relative` one counts days back from
    the ring's today, so that it can't be trusted when the ring's calendar is off.
    """

    key: str
    capability: Capability
    slot: timedelta
    read: Callable[[ColmiRing, int], Awaitable[list[Record] | None]]
    by_day: bool = True
    relative: bool = True
    big: bool = False


def _log(
    capability: Capability,
    minutes: int,
    read: Callable[[ColmiRing, int], Awaitable[list[Record] | None]],
    key: str | None = None,
    **kind: bool,
) -> Log:
    return Log(key or capability, capability, timedelta(minutes=minutes), read, **kind)


LOGS = (
    _log(Capability.STEPS, 15, ColmiRing.read_activity),
    _log(Capability.HEART_RATE, 5, ColmiRing.read_heart_rate, relative=False),
    _log(Capability.STRESS, 30, ColmiRing.read_stress),
    _log(Capability.HRV, 30, ColmiRing.read_hrv),
    _log(Capability.SPO2, 60, ColmiRing.read_spo2, by_day=False, big=True),
    _log(Capability.TEMPERATURE, 30, ColmiRing.read_temperature, by_day=False, big=True),
    _log(Capability.SLEEP, 60, ColmiRing.read_sleep, by_day=False, big=True),
    _log(
        Capability.HEART_RATE,
        60,
        ColmiRing.read_manual,
        key="manual_heart_rate",
        by_day=False,
        big=True,
    ),
)
