"""Charging, and being there."""

from homeassistant.const import STATE_OFF, STATE_ON, STATE_UNKNOWN

from tests.air import Air, virtual
from tests.virtual_scanner import VirtualScanner


async def test_charging(air: Air) -> None:
    ring = virtual()
    ring.charging = True
    await air.add(ring)
    assert air.value(ring, "charging", "binary_sensor") == STATE_ON
    ring.charging = False
    await air.passes(minutes=5)
    await air.press(ring, "sync")
    assert air.value(ring, "charging", "binary_sensor") == STATE_OFF

    await air.leave(ring)
    assert air.value(ring, "charging", "binary_sensor") == STATE_OFF
    await air.passes(minutes=30)
    assert air.value(ring, "charging", "binary_sensor") == STATE_UNKNOWN


async def test_in_range(air: Air) -> None:
    ring = virtual()
    await air.add(ring)
    assert air.value(ring, "in_range", "binary_sensor") == STATE_ON
    air.radio.leave(ring.address)
    await air.passes(minutes=2)
    assert air.value(ring, "in_range", "binary_sensor") == STATE_ON
    await air.passes(minutes=2)
    assert air.value(ring, "in_range", "binary_sensor") == STATE_OFF
    await air.come_back(ring)
    assert air.value(ring, "in_range", "binary_sensor") == STATE_ON


async def test_a_scanner_that_can_only_listen_is_of_no_use(air: Air) -> None:
    ring = virtual()
    await air.add(ring)
    air.proxy.stop()
    listening = VirtualScanner(air.radio, "AA:00:00:00:00:02", connectable=False)
    listening.start(air.hass)
    await air.passes(minutes=5)
    assert air.value(ring, "in_range", "binary_sensor") == STATE_OFF
    listening.stop()
