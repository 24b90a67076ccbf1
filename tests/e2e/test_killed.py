"""Home Assistant killed in the middle of a sync: after its next start nothing is missing."""

import asyncio
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
import sqlite3

import pytest

from demo import check, home_with_rings
from demo.home_assistant import Json, complaints

from .conftest import TIME_ZONE

RING = "C0:DE:00:00:00:01"
# A first sync brings a few more.
PACKETS = 250
SEED = 4

type Records = dict[tuple[str, datetime], float]


def archived(storage: Path) -> Records:
    """Return what the archive holds; of a sleep its length in minutes."""
    with closing(sqlite3.connect(f"file:{storage}/smart_rings.db?mode=ro", uri=True)) as db:
        rows = db.execute(
            "SELECT name, start, value FROM sample JOIN series ON id = series UNION ALL"
            " SELECT name, span.start, (end - span.start) / 60000.0"
            " FROM span JOIN series ON series.id = series"
        ).fetchall()
    return {(name, datetime.fromtimestamp(at / 1000, UTC)): value for name, at, value in rows}


def lived(held: Json) -> Records:
    """Return the same as the simulator knows it."""
    told = {
        (metric, datetime.fromisoformat(reading["start"])): reading["value"]
        for metric, readings in held["readings"].items()
        for reading in readings
    }
    return told | {
        (kind, datetime.fromisoformat(sleep["start"])): sum(sleep["minutes"].values())
        for kind, sleeps in (("night", held["sleeps"]), ("nap", held["naps"]))
        for sleep in sleeps
        if sleep["final"]
    }


def settled(records: Records, until: datetime) -> Records:
    """Return what was over by then: the ring lives on while it is read."""
    return {key: value for key, value in records.items() if key[1] < until}


async def test_killed_in_a_sync() -> None:
    async with home_with_rings(TIME_ZONE, "--ring", "r09") as (home, simulator):
        storage = home.folder / ".storage"
        await check.add(home, [RING])
        await check.until_known(home, RING, "last_sync")
        await home.stop()
        for count in Random(SEED).sample(range(1, PACKETS), 3):
            # A ring that is known, of which nothing is.
            for file in storage.glob("smart_rings.db*"):
                file.unlink()
            until = datetime.now(UTC) - timedelta(hours=1)
            sent = asyncio.create_task(simulator.ask("wait_packets", ring=RING, count=count))
            await home.start()
            await sent
            await home.kill()
            assert len(archived(storage)) < len(lived(await simulator.ask("truth", ring=RING)))

            await home.start()
            await check.until_known(home, RING, "last_sync")
            await home.stop()
            truth = lived(await simulator.ask("truth", ring=RING))
            assert settled(archived(storage), until) == pytest.approx(settled(truth, until)), count
        assert complaints(home.log) == []
