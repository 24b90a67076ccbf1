"""What a ring recorded, as tables a spreadsheet opens and nothing is lost in.

A cell is a number, a time or a word of ours, never a text from outside: no spreadsheet can take
it for a formula.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
import csv
from datetime import UTC, datetime, timedelta, tzinfo
import io
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple
import zipfile

from homeassistant.util.file import WriteError, write_utf8_file_atomic

from .rings.models import METRICS, Metric, Recording, RecordingFormat, Sample, Sleep
from .rings.recordings import decode
from .sleep import kind

# Of the files as the rings have them.
SUFFIXES: Mapping[RecordingFormat, str] = {
    RecordingFormat.VLD: "vld",
    RecordingFormat.OXYII: "dat",
}


class Table(NamedTuple):
    """A file to be: its name without suffix, what its columns hold, and its rows."""

    name: str
    header: Sequence[str]
    rows: Iterable[Sequence[str]]


def samples_table(metric: Metric, samples: Iterable[Sample], zone: tzinfo) -> Table:
    """Return the samples of a metric, each with its start and how long it lasted."""
    unit = METRICS[metric].unit
    label = metric.replace("_", " ").capitalize()
    return Table(
        metric,
        [*_times("Start", zone), "Duration (s)", f"{label} ({unit})" if unit else label],
        (
            [*_cells(s.start, zone), repr(s.duration.total_seconds()), repr(s.value)]
            for s in samples
        ),
    )


def sleep_table(sleeps: Iterable[Sleep], zone: tzinfo) -> Table:
    """Return the stages of nights and naps; one whose stages aren't known is a row without."""
    return Table(
        "sleep",
        [
            "Kind",
            *_times("Sleep start", zone),
            *_times("Sleep end", zone),
            "Stage",
            *_times("Stage start", zone),
            *_times("Stage end", zone),
            "Stage length (min)",
        ],
        (row for sleep in sleeps for row in _sleep_rows(sleep, zone)),
    )


def _sleep_rows(sleep: Sleep, zone: tzinfo) -> Iterable[Sequence[str]]:
    whole = [kind(sleep), *_cells(sleep.start, zone), *_cells(sleep.end, zone)]
    if not sleep.stages:
        yield [*whole, *[""] * 6]
    for phase in sleep.stages:
        length = (phase.end - phase.start) / timedelta(minutes=1)
        times = [*_cells(phase.start, zone), *_cells(phase.end, zone)]
        yield [*whole, phase.stage, *times, repr(length)]


def recording_table(recording: Recording, zone: tzinfo) -> Table:
    """Return all samples of a recording; what was not measured is empty."""
    stored = decode(recording)
    columns = zip(stored.spo2, stored.pulse, stored.motion, strict=True)
    return Table(
        f"recording_{recording.start.astimezone(zone):%Y%m%d%H%M%S}",
        [*_times("Start", zone), "Blood oxygen (%)", "Heart rate (bpm)", "Motion"],
        (
            [
                *_cells(recording.start + number * recording.interval, zone),
                str(spo2 or ""),
                str(pulse or ""),
                str(motion),
            ]
            for number, (spo2, pulse, motion) in enumerate(columns)
        ),
    )


def _times(what: str, zone: tzinfo) -> tuple[str, str]:
    return f"{what} ({zone})", f"{what} (UTC)"


def _cells(when: datetime, zone: tzinfo) -> tuple[str, str]:
    """Return a time in both zones, in the form spreadsheets take for a time, to the millisecond."""
    local, utc = (
        when.astimezone(to).replace(tzinfo=None).isoformat(" ", "milliseconds")
        for to in (zone, UTC)
    )
    return local, utc


def _csv(table: Table) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows([table.header, *table.rows])
    # Without this mark Excel takes it for the code page of the computer.
    return text.getvalue().encode("utf-8-sig")


def _files(things: Iterable[Table | Recording], zone: tzinfo) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the content of each file; a recording is also the ring's own file."""
    for thing in things:
        table = recording_table(thing, zone) if isinstance(thing, Recording) else thing
        yield f"{table.name}.csv", _csv(table)
        if isinstance(thing, Recording):
            yield f"{table.name}.{SUFFIXES[thing.format]}", thing.data


def write(
    things: Iterable[Table | Recording],
    folder: Path,
    prefix: str,
    zone: tzinfo,
    *,
    zipped: bool,
) -> list[Path]:
    """Write a file per table, or all into one; each is replaced whole. Raises `WriteError`.

    One thing at a time is taken and held in memory: a year of nights is a gigabyte of text.
    `prefix` has to be a name without path. Blocks.
    """
    files = ((f"{prefix}_{name}", content) for name, content in _files(things, zone))
    if zipped:
        return [_pack(files, folder / f"{prefix}.zip")]
    written = []
    for name, content in files:
        write_utf8_file_atomic(str(folder / name), content, mode="wb")
        written.append(folder / name)
    return written


def _pack(files: Iterable[tuple[str, bytes]], path: Path) -> Path:
    try:
        with TemporaryDirectory(dir=path.parent) as scratch:
            unfinished = Path(scratch, path.name)
            with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_DEFLATED) as packed:
                for name, content in files:
                    packed.writestr(name, content)
            return unfinished.replace(path)
    except OSError as err:
        raise WriteError(err) from err
