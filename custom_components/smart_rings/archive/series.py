"""What the archive's tables have in common: series, times in milliseconds, spans and marks."""

from datetime import UTC, datetime, timedelta
import json
import sqlite3
from typing import Any, NamedTuple

from ..rings.models import Phase, Recording, Sleep, Stage
from ..rings.recordings import parse

NIGHT = "night"
NAP = "nap"
RECORDING = "recording"

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)
# Beyond every time there is, for ranges left open.
FIRST, LAST = -(2**62), 2**62


class Stale(NamedTuple):
    """A series the recorder doesn't show as it is, from `since` on.

    `gone`: where records vanished, [start, end); what is shown of them has to vanish too.
    """

    series: int
    ring: str
    name: str
    since: datetime
    gone: tuple[tuple[datetime, datetime], ...]
    revision: int


class Span(NamedTuple):
    """Something with an end of its own."""

    start: int
    end: int
    data: Any
    """JSON of a sleep, the file of a recording."""


def to_ms(when: datetime) -> int:
    """Return milliseconds since 1970."""
    return (when - EPOCH) // MILLISECOND


def to_time(ms: int) -> datetime:
    """Return the instant of so many milliseconds."""
    return EPOCH + ms * MILLISECOND


def to_range(start: datetime | None, end: datetime | None) -> tuple[int, int]:
    """Return a range that may be open in milliseconds."""
    return (FIRST if start is None else to_ms(start), LAST if end is None else to_ms(end))


def id_of_ring(db: sqlite3.Connection, ring: str) -> int:
    """Return the row of a ring, made if need be."""
    db.execute("INSERT INTO ring (key) VALUES (?) ON CONFLICT DO NOTHING", (ring,))
    (number,) = db.execute("SELECT id FROM ring WHERE key = ?", (ring,)).fetchone()
    return int(number)


def id_of_series(db: sqlite3.Connection, ring_id: int, name: str) -> int:
    """Return the row of a series, made if need be."""
    key = (ring_id, name)
    db.execute("INSERT INTO series (ring, name) VALUES (?, ?) ON CONFLICT DO NOTHING", key)
    (number,) = db.execute("SELECT id FROM series WHERE ring = ? AND name = ?", key).fetchone()
    return int(number)


def find_series(db: sqlite3.Connection, ring: str, name: str) -> int | None:
    """Return the row of a series, if there is one."""
    row = db.execute(
        "SELECT series.id FROM series JOIN ring ON ring.id = ring WHERE key = ? AND name = ?",
        (ring, name),
    ).fetchone()
    return row and int(row[0])


def mark(db: sqlite3.Connection, series: int, start: int) -> None:
    """Note that statistics of a series are out of date from `start` on."""
    db.execute(
        "UPDATE series SET stale = min(ifnull(stale, ?1), ?1), revision = revision + 1"
        " WHERE id = ?2",
        (start, series),
    )


def mark_gone(db: sqlite3.Connection, series: int, start: int, end: int) -> None:
    """Note that records vanished, the statistics of which lie in [start, end)."""
    db.execute("INSERT INTO gone VALUES (?, ?, ?)", (series, start, end))
    mark(db, series, start)


def spans(db: sqlite3.Connection, series: int, start: int, end: int) -> list[Span]:
    """Return the spans of a series that overlap [start, end), by time."""
    rows = db.execute(
        "SELECT start, end, data FROM span"
        " WHERE series = ? AND start < ? AND end > ? ORDER BY start",
        (series, end, start),
    )
    return [Span(*row) for row in rows]


def spans_of(db: sqlite3.Connection, ring: str, kind: str, start: int, end: int) -> list[Span]:
    """Return the spans of a kind that overlap [start, end), by time."""
    series = find_series(db, ring, kind)
    return [] if series is None else spans(db, series, start, end)


def sleep_of(kind: str, span: Span) -> Sleep:
    """Return the sleep a span is."""
    stages = tuple(
        Phase(Stage(stage), to_time(start), to_time(end))
        for stage, start, end in json.loads(span.data)
    )
    return Sleep(to_time(span.start), to_time(span.end), stages, nap=kind == NAP)


def recording_of(span: Span) -> Recording:
    """Return the recording a span is."""
    stored = parse(span.data)
    interval = timedelta(seconds=stored.interval_s)
    return Recording(to_time(span.start), interval, len(stored), stored.format, span.data)
