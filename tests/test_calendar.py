"""Nights and naps stand in the calendar where they were."""

from datetime import datetime, timedelta
from typing import Any

from homeassistant.util import dt as dt_util
import pytest

from custom_components.smart_rings.rings.models import Batch, Phase, Sleep, Stage
from ringsim.rings.colmi import ColmiRing
from tests.air import Air, virtual

MINUTE = timedelta(minutes=1)
WEEK = timedelta(days=7)


async def events(air: Air, ring: ColmiRing, start: datetime, end: datetime) -> list[dict[str, Any]]:
    entity_id = air.state(ring, "sleep", "calendar").entity_id
    answer = await air.hass.services.async_call(
        "calendar",
        "get_events",
        {"entity_id": entity_id, "start_date_time": start, "end_date_time": end},
        blocking=True,
        return_response=True,
    )
    return answer[entity_id]["events"]  # type: ignore[index, call-overload, return-value]


def times(sleeps: list[dict[str, Any]]) -> list[tuple[datetime, datetime]]:
    return sorted(
        (datetime.fromisoformat(sleep["start"]), datetime.fromisoformat(sleep["end"]))
        for sleep in sleeps
    )


async def test_all_sleeps_the_ring_held_are_there(air: Air) -> None:
    ring = virtual("r12")
    await air.add(ring)
    now = dt_util.utcnow()
    truth = ring.truth()
    assert truth["naps"]
    shown = await events(air, ring, now - WEEK, now)
    assert times(shown) == times([*truth["sleeps"], *truth["naps"]])
    assert sum(event["summary"].startswith("Nap, ") for event in shown) == len(truth["naps"])
    assert air.value(ring, "sleep", "calendar") == "off"


async def test_only_sleeps_of_the_time_asked_for(air: Air) -> None:
    ring = virtual("r12")
    await air.add(ring)
    night = ring.truth()["last_night"]
    end = datetime.fromisoformat(night["end"])
    assert times(await events(air, ring, end - MINUTE, end + MINUTE)) == times([night])
    assert not await events(air, ring, end, end + MINUTE)


@pytest.mark.parametrize(
    ("nap", "length", "summary"),
    [(False, 443, "Night, 7 h 23 min"), (True, 25, "Nap, 25 min"), (False, 60, "Night, 1 h 0 min")],
)
async def test_what_an_event_says(air: Air, *, nap: bool, length: int, summary: str) -> None:
    ring = virtual("r12")
    await air.add(ring)
    start = dt_util.utcnow() - timedelta(days=400)
    middle, end = start + 10 * MINUTE, start + length * MINUTE
    stages = (Phase(Stage.DEEP, start, middle), Phase(Stage.LIGHT, middle, end))
    await air.archive.commit(ring.address, Batch([Sleep(start, end, stages, nap)], {}))
    (event,) = await events(air, ring, start, end)
    assert event["summary"] == summary
    assert event["description"].splitlines()[1] == "Deep sleep: 10 min"
    assert "REM" not in event["description"]
