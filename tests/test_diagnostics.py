"""Diagnostics help, and tell nothing of the wearer."""

import json

from homeassistant.config_entries import ConfigEntryState
from homeassistant.helpers.json import JSONEncoder

from custom_components.smart_rings.diagnostics import async_get_config_entry_diagnostics
from ringsim.rings.base import Faults
from tests.air import Air, oximeter, virtual


async def test_diagnostics(air: Air) -> None:
    ring = virtual()
    ring.faults.corrupt = frozenset({20})
    entry = await air.add(ring)
    ring.faults = Faults(refuse_connections=-1)
    await air.passes(minutes=20)
    told = await async_get_config_entry_diagnostics(air.hass, entry)

    assert told["model"] == "colmi_r02"
    assert told["firmware"] == "R02_3.00.17_240903"
    assert told["reason"] == "connected_elsewhere"
    assert told["failures"] == 1
    assert told["dropped"]["checksum"] == 1
    assert told["cursor"]["heart_rate"]
    assert told["in_range"] is True
    assert told["advertisement"] == {
        "has_name": True,
        "service_uuids": [],
        "service_data": {},
        "manufacturer_data": {},
        "connectable": True,
    }

    text = json.dumps(told, cls=JSONEncoder)
    for private in (ring.address, ring.address[-5:], "79B5", ring.name):
        assert private not in text
    assert "latest" not in text
    assert str(ring.battery) not in {str(value) for value in told.values()}


async def test_diagnostics_of_a_ring_that_is_long_gone(air: Air) -> None:
    ring = virtual()
    entry = await air.add(ring)
    air.radio.leave(ring.address)
    await air.passes(hours=1)
    told = await async_get_config_entry_diagnostics(air.hass, entry)
    assert told["in_range"] is False
    assert told["advertisement"] is None
    assert told["rssi"] is None


async def test_diagnostics_without_a_first_contact(air: Air) -> None:
    ring = virtual()
    entry = air.entry(ring)
    await air.hass.config_entries.async_setup(entry.entry_id)
    told = await async_get_config_entry_diagnostics(air.hass, entry)
    assert told["model"] == "colmi_r02"
    assert told["state"] == ConfigEntryState.SETUP_RETRY.value
    assert told["version"]
    assert told["advertisement"] is None


async def test_half_a_recording_is_not_told(air: Air) -> None:
    """What came of a download that broke off waits in the cursor, and is a person's night."""
    ring = oximeter("o2ring_s")
    ring.faults.drop_after = 200
    ring.faults.drop_after_each = True
    entry = await air.add(ring)
    assert len((await air.archive.cursor(ring.serial))["part"][1]) > 1000
    told = await async_get_config_entry_diagnostics(air.hass, entry)
    assert told["cursor"]["part"][1].endswith(" characters")
    assert ring.serial not in json.dumps(told, cls=JSONEncoder)
