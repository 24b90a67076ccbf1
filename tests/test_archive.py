"""The archive keeps each record once, whole, and through every accident."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
import random
import sqlite3

from freezegun.api import FrozenDateTimeFactory
import pytest

from custom_components.smart_rings.archive import (
    EPOCH,
    Archive,
    ArchiveError,
    ArchiveTooNew,
    Changes,
    SleepChange,
)
from custom_components.smart_rings.archive import file as archive_file
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
from tests.rings.fake_oximeter import format_a, vld

RING = "AA:BB:CC:00:11:22"
OTHER = "AA:BB:CC:00:11:33"
DAY = datetime(2026, 11, 9, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


def heart_rate(minute: float, value: float) -> Sample:
    return Sample(Metric.HEART_RATE, DAY + minute * MINUTE, value)


def steps(minute: float, value: float) -> Sample:
    return Sample(Metric.STEPS, DAY + minute * MINUTE, value, 15 * MINUTE)


def sleep(start: float, end: float, *, nap: bool = False) -> Sleep:
    begin, finish = DAY + start * HOUR, DAY + end * HOUR
    middle = begin + (finish - begin) / 2
    stages = (Phase(Stage.LIGHT, begin, middle), Phase(Stage.DEEP, middle, finish))
    return Sleep(begin, finish, stages, nap)


def batch(*records: Record, day: int = 0) -> Batch:
    return Batch(records, {"day": day})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "smart_rings.db"


@pytest.fixture
async def archive(path: Path) -> AsyncIterator[Archive]:
    opened = await Archive.open(path)
    yield opened
    await opened.close()


async def content(archive: Archive, ring: str = RING) -> list[Record]:
    samples = [s for metric in Metric for s in await archive.samples(ring, metric)]
    return [*samples, *await archive.sleeps(ring)]


async def test_what_was_committed_is_there_after_a_restart(path: Path) -> None:
    records: list[Record] = [
        heart_rate(5, 61),
        heart_rate(10.5, 62),
        steps(0, 40),
        sleep(-1, 6),
        sleep(13, 14, nap=True),
    ]
    first = await Archive.open(path)
    await first.commit(RING, batch(*records, day=3))
    await first.remember(RING, {"battery": 71})
    await first.close()

    again = await Archive.open(path)
    assert await content(again) == records
    assert await again.cursor(RING) == {"day": 3}
    assert await again.memory(RING) == {"battery": 71}
    assert again.set_aside is None
    await again.close()


async def test_an_unknown_ring_is_empty(archive: Archive) -> None:
    assert await content(archive) == []
    assert await archive.cursor(RING) == {}
    assert await archive.memory(RING) == {}
    assert await archive.latest(RING) == {}


async def test_a_repeated_batch_changes_nothing(archive: Archive) -> None:
    records = batch(heart_rate(5, 61), heart_rate(5, 62), steps(0, 40), sleep(0, 6), sleep(1, 7))
    changes = await archive.commit(RING, records)
    assert changes.touched == {
        Metric.HEART_RATE: (DAY + 5 * MINUTE, DAY + 5 * MINUTE),
        Metric.STEPS: (DAY, DAY),
    }
    assert changes.sleeps == [SleepChange(sleep(1, 7), ())]
    before = await archive.content_hash(RING), await archive.stale()

    assert not await archive.commit(RING, records)
    assert (await archive.content_hash(RING), await archive.stale()) == before


async def test_a_newer_value_replaces_and_only_that_is_touched(archive: Archive) -> None:
    await archive.commit(RING, batch(*(steps(15 * i, 10) for i in range(8))))
    changes = await archive.commit(
        RING, batch(steps(0, 10), steps(30, 11), steps(105, 12), steps(120, 1))
    )
    assert changes.touched == {Metric.STEPS: (DAY + 30 * MINUTE, DAY + 120 * MINUTE)}
    assert [s.value for s in await archive.samples(RING, Metric.STEPS)] == [
        10,
        10,
        11,
        10,
        10,
        10,
        10,
        12,
        1,
    ]


async def test_a_night_that_grew_replaces_the_night(archive: Archive) -> None:
    await archive.commit(RING, batch(sleep(-1, 5), sleep(2, 3, nap=True)))
    changes = await archive.commit(RING, batch(sleep(-1.5, 6.5)))
    assert changes == Changes({}, [SleepChange(sleep(-1.5, 6.5), (sleep(-1, 5),))])
    assert await archive.sleeps(RING) == [sleep(-1.5, 6.5), sleep(2, 3, nap=True)]


async def test_nights_that_only_touch_are_two(archive: Archive) -> None:
    await archive.commit(RING, batch(sleep(-1, 2)))
    assert (await archive.commit(RING, batch(sleep(2, 6)))).sleeps == [SleepChange(sleep(2, 6), ())]
    assert len(await archive.sleeps(RING)) == 2


async def test_a_sleep_that_ends_before_it_begins_is_left_out(archive: Archive) -> None:
    backwards = Sleep(DAY + HOUR, DAY)
    assert not await archive.commit(RING, batch(backwards, Sleep(DAY, DAY), day=2))
    assert await archive.cursor(RING) == {"day": 2}


async def test_a_failure_in_the_middle_leaves_nothing(archive: Archive) -> None:
    await archive.commit(RING, batch(heart_rate(0, 60), day=1))
    before = await archive.content_hash(RING), await archive.stale()
    poisoned = Sample(Metric.SPO2, DAY, float("nan"))  # SQLite keeps it as NULL, which is refused
    with pytest.raises(ArchiveError):
        await archive.commit(
            RING, batch(heart_rate(0, 99), sleep(0, 6), steps(0, 1), poisoned, day=2)
        )
    assert (await archive.content_hash(RING), await archive.stale()) == before
    assert await archive.cursor(RING) == {"day": 1}


async def test_spot_readings_leave_the_cursor_alone(archive: Archive) -> None:
    await archive.commit(RING, batch(day=4))
    changes = await archive.add(RING, [heart_rate(7, 70)])
    assert list(changes.touched) == [Metric.HEART_RATE]
    assert await archive.cursor(RING) == {"day": 4}


async def test_latest_is_the_newest_of_each_metric(archive: Archive) -> None:
    await archive.commit(RING, batch(heart_rate(30, 66), steps(15, 3)))
    await archive.commit(RING, batch(heart_rate(5, 61), steps(0, 40), sleep(0, 6)))
    await archive.commit(OTHER, batch(heart_rate(90, 99)))
    assert await archive.latest(RING) == {
        Metric.HEART_RATE: heart_rate(30, 66),
        Metric.STEPS: steps(15, 3),
    }


async def test_queries_take_the_start_and_leave_the_end(archive: Archive) -> None:
    await archive.commit(RING, batch(*(heart_rate(5 * i, 60 + i) for i in range(5)), sleep(0, 6)))
    found = await archive.samples(RING, Metric.HEART_RATE, DAY + 5 * MINUTE, DAY + 15 * MINUTE)
    assert [s.value for s in found] == [61, 62]
    assert await archive.sleeps(RING, DAY + 6 * HOUR) == []
    assert await archive.sleeps(RING, DAY + 5 * HOUR) == [sleep(0, 6)]
    assert await archive.sleeps(RING, end=DAY) == []


async def test_buckets_are_utc_periods_and_empty_ones_are_absent(archive: Archive) -> None:
    await archive.commit(RING, batch(heart_rate(0, 60), heart_rate(59.9, 70), heart_rate(150, 90)))
    buckets = await archive.buckets(RING, Metric.HEART_RATE, HOUR)
    assert buckets == [
        (DAY, 2, 65, 60, 70, 130, 70),
        (DAY + 2 * HOUR, 1, 90, 90, 90, 90, 90),
    ]


def recording(minute: float, count: int = 7200, *, seed: int = 1) -> Recording:
    start = DAY + minute * MINUTE
    data = format_a(count, start, seed)
    return Recording(start, timedelta(seconds=1), count, RecordingFormat.OXYII, data)


def naive_buckets(recorded: Recording, offset: int, width: timedelta) -> list[tuple[object, ...]]:
    """Sum up a recording row by row; `offset` is the metric's place in a row of format A."""
    periods: dict[datetime, list[int]] = {}
    for row in range(recorded.count):
        at = recorded.start + row * recorded.interval
        value = recorded.data[10 + 3 * row + offset]
        periods.setdefault(at - (at - EPOCH) % width, []).append(value)
    return [(at, len(v), sum(v) / len(v), min(v), max(v)) for at, v in periods.items()]


async def test_recordings_are_kept_once_as_the_rings_own_bytes(path: Path) -> None:
    first, second = recording(-60), recording(90)
    archive = await Archive.open(path)
    changes = await archive.commit(RING, batch(first, second))
    assert changes.recordings == (first, second)
    assert not await archive.commit(RING, batch(second, first))
    await archive.close()
    archive = await Archive.open(path)
    assert await archive.recordings(RING) == [first, second]
    assert await archive.recordings(RING, DAY + HOUR) == [second]
    assert await archive.recordings(RING, end=DAY) == [first]
    assert await archive.recordings(OTHER) == []
    await archive.close()


async def test_recordings_that_overlap_are_both_kept(archive: Archive) -> None:
    one, other = recording(0), recording(60, seed=2)
    await archive.commit(RING, batch(one))
    await archive.commit(RING, batch(other))
    assert await archive.recordings(RING) == [one, other]


async def test_a_recording_that_grew_replaces_the_shorter_one(archive: Archive) -> None:
    files = [vld(count, DAY) for count in (900, 1000)]
    short, grown = (
        Recording(DAY, timedelta(seconds=4), (len(f) - 40) // 5, RecordingFormat.VLD, f)
        for f in files
    )
    await archive.commit(RING, batch(short))
    await archive.commit(RING, batch(grown))
    assert await archive.recordings(RING) == [grown]
    assert await stale(archive, "spo2") == (DAY, 0)


async def test_a_recording_whose_time_was_learned_is_moved(archive: Archive) -> None:
    wrong = recording(0)
    right = replace(wrong, start=DAY + HOUR)
    await archive.commit(RING, batch(wrong))
    await archive.commit(RING, batch(right))
    assert await archive.recordings(RING) == [right]
    assert await stale(archive, "heart_rate") == (DAY, 1)


@pytest.mark.parametrize(("metric", "offset"), [(Metric.SPO2, 0), (Metric.HEART_RATE, 1)])
@pytest.mark.parametrize("width", [HOUR, 5 * MINUTE])
async def test_recorded_seconds_are_readings(
    archive: Archive, metric: Metric, offset: int, width: timedelta
) -> None:
    recorded = recording(57.25)
    await archive.commit(RING, batch(recorded))
    buckets = await archive.buckets(RING, metric, width)
    assert [(b.start, b.size, b.mean, b.low, b.high) for b in buckets] == naive_buckets(
        recorded, offset, width
    )
    assert await stale(archive, metric) == (recorded.start, False)
    middle = DAY + 2 * HOUR
    parts = [
        *await archive.buckets(RING, metric, width, end=middle),
        *await archive.buckets(RING, metric, width, start=middle),
    ]
    assert parts == buckets


async def test_seconds_without_a_reading_make_no_bucket(archive: Archive) -> None:
    data = vld(1800, DAY)
    rows = bytearray(data)
    rows[40 : 40 + 5 * 900] = bytes((255, 255, 255, 0, 0)) * 900
    recorded = Recording(DAY, timedelta(seconds=4), 1800, RecordingFormat.VLD, bytes(rows))
    await archive.commit(RING, batch(recorded))
    (bucket,) = await archive.buckets(RING, Metric.SPO2, HOUR)
    assert (bucket.start, bucket.size) == (DAY + HOUR, 900)


async def test_a_recording_takes_the_place_of_single_readings_of_its_time(
    archive: Archive,
) -> None:
    await archive.add(RING, [heart_rate(-1, 60), heart_rate(5, 210), heart_rate(61, 62)])
    recorded = recording(0, 3600)
    await archive.commit(RING, batch(recorded))
    kept = await archive.samples(RING, Metric.HEART_RATE)
    assert [sample.value for sample in kept] == [60, 62]
    before, within, after = await archive.buckets(RING, Metric.HEART_RATE, HOUR)
    assert (before.mean, within.size, after.mean) == (60, 3600, 62)

    await archive.add(RING, [heart_rate(61.5, 70)])
    await archive.commit(RING, batch(recording(60, 60, seed=3)))
    both = (await archive.buckets(RING, Metric.HEART_RATE, HOUR))[-1]
    values = list(recording(60, 60, seed=3).data[11:190:3])
    assert both.size == 62
    assert both.total == sum(values) + 62 + 70
    assert both.mean == both.total / 62
    assert (both.low, both.high) == (min(*values, 62), max(*values, 70))


async def test_a_deleted_recording_takes_its_readings_with_it(archive: Archive) -> None:
    await archive.commit(RING, batch(recording(0), recording(300)))
    await archive.delete(RING, DAY + 4 * HOUR)
    assert await archive.recordings(RING) == [recording(0)]
    assert await stale(archive, "spo2") == (DAY, 2)
    assert len(await archive.buckets(RING, Metric.SPO2, HOUR)) == 2
    await archive.commit(RING, batch(recording(300)))
    assert await archive.recordings(RING) == [recording(0)]


async def test_what_is_no_known_record_is_not_passed_over(archive: Archive) -> None:
    with pytest.raises(TypeError):
        await archive.commit(RING, batch(heart_rate(0, 60), Phase(Stage.DEEP, DAY, DAY)))  # type: ignore[arg-type]
    assert not await archive.cursor(RING)
    assert not await content(archive)


async def test_rings_commit_at_once_and_stay_apart(archive: Archive) -> None:
    await asyncio.gather(
        *(
            archive.commit(ring, batch(heart_rate(i, 60 + offset), day=i))
            for i in range(20)
            for offset, ring in enumerate((RING, OTHER))
        )
    )
    for offset, ring in enumerate((RING, OTHER)):
        assert await content(archive, ring) == [heart_rate(i, 60 + offset) for i in range(20)]
        assert await archive.cursor(ring) == {"day": 19}


async def test_the_hash_tells_the_content_not_the_way_it_came(archive: Archive) -> None:
    records: list[Record] = [heart_rate(5, 61), steps(0, 40), sleep(0, 6)]
    await archive.commit(RING, batch(*records))
    for record in reversed(records):
        await archive.add(OTHER, [record])
    assert await archive.content_hash(RING) == await archive.content_hash(OTHER)
    await archive.add(OTHER, [heart_rate(6, 61)])
    assert await archive.content_hash(RING) != await archive.content_hash(OTHER)


async def test_delete_takes_a_range_and_leaves_the_cursor(archive: Archive) -> None:
    for ring in (RING, OTHER):
        await archive.commit(ring, batch(heart_rate(0, 60), heart_rate(60, 61), sleep(0, 6), day=5))
    await archive.delete(RING, DAY, DAY + HOUR)
    assert await content(archive) == [heart_rate(60, 61)]
    await archive.delete(RING)
    assert await content(archive) == []
    assert await archive.cursor(RING) == {"day": 5}
    assert len(await content(archive, OTHER)) == 3


async def test_what_was_deleted_does_not_come_back(archive: Archive) -> None:
    """The ring tells its nights of the week again each hour; also after the file was reopened."""
    told = batch(heart_rate(0, 60), sleep(0, 6))
    await archive.commit(RING, told)
    await archive.delete(RING, DAY, DAY + MINUTE)
    assert not await archive.commit(RING, told)
    assert await content(archive) == []
    assert await archive.commit(RING, batch(heart_rate(1, 61)))


async def test_what_is_recorded_after_a_deletion_is_kept(
    archive: Archive, freezer: FrozenDateTimeFactory
) -> None:
    freezer.move_to(DAY + HOUR)
    await archive.commit(RING, batch(heart_rate(59, 60)))
    await archive.delete(RING)
    await archive.commit(RING, batch(heart_rate(59, 60), heart_rate(60, 61)))
    assert await content(archive) == [heart_rate(60, 61)]


async def test_what_was_deleted_comes_back_when_readmitted(archive: Archive) -> None:
    await archive.commit(RING, batch(sleep(0, 6)))
    await archive.delete(RING)
    await archive.readmit(RING)
    await archive.commit(RING, batch(sleep(0, 6)))
    assert await content(archive) == [sleep(0, 6)]


async def test_a_forgotten_ring_is_as_if_it_never_was(archive: Archive) -> None:
    await archive.commit(RING, batch(heart_rate(0, 60), sleep(0, 6), day=5))
    await archive.remember(RING, {"battery": 3})
    await archive.forget(RING)
    assert await content(archive) == []
    assert (await archive.cursor(RING), await archive.memory(RING)) == ({}, {})
    assert await archive.stale() == []


async def stale(archive: Archive, name: str) -> tuple[datetime, int] | None:
    """Return from when on a series is stale, and in how many ranges something vanished."""
    return next(((s.since, len(s.gone)) for s in await archive.stale() if s.name == name), None)


async def test_a_series_is_stale_from_its_first_touched_record_until_settled(
    archive: Archive,
) -> None:
    await archive.commit(RING, batch(heart_rate(5, 61), heart_rate(65, 62)))
    await archive.commit(RING, batch(heart_rate(30, 61)))
    (mark,) = await archive.stale()
    assert mark.since == DAY + 5 * MINUTE

    await archive.settle(mark, DAY + HOUR)
    assert await stale(archive, "heart_rate") == (DAY + HOUR, 0)
    (mark,) = await archive.stale()
    await archive.settle(mark)
    assert await archive.stale() == []

    await archive.restate(RING)
    (mark,) = await archive.stale()
    assert mark.since < DAY


async def test_settling_what_has_changed_meanwhile_is_void(archive: Archive) -> None:
    await archive.commit(RING, batch(heart_rate(5, 61)))
    (mark,) = await archive.stale()
    await archive.commit(RING, batch(heart_rate(6, 61)))
    await archive.settle(mark)
    assert await stale(archive, "heart_rate") == (DAY + 5 * MINUTE, 0)


async def test_where_records_vanished_is_told_until_settled(archive: Archive) -> None:
    await archive.commit(RING, batch(sleep(0, 6), heart_rate(0, 60)))
    assert await stale(archive, "night") == (DAY, 0)
    await archive.commit(RING, batch(sleep(0, 7)))
    await archive.commit(RING, batch(sleep(24, 30)))
    assert await stale(archive, "night") == (DAY, 1)
    await archive.delete(RING, DAY, DAY + HOUR)
    assert await stale(archive, "night") == (DAY, 2)
    assert await stale(archive, "heart_rate") == (DAY, 1)
    for mark in await archive.stale():
        await archive.settle(mark)
    assert await archive.stale() == []


async def test_the_loop_runs_while_a_commit_waits_for_the_disk(
    archive: Archive, path: Path
) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as foreign:
        foreign.execute("BEGIN EXCLUSIVE")
        commit = asyncio.create_task(archive.commit(RING, batch(heart_rate(0, 60))))
        for _ in range(100):
            await asyncio.sleep(0)
        assert not commit.done()
        foreign.execute("COMMIT")
        assert await commit


async def test_an_older_file_is_migrated_with_its_content(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = await Archive.open(path)
    await old.commit(RING, batch(heart_rate(0, 60), day=1))
    await old.close()

    newer = (
        *archive_file.MIGRATIONS,
        ("ALTER TABLE ring ADD COLUMN extra TEXT", "UPDATE ring SET extra = 'x'"),
    )
    monkeypatch.setattr(archive_file, "MIGRATIONS", newer)
    new = await Archive.open(path)
    assert await content(new) == [heart_rate(0, 60)]
    await new.close()
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (len(newer),)
        assert db.execute("SELECT extra FROM ring").fetchone() == ("x",)


async def test_a_migration_that_fails_leaves_the_file_as_it_was(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = await Archive.open(path)
    await old.commit(RING, batch(heart_rate(0, 60)))
    await old.close()
    broken = (*archive_file.MIGRATIONS, ("DELETE FROM ring", "no SQL"))
    with monkeypatch.context() as patch:
        patch.setattr(archive_file, "MIGRATIONS", broken)
        with pytest.raises(ArchiveError):
            await Archive.open(path)

    again = await Archive.open(path)
    assert again.set_aside is None
    assert await content(again) == [heart_rate(0, 60)]
    await again.close()


async def test_a_file_of_a_newer_version_is_refused_and_kept(path: Path) -> None:
    await (await Archive.open(path)).close()
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 99")
    before = read(path)
    with pytest.raises(ArchiveTooNew):
        await Archive.open(path)
    assert read(path) == before


def read(path: Path) -> bytes:
    return path.read_bytes()


async def fill(path: Path) -> None:
    archive = await Archive.open(path)
    await archive.commit(RING, batch(*(heart_rate(i, 60 + i % 9) for i in range(5000))))
    await archive.close()


def overwrite_start(path: Path) -> None:
    path.write_bytes(b"no database at all" + path.read_bytes()[18:])


def overwrite_middle(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 9000] = bytes(range(250)) * 36
    path.write_bytes(data)


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-30_000])


@pytest.mark.parametrize("damage", [overwrite_start, overwrite_middle, cut_off])
async def test_a_damaged_file_is_set_aside_and_work_goes_on(
    path: Path, damage: Callable[[Path], None]
) -> None:
    await fill(path)
    damage(path)
    damaged = read(path)

    archive = await Archive.open(path)
    assert archive.set_aside is not None
    assert archive.set_aside.parent == path.parent
    assert read(archive.set_aside) == damaged
    assert await archive.commit(RING, batch(heart_rate(0, 60)))
    assert await content(archive) == [heart_rate(0, 60)]
    await archive.close()
    again = await Archive.open(path)
    assert again.set_aside is None
    await again.close()


async def test_a_file_that_cannot_be_opened_is_not_set_aside(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError):
        await Archive.open(tmp_path / "missing" / "smart_rings.db")


async def a_day(archive: Archive, day: int) -> None:
    """Keep a day of readings, and a document that makes the log long."""
    await archive.remember(RING, {"long": [day] * 50_000})
    await archive.commit(
        RING, batch(*(heart_rate(1440 * day + i, 60 + day) for i in range(200)), day=day)
    )


def files(path: Path) -> tuple[bytes, bytes]:
    """Return what is in the main file and in the log beside it."""
    return path.read_bytes(), path.with_name(f"{path.name}-wal").read_bytes()


def put(folder: Path, main: bytes, log: bytes) -> Path:
    folder.mkdir()
    (folder / "smart_rings.db-wal").write_bytes(log)
    path = folder / "smart_rings.db"
    path.write_bytes(main)
    return path


async def assert_restored(folder: Path, main: bytes, log: bytes, least: int) -> int:
    """Open a copy; it has to hold the first so many days whole. Return how many."""
    restored = await Archive.open(put(folder, main, log))
    assert restored.set_aside is None
    last = int((await restored.cursor(RING))["day"])
    assert last >= least
    days = [heart_rate(1440 * day + i, 60 + day) for day in range(last + 1) for i in range(200)]
    assert await content(restored) == days
    await restored.close()
    return last


async def test_a_copy_taken_while_it_is_written_holds_what_was_written_first(
    archive: Archive, path: Path, tmp_path: Path
) -> None:
    for day in range(3):
        await a_day(archive, day)
    await archive.freeze()
    main, begin = files(path)
    for day in range(3, 40):
        await a_day(archive, day)
    unchanged, written = files(path)
    assert unchanged == main
    assert len(written) > archive_file.CHECKPOINT_PAGES * 4096
    chance = random.Random(1)
    ends = sorted(chance.randint(len(begin), len(written)) for _ in range(8))
    restored = [
        await assert_restored(tmp_path / str(end), main, written[:end], least=2) for end in ends
    ]
    assert restored == sorted(restored)
    assert await assert_restored(tmp_path / "all", main, written, least=39) == 39

    await archive.thaw()
    await a_day(archive, 40)
    await archive.freeze()
    assert await assert_restored(tmp_path / "main", files(path)[0], b"", least=40) == 40


async def test_a_copy_is_whole_when_another_program_reads_as_it_begins(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of the log is in the main file then, but the log isn't empty."""
    monkeypatch.setattr(sqlite3, "connect", partial(sqlite3.connect, timeout=0))
    archive = await Archive.open(path)
    for day in range(5):
        await a_day(archive, day)
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM sample").fetchone()
        await archive.freeze()
    main, begin = files(path)
    assert len(begin) > 4096
    await a_day(archive, 5)
    _, now = files(path)
    for end in range(4096, len(begin), len(begin) // 12):
        # The log is read in pieces, the first of them before the writing and the others after.
        mixed = begin[:end] + now[end:]
        await assert_restored(tmp_path / str(end), main, mixed, least=4)
    await archive.close()
