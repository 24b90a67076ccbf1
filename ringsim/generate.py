"""The days of a wearer: seeded readings and nights at true instants, whatever a ring does."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from math import ceil
from random import Random

LIGHT, DEEP, REM, AWAKE = "light", "deep", "rem", "awake"

ACTIVITY = ("steps", "distance", "energy", "active")
"""Counts of a quarter of an hour, in 1, m, kcal and minutes; all else is read at an instant."""
QUARTER = timedelta(minutes=15)
_TICK = timedelta(minutes=5)
_DAY = timedelta(days=1)
_CYCLE = ((LIGHT, 18, 34), (DEEP, 14, 38), (LIGHT, 8, 20), (REM, 10, 32))
_BUSY_HOURS = (8, 12, 17, 18)
NIGHT_SECONDS = 36_000
"""How long a signal is."""
NO_SIGNAL = 0xFF
_CAL_PER_STEP = 36


@dataclass(slots=True)
class Reading:
    """One value at a true instant; `high` is the highest of a slot whose `value` is its lowest."""

    metric: str
    start: datetime
    value: float
    high: float | None = None

    @property
    def due(self) -> datetime:
        """When a ring has it."""
        return self.start + (QUARTER if self.metric in ACTIVITY else timedelta())


@dataclass(slots=True)
class Sleep:
    """A night or a nap: stages and their minutes, from `start` on."""

    start: datetime
    stages: list[tuple[str, int]]
    nap: bool = False

    @property
    def duration(self) -> timedelta:
        """All stages together."""
        return timedelta(minutes=sum(minutes for _, minutes in self.stages))

    @property
    def end(self) -> datetime:
        """The instant of waking up."""
        return self.start + self.duration

    @property
    def due(self) -> datetime:
        """When a ring first shows it."""
        return self.end


type Event = Reading | Sleep


@dataclass(frozen=True, slots=True)
class Signal:
    """What a finger shows, second by second: %, bpm, how much it moves, perfusion in 0.1 %."""

    spo2: bytes
    pulse: bytes
    motion: bytes
    perfusion: bytes


def generate(begin: datetime, end: datetime, *, zone: tzinfo, seed: str) -> list[Event]:
    """Return all that happens to a wearer from `begin` to `end`, ordered by when a ring has it.

    A date brings the same for the same seed and zone, wherever the range begins.
    """
    first, last = begin.astimezone(zone).date(), end.astimezone(zone).date() + _DAY
    events = [
        event
        for number in range((last - first).days + 1)
        for event in _day(first + number * _DAY, zone, seed)
        if begin <= event.start < end
    ]
    return sorted(events, key=lambda event: event.due)


def walked(instant: datetime, steps: int) -> Iterator[Reading]:
    """Activity of a quarter; energy in whole tens of small calories, the coarsest a ring tells."""
    energy = steps * _CAL_PER_STEP // 10 / 100
    amounts = (steps, round(steps * 0.7), energy, min(15, ceil(steps / 100)))
    for metric, amount in zip(ACTIVITY, amounts, strict=True):
        yield Reading(metric, instant, amount)


def _day(day: date, zone: tzinfo, seed: str) -> Iterator[Event]:
    """One date and the night before it."""
    rng = Random(f"{seed} {day}")
    sleeps = [_night(day, zone, rng)]
    if day.toordinal() % 3 == 0:
        sleeps.append(_nap(day, zone, rng))
    yield from sleeps
    instant = _instant(day, 0, zone)
    while (local := instant.astimezone(zone)).date() == day:
        asleep = any(s.start <= instant < s.end for s in sleeps) or local.hour >= 23
        yield from _moment(instant, local, rng, asleep=asleep)
        instant += _TICK


def _instant(day: date, minute: float, zone: tzinfo) -> datetime:
    """Turn minutes after (or before) a local midnight into a true instant."""
    local = datetime.combine(day, time()) + timedelta(minutes=minute)
    return local.replace(tzinfo=zone).astimezone(UTC)


def _night(day: date, zone: tzinfo, rng: Random) -> Sleep:
    start = rng.randint(-90, -10)
    remaining = rng.randint(375, 450) - start
    stages: list[tuple[str, int]] = []
    while remaining > 0:
        parts = [(stage, rng.randint(low, high)) for stage, low, high in _CYCLE]
        if rng.random() < 0.6:
            parts.append((AWAKE, rng.randint(2, 9)))
        for stage, planned in parts:
            if (minutes := min(planned, remaining)) > 0:
                stages.append((stage, minutes))
                remaining -= minutes
    return Sleep(_instant(day, start, zone), stages)


def _nap(day: date, zone: tzinfo, rng: Random) -> Sleep:
    stages = [(LIGHT, rng.randint(12, 25)), (DEEP, rng.randint(5, 25)), (LIGHT, rng.randint(5, 15))]
    return Sleep(_instant(day, rng.randint(780, 870), zone), stages, nap=True)


def _moment(instant: datetime, local: datetime, rng: Random, *, asleep: bool) -> Iterator[Reading]:
    """All values of five minutes; the ring is off the finger over breakfast."""
    effort = 0.0 if asleep else rng.random() * (1.0 if local.hour in _BUSY_HOURS else 0.3)
    pulse = round(rng.gauss(56, 3) if asleep else rng.gauss(72, 5) + 50 * effort)
    stress = round(rng.gauss(22, 6) if asleep else rng.gauss(42, 12))
    hrv = round(rng.gauss(58, 8) if asleep else rng.gauss(40, 8))
    low = rng.randint(93, 98)
    high = min(99, low + rng.randint(0, 3))
    warmth = round(rng.gauss(34.6 if asleep else 33.4, 0.4), 1)
    if local.hour == 7 and local.minute >= 30:
        return
    yield Reading("heart_rate", instant, min(max(pulse, 42), 165))
    if local.minute % 15 == 0 and effort > 0.12:
        yield from walked(instant, round(effort * rng.randint(200, 1100)))
    if local.minute % 30 == 0:
        yield Reading("stress", instant, min(max(stress, 5), 95))
        yield Reading("temperature", instant, min(max(warmth, 30.0), 37.0))
    if local.minute == 0:
        yield Reading("hrv", instant, min(max(hrv, 15), 110))
        yield Reading("spo2", instant, low, high)


@lru_cache(maxsize=8)
def oximetry(seed: str) -> Signal:
    """Return the signal of a sleeper: desaturations, the arousals that end them, lost contact."""
    rng = Random(seed)
    dips, surges, motion = _apneas(rng)
    base, rate, perfusion = rng.uniform(95.5, 97.5), rng.uniform(52, 62), rng.uniform(8, 25)
    shown = [bytearray(NIGHT_SECONDS) for _ in range(3)]
    slow = fast = lost = 0.0
    for second in range(NIGHT_SECONDS):
        slow = 0.999 * slow + rng.gauss(0, 0.03)
        fast = 0.95 * fast + rng.gauss(0, 0.6)
        if rng.random() < 1 / 5000:
            lost = rng.randint(3, 20)
            motion[second] = rng.randint(20, 60)
        if lost > 0:
            lost -= 1
            values: tuple[float, ...] = (NO_SIGNAL, NO_SIGNAL, NO_SIGNAL)
        else:
            values = (
                min(max(base + slow - dips[second], 65), 99),
                min(max(rate + fast + surges[second], 40), 150),
                min(max(perfusion + 2 * fast, 3), 60),
            )
        for track, value in zip(shown, values, strict=True):
            track[second] = round(value)
    spo2, pulse, perfused = map(bytes, shown)
    return Signal(spo2, pulse, bytes(motion), perfused)


def _apneas(rng: Random) -> tuple[list[float], list[float], bytearray]:
    """Return how far SpO2 falls and the pulse then rises, and the movement; mostly late in cycles.

    One list each, with a number per second.
    """
    dips, surges, motion = [0.0] * NIGHT_SECONDS, [0.0] * NIGHT_SECONDS, bytearray(NIGHT_SECONDS)
    at = 0
    while True:
        often = at % 5400 > 3600
        at += 60 + round(rng.expovariate(1 / (200 if often else 1500)))
        if at >= NIGHT_SECONDS:
            return dips, surges, motion
        falling, rising = rng.randint(12, 30), rng.randint(8, 18)
        depth, surge, restless = rng.uniform(3, 15), rng.uniform(4, 15), rng.randint(0, 45)
        for second in range(falling + rising):
            index = min(at + second, NIGHT_SECONDS - 1)
            awakened = second - falling
            share = second / falling if awakened < 0 else 1 - awakened / rising
            dips[index] = max(dips[index], depth * share)
            if awakened >= 0:
                surges[index] = surge * share
                motion[index] = int(restless * share)
