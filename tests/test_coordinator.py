"""When a ring is asked, and what is known of it in between."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
import logging
import sqlite3
from unittest.mock import patch

from homeassistant.config_entries import ConfigEntryState
from homeassistant.const import CONF_MODEL, STATE_OFF, STATE_ON, STATE_UNKNOWN
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import device_registry as dr
from homeassistant.helpers import issue_registry as ir
from homeassistant.util import dt as dt_util
import pytest

from custom_components.smart_rings.archive import Archive, ArchiveError, write
from custom_components.smart_rings.const import DOMAIN
from custom_components.smart_rings.contact import ContactError
from custom_components.smart_rings.rings.models import Metric, RingMemory
from ringsim.rings.base import Faults
from ringsim.rings.colmi import V1_NOTIFY, V2_NOTIFY, ColmiRing, frame
from ringsim.rings.oximeter import LEGACY_WRITE
from tests.air import OTHER, Air, oximeter, virtual

HEART_RATE_LOG = 0x15
BATTERY = 0x03
REFUSED = frame(HEART_RATE_LOG | 0x80, 0xEE)


async def recorded(air: Air, ring: ColmiRing) -> list[tuple[datetime, float]]:
    """Return the heart rates of the archive."""
    samples = await air.archive.samples(ring.address, Metric.HEART_RATE)
    return [(sample.start, sample.value) for sample in samples]


def truth(ring: ColmiRing) -> list[tuple[datetime, float]]:
    """Return the heart rates the ring holds."""
    readings = ring.truth()["readings"]["heart_rate"]
    return [(datetime.fromisoformat(r["start"]), r["value"]) for r in readings]


def about(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what the coordinator told the log at info level and above, and empty it."""
    told = [
        record.getMessage()
        for record in caplog.records
        if record.name == "custom_components.smart_rings.coordinator"
        and record.levelno >= logging.INFO
    ]
    caplog.clear()
    return told


async def test_the_archive_holds_what_the_ring_held(air: Air) -> None:
    ring = virtual()
    await air.add(ring)
    assert truth(ring)
    assert await recorded(air, ring) == truth(ring)
    await air.passes(hours=6, minutes=20)
    assert await recorded(air, ring) == truth(ring)
    assert not ring.abuse
    assert not ring.malformed


async def test_it_is_asked_at_its_interval(air: Air) -> None:
    ring = virtual()
    await air.add(ring)
    await air.passes(hours=2)
    contacts = air.contacts(ring)
    gaps = [after - before for before, after in pairwise(contacts)]
    assert len(gaps) == 7
    assert all(gap >= 15 * 60 for gap in gaps)


async def test_a_ring_that_comes_home_is_asked_at_once(air: Air) -> None:
    ring = virtual()
    await air.add(ring, sync_interval=240)
    await air.leave(ring)
    await air.passes(minutes=2)
    before = air.contacts(ring)
    await air.come_back(ring)
    assert len(air.contacts(ring)) == len(before) + 1
    assert await recorded(air, ring) == truth(ring)


async def test_not_more_often_than_every_five_minutes(air: Air) -> None:
    ring = virtual()
    await air.add(ring, sync_interval=240)
    await air.leave(ring)
    await air.come_back(ring)
    assert len(air.contacts(ring)) == 1
    await air.passes(minutes=2)
    first, second = air.contacts(ring)
    assert second - first >= 5 * 60


async def test_away_is_no_error(air: Air, caplog: pytest.LogCaptureFixture) -> None:
    ring = virtual()
    await air.add(ring)
    assert air.value(ring, "in_range", "binary_sensor") == STATE_ON
    about(caplog)
    await air.leave(ring)
    assert air.value(ring, "in_range", "binary_sensor") == STATE_OFF
    await air.passes(hours=1)
    assert air.value(ring, "battery") == str(ring.battery)
    assert about(caplog) == ["R02_79B5 is not heard"]

    await air.come_back(ring)
    assert air.value(ring, "in_range", "binary_sensor") == STATE_ON
    assert about(caplog) == ["R02_79B5 is heard again"]


async def test_a_connected_ring_is_in_range(air: Air) -> None:
    """It doesn't advertise; here it takes minutes to answer."""
    ring = virtual()
    entry = await air.add(ring)
    await air.passes(minutes=10)
    async with entry.runtime_data.contact.open(entry.runtime_data.memory):
        await air.passes(minutes=4, seconds=30)
        assert air.value(ring, "in_range", "binary_sensor") == STATE_ON


async def test_disabled_polling(air: Air) -> None:
    ring = virtual()
    entry = await air.add(ring)
    air.hass.config_entries.async_update_entry(entry, pref_disable_polling=True)
    await air.restart(entry)
    before = len(air.contacts(ring))
    await air.passes(hours=3)
    assert len(air.contacts(ring)) == before
    assert air.value(ring, "heart_rate") == STATE_UNKNOWN
    await air.press(ring, "sync")
    assert len(air.contacts(ring)) == before + 1
    assert float(air.value(ring, "heart_rate")) == truth(ring)[-1][1]


async def test_a_ring_that_refuses_is_tried_ever_less_often(
    air: Air, caplog: pytest.LogCaptureFixture
) -> None:
    ring = virtual()
    entry = await air.add(ring)
    about(caplog)
    ring.faults.refuse_connections = -1
    await air.passes(hours=6)
    starts = [0.0]
    for contact in air.contacts(ring)[1:]:
        if contact - starts[-1] > 60:
            starts.append(contact)
    pauses = [round((b - a) / 60) for a, b in pairwise(starts[1:])]
    assert pauses[:5] == [5, 10, 20, 40, 60]
    assert set(pauses[5:]) == {60}
    assert [line[:31] for line in about(caplog)] == ["No contact with R02_79B5: R02_7"]
    assert entry.runtime_data.error.reason == "connected_elsewhere"

    ring.faults.refuse_connections = 0
    await air.passes(hours=1, minutes=10)
    assert await recorded(air, ring) == truth(ring)
    assert about(caplog) == ["Contact with R02_79B5 is back"]


async def test_the_edge_of_range_is_no_way_around_the_pauses(air: Air) -> None:
    """The ring is heard for 15 seconds every four minutes, and never connected."""
    ring = virtual()
    await air.add(ring)
    ring.faults.refuse_connections = -1
    for _ in range(6 * 60 // 4):
        air.radio.leave(ring.address)
        await asyncio.sleep(225)
        air.radio.come_back(ring.address)
        await asyncio.sleep(15)
        await air.settle()
    tries = [b for a, b in pairwise([0, *air.contacts(ring)[1:]]) if b - a > 60]
    assert len(tries) < 12

    ring.faults.refuse_connections = 0
    await air.leave(ring)
    await air.passes(hours=1)
    await air.come_back(ring)
    assert await recorded(air, ring) == truth(ring), "asked at once after a longer absence"


async def test_a_ring_that_falls_silent_is_not_tried(air: Air) -> None:
    ring = virtual()
    entry = await air.add(ring)
    await air.passes(minutes=13)
    air.radio.leave(ring.address)
    await air.passes(minutes=10)
    assert entry.runtime_data.error is None
    assert entry.runtime_data.failures == 0


async def test_a_clock_that_starts_in_the_past(air: Air) -> None:
    """As that of a computer without a battery for it."""
    ring = virtual()
    entry = await air.add(ring)
    memory = await air.archive.memory(ring.address)
    ahead = dt_util.utcnow() + timedelta(days=5)
    assert await air.hass.config_entries.async_unload(entry.entry_id)
    await air.archive.remember(ring.address, memory | {"said_at": ahead.isoformat()})
    assert await air.hass.config_entries.async_setup(entry.entry_id)
    before = len(air.contacts(ring))
    await air.passes(hours=1)
    assert len(air.contacts(ring)) - before == 4


@pytest.mark.parametrize(
    "faults",
    [
        pytest.param(Faults(corrupt=frozenset(range(1, 400))), id="wrong checksum"),
        pytest.param(Faults(answer_other={HEART_RATE_LOG: b"\x15\x00"}), id="short frame"),
        pytest.param(Faults(answer_other={HEART_RATE_LOG: bytes(40)}), id="long frame"),
        pytest.param(Faults(answer_other={HEART_RATE_LOG: frame(BATTERY, 1)}), id="other reply"),
        pytest.param(Faults(endless=frozenset({HEART_RATE_LOG})), id="endless"),
        pytest.param(Faults(ignore=frozenset({HEART_RATE_LOG})), id="no reply"),
        pytest.param(Faults(swallow=frozenset(range(10, 400, 10))), id="frames lost"),
        pytest.param(Faults(duplicate=frozenset(range(1, 400))), id="frames twice"),
        pytest.param(Faults(split=7), id="frames in pieces"),
        pytest.param(Faults(delay=2.0), id="late"),
        pytest.param(Faults(hang_on_connect=True), id="no connection"),
    ],
)
async def test_what_goes_wrong_is_made_good_at_the_next_contact(air: Air, faults: Faults) -> None:
    ring = virtual()
    ring.faults = faults
    await air.add(ring)
    await air.passes(minutes=3)
    wrong = set(await recorded(air, ring)) - set(truth(ring))
    assert not wrong

    ring.faults = Faults()
    await air.passes(minutes=20)
    assert await recorded(air, ring) == truth(ring)
    assert air.value(ring, "battery") == str(ring.battery)


async def test_the_proxy_dies_in_the_middle_of_a_sync(air: Air) -> None:
    ring = virtual()
    entry = air.entry(ring)
    await air.heard(ring)
    air.radio.profile = replace(air.radio.profile, packet=0.3)
    assert await air.hass.config_entries.async_setup(entry.entry_id)
    await asyncio.sleep(40)
    air.proxy.stop()
    await air.settle()
    assert not air.radio.links
    assert entry.runtime_data.error.reason == "not_answering"
    part = await recorded(air, ring)
    assert 0 < len(part) < len(truth(ring))

    air.proxy.start(air.hass)
    await air.passes(minutes=6)
    assert await recorded(air, ring) == truth(ring)


async def test_what_a_ring_refuses_is_not_asked_again(air: Air) -> None:
    ring = virtual()
    ring.faults.answer_other = {HEART_RATE_LOG: REFUSED}
    await air.add(ring)
    assert air.value(ring, "battery") == str(ring.battery)
    assert air.value(ring, "heart_rate") == STATE_UNKNOWN

    before = len(air.sent(ring))
    await air.passes(hours=1)
    asked = [packet.value[:1] for packet in air.sent(ring)[before:]]
    assert asked.count(bytes((BATTERY,))) == 3
    assert asked.count(bytes((HEART_RATE_LOG,))) == 0


async def test_a_link_lost_on_the_way(air: Air) -> None:
    """Cut after every fifth notification of a first sync; batches come in more than that."""
    ring = virtual()
    entry = air.entry(ring, pref_disable_polling=True)
    await air.heard(ring)
    assert await air.hass.config_entries.async_setup(entry.entry_id)
    await air.press(ring, "sync")
    whole = set(truth(ring))
    notified = [p for p in air.radio.log if not p.to_ring and p.uuid in (V1_NOTIFY, V2_NOTIFY)]
    assert len(notified) > 300
    for last in range(1, len(notified) - 5, 5):
        await air.archive.forget(ring.address)
        entry.runtime_data.memory = RingMemory()
        ring.faults.drop_after = last
        with pytest.raises(HomeAssistantError):
            await air.press(ring, "sync")
        await air.heard()
        await air.press(ring, "sync")
        assert whole <= set(await recorded(air, ring))
        await air.heard()
    assert set(await recorded(air, ring)) <= set(truth(ring))


async def test_values_age(air: Air) -> None:
    """A reading holds for two recording intervals (30 minutes each) and a sync interval."""
    ring = virtual()
    await air.add(ring)
    latest, value = truth(ring)[-1]
    air.radio.leave(ring.address)
    await air.passes(seconds=(latest + timedelta(minutes=74) - dt_util.utcnow()).total_seconds())
    assert air.value(ring, "heart_rate") == str(value)
    await air.passes(minutes=3)
    assert air.value(ring, "heart_rate") == STATE_UNKNOWN
    assert air.state(ring, "heart_rate").attributes["measured_at"] == latest
    assert air.value(ring, "charging", "binary_sensor") == STATE_UNKNOWN
    assert air.value(ring, "battery") == str(ring.battery)
    await air.passes(days=1)
    assert air.value(ring, "battery") == STATE_UNKNOWN


async def test_counters_hold_until_midnight(air: Air) -> None:
    ring = virtual("r09")
    entry = await air.add(ring)
    coordinator = entry.runtime_data
    steps = coordinator.sample(Metric.STEPS)
    assert steps.value == ring.truth()["today"]["steps"] > 0
    assert dt_util.as_local(steps.start) == dt_util.start_of_local_day()
    await air.leave(ring)
    midnight = dt_util.start_of_local_day() + timedelta(days=1)
    await air.passes(seconds=(midnight - dt_util.utcnow()).total_seconds() - 60)
    assert coordinator.sample(Metric.STEPS) == steps
    await air.passes(minutes=2)
    assert coordinator.sample(Metric.STEPS) is None


async def test_the_device_page(air: Air) -> None:
    ring = virtual()
    entry = await air.add(ring)
    registry = dr.async_get(air.hass)
    (device,) = dr.async_entries_for_config_entry(registry, entry.entry_id)
    assert device.name == "R02_79B5"
    assert (device.manufacturer, device.model) == ("Colmi", "R02")
    assert (device.sw_version, device.hw_version) == ("R02_3.00.17_240903", "R02_V3.0")
    assert device.connections == {("bluetooth", ring.address)}


async def test_two_rings_at_once(air: Air) -> None:
    one, other = virtual(), virtual("r12", OTHER)
    for ring in (one, other):
        air.entry(ring)
    await air.heard(one, other)
    await air.hass.config_entries.async_setup(
        air.hass.config_entries.async_entries(DOMAIN)[0].entry_id
    )
    await air.settle()
    for ring in (one, other):
        assert await recorded(air, ring) == truth(ring)
        assert air.value(ring, "battery") == str(ring.battery)


async def test_an_error_of_the_archive(air: Air, caplog: pytest.LogCaptureFixture) -> None:
    ring = virtual()
    await air.add(ring)
    caplog.clear()
    await air.passes(minutes=5)
    with (
        patch.object(Archive, "remember", side_effect=ArchiveError("disk full")),
        pytest.raises(ContactError) as caught,
    ):
        await air.press(ring, "sync")
    assert caught.value.translation_key == "not_kept"
    assert caught.value.translation_placeholders == {"name": ring.name, "detail": "disk full"}
    assert not air.radio.links
    assert air.value(ring, "contact") == "not_kept"
    await air.passes(minutes=20)
    assert await recorded(air, ring) == truth(ring)
    assert air.value(ring, "contact") == "ok"


async def test_a_full_disk_lets_the_ring_be_tried_ever_less_often(
    air: Air, caplog: pytest.LogCaptureFixture
) -> None:
    ring = virtual()
    entry = await air.add(ring)
    before, since = len(air.contacts(ring)), air.value(ring, "last_sync")
    full = sqlite3.OperationalError("database or disk is full")
    with (
        patch.object(write, "commit", side_effect=full),
        patch.object(write, "remember", side_effect=full),
    ):
        await air.passes(hours=6)
        assert air.value(ring, "contact") == "not_kept"
        assert air.value(ring, "last_sync") == since
        assert entry.runtime_data.failures == len(air.contacts(ring)) - before <= 10
        assert not [record for record in caplog.records if record.levelname == "ERROR"]
        assert ir.async_get(air.hass).async_get_issue(DOMAIN, f"not_kept_{entry.entry_id}")
    await air.passes(hours=1, minutes=5)
    assert air.value(ring, "contact") == "ok"
    assert await recorded(air, ring) == truth(ring)
    assert not ir.async_get(air.hass).async_get_issue(DOMAIN, f"not_kept_{entry.entry_id}")


async def test_a_ring_that_turns_out_to_speak_otherwise(air: Air) -> None:
    """It is known as what it is from then on, with the entities of that family."""
    ring = oximeter("o2ring_untold")
    entry = await air.add(ring)
    await air.passes(minutes=10)
    assert entry.data[CONF_MODEL] == "oxyii_o2ring"
    assert entry.state is ConfigEntryState.LOADED
    assert air.entity_id(ring, "select", "storage_interval")
    assert air.value(ring, "battery") == str(ring.battery)
    taken = await air.archive.recordings(ring.serial)
    assert {r.data for r in taken} == {ring.content(file) for file in ring.files}
    asked = sum(p.uuid == LEGACY_WRITE for p in air.sent(ring))
    await air.passes(minutes=60)
    assert sum(p.uuid == LEGACY_WRITE for p in air.sent(ring)) == asked
