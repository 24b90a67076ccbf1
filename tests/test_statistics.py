"""What a ring recorded stands in the recorder's statistics at its true time; other rows stay."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from freezegun.api import FrozenDateTimeFactory
from homeassistant.components.recorder import db_schema
from homeassistant.components.recorder.core import Recorder
from homeassistant.components.recorder.models import StatisticData
from homeassistant.components.recorder.statistics import (
    async_add_external_statistics,
    get_metadata,
    statistics_during_period,
)
from homeassistant.components.recorder.tasks import (
    CompileMissingStatisticsTask,
    PurgeTask,
    StatisticsTask,
    SynchronizeTask,
)
from homeassistant.core import CoreState, HomeAssistant
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers.recorder import get_instance
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    async_test_home_assistant,
)

from custom_components.smart_rings.archive import Archive
from custom_components.smart_rings.const import DOMAIN
from custom_components.smart_rings.rings.models import (
    Batch,
    Metric,
    Phase,
    Record,
    Recording,
    RecordingFormat,
    Sample,
    Sleep,
    Stage,
)
from custom_components.smart_rings.statistics import Statistics
from tests.rings.fake_oximeter import format_a

RING = "AA:BB:CC:00:11:22"
SENSOR = "sensor.ring_heart_rate"
OTHER = "sensor.other"
NOON = datetime(2026, 11, 10, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
FIVE = timedelta(minutes=5)
MINUTE = timedelta(minutes=1)
MEASUREMENT = {"state_class": "measurement"}
BPM = MEASUREMENT | {"unit_of_measurement": "bpm"}

type Rows = dict[datetime, tuple[Any, float, float]]


def heart_rate(start: datetime, value: float) -> Sample:
    return Sample(Metric.HEART_RATE, start, value)


def steps(start: datetime, value: float) -> Sample:
    return Sample(Metric.STEPS, start, value, 15 * MINUTE)


def every(width: timedelta, start: datetime, end: datetime) -> list[Sample]:
    """Return a heart rate now and then, with gaps of a few hours."""
    count = (end - start) // width
    return [heart_rate(start + i * width, 50 + i * 7919 % 90) for i in range(count) if i // 40 % 3]


def expected(samples: Iterable[Sample], width: timedelta) -> Rows:
    """Compute mean, minimum and maximum per period, the plain way."""
    values: dict[datetime, list[float]] = {}
    for sample in samples:
        second = int(sample.start.timestamp())
        start = datetime.fromtimestamp(second - second % width.total_seconds(), UTC)
        values.setdefault(start, []).append(sample.value)
    return {start: (pytest.approx(sum(v) / len(v)), min(v), max(v)) for start, v in values.items()}


class Home:
    """A Home Assistant with a recorder, a ring's sensor, a neighbour, and our statistics."""

    def __init__(
        self, hass: HomeAssistant, archive: Archive, freezer: FrozenDateTimeFactory
    ) -> None:
        self.hass = hass
        self.archive = archive
        self.freezer = freezer
        self.statistics = Statistics(hass, archive)

    async def begin(self, heart_rate: str = "unknown") -> None:
        assert await async_setup_component(self.hass, "sensor", {})
        self.add_sensor(SENSOR, Metric.HEART_RATE)
        self.hass.states.async_set(SENSOR, heart_rate, BPM)
        self.hass.states.async_set(OTHER, "5", MEASUREMENT | {"unit_of_measurement": "W"})

    def add_sensor(self, entity_id: str, metric: Metric) -> None:
        er.async_get(self.hass).async_get_or_create(
            "sensor", DOMAIN, f"{RING}_{metric}", suggested_object_id=entity_id.split(".")[1]
        )

    async def settle(self) -> None:
        for _ in range(2):
            await self.hass.async_block_till_done(wait_background_tasks=True)
            # The recorder's own async_block_till_done returns while its last task still runs.
            done = self.hass.loop.create_future()
            get_instance(self.hass).queue_task(SynchronizeTask(done))
            await done

    async def compile(self, until: datetime) -> None:
        """Let the recorder make its runs up to `until`, each at its time."""
        period = self.freezer.time_to_freeze.replace(tzinfo=UTC)
        period -= (period - NOON) % FIVE
        while period < until:
            self.freezer.move_to(period + FIVE + timedelta(seconds=10))
            get_instance(self.hass).queue_task(StatisticsTask(period, True))
            await self.settle()
            period += FIVE

    async def catch_up(self, now: datetime) -> None:
        """Let the recorder compile what it missed, as it does after a start."""
        self.freezer.move_to(now + timedelta(seconds=10))
        get_instance(self.hass).queue_task(CompileMissingStatisticsTask())
        await self.settle()

    async def sync(self, *records: Record) -> None:
        await self.archive.commit(RING, Batch(records, {}))

    async def read(self, *ids: str, period: str = "hour", units: Any = None) -> dict[str, Any]:
        types = {"mean", "min", "max", "state", "sum"}
        found = await get_instance(self.hass).async_add_executor_job(
            statistics_during_period,
            self.hass,
            NOON - timedelta(days=60),
            None,
            set(ids),
            period,
            units,
            types,
        )
        return {statistic_id: found.get(statistic_id, []) for statistic_id in ids}

    async def rows(self, statistic_id: str = SENSOR, period: str = "hour") -> Rows:
        found = (await self.read(statistic_id, period=period))[statistic_id]
        return {
            datetime.fromtimestamp(row["start"], UTC): (row["mean"], row["min"], row["max"])
            for row in found
        }

    async def sums(self, name: str) -> list[tuple[datetime, float, float]]:
        statistic_id = f"smart_rings:aa_bb_cc_00_11_22_{name}"
        found = (await self.read(statistic_id))[statistic_id]
        return [
            (datetime.fromtimestamp(row["start"], UTC), row["state"], row["sum"]) for row in found
        ]

    async def meta(self, statistic_id: str) -> Any:
        found = await get_instance(self.hass).async_add_executor_job(
            lambda: get_metadata(self.hass, statistic_ids={statistic_id})
        )
        return found[statistic_id][1] if found else None

    async def assert_neighbour_is_whole(self, hours: int, fives: int) -> None:
        assert len(await self.rows(OTHER)) == hours
        assert len(await self.rows(OTHER, "5minute")) == fives


@pytest.fixture
async def archive(tmp_path: Path) -> AsyncIterator[Archive]:
    opened = await Archive.open(tmp_path / "smart_rings.db")
    yield opened
    await opened.close()


@pytest.fixture
def noon(freezer: FrozenDateTimeFactory) -> FrozenDateTimeFactory:
    freezer.move_to(NOON)
    return freezer


@pytest.fixture
async def home(
    noon: FrozenDateTimeFactory, recorder_mock: Recorder, hass: HomeAssistant, archive: Archive
) -> Home:
    home = Home(hass, archive, noon)
    await home.begin()
    await home.settle()
    return home


async def test_what_was_recorded_away_stands_where_it_happened(home: Home) -> None:
    home.statistics.start()
    samples = every(4 * MINUTE, NOON - 3 * timedelta(days=1), NOON + 20 * MINUTE)
    await home.compile(NOON + 20 * MINUTE)
    await home.sync(*samples)
    await home.compile(NOON + HOUR)

    assert await home.rows() == expected(samples, HOUR)
    assert await home.rows(period="5minute") == expected(samples, FIVE)
    await home.assert_neighbour_is_whole(hours=1, fives=12)


async def test_a_period_is_written_only_once_the_recorder_has_compiled_it(home: Home) -> None:
    before, within, ahead = (
        heart_rate(NOON - 10 * MINUTE, 50),
        heart_rate(NOON + MINUTE, 60),
        heart_rate(NOON + 6 * MINUTE, 70),
    )
    await home.sync(before, within, ahead)
    await home.compile(NOON + 5 * MINUTE)
    home.freezer.move_to(NOON + 9 * MINUTE)
    await home.statistics.flush()
    assert await home.rows() == expected([before], HOUR)
    assert await home.rows(period="5minute") == expected([before, within], FIVE)

    await home.compile(NOON + 55 * MINUTE)
    await home.statistics.flush()
    assert await home.rows() == expected([before], HOUR)
    assert await home.rows(period="5minute") == expected([before, within, ahead], FIVE)

    await home.compile(NOON + HOUR)
    await home.statistics.flush()
    assert await home.rows() == expected([before, within, ahead], HOUR)
    await home.compile(NOON + 2 * HOUR)
    await home.assert_neighbour_is_whole(hours=2, fives=24)


async def test_what_the_recorder_compiled_from_the_state_gives_way_to_the_readings(
    home: Home,
) -> None:
    home.statistics.start()
    home.hass.states.async_set(SENSOR, "99", BPM)
    await home.compile(NOON + 40 * MINUTE)
    home.hass.states.async_set(SENSOR, "unknown", BPM)
    samples = [heart_rate(NOON + 6 * MINUTE, 60), heart_rate(NOON + 26 * MINUTE, 70)]
    await home.sync(*samples)
    await home.compile(NOON + 2 * HOUR)

    assert await home.rows() == expected(samples, HOUR)
    fives = await home.rows(period="5minute")
    assert {start: fives[start] for start in expected(samples, FIVE)} == expected(samples, FIVE)
    await home.assert_neighbour_is_whole(hours=2, fives=24)


async def test_a_value_that_was_shown_too_long_gives_way_to_the_newest_of_then(home: Home) -> None:
    """The ring was read at 11:59 and at 14:10; until 13:15 the sensor showed what it had."""
    home.statistics.start()
    late = [heart_rate(NOON + 30 * MINUTE, 70), heart_rate(NOON + 40 * MINUTE, 80)]
    await home.sync(heart_rate(NOON - MINUTE, 60))
    home.hass.states.async_set(SENSOR, "60", BPM)
    await home.compile(NOON + 75 * MINUTE)
    home.hass.states.async_set(SENSOR, "unknown", BPM)
    await home.compile(NOON + 130 * MINUTE)
    await home.sync(*late)
    await home.compile(NOON + 140 * MINUTE)

    fives = await home.rows(period="5minute")
    assert [fives[NOON + i * FIVE][0] for i in range(16)] == [60] * 6 + [70] * 2 + [80] * 8
    assert max(fives) == NOON + 75 * MINUTE
    hours = await home.rows()
    assert (hours[NOON], hours[NOON + HOUR]) == ((75, 70, 80), (80, 80, 80))
    await home.assert_neighbour_is_whole(hours=2, fives=28)


async def test_repeating_changes_no_row(home: Home) -> None:
    samples = every(7 * MINUTE, NOON - 20 * HOUR, NOON)
    counters = [steps(NOON - 60 * MINUTE * i, 10 * i) for i in range(1, 9)]
    await home.compile(NOON + 5 * MINUTE)
    await home.sync(*samples, *counters, night(NOON, 2, 8))
    await home.statistics.flush()
    ids = (SENSOR, *(f"smart_rings:aa_bb_cc_00_11_22_{n}" for n in ("steps", "sleep")))
    before = [await home.read(*ids, period=period) for period in ("hour", "5minute")]
    assert all(before[0].values())

    await home.sync(*samples, *counters, night(NOON, 2, 8))
    assert await home.archive.stale() == []
    await home.archive.restate(RING)
    await home.statistics.flush()
    assert await home.archive.stale() == []
    assert [await home.read(*ids, period=period) for period in ("hour", "5minute")] == before


async def test_late_and_corrected_readings_change_their_hour_alone(home: Home) -> None:
    await home.compile(NOON + 5 * MINUTE)
    early, late = NOON - 9 * HOUR, NOON - 2 * HOUR
    await home.sync(heart_rate(late, 60), heart_rate(late + HOUR, 70))
    await home.statistics.flush()
    await home.sync(heart_rate(early, 50), heart_rate(late, 65))
    await home.statistics.flush()
    assert await home.rows() == {
        early: (50, 50, 50),
        late: (65, 65, 65),
        late + HOUR: (70, 70, 70),
    }


async def test_nothing_is_written_into_the_future(home: Home) -> None:
    await home.compile(NOON + 5 * MINUTE)
    ahead = NOON + 3 * HOUR
    await home.sync(heart_rate(ahead, 60), steps(ahead, 9), night(ahead, 2, 8))
    await home.statistics.flush()
    assert await home.rows() == {}
    assert await figures(home, "sleep") == {}
    assert await home.rows(period="5minute") == {}
    assert await home.sums("steps") == []

    await home.catch_up(ahead + HOUR)
    await home.statistics.flush()
    assert list(await home.rows()) == [ahead]
    assert await home.sums("steps") == [(ahead, 9, 9)]
    assert await figures(home, "sleep") == {ahead: 10}


async def test_counters_go_on_from_the_archive(home: Home) -> None:
    await home.compile(NOON + 10 * MINUTE)
    await home.sync(steps(NOON - 2 * HOUR, 100), steps(NOON - 105 * MINUTE, 50), steps(NOON, 7))
    await home.statistics.flush()
    assert await home.sums("steps") == [(NOON - 2 * HOUR, 150, 150), (NOON, 7, 157)]

    await home.sync(steps(NOON, 9), steps(NOON - 5 * HOUR, 1000))
    await home.statistics.flush()
    assert await home.sums("steps") == [
        (NOON - 5 * HOUR, 1000, 1000),
        (NOON - 2 * HOUR, 150, 1150),
        (NOON, 9, 1159),
    ]
    await home.sync(steps(NOON, 11))
    await home.statistics.flush()
    assert (await home.sums("steps"))[-1] == (NOON, 11, 1161)
    assert await home.meta("smart_rings:aa_bb_cc_00_11_22_steps") == {
        "has_mean": False,
        "has_sum": True,
        "mean_type": 0,
        "name": f"{RING} steps",
        "source": DOMAIN,
        "statistic_id": "smart_rings:aa_bb_cc_00_11_22_steps",
        "unit_class": None,
        "unit_of_measurement": "steps",
    }


def night(wake: datetime, deep: float, light: float, *, nap: bool = False) -> Sleep:
    """Return a sleep of some hours, deep first, that ends at `wake`."""
    start = wake - (deep + light) * HOUR
    turn = start + deep * HOUR
    stages = (Phase(Stage.DEEP, start, turn), Phase(Stage.LIGHT, turn, wake))
    return Sleep(start, wake, stages if deep else stages[1:], nap)


async def figures(home: Home, name: str) -> dict[datetime, float]:
    rows = await home.rows(f"smart_rings:aa_bb_cc_00_11_22_{name}")
    return {start: mean for start, (mean, low, high) in rows.items() if mean == low == high}


async def test_a_night_stands_at_its_hour_of_waking(home: Home) -> None:
    MockConfigEntry(domain=DOMAIN, unique_id=RING, title="R02 79B5").add_to_hass(home.hass)
    morning = NOON - 5 * HOUR
    await home.sync(
        night(morning - 24 * HOUR, 2, 6),
        night(morning + 40 * MINUTE, 1.5, 6),
        night(NOON - HOUR, 0, 1, nap=True),
    )
    await home.statistics.flush()
    assert await figures(home, "sleep") == {morning - 24 * HOUR: 8, morning: 7.5}
    assert await figures(home, "deep_sleep") == {morning - 24 * HOUR: 2, morning: 1.5}
    assert await figures(home, "rem_sleep") == {}
    meta = await home.meta("smart_rings:aa_bb_cc_00_11_22_deep_sleep")
    assert (meta["name"], meta["unit_of_measurement"]) == ("R02 79B5 deep sleep", "h")
    assert (meta["unit_class"], meta["mean_type"]) == ("duration", 1)


async def test_rows_in_another_unit_are_written_again_with_all_others(home: Home) -> None:
    """As a version that wrote minutes left them."""
    statistic_id, before = "smart_rings:aa_bb_cc_00_11_22_sleep", NOON - 29 * HOUR
    await home.sync(night(before, 2, 6), night(NOON - 5 * HOUR, 1, 6))
    await home.statistics.flush()
    meta = await home.meta(statistic_id) | {"unit_of_measurement": "min"}
    minutes: StatisticData = {"start": before, "mean": 480, "min": 480, "max": 480}
    async_add_external_statistics(home.hass, meta, [minutes])
    await home.settle()
    await home.archive.restate(RING)
    await home.statistics.flush()
    assert await figures(home, "sleep") == {before: 8, NOON - 5 * HOUR: 7}
    assert (await home.meta(statistic_id))["unit_of_measurement"] == "h"


async def test_a_night_that_grew_leaves_no_row_behind(home: Home) -> None:
    morning = NOON - 5 * HOUR
    await home.sync(night(morning - 24 * HOUR, 2, 6), night(morning, 1, 5))
    await home.statistics.flush()
    grown = Sleep(morning - 6 * HOUR, morning + HOUR, night(morning + HOUR, 0, 7).stages)
    await home.sync(grown)
    await home.statistics.flush()
    assert await figures(home, "sleep") == {morning - 24 * HOUR: 8, morning + HOUR: 7}
    assert await figures(home, "deep_sleep") == {morning - 24 * HOUR: 2}


def recording(start: datetime, seconds: int) -> Recording:
    data = format_a(seconds, start)
    return Recording(start, timedelta(seconds=1), seconds, RecordingFormat.OXYII, data)


def seconds_of(recorded: Recording, metric: Metric) -> list[Sample]:
    """Read a recording row by row."""
    column = recorded.data[10 if metric is Metric.SPO2 else 11 : -48 : 3]
    return [
        Sample(metric, recorded.start + second * recorded.interval, value)
        for second, value in enumerate(column)
    ]


async def test_the_seconds_of_a_recording_stand_in_the_sensors_own_series(home: Home) -> None:
    spo2 = "sensor.ring_spo2"
    home.add_sensor(spo2, Metric.SPO2)
    home.hass.states.async_set(spo2, "unknown", MEASUREMENT | {"unit_of_measurement": "%"})
    await home.compile(NOON + 5 * MINUTE)
    recorded = recording(NOON - 5 * HOUR - 7 * MINUTE, 2 * 3600 + 11)
    await home.sync(recorded)
    await home.statistics.flush()
    for entity_id, metric in ((spo2, Metric.SPO2), (SENSOR, Metric.HEART_RATE)):
        samples = seconds_of(recorded, metric)
        assert await home.rows(entity_id) == expected(samples, HOUR)
        assert await home.rows(entity_id, "5minute") == expected(samples, FIVE)
    assert await home.archive.stale() == []
    await home.assert_neighbour_is_whole(hours=0, fives=1)


async def test_the_figures_of_a_recording_stand_at_the_hour_of_its_end(home: Home) -> None:
    first, second = recording(NOON - 30 * HOUR, 7200), recording(NOON - 6 * HOUR, 5400)
    await home.sync(first, second, recording(NOON - 3 * HOUR, 60))
    await home.statistics.flush()
    ends = (NOON - 28 * HOUR, NOON - 5 * HOUR)
    assert await figures(home, "recording_duration") == dict(zip(ends, (120, 90), strict=True))
    lowest = [min(s.value for s in seconds_of(r, Metric.SPO2)) for r in (first, second)]
    assert await figures(home, "recording_spo2_min") == dict(zip(ends, lowest, strict=True))
    meta = await home.meta("smart_rings:aa_bb_cc_00_11_22_recording_spo2_mean")
    assert (meta["name"], meta["unit_of_measurement"]) == (f"{RING} recording spo2 mean", "%")

    await home.archive.delete(RING, NOON - 7 * HOUR)
    await home.statistics.flush()
    assert await figures(home, "recording_duration") == {ends[0]: 120}


async def test_deleted_history_leaves_the_statistics(home: Home) -> None:
    await home.compile(NOON + 5 * MINUTE)
    kept = [heart_rate(NOON - HOUR, 60)]
    gone = NOON - 5 * HOUR
    await home.sync(heart_rate(gone, 50), *kept, steps(gone, 9), steps(NOON, 1))
    await home.statistics.flush()
    await home.archive.delete(RING, gone, gone + HOUR)
    await home.statistics.flush()
    assert await home.rows() == expected(kept, HOUR)
    assert await home.rows(period="5minute") == expected(kept, FIVE)
    assert await home.sums("steps") == [(NOON, 1, 1)]

    await home.archive.delete(RING)
    await home.statistics.flush()
    assert await home.rows() == {}
    assert await home.sums("steps") == []
    await home.assert_neighbour_is_whole(hours=0, fives=1)


async def test_the_history_of_a_sensor_that_was_disabled_is_deleted_too(home: Home) -> None:
    await home.compile(NOON + 5 * MINUTE)
    await home.sync(*(heart_rate(NOON - hours * HOUR, 60) for hours in range(1, 20)))
    await home.statistics.flush()
    home.hass.states.async_remove(SENSOR)
    await home.archive.delete(RING)
    await home.statistics.flush()
    assert await home.rows() == {}
    assert await home.rows(period="5minute") == {}
    assert await home.archive.stale() == []


async def test_what_a_lost_archive_held_stays_in_the_statistics(home: Home, tmp_path: Path) -> None:
    """Its file was damaged: a new one begins with what the ring still holds."""
    await home.compile(NOON + 5 * MINUTE)
    days = [NOON - number * timedelta(days=1) for number in range(40, 0, -1)]
    for day in days[:-1]:
        await home.sync(night(day, 2, 8), steps(day, 8000), heart_rate(day, 60))
    await home.statistics.flush()

    fresh = home.archive = await Archive.open(tmp_path / "fresh.db")
    home.statistics = Statistics(home.hass, fresh)
    await home.sync(night(days[-1], 2, 7), steps(days[-1], 9000), heart_rate(days[-1], 70))
    await home.statistics.flush()
    await home.sync(night(days[-1], 2, 8))
    await home.statistics.flush()
    await home.archive.restate(RING)
    await home.statistics.flush()
    assert list(await figures(home, "sleep")) == list(await home.rows()) == days
    counted = [8000] * 39 + [9000]
    sums = [sum(counted[: number + 1]) for number in range(40)]
    assert await home.sums("steps") == list(zip(days, counted, sums, strict=True))

    await home.archive.delete(RING, days[3], days[5])
    await home.statistics.flush()
    kept = days[:3] + days[5:]
    assert list(await figures(home, "sleep")) == list(await home.rows()) == kept
    assert [row[2] for row in await home.sums("steps")] == sums[:-2][:3] + [
        total - 16000 for total in sums[5:]
    ]
    await fresh.close()


async def test_a_reading_that_was_deleted_is_not_shown_by_the_hours_after_it(home: Home) -> None:
    first, gone = NOON - HOUR, NOON + 5 * MINUTE
    await home.sync(heart_rate(first, 60), heart_rate(gone, 99))
    home.hass.states.async_set(SENSOR, "99", BPM)
    await home.compile(NOON + 2 * HOUR)
    home.hass.states.async_set(SENSOR, "unknown", BPM)
    await home.statistics.flush()
    assert (await home.rows())[NOON + HOUR] == (99, 99, 99)
    await home.archive.delete(RING, gone)
    await home.statistics.flush()
    assert await home.rows() == expected([heart_rate(first, 60)], HOUR)
    assert all(mean != 99 for mean, _, _ in (await home.rows(period="5minute")).values())
    await home.assert_neighbour_is_whole(hours=2, fives=24)


async def test_nothing_is_asked_of_the_recorder_when_there_is_nothing_to_write(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sensor that is disabled keeps its readings for when it is enabled."""
    await home.compile(NOON + 5 * MINUTE)
    await home.sync(Sample(Metric.MOTION, NOON - HOUR, 1))
    recorder = get_instance(home.hass)
    tasks: list[Any] = []
    monkeypatch.setattr(recorder, "queue_task", tasks.append)
    await home.statistics.flush()
    monkeypatch.undo()
    assert tasks == []
    assert len(await home.archive.stale()) == 1


@pytest.mark.parametrize("recorder_config", [{"purge_keep_days": 1}])
async def test_a_purge_takes_old_five_minute_rows_and_late_data_bring_none_back(home: Home) -> None:
    older, old = NOON - 30 * HOUR, NOON - 20 * HOUR
    await home.compile(NOON + 5 * MINUTE)
    await home.sync(heart_rate(older, 50), heart_rate(old, 60))
    await home.statistics.flush()
    assert list(await home.rows(period="5minute")) == [old]

    await home.catch_up(NOON + 10 * HOUR)
    get_instance(home.hass).queue_task(
        PurgeTask(NOON - 14 * HOUR, repack=False, apply_filter=False)
    )
    await home.settle()
    assert await home.rows(period="5minute") == {}
    await home.sync(heart_rate(older + HOUR, 51), heart_rate(NOON + HOUR, 61))
    await home.statistics.flush()
    assert list(await home.rows(period="5minute")) == [NOON + HOUR]
    assert list(await home.rows()) == [older, older + HOUR, old, NOON + HOUR]
    await home.compile(NOON + 11 * HOUR)
    await home.assert_neighbour_is_whole(hours=11, fives=11 * 12)


async def test_an_entity_renamed_keeps_its_series(home: Home) -> None:
    await home.compile(NOON + 5 * MINUTE)
    before = heart_rate(NOON - 3 * HOUR, 50)
    await home.sync(before)
    await home.statistics.flush()

    er.async_get(home.hass).async_update_entity(SENSOR, new_entity_id="sensor.pulse")
    home.hass.states.async_remove(SENSOR)
    home.hass.states.async_set("sensor.pulse", "unknown", BPM)
    after = heart_rate(NOON - 2 * HOUR, 60)
    await home.sync(after)
    await home.statistics.flush()
    assert await home.rows("sensor.pulse") == expected([before, after], HOUR)
    assert await home.meta(SENSOR) is None


async def test_an_entity_renamed_in_the_middle_of_writing_gets_its_rows(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    await home.compile(NOON + 5 * MINUTE)
    sample = heart_rate(NOON - 3 * HOUR, 50)
    await home.sync(sample)
    buckets = home.archive.buckets

    async def rename_and_answer(*args: Any) -> Any:
        monkeypatch.undo()
        er.async_get(home.hass).async_update_entity(SENSOR, new_entity_id="sensor.pulse")
        home.hass.states.async_set("sensor.pulse", "unknown", BPM)
        return await buckets(*args)

    monkeypatch.setattr(home.archive, "buckets", rename_and_answer)
    await home.statistics.flush()
    assert await home.meta(SENSOR) is None
    await home.statistics.flush()
    assert await home.rows("sensor.pulse") == expected([sample], HOUR)


TEMPERATURE = "sensor.ring_temperature"


async def test_units_are_those_the_series_is_kept_in(home: Home) -> None:
    """A person shows the sensor in °F, then converts the statistics too."""
    await home.compile(NOON + 5 * MINUTE)
    home.add_sensor(TEMPERATURE, Metric.TEMPERATURE)

    def show(unit: str) -> None:
        attributes = MEASUREMENT | {"unit_of_measurement": unit, "device_class": "temperature"}
        home.hass.states.async_set(TEMPERATURE, "unknown", attributes)

    show("°C")
    at = [NOON - hours * HOUR for hours in (4, 3, 2)]
    celsius = [36.0, 36.5, 37.0]

    async def sync(index: int) -> None:
        await home.sync(Sample(Metric.TEMPERATURE, at[index], celsius[index]))
        await home.statistics.flush()

    await sync(0)
    assert (await home.meta(TEMPERATURE))["unit_class"] == "temperature"
    show("°F")
    await sync(1)
    assert (await home.meta(TEMPERATURE))["unit_of_measurement"] == "°C"
    get_instance(home.hass).async_change_statistics_unit(
        TEMPERATURE, new_unit_of_measurement="°F", old_unit_of_measurement="°C"
    )
    await home.settle()
    await sync(2)
    assert (await home.meta(TEMPERATURE))["unit_of_measurement"] == "°F"
    for period in ("hour", "5minute"):
        for unit, values in (("°C", celsius), ("°F", [c * 1.8 + 32 for c in celsius])):
            found = await home.read(TEMPERATURE, period=period, units={"temperature": unit})
            assert [row["mean"] for row in found[TEMPERATURE]] == pytest.approx(values)


async def test_a_series_in_a_unit_that_means_something_else_is_left_alone(home: Home) -> None:
    home.hass.states.async_set(SENSOR, "12", MEASUREMENT | {"unit_of_measurement": "W"})
    await home.compile(NOON + HOUR)
    before = await home.read(SENSOR, period="5minute")
    await home.sync(heart_rate(NOON, 60))
    await home.statistics.flush()
    assert await home.read(SENSOR, period="5minute") == before


async def test_readings_wait_for_a_sensor_that_is_enabled(home: Home) -> None:
    await home.compile(NOON + 5 * MINUTE)
    spo2 = Sample(Metric.SPO2, NOON - HOUR, 97)
    await home.sync(spo2)
    await home.statistics.flush()
    home.add_sensor("sensor.ring_spo2", Metric.SPO2)
    await home.statistics.flush()
    assert await home.meta("sensor.ring_spo2") is None

    home.hass.states.async_set("sensor.ring_spo2", "97", {"unit_of_measurement": "%"})
    await home.statistics.flush()
    assert await home.meta("sensor.ring_spo2") is None  # no state_class: not a statistic

    home.hass.states.async_set(
        "sensor.ring_spo2", "unknown", MEASUREMENT | {"unit_of_measurement": "%"}
    )
    await home.statistics.flush()
    assert await home.rows("sensor.ring_spo2") == expected([spo2], HOUR)
    assert (await home.meta("sensor.ring_spo2"))["unit_class"] == "unitless"


@pytest.mark.parametrize("recorder_config", [{"exclude": {"entities": [SENSOR]}}])
async def test_a_sensor_the_recorder_excludes_has_no_statistics(home: Home) -> None:
    await home.compile(NOON + 5 * MINUTE)
    await home.sync(heart_rate(NOON - HOUR, 60))
    await home.statistics.flush()
    assert await home.meta(SENSOR) is None


async def test_hours_alone_where_the_five_minute_table_is_not_to_be_had(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    await home.compile(NOON + 5 * MINUTE)
    await home.sync(heart_rate(NOON - HOUR, 60))
    monkeypatch.delattr(db_schema, "StatisticsShortTerm")
    await home.statistics.flush()
    monkeypatch.undo()
    assert list(await home.rows()) == [NOON - HOUR]
    assert await home.rows(period="5minute") == {}


async def test_a_clock_that_was_ahead_does_not_open_periods_yet_to_come(home: Home) -> None:
    """Runs it left in the future must not be taken for the runs in between."""
    await home.catch_up(NOON + 6 * HOUR)
    yesterday = NOON - 24 * HOUR
    home.freezer.move_to(yesterday + 2 * MINUTE)
    home.hass.states.async_set(OTHER, "6", MEASUREMENT | {"unit_of_measurement": "W"})
    samples = [heart_rate(yesterday + MINUTE, 60)]
    await home.sync(*samples)
    await home.statistics.flush()
    home.statistics.start()
    await home.compile(yesterday + 2 * HOUR)
    assert await home.rows() == expected(samples, HOUR)
    await home.assert_neighbour_is_whole(hours=6 + 2, fives=72 + 24)


@pytest.mark.parametrize("persistent_database", [True])  # one in memory serves one at a time
async def test_a_run_under_way_is_waited_for(home: Home) -> None:
    sample = heart_rate(NOON + MINUTE, 60)
    await home.sync(sample)
    home.freezer.move_to(NOON + FIVE)
    get_instance(home.hass).queue_task(StatisticsTask(NOON, fire_events=False))
    await home.statistics.flush()
    assert await home.rows(period="5minute") == expected([sample], FIVE)


async def test_without_a_recorder_nothing_happens(hass: HomeAssistant, archive: Archive) -> None:
    await archive.commit(RING, Batch([heart_rate(NOON, 60)], {}))
    await Statistics(hass, archive).flush()
    assert len(await archive.stale()) == 1


@asynccontextmanager
async def starting(archive: Archive, clock: FrozenDateTimeFactory) -> AsyncIterator[Home]:
    """Yield a Home Assistant that has yet to start, and stop it."""
    async with async_test_home_assistant(initial_state=CoreState.not_running) as hass:
        try:
            yield Home(hass, archive, clock)
        finally:
            await hass.async_stop(force=True)


type StartRecorder = Callable[[HomeAssistant], AbstractAsyncContextManager[Recorder]]


async def test_a_recorder_that_starts_late_gets_everything(
    noon: FrozenDateTimeFactory, async_test_recorder: StartRecorder, archive: Archive
) -> None:
    samples = every(5 * MINUTE, NOON - 6 * HOUR, NOON)
    async with starting(archive, noon) as home:
        stop = home.statistics.start()
        await home.sync(*samples)
        await home.statistics.flush()
        async with async_test_recorder(home.hass):
            await home.begin()
            await home.statistics.flush()  # set up, but not yet at work
            await home.hass.async_start()
            await home.compile(NOON + HOUR)
            assert await home.rows() == expected(samples, HOUR)
            assert await home.rows(period="5minute") == expected(samples, FIVE)
            await home.assert_neighbour_is_whole(hours=1, fives=12)
            stop()


@pytest.mark.parametrize("persistent_database", [True])
@pytest.mark.parametrize("enable_missing_statistics", [True])
@pytest.mark.parametrize("killed", ["before writing", "before the recorder wrote", "after"])
async def test_a_restart_loses_no_row_of_any_sensor(
    noon: FrozenDateTimeFactory,
    async_test_recorder: StartRecorder,
    archive: Archive,
    monkeypatch: pytest.MonkeyPatch,
    killed: str,
) -> None:
    """Home Assistant is killed at 12:20 with history on its way, and is back at 15:07."""
    samples = every(5 * MINUTE, NOON - 6 * HOUR, NOON + 15 * MINUTE)
    async with starting(archive, noon) as home, async_test_recorder(home.hass) as recorder:
        await home.begin()
        await home.hass.async_start()
        await home.compile(NOON + 20 * MINUTE)
        await home.sync(*samples)
        with monkeypatch.context() as patch:
            patch.setattr(archive, "settle", _killed)
            if killed == "before the recorder wrote":
                patch.setattr(recorder, "queue_task", _only_waiting(recorder.queue_task))
            if killed != "before writing":
                with pytest.raises(asyncio.CancelledError):
                    await home.statistics.flush()

    noon.move_to(NOON + timedelta(hours=3, minutes=7))
    async with starting(archive, noon) as home, async_test_recorder(home.hass):
        stop = home.statistics.start()
        await home.begin()
        await home.statistics.flush()
        await home.hass.async_start()
        await home.statistics.flush()  # as early as can be, when the recorder has yet to catch up
        await home.settle()
        later = [heart_rate(NOON + minutes * MINUTE, 70) for minutes in (31, 61, 150)]
        await home.sync(*later)
        await home.compile(NOON + 4 * HOUR)
        assert await home.rows() == expected([*samples, *later], HOUR)
        assert await home.rows(period="5minute") == expected([*samples, *later], FIVE)
        await home.assert_neighbour_is_whole(hours=4, fives=48)
        stop()


async def _killed(*_: Any) -> None:
    raise asyncio.CancelledError


def _only_waiting(queue_task: Callable[[Any], None]) -> Callable[[Any], None]:
    def queue(task: Any) -> None:
        if isinstance(task, SynchronizeTask):
            queue_task(task)

    return queue
