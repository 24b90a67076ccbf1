"""What can be asked of the archive."""

from collections.abc import Iterable, Iterator
from datetime import datetime
import hashlib
import json
import sqlite3
from typing import Any, NamedTuple

from ..rings.models import Metric, Recording, Sample, Sleep
from ..rings.recordings import RECORDED, parse
from .series import (
    MILLISECOND,
    NAP,
    NIGHT,
    RECORDING,
    Span,
    Stale,
    find_series,
    recording_of,
    sleep_of,
    spans_of,
    to_time,
)


class Bucket(NamedTuple):
    """The readings whose start falls into one period."""

    start: datetime
    size: int
    mean: float
    low: float
    high: float
    total: float
    last: float


def document(db: sqlite3.Connection, column: str, ring: str) -> dict[str, Any]:
    """Return what a column of a ring holds as JSON."""
    row = db.execute(f"SELECT {column} FROM ring WHERE key = ?", (ring,)).fetchone()  # noqa: S608
    return json.loads(row[0]) if row and row[0] else {}


def latest(db: sqlite3.Connection, ring: str) -> dict[Metric, Sample]:
    """Return the newest sample of each metric."""
    rows = db.execute(
        "SELECT name, start, value, duration FROM ring"
        " JOIN series ON series.ring = ring.id JOIN sample ON series = series.id"
        " WHERE key = ? AND start = (SELECT max(start) FROM sample WHERE series = series.id)",
        (ring,),
    )
    return {
        metric: Sample(metric, to_time(start), value, duration * MILLISECOND)
        for metric, start, value, duration in ((Metric(name), *row) for name, *row in rows)
    }


def samples(
    db: sqlite3.Connection, ring: str, metric: Metric, start: int, end: int
) -> list[Sample]:
    """Return the samples that begin in [start, end), by time."""
    rows = db.execute(
        "SELECT start, value, duration FROM sample"
        " WHERE series = ? AND start >= ? AND start < ? ORDER BY start",
        (find_series(db, ring, metric), start, end),
    )
    return [Sample(metric, to_time(at), value, long * MILLISECOND) for at, value, long in rows]


def readings(
    db: sqlite3.Connection, ring: str, metric: Metric, start: int, end: int
) -> list[Sample]:
    """Return the samples and what recordings hold of a metric, by time."""
    readings = samples(db, ring, metric, start, end)
    if metric not in RECORDED:
        return readings
    for span in spans_of(db, ring, RECORDING, start, end):
        stored = parse(span.data)
        times = range(span.start, span.end, 1000 * stored.interval_s)
        readings += [
            Sample(metric, to_time(at), value)
            for at, value in zip(times, stored.column(metric), strict=True)
            if value and start <= at < end
        ]
    return sorted(readings, key=lambda sample: sample.start)


def buckets(
    db: sqlite3.Connection, ring: str, metric: Metric, width: int, start: int, end: int
) -> list[Bucket]:
    """Return the readings that begin in [start, end), summed up per period of `width`."""
    series = find_series(db, ring, metric)
    rows = db.execute(
        "SELECT bucket, size, mean, low, high, total, value FROM ("
        " SELECT start - start % ?1 AS bucket, count(*) AS size, avg(value) AS mean,"
        " min(value) AS low, max(value) AS high, sum(value) AS total, max(start) AS newest"
        " FROM sample WHERE series = ?2 AND start >= ?3 AND start < ?4 GROUP BY bucket"
        ") JOIN sample ON series = ?2 AND start = newest ORDER BY bucket",
        (width, series, start, end),
    )
    buckets = [Bucket(to_time(bucket), *figures) for bucket, *figures in rows]
    if metric not in RECORDED:
        return buckets
    for span in spans_of(db, ring, RECORDING, start, end):
        buckets += _recorded(span, metric, width, start, end)
    return _merged(buckets)


def _recorded(span: Span, metric: Metric, width: int, start: int, end: int) -> Iterator[Bucket]:
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
                to_time(period), size, total / size, min(values), max(values), total, values[-1]
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


def sleeps(db: sqlite3.Connection, ring: str, start: int, end: int) -> list[Sleep]:
    """Return nights and naps that overlap [start, end), by time."""
    found = [
        sleep_of(kind, span)
        for kind in (NIGHT, NAP)
        for span in spans_of(db, ring, kind, start, end)
    ]
    return sorted(found, key=lambda sleep: sleep.start)


def recordings(db: sqlite3.Connection, ring: str, start: int, end: int) -> list[Recording]:
    """Return the recordings that overlap [start, end), by time."""
    return [recording_of(span) for span in spans_of(db, ring, RECORDING, start, end)]


def recording_starts(db: sqlite3.Connection, ring: str, start: int, end: int) -> list[datetime]:
    """Return when the recordings that overlap [start, end) begin."""
    rows = db.execute(
        "SELECT start FROM span WHERE series = ? AND start < ? AND end > ? ORDER BY start",
        (find_series(db, ring, RECORDING), end, start),
    )
    return [to_time(at) for (at,) in rows]


def content_hash(db: sqlite3.Connection, ring: str) -> str:
    """Return a digest of all records of a ring."""
    digest = hashlib.sha256()
    for table, columns in (("sample", "start, duration, value"), ("span", "start, end, data")):
        for row in db.execute(
            f"SELECT name, {columns} FROM {table} JOIN series ON series.id = series"  # noqa: S608
            " JOIN ring ON ring.id = ring WHERE key = ? ORDER BY name, start",
            (ring,),
        ):
            digest.update(repr(row).encode())
    return digest.hexdigest()


def stale(db: sqlite3.Connection) -> list[Stale]:
    """Return the series whose statistics are out of date."""
    gone: dict[int, list[tuple[datetime, datetime]]] = {}
    for series, start, end in db.execute("SELECT series, start, end FROM gone"):
        gone.setdefault(series, []).append((to_time(start), to_time(end)))
    rows = db.execute(
        "SELECT series.id, key, name, stale, revision"
        " FROM series JOIN ring ON ring.id = ring WHERE stale IS NOT NULL"
    )
    return [
        Stale(series, ring, name, to_time(since), tuple(gone.get(series, ())), revision)
        for series, ring, name, since, revision in rows
    ]
