"""An automation is told of each thing that happened, once."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from homeassistant.const import STATE_UNAVAILABLE, STATE_UNKNOWN
from homeassistant.core import Event, EventStateChangedData, HomeAssistant, State, callback
from homeassistant.helpers.event import async_track_state_change_event
from homeassistant.helpers.template import Template
from homeassistant.util import dt as dt_util
import pytest
import yaml

from ringsim.rings.base import Faults
from ringsim.rings.colmi import ColmiRing
from tests.air import Air, virtual

README = Path(__file__).parent.parent / "README.md"


class Told:
    """What the event entity of a ring told."""

    def __init__(self, air: Air, ring: ColmiRing) -> None:
        self.all: list[dict[str, Any]] = []
        state = air.state(ring, "events", "event")
        # After a restart the entity shows its last event again: the same.
        self._known = {STATE_UNAVAILABLE, STATE_UNKNOWN, state.state}
        async_track_state_change_event(air.hass, state.entity_id, self._changed)

    @callback
    def _changed(self, event: Event[EventStateChangedData]) -> None:
        state = event.data["new_state"]
        if state and state.state not in self._known:
            self._known.add(state.state)
            self.all.append(dict(state.attributes))

    def types(self) -> list[str]:
        return [told["event_type"] for told in self.all]

    def nights(self) -> list[str]:
        return [told["start"] for told in self.all if told["event_type"] == "night_recorded"]


def local(hour: int, minute: int = 0) -> datetime:
    """Return a time of today in Amsterdam."""
    return dt_util.start_of_local_day() + timedelta(hours=hour, minutes=minute)


def night(ring: ColmiRing, begin: datetime, hours: int) -> None:
    ring.put_sleep(begin.replace(tzinfo=None), [("light", 60)] * hours, nap=False)


async def test_last_night_is_told_once_when_final(air: Air) -> None:
    ring = virtual("r12")
    entry = await air.add(ring)
    told = Told(air, ring)
    last = ring.truth()["last_night"]
    await air.passes(minutes=80)
    assert not told.all
    await air.passes(minutes=40)
    assert told.nights() == [last["start"]]
    assert told.all[0]["end"] == last["end"]
    assert told.all[0]["deep_sleep"] == last["minutes"]["deep"]
    await air.restart(entry)
    await entry.runtime_data.async_reread()
    await air.passes(hours=3)
    assert told.nights() == [last["start"]]


async def test_the_next_night_is_told_the_next_day(air: Air) -> None:
    ring = virtual("r12")
    await air.add(ring)
    told = Told(air, ring)
    await air.passes(hours=22)
    assert told.nights() == [sleep["start"] for sleep in ring.truth()["sleeps"][-2:]]


async def test_a_night_still_worked_out_is_told_when_whole(air: Air) -> None:
    ring = virtual("r12")
    ring.clear()
    ring.finalised_after = timedelta(hours=8)
    night(ring, local(-1), 9)
    whole = ring.sleeps[local(-1).replace(tzinfo=None)]
    await air.add(ring)
    told = Told(air, ring)
    assert ring.truth()["last_night"]["end"] != whole.end.isoformat()
    await air.passes(hours=4)
    assert [e["end"] for e in told.all] == [whole.end.isoformat()]


async def test_a_night_that_grows_after_it_was_told_is_not_told_again(air: Air) -> None:
    ring = virtual("r12")
    ring.clear()
    begin = local(-1)
    night(ring, begin, 7)
    await air.add(ring)
    told = Told(air, ring)
    await air.passes(hours=2)
    assert told.types() == ["night_recorded"]
    assert air.value(ring, "last_night_sleep") == "7.0"
    night(ring, begin, 8)
    await air.passes(hours=3)
    assert told.types() == ["night_recorded"]
    assert air.value(ring, "last_night_sleep") == "8.0"


async def test_a_first_sync_tells_of_no_night_long_past(air: Air) -> None:
    ring = virtual("r12")
    ring.clear()
    for days in range(2, 6):
        night(ring, local(-1) - timedelta(days=days), 7)
    await air.add(ring)
    told = Told(air, ring)
    await air.passes(hours=3)
    assert not told.all
    assert air.value(ring, "last_night_sleep") == STATE_UNKNOWN


async def test_naps_are_told_apart(air: Air) -> None:
    ring = virtual("r12")
    ring.clear()
    night(ring, local(-1), 7)
    nap = local(12)
    ring.put_sleep(nap.replace(tzinfo=None), [("light", 40)], nap=True)
    await air.add(ring)
    told = Told(air, ring)
    await air.passes(hours=2)
    assert told.types() == ["night_recorded", "nap_recorded"]
    assert datetime.fromisoformat(told.all[1]["start"]) == nap
    assert air.value(ring, "last_night_sleep") == "7.0"


async def test_two_nights_in_a_day(air: Air) -> None:
    """Of a shift worker; each is told, and the later is last night."""
    ring = virtual("r12")
    ring.clear()
    first, second = local(3), local(11)
    night(ring, first, 5)
    await air.add(ring)
    told = Told(air, ring)
    night(ring, second, 3)
    await air.passes(hours=4)
    assert [datetime.fromisoformat(start) for start in told.nights()] == [first, second]
    assert datetime.fromisoformat(air.value(ring, "fell_asleep")) == second
    assert datetime.fromisoformat(air.value(ring, "woke_up")) == second + timedelta(hours=3)


async def test_last_night_ends_before_the_next_morning(air: Air) -> None:
    ring = virtual("r12")
    await air.add(ring)
    woke_up = datetime.fromisoformat(air.value(ring, "woke_up"))
    await air.leave(ring)
    until = woke_up + timedelta(hours=18) - dt_util.utcnow()
    await air.passes(seconds=until.total_seconds() - 600)
    assert datetime.fromisoformat(air.value(ring, "woke_up")) == woke_up
    await air.passes(minutes=30)
    assert air.value(ring, "woke_up") == STATE_UNKNOWN


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"sleep": 432}, "Your night was from 23:40 to 07:10, 7.2 hours of it asleep."),
        ({}, "Your night was from 23:40 to 07:10."),
    ],
    ids=["stages", "no stages"],
)
async def test_the_greeting_of_the_readme(
    hass: HomeAssistant, told: dict[str, float], said: str
) -> None:
    await hass.config.async_set_time_zone("Europe/Amsterdam")
    readme = await hass.async_add_executor_job(README.read_text)
    example = next(part for part in readme.split("```") if "night_recorded' }}" in part)
    message = yaml.safe_load(example.removeprefix("yaml"))["actions"][0]["data"]["message"]
    times = {"start": "2026-11-17T22:40:00+00:00", "end": "2026-11-18T06:10:00+00:00"}
    trigger = {"to_state": State("event.my_ring_events", "2026", times | told)}
    rendered = Template(message, hass).async_render({"trigger": trigger})
    assert " ".join(rendered.split()) == said


async def test_a_failure_is_told_once_until_it_is_over(air: Air) -> None:
    ring = virtual()
    entry = await air.add(ring)
    await air.passes(hours=3)
    told = Told(air, ring)
    ring.faults.refuse_connections = -1
    await air.passes(hours=2)
    assert told.types() == ["sync_failed"]
    assert told.all[0]["reason"] == "connected_elsewhere"
    await air.restart(entry)
    await air.passes(hours=1)
    assert told.types() == ["sync_failed"]
    ring.faults.refuse_connections = 0
    await air.passes(hours=2)
    ring.faults.refuse_connections = -1
    await air.passes(hours=2)
    assert told.types() == ["sync_failed", "sync_failed"]


@pytest.mark.parametrize("seconds", [0, 4, 8])
async def test_a_ring_that_leaves_in_a_sync_is_no_failure(air: Air, seconds: int) -> None:
    """It leaves as it is connected to, or later, and is away for two days."""
    ring = virtual()
    entry = await air.add(ring)
    told = Told(air, ring)
    ring.faults.delay = 1
    await air.contacted(ring)
    await asyncio.sleep(seconds)
    air.radio.leave(ring.address)
    await air.passes(hours=48)
    assert entry.runtime_data.failures == 1
    assert air.value(ring, "contact") == "out_of_range"
    assert not told.all
    ring.faults = Faults()
    await air.come_back(ring)
    assert air.value(ring, "contact") == "ok"
    assert "sync_failed" not in told.types()


async def test_a_ring_that_is_away_is_no_failure(air: Air) -> None:
    ring = virtual()
    await air.add(ring)
    told = Told(air, ring)
    await air.leave(ring)
    await air.passes(hours=5)
    assert not told.all


@pytest.mark.parametrize("sleeps", [True, False])
async def test_only_what_can_happen_is_offered(air: Air, *, sleeps: bool) -> None:
    ring = virtual("r12")
    if not sleeps:
        ring.colmi = replace(ring.colmi, sleep_forms=frozenset())
    await air.add(ring)
    offered = air.state(ring, "events", "event").attributes["event_types"]
    assert ("night_recorded" in offered, "nap_recorded" in offered) == (sleeps, sleeps)
    assert "sync_failed" in offered
    assert bool(air.entity_id(ring, "calendar", "sleep")) is sleeps
    assert bool(air.entity_id(ring, "sensor", "woke_up")) is sleeps
