"""What the rings recorded, in one SQLite file: the truth all statistics are derived from.

A *series* is what one ring holds of one kind: the samples of a metric, or the spans (things with
an end of their own and a document) of a kind such as nights. The document of a recording is the
ring's own file; what it holds of a metric counts as that metric's readings. Each series also
remembers from when on the recorder's statistics of it are out of date; that mark is set in the
transaction that brings the records, so a crash between the two loses neither.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
import hashlib
import json
from pathlib import Path
import sqlite3
from typing import Any, Concatenate, NamedTuple

from .rings.models import Batch, Cursor, Metric, Phase, Record, Recording, Sample, Sleep, Stage
from .rings.recordings import RECORDED, parse

NIGHT = "night"
NAP = "nap"
RECORDING = "recording"

# MIGRATIONS[n] takes a file from version n to n + 1; never edit one that was released.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE ring (
            id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, cursor TEXT, memory TEXT
        ) STRICT""",
        """CREATE TABLE series (
            id INTEGER PRIMARY KEY,
            ring INTEGER NOT NULL REFERENCES ring ON DELETE CASCADE,
            name TEXT NOT NULL,
            stale INTEGER,
            rebuild INTEGER NOT NULL DEFAULT 0,
            revision INTEGER NOT NULL DEFAULT 0,
            UNIQUE (ring, name)
        ) STRICT""",
        """CREATE TABLE sample (
            series INTEGER NOT NULL REFERENCES series ON DELETE CASCADE,
            start INTEGER NOT NULL, duration INTEGER NOT NULL, value REAL NOT NULL,
            PRIMARY KEY (series, start)
        ) STRICT, WITHOUT ROWID""",
        """CREATE TABLE span (
            series INTEGER NOT NULL REFERENCES series ON DELETE CASCADE,
            start INTEGER NOT NULL, end INTEGER NOT NULL, data ANY NOT NULL,
            PRIMARY KEY (series, start)
        ) STRICT""",
        """CREATE TABLE deleted (
            ring INTEGER NOT NULL REFERENCES ring ON DELETE CASCADE,
            start INTEGER NOT NULL, end INTEGER NOT NULL
        ) STRICT""",
    ),
)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)
# As SQLite has it by itself.
CHECKPOINT_PAGES = 1000
DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
# Beyond every time there is, for ranges left open.
FIRST, LAST = -(2**62), 2**62


class ArchiveTooNew(Exception):
    """The file was written by a newer version of this integration."""


class SleepChange(NamedTuple):
    """A sleep that came, and the older versions of the same sleep it replaced."""

    sleep: Sleep
    replaced: tuple[Sleep, ...]


@dataclass(frozen=True, slots=True)
class Changes:
    """What a commit really changed: first and last touched `start` per metric, and the spans."""

    touched: Mapping[Metric, tuple[datetime, datetime]] = field(default_factory=dict)
    sleeps: Sequence[SleepChange] = ()
    recordings: Sequence[Recording] = ()

    def __bool__(self) -> bool:
        """Whether anything changed at all."""
        return bool(self.touched or self.sleeps or self.recordings)


class Bucket(NamedTuple):
    """The readings whose start falls into one period."""

    start: datetime
    size: int
    mean: float
    low: float
    high: float
    total: float
    last: float


class Stale(NamedTuple):
    """A series the recorder doesn't show as it is, from `since` on.

    `rebuild`: records vanished, which only writing all statistics of it anew can show.
    """

    series: int
    ring: str
    name: str
    since: datetime
    rebuild: bool
    revision: int


class _Span(NamedTuple):
    start: int
    end: int
    data: Any
    """JSON of a sleep, the file of a recording."""


class Archive:
    """The file, served by a thread of its own; no method blocks the event loop.

    Records are identified by (ring, metric, start), sleeps by overlap: of two that overlap the one
    that came later is right; recordings by what is in them or, since the file of one may grow, by
    their start.
    """

    def __init__(self) -> None:
        """Use `Archive.open`."""
        self.set_aside: Path | None = None
        self._db: sqlite3.Connection
        self._thread = ThreadPoolExecutor(1, "smart_rings_archive")

    @classmethod
    async def open(cls, path: Path) -> Archive:
        """Open or make the file; one that is damaged is moved to `set_aside` and replaced.

        Raises `ArchiveTooNew`, `sqlite3.Error` and `OSError`.
        """
        archive = cls()
        try:
            archive._db, archive.set_aside = await archive._run(_open, path)
        except BaseException:
            archive._thread.shutdown(wait=False)
            raise
        return archive

    async def close(self) -> None:
        """Finish what was begun and close the file."""
        await self._run(self._db.close)
        self._thread.shutdown()

    async def freeze(self) -> None:
        """Let the main file stay as it is and its log only grow, so that both can be copied."""
        await self._read(_freeze)

    async def thaw(self) -> None:
        """Let what is in the log go to the main file again."""
        await self._read(_thaw)

    async def commit(self, ring: str, batch: Batch) -> Changes:
        """Keep a batch's records and cursor, all or nothing."""
        return await self._write(_commit, ring, batch.records, batch.cursor)

    async def add(self, ring: str, records: Iterable[Record]) -> Changes:
        """Keep records that don't come from the history, such as spot readings."""
        return await self._write(_commit, ring, tuple(records), None)

    async def cursor(self, ring: str) -> Cursor:
        """Return the cursor of the last batch, empty before the first."""
        return await self._read(_document, "cursor", ring)

    async def memory(self, ring: str) -> dict[str, Any]:
        """Return what `remember` kept."""
        return await self._read(_document, "memory", ring)

    async def remember(self, ring: str, memory: Mapping[str, Any]) -> None:
        """Keep a JSON document for a ring, in place of the one before."""
        await self._write(_remember, ring, json.dumps(dict(memory)))

    async def latest(self, ring: str) -> dict[Metric, Sample]:
        """Return the newest sample of each metric."""
        return await self._read(_latest, ring)

    async def samples(
        self, ring: str, metric: Metric, start: datetime | None = None, end: datetime | None = None
    ) -> list[Sample]:
        """Return the samples that begin in [start, end), by time, without those of recordings."""
        return await self._read(_samples, ring, metric, *_range(start, end))

    async def readings(
        self, ring: str, metric: Metric, start: datetime | None = None, end: datetime | None = None
    ) -> list[Sample]:
        """Return all readings that begin in [start, end), by time; a night may hold 36,000."""
        return await self._read(_readings, ring, metric, *_range(start, end))

    async def buckets(
        self,
        ring: str,
        metric: Metric,
        width: timedelta,
        start: datetime | None = None,
        end: datetime | None = None,
    ) -> list[Bucket]:
        """Return the readings that begin in [start, end), summed up per UTC period of `width`."""
        return await self._read(_buckets, ring, metric, width // MILLISECOND, *_range(start, end))

    async def total(self, ring: str, metric: Metric, end: datetime) -> float:
        """Return the sum of all samples that begin before `end`."""
        return await self._read(_total, ring, metric, _ms(end))

    async def sleeps(
        self, ring: str, start: datetime | None = None, end: datetime | None = None
    ) -> list[Sleep]:
        """Return nights and naps that overlap [start, end), by time."""
        return await self._read(_sleeps, ring, *_range(start, end))

    async def recordings(
        self, ring: str, start: datetime | None = None, end: datetime | None = None
    ) -> list[Recording]:
        """Return the recordings that overlap [start, end), by time."""
        return await self._read(_recordings, ring, *_range(start, end))

    async def delete(
        self, ring: str, start: datetime | None = None, end: datetime | None = None
    ) -> None:
        """Delete the records that begin in [start, end), and take none of them again.

        Rings tell what they still hold more than once; what they record from now on is kept.
        """
        await self._write(_delete, ring, *_range(start, end), _ms(datetime.now(UTC)))

    async def readmit(self, ring: str) -> None:
        """Take records again that were deleted, when the ring still tells them."""
        await self._write(_readmit, ring)

    async def forget(self, ring: str) -> None:
        """Delete all there is of a ring, cursor and memory included."""
        await self._write(_forget, ring)

    async def content_hash(self, ring: str) -> str:
        """Return a digest of all records of a ring, whatever the order they came in."""
        return await self._read(_content_hash, ring)

    async def stale(self) -> list[Stale]:
        """Return the series whose statistics are out of date."""
        return await self._read(_stale)

    async def settle(self, stale: Stale, until: datetime | None = None) -> None:
        """Note that statistics now show a series up to `until` (None: all of it).

        Does nothing if the series has changed since `stale` was read.
        """
        await self._write(_settle, stale, LAST if until is None else _ms(until))

    async def restate(self, ring: str) -> None:
        """Let all statistics of a ring be written again."""
        await self._write(_restate, ring)

    async def _run[**P, R](self, job: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        return await asyncio.get_running_loop().run_in_executor(
            self._thread, lambda: job(*args, **kwargs)
        )

    async def _read[**P, R](
        self,
        job: Callable[Concatenate[sqlite3.Connection, P], R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        return await self._run(job, self._db, *args, **kwargs)

    async def _write[**P, R](
        self,
        job: Callable[Concatenate[sqlite3.Connection, P], R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        def transact() -> R:
            with _transaction(self._db):
                return job(self._db, *args, **kwargs)

        return await self._run(transact)


def _ms(when: datetime) -> int:
    return (when - EPOCH) // MILLISECOND


def _time(ms: int) -> datetime:
    return EPOCH + ms * MILLISECOND


def _range(start: datetime | None, end: datetime | None) -> tuple[int, int]:
    return (FIRST if start is None else _ms(start), LAST if end is None else _ms(end))


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        if db.in_transaction:  # SQLite rolls back by itself when the disk is full
            db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")


def _open(path: Path) -> tuple[sqlite3.Connection, Path | None]:
    try:
        return _connect(path), None
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode & 0xFF not in DAMAGE:
            raise
    aside = path.with_name(f"{path.name}.corrupt.{datetime.now(UTC):%Y%m%dT%H%M%S%f}")
    for suffix in ("", "-wal", "-shm"):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(aside.with_name(aside.name + suffix))
    return _connect(path), aside


def _connect(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        # A power cut may lose the last commits, cursor and records alike, but damages nothing.
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute("PRAGMA foreign_keys = ON")
        _check(db)
        _migrate(db)
    except BaseException:
        db.close()
        raise
    return db


def _check(db: sqlite3.Connection) -> None:
    (verdict,) = db.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        error = sqlite3.DatabaseError(verdict)
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise error


def _migrate(db: sqlite3.Connection) -> None:
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version > len(MIGRATIONS):
        raise ArchiveTooNew(f"version {version}, known up to {len(MIGRATIONS)}")
    for number, statements in enumerate(MIGRATIONS[version:], version + 1):
        with _transaction(db):
            for statement in statements:
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {number}")


def _freeze(db: sqlite3.Connection) -> None:
    db.execute("PRAGMA wal_autocheckpoint = 0")
    # As good as it gets: while somebody else reads, part of it or all stays in the log.
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    # A log that is all in the main file, but couldn't be emptied, is written over from its start,
    # and its old half would undo what is in the main file. One commit makes that impossible.
    (version,) = db.execute("PRAGMA user_version").fetchone()
    db.execute(f"PRAGMA user_version = {version}")


def _thaw(db: sqlite3.Connection) -> None:
    db.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")


def _ring_id(db: sqlite3.Connection, ring: str) -> int:
    db.execute("INSERT INTO ring (key) VALUES (?) ON CONFLICT DO NOTHING", (ring,))
    (number,) = db.execute("SELECT id FROM ring WHERE key = ?", (ring,)).fetchone()
    return int(number)


def _series_id(db: sqlite3.Connection, ring_id: int, name: str) -> int:
    key = (ring_id, name)
    db.execute("INSERT INTO series (ring, name) VALUES (?, ?) ON CONFLICT DO NOTHING", key)
    (number,) = db.execute("SELECT id FROM series WHERE ring = ? AND name = ?", key).fetchone()
    return int(number)


def _find_series(db: sqlite3.Connection, ring: str, name: str) -> int | None:
    row = db.execute(
        "SELECT series.id FROM series JOIN ring ON ring.id = ring WHERE key = ? AND name = ?",
        (ring, name),
    ).fetchone()
    return row and int(row[0])


def _mark(db: sqlite3.Connection, series: int, start: int) -> None:
    db.execute(
        "UPDATE series SET stale = min(ifnull(stale, ?1), ?1), revision = revision + 1"
        " WHERE id = ?2",
        (start, series),
    )


def _mark_rebuild(db: sqlite3.Connection, series: int) -> None:
    db.execute(
        "UPDATE series SET stale = 0, rebuild = 1, revision = revision + 1 WHERE id = ?", (series,)
    )


def _commit(
    db: sqlite3.Connection, ring: str, records: Iterable[Record], cursor: Cursor | None
) -> Changes:
    ring_id = _ring_id(db, ring)
    samples: dict[Metric, list[Sample]] = {}
    sleeps: dict[str, list[Sleep]] = {}
    recordings: list[Recording] = []
    for record in _admitted(db, ring_id, records):
        match record:
            case Sample(metric=metric):
                samples.setdefault(metric, []).append(record)
            case Sleep(nap=nap):
                if record.start < record.end:
                    sleeps.setdefault(NAP if nap else NIGHT, []).append(record)
            case Recording():
                recordings.append(record)
            case _:
                raise TypeError(f"Unknown record: {record}")
    touched = {
        metric: times
        for metric, batch in samples.items()
        if (times := _put_samples(db, _series_id(db, ring_id, metric), batch))
    }
    changed = [
        change
        for kind, batch in sleeps.items()
        for change in _put_sleeps(db, _series_id(db, ring_id, kind), kind, batch)
    ]
    if cursor is not None:
        db.execute("UPDATE ring SET cursor = ? WHERE id = ?", (json.dumps(dict(cursor)), ring_id))
    return Changes(touched, changed, tuple(r for r in recordings if _put_recording(db, ring_id, r)))


def _admitted(db: sqlite3.Connection, ring_id: int, records: Iterable[Record]) -> Iterator[Record]:
    deleted = db.execute("SELECT start, end FROM deleted WHERE ring = ?", (ring_id,)).fetchall()
    for record in records:
        at = _ms(record.start)
        if not any(start <= at < end for start, end in deleted):
            yield record


def _put_samples(
    db: sqlite3.Connection, series: int, samples: Iterable[Sample]
) -> tuple[datetime, datetime] | None:
    # The last of equals wins first, so that a batch that holds one twice can be repeated.
    rows = {_ms(s.start): (s.duration // MILLISECOND, s.value) for s in samples}
    changed = [
        start
        for start, row in rows.items()
        if db.execute(
            "INSERT INTO sample VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE"
            " SET duration = excluded.duration, value = excluded.value"
            " WHERE duration != excluded.duration OR value != excluded.value",
            (series, start, *row),
        ).rowcount
    ]
    if not changed:
        return None
    first, last = min(changed), max(changed)
    _mark(db, series, first)
    return _time(first), _time(last)


def _put_sleeps(
    db: sqlite3.Connection, series: int, kind: str, sleeps: Iterable[Sleep]
) -> Iterator[SleepChange]:
    wanted: list[Sleep] = []
    for sleep in sleeps:
        wanted = [s for s in wanted if s.end <= sleep.start or s.start >= sleep.end] + [sleep]
    for sleep in wanted:
        span = _sleep_span(sleep)
        old = _spans(db, series, span.start, span.end)
        if _put_span(db, series, span, old):
            yield SleepChange(sleep, tuple(_sleep(kind, span) for span in old))


def _put_recording(db: sqlite3.Connection, ring_id: int, recording: Recording) -> bool:
    """Keep a recording in place of single readings of its time; return whether it is news."""
    span = _Span(_ms(recording.start), _ms(recording.end), recording.data)
    series = _series_id(db, ring_id, RECORDING)
    rows = db.execute(
        "SELECT start, end, data FROM span WHERE series = ? AND (start = ? OR data = ?)",
        (series, span.start, span.data),
    )
    old = [_Span(*row) for row in rows]
    if not _put_span(db, series, span, old):
        return False
    for metric in RECORDED:
        covered = _series_id(db, ring_id, metric)
        db.execute(
            "DELETE FROM sample WHERE series = ? AND start >= ? AND start < ?",
            (covered, span.start, span.end),
        )
        if all(s.start == span.start and s.end <= span.end for s in old):
            _mark(db, covered, span.start)
        else:
            _mark_rebuild(db, covered)
    return True


def _put_span(db: sqlite3.Connection, series: int, span: _Span, old: list[_Span]) -> bool:
    """Put a span in place of others; return whether that changed anything."""
    if old == [span]:
        return False
    db.executemany(
        "DELETE FROM span WHERE series = ? AND start = ?", [(series, s.start) for s in old]
    )
    db.execute("INSERT INTO span VALUES (?, ?, ?, ?)", (series, *span))
    if old:
        _mark_rebuild(db, series)
    else:
        _mark(db, series, span.start)
    return True


def _spans(db: sqlite3.Connection, series: int, start: int, end: int) -> list[_Span]:
    rows = db.execute(
        "SELECT start, end, data FROM span"
        " WHERE series = ? AND start < ? AND end > ? ORDER BY start",
        (series, end, start),
    )
    return [_Span(*row) for row in rows]


def _spans_of(db: sqlite3.Connection, ring: str, kind: str, start: int, end: int) -> list[_Span]:
    series = _find_series(db, ring, kind)
    return [] if series is None else _spans(db, series, start, end)


def _sleep_span(sleep: Sleep) -> _Span:
    stages = [(p.stage, _ms(p.start), _ms(p.end)) for p in sleep.stages]
    return _Span(_ms(sleep.start), _ms(sleep.end), json.dumps(stages))


def _sleep(kind: str, span: _Span) -> Sleep:
    stages = tuple(
        Phase(Stage(stage), _time(start), _time(end)) for stage, start, end in json.loads(span.data)
    )
    return Sleep(_time(span.start), _time(span.end), stages, nap=kind == NAP)


def _recording(span: _Span) -> Recording:
    stored = parse(span.data)
    interval = timedelta(seconds=stored.interval_s)
    return Recording(_time(span.start), interval, len(stored), stored.format, span.data)


def _document(db: sqlite3.Connection, column: str, ring: str) -> dict[str, Any]:
    row = db.execute(f"SELECT {column} FROM ring WHERE key = ?", (ring,)).fetchone()  # noqa: S608
    return json.loads(row[0]) if row and row[0] else {}


def _remember(db: sqlite3.Connection, ring: str, memory: str) -> None:
    db.execute("UPDATE ring SET memory = ? WHERE id = ?", (memory, _ring_id(db, ring)))


def _latest(db: sqlite3.Connection, ring: str) -> dict[Metric, Sample]:
    rows = db.execute(
        "SELECT name, start, value, duration FROM ring"
        " JOIN series ON series.ring = ring.id JOIN sample ON series = series.id"
        " WHERE key = ? AND start = (SELECT max(start) FROM sample WHERE series = series.id)",
        (ring,),
    )
    return {
        metric: Sample(metric, _time(start), value, duration * MILLISECOND)
        for metric, start, value, duration in ((Metric(name), *row) for name, *row in rows)
    }


def _samples(
    db: sqlite3.Connection, ring: str, metric: Metric, start: int, end: int
) -> list[Sample]:
    rows = db.execute(
        "SELECT start, value, duration FROM sample"
        " WHERE series = ? AND start >= ? AND start < ? ORDER BY start",
        (_find_series(db, ring, metric), start, end),
    )
    return [Sample(metric, _time(at), value, long * MILLISECOND) for at, value, long in rows]


def _readings(
    db: sqlite3.Connection, ring: str, metric: Metric, start: int, end: int
) -> list[Sample]:
    readings = _samples(db, ring, metric, start, end)
    if metric not in RECORDED:
        return readings
    for span in _spans_of(db, ring, RECORDING, start, end):
        stored = parse(span.data)
        times = range(span.start, span.end, 1000 * stored.interval_s)
        readings += [
            Sample(metric, _time(at), value)
            for at, value in zip(times, stored.column(metric), strict=True)
            if value and start <= at < end
        ]
    return sorted(readings, key=lambda sample: sample.start)


def _buckets(
    db: sqlite3.Connection, ring: str, metric: Metric, width: int, start: int, end: int
) -> list[Bucket]:
    series = _find_series(db, ring, metric)
    rows = db.execute(
        "SELECT bucket, size, mean, low, high, total, value FROM ("
        " SELECT start - start % ?1 AS bucket, count(*) AS size, avg(value) AS mean,"
        " min(value) AS low, max(value) AS high, sum(value) AS total, max(start) AS newest"
        " FROM sample WHERE series = ?2 AND start >= ?3 AND start < ?4 GROUP BY bucket"
        ") JOIN sample ON series = ?2 AND start = newest ORDER BY bucket",
        (width, series, start, end),
    )
    buckets = [Bucket(_time(bucket), *figures) for bucket, *figures in rows]
    if metric not in RECORDED:
        return buckets
    for span in _spans_of(db, ring, RECORDING, start, end):
        buckets += _recorded(span, metric, width, start, end)
    return _merged(buckets)


def _recorded(span: _Span, metric: Metric, width: int, start: int, end: int) -> Iterator[Bucket]:
    """Sum up the readings of a recording, by columns: a record loop takes seconds a night."""
    stored = parse(span.data)
    column, step = stored.column(metric), 1000 * stored.interval_s
    first, last = max(start, span.start), min(end, span.end)
    for period in range(first - first % width, last, width):
        begin, finish = max(period, first), min(period + width, last)
        cut = slice(-((span.start - begin) // step), -((span.start - finish) // step))
        if values := column[cut].replace(b"\0", b""):
            size, total = len(values), sum(values)
            yield Bucket(
                _time(period), size, total / size, min(values), max(values), total, values[-1]
            )


def _merged(buckets: Iterable[Bucket]) -> list[Bucket]:
    """Make one bucket of those of the same period; the last of them has the last value."""
    merged: dict[datetime, Bucket] = {}
    for new in sorted(buckets, key=lambda bucket: bucket.start):
        if old := merged.get(new.start):
            size, total = old.size + new.size, old.total + new.total
            low, high = min(old.low, new.low), max(old.high, new.high)
            merged[new.start] = Bucket(new.start, size, total / size, low, high, total, new.last)
        else:
            merged[new.start] = new
    return list(merged.values())


def _total(db: sqlite3.Connection, ring: str, metric: Metric, end: int) -> float:
    (total,) = db.execute(
        "SELECT total(value) FROM sample WHERE series = ? AND start < ?",
        (_find_series(db, ring, metric), end),
    ).fetchone()
    return float(total)


def _sleeps(db: sqlite3.Connection, ring: str, start: int, end: int) -> list[Sleep]:
    found = [
        _sleep(kind, span)
        for kind in (NIGHT, NAP)
        for span in _spans_of(db, ring, kind, start, end)
    ]
    return sorted(found, key=lambda sleep: sleep.start)


def _recordings(db: sqlite3.Connection, ring: str, start: int, end: int) -> list[Recording]:
    return [_recording(span) for span in _spans_of(db, ring, RECORDING, start, end)]


def _delete(db: sqlite3.Connection, ring: str, start: int, end: int, now: int) -> None:
    db.execute("INSERT INTO deleted VALUES (?, ?, ?)", (_ring_id(db, ring), start, min(end, now)))
    series = dict(
        db.execute(
            "SELECT name, series.id FROM series JOIN ring ON ring.id = ring WHERE key = ?", (ring,)
        ).fetchall()
    )
    for name, number in series.items():
        gone = sum(
            db.execute(
                f"DELETE FROM {table} WHERE series = ? AND start >= ? AND start < ?",  # noqa: S608
                (number, start, end),
            ).rowcount
            for table in ("sample", "span")
        )
        if gone:
            _mark_rebuild(db, number)
        if gone and name == RECORDING:
            for metric in RECORDED:
                _mark_rebuild(db, series[metric])


def _readmit(db: sqlite3.Connection, ring: str) -> None:
    db.execute("DELETE FROM deleted WHERE ring = ?", (_ring_id(db, ring),))


def _forget(db: sqlite3.Connection, ring: str) -> None:
    db.execute("DELETE FROM ring WHERE key = ?", (ring,))


def _content_hash(db: sqlite3.Connection, ring: str) -> str:
    digest = hashlib.sha256()
    for table, columns in (("sample", "start, duration, value"), ("span", "start, end, data")):
        for row in db.execute(
            f"SELECT name, {columns} FROM {table} JOIN series ON series.id = series"  # noqa: S608
            " JOIN ring ON ring.id = ring WHERE key = ? ORDER BY name, start",
            (ring,),
        ):
            digest.update(repr(row).encode())
    return digest.hexdigest()


def _stale(db: sqlite3.Connection) -> list[Stale]:
    rows = db.execute(
        "SELECT series.id, key, name, stale, rebuild, revision"
        " FROM series JOIN ring ON ring.id = ring WHERE stale IS NOT NULL"
    )
    return [
        Stale(series, ring, name, _time(since), bool(rebuild), revision)
        for series, ring, name, since, rebuild, revision in rows
    ]


def _settle(db: sqlite3.Connection, stale: Stale, until: int) -> None:
    db.execute(
        "UPDATE series SET rebuild = 0, stale = CASE WHEN EXISTS"
        " (SELECT 1 FROM sample WHERE series = series.id AND start >= ?1 UNION ALL"
        " SELECT 1 FROM span WHERE series = series.id AND end > ?1) THEN ?1 END"
        " WHERE id = ?2 AND revision = ?3",
        (until, stale.series, stale.revision),
    )


def _restate(db: sqlite3.Connection, ring: str) -> None:
    db.execute(
        "UPDATE series SET stale = 0, revision = revision + 1"
        " WHERE ring = (SELECT id FROM ring WHERE key = ?)",
        (ring,),
    )
