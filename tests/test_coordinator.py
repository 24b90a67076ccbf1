"""When a ring is asked, and what is known of it in between."""

from datetime import datetime, timedelta
import logging
from unittest.mock import patch

from homeassistant.const import STATE_OFF, STATE_ON, STATE_UNKNOWN
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import device_registry as dr
from homeassistant.util import dt as dt_util
import pytest

from custom_components.smart_rings.archive import Archive
from custom_components.smart_rings.rings.models import Metric
from ringsim.rings.base import Faults
from ringsim.rings.colmi import V1_NOTIFY, V2_NOTIFY, ColmiRing, frame
from tests.air import OTHER, Air, virtual

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
    gaps = [after - before for before, after in zip(contacts, contacts[1:], strict=False)]
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
    assert about(caplog) == ["R02_79B5 is out of range"]

    await air.come_back(ring)
    assert air.value(ring, "in_range", "binary_sensor") == STATE_ON
    assert about(caplog) == ["R02_79B5 is back in range"]


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
    pauses = [round((b - a) / 60) for a, b in zip(starts[1:], starts[2:], strict=False)]
    assert pauses[:5] == [5, 10, 20, 40, 60]
    assert set(pauses[5:]) == {60}
    assert [line[:31] for line in about(caplog)] == ["No contact with R02_79B5: R02_7"]
    assert entry.runtime_data.error.reason == "connected_elsewhere"

    ring.faults.refuse_connections = 0
    await air.passes(hours=1, minutes=10)
    assert await recorded(air, ring) == truth(ring)
    assert about(caplog) == ["Contact with R02_79B5 is back"]


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


async def test_a_link_lost_after_each_notification(air: Air) -> None:
    ring = virtual()
    whole = truth(ring)
    entry = air.entry(ring, pref_disable_polling=True)
    await air.heard(ring)
    assert await air.hass.config_entries.async_setup(entry.entry_id)
    await air.press(ring, "sync")
    notified = [p for p in air.radio.log if not p.to_ring and p.uuid in (V1_NOTIFY, V2_NOTIFY)]
    assert len(notified) > 150
    for last in range(1, len(notified) + 1):
        await air.archive.forget(ring.address)
        await air.restart(entry)
        ring.faults.drop_after = last
        with pytest.raises(HomeAssistantError):
            await air.press(ring, "sync")
        assert set(await recorded(air, ring)) <= set(truth(ring))
        await air.heard()
        await air.press(ring, "sync")
        assert set(whole) <= set(await recorded(air, ring)) <= set(truth(ring))
        await air.heard()
