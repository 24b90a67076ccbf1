"""Time what the archive and the statistics do with a year of one ring.

    scripts/bench [--days N] [--json FILE]

Times are the best of five, in milliseconds. `loop` is the longest single callback on the event
loop, in CPU time of its thread.
"""

import argparse
import asyncio
from asyncio import events
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
import json
import logging
from pathlib import Path
import random
import tempfile
import time
from typing import Any
from unittest.mock import patch

from homeassistant.components.recorder.core import Recorder
from homeassistant.components.recorder.tasks import CompileMissingStatisticsTask
from homeassistant.core import HomeAssistant
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers.recorder import async_initialize_recorder, get_instance
from homeassistant.setup import async_setup_component
from pytest_homeassistant_custom_component.common import async_test_home_assistant

from custom_components.smart_rings.archive import Archive
from custom_components.smart_rings.const import DOMAIN
from custom_components.smart_rings.rings.models import (
    METRICS,
    Batch,
    Metric,
    Phase,
    Record,
    Sample,
    Sleep,
    Stage,
)
from custom_components.smart_rings.statistics import Statistics

RING = "AA:BB:CC:00:11:22"
EVERY = {
    Metric.HEART_RATE: 5,
    Metric.SPO2: 60,
    Metric.HRV: 30,
    Metric.STRESS: 30,
    Metric.TEMPERATURE: 30,
    Metric.STEPS: 15,
    Metric.DISTANCE: 15,
    Metric.ENERGY: 15,
}
RUNS = 5
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


def days_of(number: int, end: datetime) -> Iterator[Batch]:
    """Yield a batch a day, the last one of the day before `end`."""
    chance = random.Random(number)
    for day in range(number):
        start = end - (number - day) * DAY
        records: list[Record] = [
            Sample(metric, start + minute * timedelta(minutes=1), _value(metric, chance))
            for metric, every in EVERY.items()
            for minute in range(0, 24 * 60, every)
        ]
        yield Batch([*records, _night(start)], {"day": day})


def _value(metric: Metric, chance: random.Random) -> float:
    info = METRICS[metric]
    return float(round(chance.uniform(info.low, min(info.high, 1000))))


def _night(start: datetime) -> Sleep:
    stages = tuple(
        Phase(stage, start + i * HOUR / 4, start + (i + 1) * HOUR / 4)
        for i, stage in enumerate([Stage.LIGHT, Stage.DEEP, Stage.LIGHT, Stage.REM] * 8)
    )
    return Sleep(start, stages[-1].end, stages)


async def best[R](job: Callable[[], Awaitable[R]]) -> float:
    """Return the shortest of five runs, in milliseconds."""
    times = []
    for _ in range(RUNS):
        begin = time.perf_counter()
        await job()
        times.append(time.perf_counter() - begin)
    return min(times) * 1000


@contextmanager
def longest_callback() -> Iterator[Callable[[], float]]:
    """Watch the event loop; the yielded function returns milliseconds of CPU."""
    longest = 0.0
    run = events.Handle._run  # noqa: SLF001

    def timed(handle: events.Handle) -> None:
        nonlocal longest
        begin = time.thread_time()
        run(handle)
        longest = max(longest, time.thread_time() - begin)

    with patch.object(events.Handle, "_run", timed):
        yield lambda: longest * 1000


async def bench_archive(folder: Path, days: int, end: datetime) -> dict[str, float]:
    """Time one year in the archive."""
    batches = list(days_of(days, end))
    path = folder / "archive.db"
    archive = await Archive.open(path)
    begin = time.perf_counter()
    for batch in batches:
        await archive.commit(RING, batch)
    inserted = time.perf_counter() - begin
    month = end - 30 * DAY

    async def hourly() -> None:
        for metric in EVERY:
            await archive.buckets(RING, metric, HOUR, month)

    async def raw() -> None:
        await archive.samples(RING, Metric.HEART_RATE, month)

    async def reopen() -> None:
        await (await Archive.open(path)).close()

    async def repeat() -> None:
        await archive.commit(RING, batches[-1])

    figures = {
        "records": sum(len(batch.records) for batch in batches),
        "insert a day": inserted * 1000 / days,
        "repeat a day": await best(repeat),
        "month of hours, one metric": await best(
            lambda: archive.buckets(RING, Metric.HEART_RATE, HOUR, month)
        ),
        "month of hours, all metrics": await best(hourly),
        "month of heart rate": await best(raw),
        "latest of all metrics": await best(lambda: archive.latest(RING)),
        "sleeps of a month": await best(lambda: archive.sleeps(RING, month)),
    }
    await archive.close()
    figures["open and check"] = await best(reopen)
    figures["file, MB"] = path.stat().st_size / 1e6
    return figures


@asynccontextmanager
async def home_with_recorder(folder: Path) -> AsyncIterator[HomeAssistant]:
    """Yield a Home Assistant whose recorder has caught up, with the ring's sensors."""
    async with async_test_home_assistant(config_dir=str(folder)) as hass:
        async_initialize_recorder(hass)
        database = {"db_url": f"sqlite:///{folder}/recorder.db"}
        await async_setup_component(hass, "recorder", {"recorder": database})
        await async_setup_component(hass, "sensor", {})
        await hass.async_block_till_done()
        registry = er.async_get(hass)
        for metric in Metric:
            entity = registry.async_get_or_create("sensor", DOMAIN, f"{RING}_{metric}")
            attributes = {
                "state_class": "measurement",
                "unit_of_measurement": METRICS[metric].unit,
            }
            hass.states.async_set(entity.entity_id, "unknown", attributes)
        try:
            yield hass
        finally:
            await hass.async_stop(force=True)


async def bench_statistics(folder: Path, days: int, end: datetime) -> dict[str, float]:
    """Time the way of a sync into a recorder."""
    async with home_with_recorder(folder) as hass:
        recorder: Recorder = get_instance(hass)
        recorder.queue_task(CompileMissingStatisticsTask())
        archive = await Archive.open(folder / "archive.db")
        statistics = Statistics(hass, archive)
        await statistics.flush()
        with longest_callback() as longest:
            for batch in days_of(days, end):
                await archive.commit(RING, batch)
            sync = longest()
        with longest_callback() as longest:
            begin = time.perf_counter()
            await statistics.flush()
            took = time.perf_counter() - begin
            flush = longest()
        await archive.close()
    return {"sync, loop": sync, "statistics": took * 1000, "statistics, loop": flush}


async def best_statistics(days: int, end: datetime) -> dict[str, float]:
    """Return the best of five first syncs, each into a recorder of its own."""
    runs = []
    for _ in range(RUNS):
        with tempfile.TemporaryDirectory() as folder:
            runs.append(await bench_statistics(Path(folder), days, end))
    return {f"{days} days: {name}": min(run[name] for run in runs) for name in runs[0]}


async def main(options: argparse.Namespace) -> dict[str, Any]:
    """Run all and return the figures."""
    end = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    with tempfile.TemporaryDirectory() as folder:
        figures = await bench_archive(Path(folder), options.days, end)
    return figures | await best_statistics(7, end)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=365, help="days in the archive")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    arguments = parser.parse_args()
    logging.disable(logging.INFO)
    results = asyncio.run(main(arguments))
    for name, figure in results.items():
        print(f"{name:36}{figure:12.2f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2))
