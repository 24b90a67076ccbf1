"""Exported files open in a spreadsheet, and hold exactly what the archive holds."""

from collections.abc import Iterable, Iterator
import csv
from datetime import UTC, datetime, timedelta
import io
from pathlib import Path
import re
import tracemalloc
from zipfile import ZipFile
from zoneinfo import ZoneInfo

from homeassistant.util.file import WriteError
import pytest

from custom_components.smart_rings.export import Table, samples_table, sleep_table, write
from custom_components.smart_rings.rings.models import (
    Metric,
    Phase,
    Recording,
    RecordingFormat,
    Sample,
    Sleep,
    Stage,
)
from tests.rings.fake_oximeter import vld

AMSTERDAM = ZoneInfo("Europe/Amsterdam")
# The clocks go back at 01:00 UTC of this day.
NIGHT = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
SAMPLES = [
    Sample(Metric.TEMPERATURE, NIGHT, 36.1 + 0.2),
    Sample(Metric.TEMPERATURE, NIGHT + timedelta(milliseconds=1), 1 / 3),
    Sample(Metric.TEMPERATURE, NIGHT + 60 * MINUTE, 35.0, 15 * MINUTE),
]
SLEEPS = [
    Sleep(
        NIGHT,
        NIGHT + 90 * MINUTE,
        (
            Phase(Stage.LIGHT, NIGHT, NIGHT + 60 * MINUTE),
            Phase(Stage.UNKNOWN, NIGHT + 60 * MINUTE, NIGHT + 90 * MINUTE),
        ),
    ),
    Sleep(NIGHT + 600 * MINUTE, NIGHT + 620 * MINUTE, nap=True),
]
TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}")
WORDS = {"", "night", "nap", *Stage}


def rows(path: Path) -> list[dict[str, str]]:
    """Read a file as a spreadsheet does."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def utc(cell: str) -> datetime:
    return datetime.fromisoformat(cell).replace(tzinfo=UTC)


def saved(folder: Path, *tables: Table | Recording, zipped: bool = False) -> list[Path]:
    return write(tables, folder, "ring", AMSTERDAM, zipped=zipped)


def cells(table: list[dict[str, str]]) -> Iterable[str]:
    return (cell for row in table for cell in row.values())


def is_safe(cell: str) -> bool:
    """Whether a spreadsheet can take a cell for nothing but a time, a number or a word of ours."""
    return cell in WORDS or bool(TIME.fullmatch(cell)) or float(cell) >= 0


def test_samples_read_back_are_the_same(tmp_path: Path) -> None:
    (path,) = saved(tmp_path, samples_table(Metric.TEMPERATURE, SAMPLES, AMSTERDAM))
    back = [
        Sample(
            Metric.TEMPERATURE,
            utc(row["Start (UTC)"]),
            float(row["Temperature (°C)"]),
            timedelta(seconds=float(row["Duration (s)"])),
        )
        for row in rows(path)
    ]
    assert back == SAMPLES


def test_times_are_local_too(tmp_path: Path) -> None:
    """The hour that comes twice is told apart by UTC."""
    (path,) = saved(tmp_path, samples_table(Metric.TEMPERATURE, SAMPLES, AMSTERDAM))
    first, _, last = rows(path)
    assert first["Start (Europe/Amsterdam)"] == last["Start (Europe/Amsterdam)"]
    assert first["Start (Europe/Amsterdam)"] == "2026-10-25 02:30:00.000"
    assert first["Start (UTC)"] == "2026-10-25 00:30:00.000"


def test_sleeps_read_back_are_the_same(tmp_path: Path) -> None:
    (path,) = saved(tmp_path, sleep_table(SLEEPS, AMSTERDAM))
    back: dict[tuple[datetime, datetime, bool], list[Phase]] = {}
    for row in rows(path):
        start, end = utc(row["Sleep start (UTC)"]), utc(row["Sleep end (UTC)"])
        stages = back.setdefault((start, end, row["Kind"] == "nap"), [])
        if row["Stage"]:
            span = utc(row["Stage start (UTC)"]), utc(row["Stage end (UTC)"])
            stages.append(Phase(Stage(row["Stage"]), *span))
            assert float(row["Stage length (min)"]) == (span[1] - span[0]) / MINUTE
    assert [Sleep(s, e, tuple(stages), nap) for (s, e, nap), stages in back.items()] == SLEEPS


def test_no_cell_is_a_formula(tmp_path: Path) -> None:
    tables = samples_table(Metric.STRESS, SAMPLES, AMSTERDAM), sleep_table(SLEEPS, AMSTERDAM)
    for path in saved(tmp_path, *tables):
        table = rows(path)
        assert table
        assert all(map(is_safe, cells(table)))
        assert not any(name[0] in "=+-@\t\r" for name in table[0])


def test_a_metric_without_unit_has_a_plain_header(tmp_path: Path) -> None:
    (path,) = saved(tmp_path, samples_table(Metric.STRESS, SAMPLES, AMSTERDAM))
    assert "Stress" in rows(path)[0]


def test_one_file_holds_all_files(tmp_path: Path) -> None:
    tables = samples_table(Metric.STRESS, SAMPLES, AMSTERDAM), sleep_table(SLEEPS, AMSTERDAM)
    (path,) = saved(tmp_path, *tables, zipped=True)
    assert path == tmp_path / "ring.zip"
    with ZipFile(path) as packed:
        assert packed.namelist() == ["ring_stress.csv", "ring_sleep.csv"]
        text = packed.read("ring_stress.csv").decode("utf-8-sig")
    assert len(list(csv.DictReader(io.StringIO(text, newline="")))) == len(SAMPLES)


def test_a_link_in_the_folder_leads_nowhere(tmp_path: Path) -> None:
    """Only the folder was allowed, not what a link in it points to."""
    outside = tmp_path / "outside"
    outside.write_text("untouched")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "ring_sleep.csv").symlink_to(outside)
    saved(folder, sleep_table(SLEEPS, AMSTERDAM))
    assert outside.read_text() == "untouched"
    assert rows(folder / "ring_sleep.csv")


@pytest.mark.parametrize("zipped", [False, True])
def test_each_file_is_written_before_the_next_is_made(tmp_path: Path, *, zipped: bool) -> None:
    """A year of nights is a gigabyte of text, more than a small computer has memory."""

    def nights() -> Iterator[Recording]:
        for number in range(40):
            start = NIGHT + number * timedelta(days=1)
            yield Recording(
                start, timedelta(seconds=4), 5000, RecordingFormat.VLD, vld(5000, start)
            )

    tracemalloc.start()
    written = write(nights(), tmp_path, "ring", AMSTERDAM, zipped=zipped)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    size = 40 * 5000 * 55
    assert peak < size / 2
    if not zipped:
        assert sum(path.stat().st_size for path in written) > size


@pytest.mark.parametrize("zipped", [False, True])
def test_a_folder_that_went_away_is_an_error(tmp_path: Path, *, zipped: bool) -> None:
    with pytest.raises(WriteError):
        saved(tmp_path / "gone", sleep_table(SLEEPS, AMSTERDAM), zipped=zipped)


def test_a_recording_is_a_table_and_the_rings_own_file(tmp_path: Path) -> None:
    data = bytearray(vld(600, NIGHT))
    # Nothing was measured in the first sample.
    data[40:43] = b"\xff\xff\xff"
    recording = Recording(NIGHT, timedelta(seconds=4), 600, RecordingFormat.VLD, bytes(data))
    table, own = write([recording], tmp_path, "ring", AMSTERDAM, zipped=False)
    # 02:30 comes twice in this night: the first time it is still summer.
    assert (table.name, own.name) == (
        "ring_recording_20261025023000.csv",
        "ring_recording_20261025023000.vld",
    )
    assert own.read_bytes() == data
    found = rows(table)
    assert len(found) == 600
    for number, row in enumerate(found):
        raw = data[40 + 5 * number : 45 + 5 * number]
        assert utc(row["Start (UTC)"]) == NIGHT + number * timedelta(seconds=4)
        assert row["Blood oxygen (%)"] == (str(raw[0]) if number else "")
        assert row["Heart rate (bpm)"] == (str(raw[1]) if number else "")
        assert row["Motion"] == str(raw[3])
    assert all(map(is_safe, cells(found)))
