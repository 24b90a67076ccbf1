"""Setting up, unloading, starting again."""

import asyncio
from contextlib import closing
from functools import partial
from pathlib import Path
import sqlite3
from unittest.mock import patch

from homeassistant.config_entries import ConfigEntryState
from homeassistant.const import STATE_OFF, STATE_UNAVAILABLE
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import device_registry as dr
from homeassistant.helpers import issue_registry as ir
from homeassistant.setup import async_setup_component
import pytest

from custom_components.smart_rings.const import DOMAIN
from tests.air import Air, virtual


async def test_a_ring_never_seen_is_waited_for(air: Air) -> None:
    ring = virtual()
    entry = air.entry(ring)
    await air.hass.config_entries.async_setup(entry.entry_id)
    assert str(entry.state) == "ConfigEntryState.SETUP_RETRY"
    assert str(entry.reason).startswith("R02_79B5 is not heard:")

    await air.heard(ring)
    assert entry.state is ConfigEntryState.LOADED
    assert air.value(ring, "battery") == str(ring.battery)


async def test_last_values_return_without_the_ring(air: Air) -> None:
    ring = virtual()
    entry = await air.add(ring)
    keys = ("battery", "heart_rate", "last_sync")
    before = {key: air.state(ring, key) for key in keys}
    await air.leave(ring)
    sent = len(air.sent(ring))

    await air.restart(entry)
    assert len(air.sent(ring)) == sent
    for key in keys:
        after = air.state(ring, key)
        assert after.state == before[key].state
        assert after.attributes == before[key].attributes
    assert air.value(ring, "in_range", "binary_sensor") == STATE_OFF


async def test_a_start_long_after_the_ring_has_left(air: Air) -> None:
    ring = virtual()
    entry = await air.add(ring)
    await air.leave(ring)
    await air.passes(hours=1)
    await air.restart(entry)
    assert air.value(ring, "in_range", "binary_sensor") == STATE_OFF
    assert air.value(ring, "battery") == str(ring.battery)


async def test_a_ring_is_asked_again_soon_after_a_start_but_not_at_once(air: Air) -> None:
    ring = virtual()
    entry = await air.add(ring, sync_interval=240)
    await air.restart(entry)
    assert len(air.contacts(ring)) == 1
    await air.passes(minutes=6)
    assert len(air.contacts(ring)) == 2


async def test_unload_in_the_middle_of_a_sync(air: Air) -> None:
    ring = virtual()
    entry = air.entry(ring)
    await air.heard(ring)
    ring.faults.ignore = frozenset({0x03})
    assert await air.hass.config_entries.async_setup(entry.entry_id)
    await asyncio.sleep(2)
    assert air.radio.links
    assert await air.hass.config_entries.async_unload(entry.entry_id)
    assert entry.state is ConfigEntryState.NOT_LOADED
    assert not air.radio.links
    sent = len(air.sent(ring))
    await air.passes(hours=1)
    assert len(air.sent(ring)) == sent
    states = [state for state in air.hass.states.async_all() if "r02" in state.entity_id]
    assert {state.state for state in states} == {STATE_UNAVAILABLE}


@pytest.mark.parametrize("how", ["reload", "remove"])
async def test_what_was_asked_of_a_ring_ends_with_its_entry(air: Air, how: str) -> None:
    """A press of a button runs on by itself, and may wait for its turn for minutes."""
    ring = virtual()
    entry = await air.add(ring)
    ring.faults.ignore = frozenset({0x03, 0x69})
    keys = ("sync", "measure_heart_rate", "sync")
    pressed = [asyncio.create_task(air.press(ring, key)) for key in keys]
    await asyncio.sleep(3)
    assert air.radio.links
    if how == "reload":
        await air.hass.config_entries.async_reload(entry.entry_id)
    else:
        await air.hass.config_entries.async_remove(entry.entry_id)
    assert not air.radio.links
    sent = len(air.sent(ring))
    for refused in await asyncio.gather(*pressed, return_exceptions=True):
        assert isinstance(refused, HomeAssistantError)
        assert refused.translation_key == "unloaded"
    await air.passes(minutes=4)
    assert len(air.sent(ring)) == sent
    devices = dr.async_entries_for_config_entry(dr.async_get(air.hass), entry.entry_id)
    assert len(devices) == (how == "reload")


async def test_removing_an_entry_keeps_what_was_recorded(air: Air) -> None:
    ring = virtual()
    entry = await air.add(ring)
    content = await air.archive.content_hash(ring.address)
    await air.hass.config_entries.async_remove(entry.entry_id)
    await air.settle()
    assert await air.archive.content_hash(ring.address) == content


async def test_a_damaged_archive(air: Air, hass_config_dir: str) -> None:
    file = Path(hass_config_dir, ".storage", f"{DOMAIN}.db")
    await air.hass.async_add_executor_job(file.write_bytes, b"no database" * 1000)
    ring = virtual()
    await air.add(ring)
    assert air.value(ring, "battery") == str(ring.battery)
    issue = ir.async_get(air.hass).async_get_issue(DOMAIN, "archive_damaged")
    assert issue
    assert issue.is_persistent  # the next start finds a file that is whole
    assert issue.translation_placeholders
    kept = file.with_name(issue.translation_placeholders["file"])
    assert kept.exists()


def _make_newer(file: str) -> None:
    with closing(sqlite3.connect(file)) as db:
        db.execute("PRAGMA user_version = 999")
        db.execute("CREATE TABLE treasure (value)")


async def test_an_archive_of_a_newer_version_is_left_alone(air: Air, hass_config_dir: str) -> None:
    file = str(Path(hass_config_dir, ".storage", f"{DOMAIN}.db"))
    _make_newer(file)
    ring = virtual()
    entry = air.entry(ring)
    await air.heard(ring)
    assert not await air.hass.config_entries.async_setup(entry.entry_id)
    assert ir.async_get(air.hass).async_get_issue(DOMAIN, "archive_too_new")
    with closing(sqlite3.connect(file)) as db:
        assert db.execute("SELECT name FROM sqlite_master").fetchall() == [("treasure",)]


async def test_an_archive_that_is_locked_is_waited_for(air: Air, hass_config_dir: str) -> None:
    """As another program does that looks into it, or copies it."""
    ring = virtual()
    entry = air.entry(ring)
    await air.heard(ring)
    file = str(Path(hass_config_dir, ".storage", f"{DOMAIN}.db"))
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with patch.object(sqlite3, "connect", partial(sqlite3.connect, timeout=0)):
            assert not await air.hass.config_entries.async_setup(entry.entry_id)
        assert str(entry.state) == "ConfigEntryState.SETUP_RETRY"
        assert entry.error_reason_translation_key == "archive_failed"
    await air.passes(minutes=1)
    assert entry.state is ConfigEntryState.LOADED
    assert air.value(ring, "battery") == str(ring.battery)


async def test_without_entries_nothing_happens(air: Air) -> None:
    assert await async_setup_component(air.hass, DOMAIN, {})
    assert not air.hass.config_entries.async_entries(DOMAIN)
