"""Settings of a ring that are on or off, and leaving it to its phone app."""

import asyncio
from datetime import datetime, timedelta

from homeassistant.const import STATE_OFF, STATE_ON
from homeassistant.exceptions import HomeAssistantError
from homeassistant.util import dt as dt_util
import pytest

from ringsim.rings.colmi import ColmiRing
from tests.air import Air, virtual


async def test_a_switch_shows_what_the_ring_says(air: Air) -> None:
    ring = virtual()
    await air.add(ring)
    await air.enable(ring, "switch", "heart_rate_logging")
    entity_id = air.state(ring, "heart_rate_logging", "switch").entity_id
    assert air.value(ring, "heart_rate_logging", "switch") == STATE_ON

    await air.call("switch", "turn_off", entity_id=entity_id)
    assert ring.heart_rate_log is False
    assert air.value(ring, "heart_rate_logging", "switch") == STATE_OFF
    await air.call("switch", "turn_on", entity_id=entity_id)
    assert ring.heart_rate_log is True
    assert air.value(ring, "heart_rate_logging", "switch") == STATE_ON


async def test_a_change_of_another_app_shows_within_a_day(air: Air) -> None:
    ring = virtual()
    await air.add(ring)
    await air.enable(ring, "switch", "heart_rate_logging")
    ring.heart_rate_log = False
    await air.passes(hours=25)
    assert air.value(ring, "heart_rate_logging", "switch") == STATE_OFF


async def test_a_change_while_the_ring_is_away_is_refused(air: Air) -> None:
    ring = virtual()
    await air.add(ring)
    await air.enable(ring, "switch", "heart_rate_logging")
    entity_id = air.state(ring, "heart_rate_logging", "switch").entity_id
    await air.leave(ring)
    with pytest.raises(HomeAssistantError, match="not heard"):
        await air.call("switch", "turn_off", entity_id=entity_id)
    assert air.value(ring, "heart_rate_logging", "switch") == STATE_ON


async def hand_over(air: Air, ring: ColmiRing, *, on: bool = True) -> None:
    entity_id = air.state(ring, "hand_over", "switch").entity_id
    await air.call("switch", "turn_on" if on else "turn_off", entity_id=entity_id)


async def test_not_one_packet_while_the_phone_app_has_the_ring(air: Air) -> None:
    ring = virtual()
    await air.add(ring, sync_interval=240, hand_over_duration=30)
    shown = {key: air.value(ring, key) for key in ("battery", "heart_rate", "last_sync")}
    await hand_over(air, ring)
    until = dt_util.utcnow() + timedelta(minutes=30)
    assert air.state(ring, "hand_over", "switch").attributes["until"] == until
    sent = len(air.sent(ring))
    for key in ("sync", "measure_heart_rate"):
        with pytest.raises(HomeAssistantError, match="left to its phone app until 15:30") as caught:
            await air.press(ring, key)
        assert caught.value.translation_key == "paused"
    await air.leave(ring)
    await air.come_back(ring)
    await air.passes(minutes=25)
    assert len(air.sent(ring)) == sent
    assert {key: air.value(ring, key) for key in shown} == shown
    assert air.value(ring, "contact") == "paused"
    assert air.state(ring, "contact").attributes["detail"] == "15:30"

    await air.passes(seconds=(until - dt_util.utcnow()).total_seconds() + 60)
    assert air.value(ring, "hand_over", "switch") == STATE_OFF
    assert air.value(ring, "contact") == "ok"
    assert datetime.fromisoformat(air.value(ring, "last_sync")) > until
    assert min(p.time for p in air.sent(ring)[sent:]) > 30 * 60


@pytest.mark.parametrize("key", ["sync", "measure_heart_rate"])
async def test_what_is_under_way_ends_before_the_ring_is_handed_over(air: Air, key: str) -> None:
    ring = virtual()
    await air.add(ring)
    ring.faults.ignore = frozenset({0x48})
    pressed = asyncio.create_task(air.press(ring, key))
    await asyncio.sleep(3)
    assert air.radio.links
    await hand_over(air, ring)
    sent = len(air.sent(ring))
    with pytest.raises(HomeAssistantError, match="left to its phone app"):
        await pressed
    assert not air.radio.links
    await air.passes(minutes=20)
    assert len(air.sent(ring)) == sent
    assert air.value(ring, "contact") == "paused"


async def test_live_values_end_when_the_ring_is_handed_over(air: Air) -> None:
    ring = virtual()
    await air.add(ring)
    entity_id = air.state(ring, "live", "switch").entity_id
    await air.hass.services.async_call("switch", "turn_on", {"entity_id": entity_id}, blocking=True)
    await asyncio.sleep(60)
    await hand_over(air, ring)
    assert not air.radio.links
    assert air.value(ring, "live", "switch") == STATE_OFF
    told = air.state(ring, "events", "event").attributes
    assert (told["event_type"], told["reason"]) == ("live_ended", "paused")
    with pytest.raises(HomeAssistantError, match="left to its phone app"):
        await air.call("switch", "turn_on", entity_id=entity_id)


async def test_a_ring_that_is_taken_back_is_read_soon(air: Air) -> None:
    ring = virtual()
    await air.add(ring, sync_interval=240)
    await hand_over(air, ring)
    await air.passes(minutes=6)
    before = len(air.contacts(ring))
    await hand_over(air, ring, on=False)
    assert air.value(ring, "hand_over", "switch") == STATE_OFF
    await air.passes(seconds=10)
    assert len(air.contacts(ring)) == before + 1
    assert air.value(ring, "contact") == "ok"


async def test_a_restart_does_not_take_the_ring_back(air: Air) -> None:
    ring = virtual()
    entry = await air.add(ring)
    await hand_over(air, ring)
    until = air.state(ring, "hand_over", "switch").attributes["until"]
    before = len(air.contacts(ring))
    await air.restart(entry)
    await air.passes(minutes=50)
    assert len(air.contacts(ring)) == before
    assert air.value(ring, "hand_over", "switch") == STATE_ON
    assert air.state(ring, "hand_over", "switch").attributes["until"] == until


async def test_what_waits_for_the_ring_is_refused_when_it_is_handed_over(air: Air) -> None:
    ring = virtual()
    await air.add(ring)
    ring.faults.ignore = frozenset({0x48})
    pressed = [asyncio.create_task(air.press(ring, key)) for key in ("sync", "measure_heart_rate")]
    await asyncio.sleep(3)
    await hand_over(air, ring)
    sent = len(air.sent(ring))
    for refused in await asyncio.gather(*pressed, return_exceptions=True):
        assert isinstance(refused, HomeAssistantError)
        assert refused.translation_key == "paused"
    assert len(air.sent(ring)) == sent


async def test_the_display_of_a_ring_that_has_one(air: Air) -> None:
    ring = virtual("r12")
    await air.add(ring)
    await air.enable(ring, "switch", "display")
    state, before = air.state(ring, "display", "switch"), dict(ring.display)
    assert state.state == STATE_ON
    await air.call("switch", "turn_off", entity_id=state.entity_id)
    assert ring.display == before | {"on": False}
    assert air.value(ring, "display", "switch") == STATE_OFF


async def test_rings_without_a_display_are_not_asked_for_one(air: Air) -> None:
    ring = virtual("r09")
    await air.add(ring)
    assert b"\x05" not in {p.value[:1] for p in air.sent(ring)}
