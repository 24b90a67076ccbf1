"""What a ring can be told."""

import asyncio
from datetime import timedelta

from homeassistant.const import STATE_OFF, STATE_ON
from homeassistant.exceptions import HomeAssistantError
from homeassistant.util import dt as dt_util
import pytest

from custom_components.smart_rings.rings.models import Metric
from tests.air import AMSTERDAM, Air, virtual


async def test_sync_now(air: Air) -> None:
    ring = virtual()
    await air.add(ring)
    await air.passes(minutes=1)
    ring.battery = 23
    await air.press(ring, "sync")
    assert air.value(ring, "battery") == "23"


async def test_sync_now_during_a_sync_waits_for_that(air: Air) -> None:
    ring = virtual()
    entry = await air.add(ring)
    ring.faults.delay = 0.5
    await air.contacted(ring)
    before = len(air.contacts(ring))
    last = entry.runtime_data.last_sync
    await asyncio.gather(air.press(ring, "sync"), air.press(ring, "sync"))
    assert entry.runtime_data.last_sync > last
    assert len(air.contacts(ring)) == before


async def test_find(air: Air) -> None:
    ring = virtual()
    await air.add(ring)
    await air.enable(ring, "button", "find")
    await air.press(ring, "find")
    assert ring.found == 1


async def test_set_time(air: Air) -> None:
    ring = virtual()
    await air.add(ring)
    await air.enable(ring, "button", "set_time")
    ring.clock.jump(timedelta(hours=-5))
    await air.press(ring, "set_time")
    local = dt_util.utcnow().astimezone(AMSTERDAM).replace(tzinfo=None)
    assert abs(ring.clock.read() - local) < timedelta(seconds=10)


async def test_restart(air: Air) -> None:
    ring = virtual()
    await air.add(ring)
    await air.enable(ring, "button", "restart")
    await air.press(ring, "restart")
    assert ring.reboots == 1
    assert not ring.abuse
    await air.passes(minutes=20)
    assert air.value(ring, "battery") == str(ring.battery)


@pytest.mark.parametrize("key", ["sync", "measure_heart_rate"])
async def test_a_ring_that_is_away_says_so(air: Air, key: str) -> None:
    ring = virtual()
    await air.add(ring)
    await air.leave(ring)
    with pytest.raises(
        HomeAssistantError, match=r"^R02_79B5 is not heard: .+ phone app$"
    ) as caught:
        await air.press(ring, key)
    assert caught.value.translation_key == "out_of_range"
    await air.come_back(ring)
    await air.press(ring, key)


async def test_a_ring_that_its_phone_app_holds_says_so(air: Air) -> None:
    ring = virtual()
    await air.add(ring)
    await air.enable(ring, "button", "find")
    ring.faults.refuse_connections = -1
    with pytest.raises(HomeAssistantError, match="phone app") as caught:
        await air.press(ring, "find")
    assert caught.value.translation_key == "connected_elsewhere"
    assert ring.found == 0


async def test_measure_now(air: Air) -> None:
    ring = virtual()
    await air.add(ring)
    await air.enable(ring, "binary_sensor", "measuring")
    ring.live["heart_rate"] = 99
    press = air.hass.async_create_task(air.press(ring, "measure_heart_rate"))
    await asyncio.sleep(10)
    assert air.value(ring, "measuring", "binary_sensor") == STATE_ON
    await press
    assert air.value(ring, "measuring", "binary_sensor") == STATE_OFF
    assert air.value(ring, "heart_rate") == "99"
    samples = await air.archive.samples(ring.address, Metric.HEART_RATE)
    assert samples[-1].value == 99
    assert dt_util.utcnow() - samples[-1].start < timedelta(minutes=1)


@pytest.mark.parametrize(
    ("attribute", "value", "words"),
    [("worn", False, "not worn"), ("charging", True, "charg")],
    ids=["not worn", "charging"],
)
async def test_a_measurement_is_refused_in_words(
    air: Air, attribute: str, value: bool, words: str
) -> None:
    ring = virtual()
    await air.add(ring)
    await air.enable(ring, "binary_sensor", "measuring")
    before = air.value(ring, "heart_rate")
    setattr(ring, attribute, value)
    with pytest.raises(HomeAssistantError, match=words):
        await air.press(ring, "measure_heart_rate")
    assert air.value(ring, "measuring", "binary_sensor") == STATE_OFF
    assert air.value(ring, "heart_rate") == before


async def test_a_ring_measures_one_thing_at_a_time(air: Air) -> None:
    ring = virtual()
    await air.add(ring)
    first = asyncio.create_task(air.press(ring, "measure_heart_rate"))
    await asyncio.sleep(5)
    with pytest.raises(HomeAssistantError, match="measuring already") as caught:
        await air.press(ring, "measure_heart_rate")
    assert caught.value.translation_key == "busy"
    await first
    await air.press(ring, "measure_heart_rate")
