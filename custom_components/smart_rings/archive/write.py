"""What changes the archive, each within one transaction."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
import json
import sqlite3
from typing import NamedTuple

from ..rings.models import Cursor, Metric, Record, Recording, Sample, Sleep
from ..rings.recordings import RECORDED
from .series import (
    FIRST,
    LAST,
    MILLISECOND,
    NAP,
    NIGHT,
    RECORDING,
    Span,
    Stale,
    id_of_ring,
    id_of_series,
    mark,
    mark_gone,
    sleep_of,
    spans,
    to_ms,
    to_time,
)

# A sensor shows a reading for at most two hours and the longest sync interval.
SHOWN_ON = timedelta(hours=6) // MILLISECOND


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


def commit(
    db: sqlite3.Connection, ring: str, records: Iterable[Record], cursor: Cursor | None
) -> Changes:
    """Keep records and, if there is one, a cursor."""
    ring_id = id_of_ring(db, ring)
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
        if (times := _put_samples(db, id_of_series(db, ring_id, metric), batch))
    }
    changed = [
        change
        for kind, batch in sleeps.items()
        for change in _put_sleeps(db, id_of_series(db, ring_id, kind), kind, batch)
    ]
    if cursor is not None:
        db.execute("UPDATE ring SET cursor = ? WHERE id = ?", (json.dumps(dict(cursor)), ring_id))
    return Changes(touched, changed, tuple(r for r in recordings if _put_recording(db, ring_id, r)))


def _admitted(db: sqlite3.Connection, ring_id: int, records: Iterable[Record]) -> Iterator[Record]:
    deleted = db.execute("SELECT start, end FROM deleted WHERE ring = ?", (ring_id,)).fetchall()
    for record in records:
        at = to_ms(record.start)
        if not any(start <= at < end for start, end in deleted):
            yield record


def _put_samples(
    db: sqlite3.Connection, series: int, samples: Iterable[Sample]
) -> tuple[datetime, datetime] | None:
    # The last of equals wins first, so that a batch that holds one twice can be repeated.
    rows = {to_ms(s.start): (s.duration // MILLISECOND, s.value) for s in samples}
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
    mark(db, series, first)
    return to_time(first), to_time(last)


def _put_sleeps(
    db: sqlite3.Connection, series: int, kind: str, sleeps: Iterable[Sleep]
) -> Iterator[SleepChange]:
    wanted: list[Sleep] = []
    for sleep in sleeps:
        wanted = [s for s in wanted if s.end <= sleep.start or s.start >= sleep.end] + [sleep]
    for sleep in wanted:
        span = _sleep_span(sleep)
        old = spans(db, series, span.start, span.end)
        if _put_span(db, series, span, old):
            yield SleepChange(sleep, tuple(sleep_of(kind, span) for span in old))


def _put_recording(db: sqlite3.Connection, ring_id: int, recording: Recording) -> bool:
    """Keep a recording in place of single readings of its time; return whether it is news."""
    span = Span(to_ms(recording.start), to_ms(recording.end), recording.data)
    series = id_of_series(db, ring_id, RECORDING)
    rows = db.execute(
        "SELECT start, end, data FROM span WHERE series = ? AND (start = ? OR data = ?)",
        (series, span.start, span.data),
    )
    old = [Span(*row) for row in rows]
    if not _put_span(db, series, span, old):
        return False
    for metric in RECORDED:
        covered = id_of_series(db, ring_id, metric)
        db.execute(
            "DELETE FROM sample WHERE series = ? AND start >= ? AND start < ?",
            (covered, span.start, span.end),
        )
        mark(db, covered, span.start)
        for former in old:
            if former.start != span.start or former.end > span.end:
                mark_gone(db, covered, former.start, former.end)
    return True


def _put_span(db: sqlite3.Connection, series: int, span: Span, old: list[Span]) -> bool:
    """Put a span in place of others; return whether that changed anything."""
    if old == [span]:
        return False
    db.executemany(
        "DELETE FROM span WHERE series = ? AND start = ?", [(series, s.start) for s in old]
    )
    db.execute("INSERT INTO span VALUES (?, ?, ?, ?)", (series, *span))
    mark(db, series, span.start)
    for former in old:
        # Its figures stand at the hour of its end.
        mark_gone(db, series, former.start, former.end + 1)
    return True


def _sleep_span(sleep: Sleep) -> Span:
    stages = [(p.stage, to_ms(p.start), to_ms(p.end)) for p in sleep.stages]
    return Span(to_ms(sleep.start), to_ms(sleep.end), json.dumps(stages))


def remember(db: sqlite3.Connection, ring: str, memory: str) -> None:
    """Keep a JSON document for a ring."""
    db.execute("UPDATE ring SET memory = ? WHERE id = ?", (memory, id_of_ring(db, ring)))


def delete(db: sqlite3.Connection, ring: str, start: int, end: int, now: int) -> None:
    """Delete what begins in [start, end); what began until `now` is not taken again."""
    ring_id, first, last = id_of_ring(db, ring), max(start, 0), min(end, now)
    db.execute("INSERT INTO deleted VALUES (?, ?, ?)", (ring_id, start, last))
    # The statistics may tell more than the archive, which may have been lost once.
    for name in (*Metric, NIGHT, NAP, RECORDING):
        series = id_of_series(db, ring_id, name)
        shown = _shown_until(db, series, start, end)
        for table in ("sample", "span"):
            db.execute(
                f"DELETE FROM {table} WHERE series = ? AND start >= ? AND start < ?",  # noqa: S608
                (series, start, end),
            )
        mark_gone(db, series, first, max(last, shown))
        if name == RECORDING and shown > first:
            for metric in RECORDED:
                mark_gone(db, id_of_series(db, ring_id, metric), first, shown)


def _shown_until(db: sqlite3.Connection, series: int, start: int, end: int) -> int:
    """Return until when something shows the last of the records that begin in [start, end)."""
    key = (series, start, end)
    where = "WHERE series = ? AND start >= ? AND start < ?"
    (span,) = db.execute(f"SELECT max(end) + 1 FROM span {where}", key).fetchone()  # noqa: S608
    (sample,) = db.execute(f"SELECT max(start) FROM sample {where}", key).fetchone()  # noqa: S608
    if sample is None:
        return int(span or FIRST)
    (following,) = db.execute(
        "SELECT min(start) FROM sample WHERE series = ? AND start >= ?", (series, end)
    ).fetchone()
    return int(min(sample + SHOWN_ON, LAST if following is None else following))


def readmit(db: sqlite3.Connection, ring: str) -> None:
    """Take records again that were deleted."""
    db.execute("DELETE FROM deleted WHERE ring = ?", (id_of_ring(db, ring),))


def forget(db: sqlite3.Connection, ring: str) -> None:
    """Delete all there is of a ring."""
    db.execute("DELETE FROM ring WHERE key = ?", (ring,))


def settle(db: sqlite3.Connection, stale: Stale, until: int) -> None:
    """Note that statistics show a series up to `until`, if it is as it was."""
    db.execute(
        "DELETE FROM gone WHERE series = (SELECT id FROM series WHERE id = ? AND revision = ?)",
        (stale.series, stale.revision),
    )
    db.execute(
        "UPDATE series SET stale = CASE WHEN EXISTS"
        " (SELECT 1 FROM sample WHERE series = series.id AND start >= ?1 UNION ALL"
        " SELECT 1 FROM span WHERE series = series.id AND end > ?1) THEN ?1 END"
        " WHERE id = ?2 AND revision = ?3",
        (until, stale.series, stale.revision),
    )


def restate(db: sqlite3.Connection, ring: str) -> None:
    """Let all statistics of a ring be written again."""
    db.execute(
        "UPDATE series SET stale = 0, revision = revision + 1"
        " WHERE ring = (SELECT id FROM ring WHERE key = ?)",
        (ring,),
    )
