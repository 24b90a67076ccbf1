"""Settings of a ring that are on or off."""

from homeassistant.const import STATE_OFF, STATE_ON
from homeassistant.exceptions import HomeAssistantError
import pytest

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
    with pytest.raises(HomeAssistantError, match="out of range"):
        await air.call("switch", "turn_off", entity_id=entity_id)
    assert air.value(ring, "heart_rate_logging", "switch") == STATE_ON
