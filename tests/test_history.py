"""History stands at its true time, once, in archive and recorder: held against what rings lived."""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
import json
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

from homeassistant.components.recorder.core import Recorder
from homeassistant.components.recorder.statistics import statistics_during_period
from homeassistant.exceptions import HomeAssistantError
from homeassistant.util import dt as dt_util
from homeassistant.util import slugify
import pytest

from custom_components.smart_rings.coordinator import RingCoordinator
from custom_components.smart_rings.rings.models import METRICS, Batch, Metric, Record, RingMemory
from ringsim.rings.colmi import V1_NOTIFY, V2_NOTIFY, ColmiRing
from tests.air import ADVERTISING, Air, virtual

MINUTE = timedelta(minutes=1)
FIVE = timedelta(minutes=5)
HOUR = timedelta(hours=1)
PERIODS = {"5minute": FIVE, "hour": HOUR}
NEIGHBOUR = "sensor.neighbour"
ASLEEP = ("light", "deep", "rem")

type Row = tuple[float, ...]
type Rows = dict[datetime, Row]


@pytest.fixture
def enable_statistics() -> bool:
    """Let the recorder compile by itself, every five minutes."""
    return True


class Lived:
    """All a ring ever held, as the simulator knows it."""

    def __init__(self, ring: ColmiRing) -> None:
        self.ring = ring
        self.readings: dict[Metric, dict[datetime, float]] = {metric: {} for metric in Metric}
        self.sleeps: dict[datetime, tuple[bool, datetime, dict[str, int]]] = {}
        self.look()

    def look(self) -> None:
        """Take over what it holds now."""
        truth = self.ring.truth()
        for metric, known in self.readings.items():
            for reading in truth["readings"].get(metric, ()):
                known[utc(reading["start"])] = reading["value"]
        for kind in ("sleeps", "naps"):
            for sleep in truth[kind]:
                self.sleeps[utc(sleep["start"])] = (
                    kind == "naps",
                    utc(sleep["end"]),
                    sleep["minutes"],
                )

    def figure(self, name: str) -> Iterable[tuple[datetime, float]]:
        """Yield hour of waking and minutes of a figure, night after night."""
        for nap, end, minutes in self.sleeps.values():
            stages = ASLEEP if name == "sleep" else (name.removesuffix("_sleep"),)
            if not nap and (total := sum(minutes.get(stage, 0) for stage in stages)):
                yield floor(end, HOUR), total


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text)


def floor(when: datetime, width: timedelta) -> datetime:
    return when - (when - datetime(2000, 1, 1, tzinfo=UTC)) % width


def per(width: timedelta, readings: Mapping[datetime, float]) -> dict[datetime, list[float]]:
    """Return the readings of each period."""
    values: dict[datetime, list[float]] = {}
    for start, value in sorted(readings.items()):
        values.setdefault(floor(start, width), []).append(value)
    return values


class House:
    """Home Assistant with a recorder, rings, and a sensor that has nothing to do with them."""

    def __init__(self, air: Air, recorder: Recorder) -> None:
        self.air = air
        self.recorder = recorder
        self.began = dt_util.utcnow()
        air.hass.states.async_set(
            NEIGHBOUR, "5", {"state_class": "measurement", "unit_of_measurement": "W"}
        )

    @property
    def compiled(self) -> datetime:
        """The end of the recorder's last run, ten seconds after which it is made."""
        return floor(dt_util.utcnow() - timedelta(seconds=11), FIVE)

    async def read(self) -> dict[str, dict[str, Rows]]:
        """Return period → statistic → start → row."""
        return {period: await self._read(period) for period in PERIODS}

    async def _read(self, period: Any) -> dict[str, Rows]:
        kinds = ("max", "mean", "min", "state", "sum")
        found: dict[str, list[Any]] = await self.recorder.async_add_executor_job(
            statistics_during_period,
            self.air.hass,
            datetime(2020, 1, 1, tzinfo=UTC),
            None,
            None,
            period,
            None,
            set(kinds),
        )
        return {
            statistic_id: {
                datetime.fromtimestamp(row["start"], UTC): tuple(
                    float(row[kind]) for kind in kinds if row.get(kind) is not None
                )
                for row in rows
            }
            for statistic_id, rows in found.items()
        }

    def assert_neighbour_is_whole(self, rows: dict[str, dict[str, Rows]]) -> None:
        """Check that every period since the beginning has the row the recorder made."""
        for period, width in PERIODS.items():
            count = (floor(self.compiled, width) - self.began) // width
            expected = {self.began + i * width: (5, 5, 5) for i in range(count)}
            assert rows[period][NEIGHBOUR] == expected


@pytest.fixture
async def house(followed: None, recorder_mock: Recorder, air: Air) -> House:
    return House(air, recorder_mock)


async def assert_archive_is_true(air: Air, lived: Lived) -> None:
    """Check every row of the archive."""
    key = lived.ring.address
    for metric, told in lived.readings.items():
        samples = await air.archive.samples(key, metric)
        assert {s.start: s.value for s in samples} == pytest.approx(told), metric
        lasts = HOUR if METRICS[metric].counter else timedelta()
        assert {s.duration for s in samples} <= {lasts}
    assert {
        s.start: (
            s.nap,
            s.end,
            {
                stage: sum((p.end - p.start) // MINUTE for p in s.stages if p.stage == stage)
                for stage in {p.stage for p in s.stages}
            },
        )
        for s in await air.archive.sleeps(key)
    } == lived.sleeps


def assert_rows_are_true(house: House, lived: Lived, rows: dict[str, dict[str, Rows]]) -> None:
    """Check every row of the recorder."""
    external = f"smart_rings:{slugify(lived.ring.address)}_"
    for metric, told in lived.readings.items():
        if not METRICS[metric].counter and told:
            entity_id = house.air.entity_id(lived.ring, "sensor", metric)
            assert entity_id
            for period, width in PERIODS.items():
                until = floor(house.compiled, width)
                _assert_readings(rows[period][entity_id], lived, metric, width, until)
    for metric in (Metric.STEPS, Metric.DISTANCE, Metric.ENERGY):
        total, sums = 0.0, {}
        for start, values in per(HOUR, lived.readings[metric]).items():
            total += sum(values)
            sums[start] = pytest.approx((sum(values), total))
        assert rows["hour"].get(external + metric, {}) == sums
    for name in ("sleep", "deep_sleep", "light_sleep", "rem_sleep", "awake"):
        assert rows["hour"].get(external + name, {}) == {
            hour: pytest.approx((minutes / 60,) * 3) for hour, minutes in lived.figure(name)
        }


def _assert_readings(
    rows: Rows, lived: Lived, metric: Metric, width: timedelta, until: datetime
) -> None:
    """Check one sensor's own series.

    A period without a reading has a row only if the sensor showed one in it: that of the newest
    reading then, as long as it held.
    """
    told = lived.readings[metric]
    expected: dict[datetime, Any] = {
        start: pytest.approx((max(values), sum(values) / len(values), min(values)))
        for start, values in per(width, told).items()
        if start + width <= until
    }
    every = lived.ring.heart_rate_interval * MINUTE if metric == Metric.HEART_RATE else HOUR
    for start in rows.keys() - expected.keys():
        newest = max(at for at in told if at < start)
        assert start < newest + 2 * every + 15 * MINUTE + FIVE, (metric, start)
        expected[start] = (told[newest],) * 3
    assert rows == expected, metric


async def assert_all_is_true(house: House, lived: Lived) -> dict[str, dict[str, Rows]]:
    """Check archive, statistics and neighbour; return the statistics."""
    await assert_archive_is_true(house.air, lived)
    rows = await house.read()
    assert_rows_are_true(house, lived, rows)
    house.assert_neighbour_is_whole(rows)
    return rows


async def test_a_ring_that_was_away_for_three_days(house: House) -> None:
    """All metrics; then again, after a restart, and with all statistics written anew."""
    air = house.air
    ring = virtual("r09", ahead=timedelta(days=4))
    lived = Lived(ring)
    entry = await air.add(ring)
    await air.passes(hours=2, minutes=3)
    await air.leave(ring)
    lived.look()
    await air.passes(days=1)
    ring.worn = False
    off = floor(dt_util.utcnow(), HOUR) + HOUR
    await air.passes(hours=5)
    ring.worn = True
    await air.passes(days=2)
    await air.come_back(ring)
    lived.look()
    ring.worn = False
    await air.passes(minutes=6)
    before = await assert_all_is_true(house, lived)
    content = await air.archive.content_hash(ring.address)
    for metric in ring.colmi.metrics:
        hours = before["hour"][str(air.entity_id(ring, "sensor", metric))]
        assert not {off + i * HOUR for i in range(4)} & hours.keys()

    await air.press(ring, "sync")
    assert await house.read() == before
    await air.restart(entry)
    await air.passes(minutes=6)
    await air.archive.restate(ring.address)
    await air.passes(hours=1)
    assert not await air.archive.stale()
    assert await air.archive.content_hash(ring.address) == content
    after = await assert_all_is_true(house, lived)
    for period, series in before.items():
        for statistic_id, known in series.items():
            assert known.items() <= after[period][statistic_id].items(), statistic_id


class Away:
    """A ring about to be asked what it recorded in three days, as often as one likes."""

    def __init__(self, air: Air, model: str) -> None:
        self.air = air
        self.ring = virtual(model, ahead=timedelta(days=4))
        self.key = self.ring.address
        self.lived = Lived(self.ring)

    async def begin(self) -> Away:
        """Ask it once, and let it come back after three days, not worn any more."""
        air = self.air
        entry = air.entry(self.ring, pref_disable_polling=True)
        await air.heard(self.ring)
        assert await air.hass.config_entries.async_setup(entry.entry_id)
        await air.press(self.ring, "sync")
        archive = air.archive
        self.coordinator: RingCoordinator = entry.runtime_data
        self.memory = json.dumps(self.coordinator.memory.as_dict())
        self.cursor = await archive.cursor(self.key)
        self.records: list[Record] = [
            *[s for metric in Metric for s in await archive.samples(self.key, metric)],
            *await archive.sleeps(self.key),
        ]
        await air.leave(self.ring)
        await air.passes(days=3)
        self.ring.worn = False
        self.lived.look()
        await air.come_back(self.ring)
        return self

    async def as_before(self) -> None:
        """Know again what was known when the ring left."""
        await self.air.archive.forget(self.key)
        await self.air.archive.commit(self.key, Batch(self.records, self.cursor))
        self.coordinator.memory = RingMemory.from_dict(json.loads(self.memory))
        self.coordinator.settings_at = None

    async def sync(self) -> int:
        """Ask for everything; return how many notifications that took."""
        log = self.air.radio.log
        begin = len(log)
        await self.air.press(self.ring, "sync")
        return sum(not p.to_ring and p.uuid in (V1_NOTIFY, V2_NOTIFY) for p in list(log)[begin:])

    async def cut_sync(self, last: int) -> None:
        """Ask for everything, and lose the link after so many notifications."""
        self.ring.faults.drop_after = last
        with pytest.raises(HomeAssistantError):
            await self.air.press(self.ring, "sync")
        await self.air.passes(seconds=ADVERTISING)


@pytest.mark.parametrize("model", ["r02", "r09"])
async def test_cut_at_every_notification(air: Air, model: str) -> None:
    away = await Away(air, model).begin()
    await away.as_before()
    count = await away.sync()
    await assert_archive_is_true(air, away.lived)
    whole = await air.archive.content_hash(away.key)
    for last in range(1, count):
        await away.as_before()
        assert await air.archive.content_hash(away.key) != whole
        await away.cut_sync(last)
        await away.sync()
        assert await air.archive.content_hash(away.key) == whole, last


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", [4])
async def test_cut_with_a_recorder(house: House, seed: int) -> None:
    """Twenty cuts, each with statistics that begin anew, and are written after the cut too."""
    air = house.air
    away = await Away(air, "r02").begin()
    await away.as_before()
    count = await away.sync()
    whole = await air.archive.content_hash(away.key)
    for last in Random(seed).sample(range(1, count), 20):
        await away.coordinator.async_delete(None, None)
        await air.passes(minutes=5)
        await away.as_before()
        await away.cut_sync(last)
        await air.passes(minutes=5)
        await away.sync()
        await air.passes(minutes=5)
        assert await air.archive.content_hash(away.key) == whole
        await assert_all_is_true(house, away.lived)


ZONES = {
    "end of summer time": ("Europe/Amsterdam", datetime(2026, 10, 24, 14, tzinfo=UTC)),
    "begin of summer time": ("Europe/Amsterdam", datetime(2027, 3, 27, 14, tzinfo=UTC)),
    "half an hour ahead": ("Asia/Kolkata", datetime(2026, 11, 18, 14, tzinfo=UTC)),
    "half an hour behind": ("America/St_Johns", datetime(2026, 10, 31, 14, tzinfo=UTC)),
}


async def worn_in(air: Air, zone: str, model: str = "r09") -> ColmiRing:
    """Return a ring of somebody who lives in a zone, as Home Assistant does."""
    await air.hass.config.async_set_time_zone(zone)
    return virtual(model, zone=ZoneInfo(zone), ahead=timedelta(days=6))


@pytest.mark.parametrize(("zone", "now"), ZONES.values(), ids=ZONES)
async def test_zones(house: House, zone: str) -> None:
    """Away for a day and more, over the change of the clocks where there is one."""
    air = house.air
    ring = await worn_in(air, zone)
    lived = Lived(ring)
    await air.add(ring)
    await air.passes(minutes=63)
    await air.leave(ring)
    await air.passes(hours=30)
    await air.come_back(ring)
    lived.look()
    await air.passes(minutes=6)
    await assert_all_is_true(house, lived)


@pytest.mark.parametrize("now", [ZONES["end of summer time"][1]])
async def test_a_clock_set_back_over_what_was_recorded(air: Air) -> None:
    """The ring lies on the table: its slots of the hour to come are those of the hour before."""
    ring = await worn_in(air, "Europe/Amsterdam")
    lived = Lived(ring)
    await air.add(ring)
    await air.leave(ring)
    await air.passes(hours=30)
    lived.look()
    await air.come_back(ring)
    ring.worn = False
    lived.look()
    await air.passes(hours=2)
    await assert_nothing_is_wrong(air, lived)


async def assert_nothing_is_wrong(air: Air, lived: Lived) -> set[datetime]:
    """Check that all there is in the archive was lived then; return what is missing."""
    missing: set[datetime] = set()
    for metric, told in lived.readings.items():
        samples = {s.start: s.value for s in await air.archive.samples(lived.ring.address, metric)}
        assert {at: told.get(at) for at in samples} == pytest.approx(samples), metric
        missing |= told.keys() - samples.keys()
    sleeps = {s.start: s.end for s in await air.archive.sleeps(lived.ring.address)}
    told_sleeps = {start: end for start, (_, end, _) in lived.sleeps.items()}
    assert sleeps.items() <= told_sleeps.items()
    return missing | (told_sleeps.keys() - sleeps.keys())


def _five_days(days: int) -> Callable[[ColmiRing], None]:
    return lambda ring: ring.clock.jump(timedelta(days=days))


def _power_loss(ring: ColmiRing) -> None:
    ring.forgets_time = True
    ring.powered = False
    ring.powered = True


WRONG = {
    "five days behind": _five_days(-5),
    "five days ahead": _five_days(5),
    "begun anew": _power_loss,
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
async def test_a_clock_that_is_wrong(house: House, wrong: Callable[[ColmiRing], None]) -> None:
    """It goes wrong while the ring is away, and the ring is worn on."""
    air = house.air
    ring = await worn_in(air, "Europe/Amsterdam")
    lived = Lived(ring)
    entry = await air.add(ring)
    await air.passes(minutes=63)
    await air.leave(ring)
    await air.passes(hours=20)
    lived.look()
    went_wrong = dt_util.utcnow()
    wrong(ring)
    await air.passes(hours=4)
    await air.come_back(ring)
    set_right = dt_util.utcnow()
    await air.passes(hours=3)
    await air.press(ring, "sync")
    lived.look()
    missing = await assert_nothing_is_wrong(air, lived)
    dropped = entry.runtime_data.dropped
    # Slots are begun before the clock goes wrong, and hours before it is right again.
    assert {at for at in missing if not went_wrong - HOUR <= at < set_right} == set()
    assert dropped["clock off by days"]
    house.assert_neighbour_is_whole(await house.read())


def lie_down(ring: ColmiRing, shown: str, *stages: tuple[str, int], nap: bool = False) -> None:
    """Let somebody sleep from when the ring's clock shows this."""
    ring.put_sleep(datetime.fromisoformat(shown), list(stages), nap=nap)


@pytest.mark.parametrize("now", [datetime(2026, 11, 18, 12, tzinfo=UTC)])
async def test_sleeps(house: House) -> None:
    """A night over midnight, a second sleep of the day, a nap, a night that grows."""
    air = house.air
    ring = virtual("r09")
    ring.clear()
    lie_down(ring, "2026-11-17 22:45", ("light", 60), ("deep", 90), ("rem", 45), ("awake", 15))
    lie_down(ring, "2026-11-18 08:30", ("light", 120), ("rem", 20))
    lie_down(ring, "2026-11-18 13:10", ("light", 35), nap=True)
    grows = [("light", 200), ("deep", 100), ("rem", 90), ("awake", 10), ("light", 60), ("rem", 20)]
    lie_down(ring, "2026-11-18 22:50", *grows)
    lived = Lived(ring)
    assert len(lived.sleeps) == 2
    await air.add(ring)
    await assert_archive_is_true(air, lived)

    await air.passes(hours=2)
    lived.look()
    assert sorted(nap for nap, *_ in lived.sleeps.values()) == [False, False, True]
    await air.press(ring, "sync")
    await air.passes(minutes=6)
    await assert_all_is_true(house, lived)

    # Rings are asked for their nights once an hour, and this one is done with it at 6:10.
    woke = datetime(2026, 11, 19, 5, 50, tzinfo=UTC)
    await air.passes(seconds=(woke + 12 * MINUTE - dt_util.utcnow()).total_seconds())
    await air.press(ring, "sync")
    lived.look()
    assert max(end for _, end, _ in lived.sleeps.values()) < woke - HOUR
    await air.passes(minutes=6)
    await assert_all_is_true(house, lived)

    await air.passes(hours=2)
    lived.look()
    assert max(end for _, end, _ in lived.sleeps.values()) == woke
    rows = await assert_all_is_true(house, lived)
    total = rows["hour"][f"smart_rings:{slugify(ring.address)}_sleep"]
    hours = {at.hour: mean for at, (mean, _, _) in total.items()}
    assert hours == pytest.approx({1: 195 / 60, 9: 140 / 60, 5: 470 / 60})
