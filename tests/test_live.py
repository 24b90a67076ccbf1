"""Live values: fresh or unknown, for as long as they may last."""

import asyncio
from bisect import bisect
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch

from homeassistant.components.recorder.core import Recorder
from homeassistant.components.recorder.db_schema import States, StatesMeta
from homeassistant.const import STATE_OFF, STATE_ON, STATE_UNKNOWN
from homeassistant.core import Event, EventStateChangedData, State
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers.recorder import session_scope
from homeassistant.util import dt as dt_util
import pytest
from pytest_homeassistant_custom_component.components.recorder.common import (
    async_wait_recording_done,
)
from sqlalchemy import select

from custom_components.smart_rings.archive import Archive, ArchiveError
from custom_components.smart_rings.live import Live
from custom_components.smart_rings.rings.models import Metric, RingState
from custom_components.smart_rings.rings.recordings import RECORDED
from ringsim.radio import Packet
from ringsim.rings.base import Faults, VirtualRing
from ringsim.rings.colmi import ColmiRing
from ringsim.rings.oxyii import LIVE
from tests.air import OTHER, Air, oximeter, virtual
from tests.virtual_scanner import VirtualScanner

MEASURE, STOP = 0x69, 0x6A
INTERVAL = timedelta(seconds=10)
SECOND = timedelta(seconds=1)
# Half of a ring's second, a rounded clock and the air.
SLACK = timedelta(milliseconds=550)
ADDRESSES = [f"AA:BB:CC:DD:EE:0{number}" for number in range(6)]


async def switch(air: Air, ring: VirtualRing, key: str = "live", *, on: bool = True) -> None:
    """Turn a switch; unlike `Air.call` this doesn't wait until live values have ended."""
    entity_id = air.state(ring, key, "switch").entity_id
    service = "turn_on" if on else "turn_off"
    await air.hass.services.async_call("switch", service, {"entity_id": entity_id}, blocking=True)


def is_live(air: Air, ring: ColmiRing) -> bool:
    return air.value(ring, "live", "switch") == STATE_ON


def event(air: Air, ring: VirtualRing) -> tuple[str, str]:
    """Return the last event and its reason."""
    attributes = air.state(ring, "events", "event").attributes
    return attributes["event_type"], attributes["reason"]


def watched(air: Air, ring: ColmiRing) -> list[tuple[datetime, State]]:
    """Collect every state of the heart rate from now on, with when it came."""
    entity_id = air.state(ring, "heart_rate").entity_id
    states = [(dt_util.utcnow(), air.state(ring, "heart_rate"))]

    def changed(event: Event[EventStateChangedData]) -> None:
        if event.data["entity_id"] == entity_id and (state := event.data["new_state"]):
            states.append((dt_util.utcnow(), state))

    air.hass.bus.async_listen("state_changed", changed)
    return states


def stopped(air: Air, ring: ColmiRing) -> bool:
    """Whether the ring was told to stop measuring after it was last told to begin."""
    told = [p.value[0] for p in air.sent(ring) if p.value and p.value[0] in (MEASURE, STOP)]
    return told[-1] == STOP


async def test_an_hour_with_a_link_that_is_cut(air: Air) -> None:
    """What is shown was measured in the last interval, at every instant; nothing else is."""
    ring = virtual("r12")
    await air.add(ring)
    assert air.value(ring, "heart_rate") != STATE_UNKNOWN
    states = watched(air, ring)
    began = dt_util.utcnow()
    turned = asyncio.create_task(switch(air, ring))
    await asyncio.sleep(5)
    assert air.value(ring, "heart_rate") == STATE_UNKNOWN, "what was recorded is not live"
    await turned
    until = air.state(ring, "live", "switch").attributes["until"]
    assert until == began + timedelta(hours=1)
    for cut in range(5):
        await asyncio.sleep(600)
        assert is_live(air, ring)
        assert air.value(ring, "heart_rate") == str(ring.live["heart_rate"])
        ring.live["heart_rate"] = 90 + cut
        air.radio.drop(ring.address)
        await asyncio.sleep(11)
        assert air.value(ring, "heart_rate") == STATE_UNKNOWN
    await asyncio.sleep(60)
    live = [(at, state) for at, state in states[1:] if at < dt_util.utcnow()]
    for (at, state), (replaced, _) in zip(live, [*live[1:], (dt_util.utcnow(), None)], strict=True):
        if state.state != STATE_UNKNOWN:
            measured = state.attributes["measured_at"]
            assert began < measured <= at
            assert replaced - measured <= INTERVAL + SLACK
    shown = {s.attributes["measured_at"] for _, s in live if s.state != STATE_UNKNOWN}
    assert len(shown) > 250

    await asyncio.sleep((until - dt_util.utcnow()).total_seconds() + 1)
    assert not is_live(air, ring)
    assert not air.radio.links
    assert stopped(air, ring)
    assert event(air, ring) == ("live_ended", "time_over")
    archived = await air.archive.samples(ring.address, Metric.HEART_RATE, began)
    kept = {sample.start for sample in archived}
    assert {at.replace(microsecond=at.microsecond // 1000 * 1000) for at in shown} <= kept


async def test_values_follow_the_interval_that_was_chosen(air: Air) -> None:
    ring = virtual("r12")
    await air.add(ring, live_interval=30, live_duration=10)
    await switch(air, ring)
    states = watched(air, ring)
    await asyncio.sleep(580)
    measured = {s.attributes["measured_at"] for _, s in states if s.state != STATE_UNKNOWN}
    assert 18 <= len(measured) <= 20
    await asyncio.sleep(30)
    assert not is_live(air, ring)


@pytest.mark.parametrize("how", ["switch", "reload", "remove"])
async def test_nothing_is_left_behind(air: Air, how: str) -> None:
    ring = virtual()
    entry = await air.add(ring)
    await switch(air, ring)
    await asyncio.sleep(120)
    assert air.radio.links
    if how == "switch":
        await switch(air, ring, on=False)
        assert not is_live(air, ring)
    elif how == "reload":
        await air.hass.config_entries.async_reload(entry.entry_id)
    else:
        await air.hass.config_entries.async_remove(entry.entry_id)
    assert not air.radio.links
    assert stopped(air, ring)
    assert not [task for task in asyncio.all_tasks() if "smart_rings live" in task.get_name()]
    sent = len(air.sent(ring))
    await asyncio.sleep(200)
    assert len(air.sent(ring)) == sent
    await air.settle()


@pytest.mark.parametrize("link", ["holds", "is lost"])
async def test_it_ends_when_the_ring_leaves(air: Air, link: str) -> None:
    ring = virtual()
    await air.add(ring)
    await switch(air, ring)
    await asyncio.sleep(60)
    if link == "is lost":
        air.radio.drop(ring.address)
    air.radio.leave(ring.address)
    await asyncio.sleep(200)
    assert not is_live(air, ring)
    assert event(air, ring) == ("live_ended", "out_of_range")


async def test_values_of_a_ring_that_left_do_not_come_back(air: Air) -> None:
    ring = oximeter("o2ring_s", days=0)
    ring.worn = True
    await air.add(ring)
    await air.passes(minutes=5)
    await switch(air, ring)
    await asyncio.sleep(60)
    assert air.value(ring, "spo2") != STATE_UNKNOWN
    air.radio.leave(ring.address)
    for _ in range(60):
        await asyncio.sleep(15)
        assert air.value(ring, "spo2") == STATE_UNKNOWN
    assert event(air, ring) == ("live_ended", "out_of_range")


@pytest.mark.parametrize(
    ("attribute", "value", "reason"),
    [("charging", True, "charging"), ("battery", 10, "battery_low")],
)
async def test_it_ends_when_the_ring_needs_power(
    air: Air, attribute: str, value: Any, reason: str
) -> None:
    ring = virtual()
    await air.add(ring)
    await switch(air, ring)
    setattr(ring, attribute, value)
    await asyncio.sleep(90)
    assert not is_live(air, ring)
    assert event(air, ring) == ("live_ended", reason)
    assert not air.radio.links
    assert stopped(air, ring)
    await air.settle()
    with pytest.raises(HomeAssistantError) as caught:
        await switch(air, ring)
    assert caught.value.translation_key == reason
    assert not is_live(air, ring)


@pytest.mark.parametrize(
    ("faults", "reason"),
    [
        (Faults(refuse_connections=-1), "connected_elsewhere"),
        (Faults(ignore=frozenset({0x03})), "not_answering"),
    ],
    ids=["refuses", "silent"],
)
async def test_it_does_not_begin_without_the_ring(air: Air, faults: Faults, reason: str) -> None:
    ring = virtual()
    await air.add(ring)
    ring.faults = faults
    with pytest.raises(HomeAssistantError) as caught:
        await switch(air, ring)
    assert caught.value.translation_key == reason
    assert not is_live(air, ring)
    assert air.value(ring, "live", "switch") == STATE_OFF


async def test_commands_come_between(air: Air) -> None:
    """The link is given up for them and taken again."""
    ring = virtual()
    await air.add(ring)
    await switch(air, ring)
    await asyncio.sleep(60)
    ring.live["heart_rate"] = 111
    entity_id = air.state(ring, "measure_heart_rate", "button").entity_id
    await air.hass.services.async_call("button", "press", {"entity_id": entity_id}, blocking=True)
    await asyncio.sleep(30)
    assert is_live(air, ring)
    assert air.value(ring, "heart_rate") == "111"
    await switch(air, ring, on=False)


async def test_syncs_come_between(air: Air) -> None:
    ring = virtual()
    await air.add(ring)
    await switch(air, ring)
    before = datetime.fromisoformat(air.value(ring, "last_sync"))
    await asyncio.sleep(17 * 60)
    after = datetime.fromisoformat(air.value(ring, "last_sync"))
    assert after - before < timedelta(minutes=17)
    assert after > before
    assert air.value(ring, "heart_rate") == str(ring.live["heart_rate"])
    await switch(air, ring, on=False)


async def test_six_rings_on_one_proxy_two_of_them_live(air: Air) -> None:
    """Every ring is read within two intervals, and other integrations keep a connection."""
    rings = [virtual(address=address) for address in ADDRESSES]
    for ring in rings:
        await air.add(ring)
    for ring in rings[:2]:
        await switch(air, ring)
    together = 0
    synced: dict[str, list[datetime]] = {ring.address: [] for ring in rings}
    for _ in range(50 * 60):
        await asyncio.sleep(1)
        together = max(together, len(air.radio.links))
        for ring in rings:
            if (at := datetime.fromisoformat(air.value(ring, "last_sync"))) not in synced[
                ring.address
            ]:
                synced[ring.address].append(at)
    for times in synced.values():
        gaps = [b - a for a, b in zip(times, [*times[1:], dt_util.utcnow()], strict=True)]
        assert max(gaps) < timedelta(minutes=30)
        assert len(times) >= 3
    assert together == air.proxy.slots - 1
    for ring in rings[:2]:
        assert is_live(air, ring)
        await switch(air, ring, on=False)


async def test_the_oldest_gives_way_and_says_so(air: Air) -> None:
    one, other, third = (virtual(address=address) for address in ADDRESSES[:3])
    for ring in (one, other, third):
        await air.add(ring)
    await switch(air, one)
    await asyncio.sleep(60)
    await switch(air, other)
    await switch(air, third)
    await asyncio.sleep(60)
    assert set(air.radio.links) == {other.address, third.address}
    assert is_live(air, one)
    assert event(air, one) == ("live_paused", "no_free_connection")
    assert air.value(one, "contact") == "no_free_connection"
    assert air.value(one, "heart_rate") == STATE_UNKNOWN
    assert air.value(other, "contact") == "ok"

    await switch(air, other, on=False)
    await asyncio.sleep(60)
    assert air.value(one, "heart_rate") == str(one.live["heart_rate"])
    assert air.value(one, "contact") == "ok"
    for ring in (one, third):
        await switch(air, ring, on=False)


async def test_it_gives_way_when_others_hold_the_rest(air: Air) -> None:
    ring, other = virtual(), virtual(address=OTHER)
    await air.add(ring)
    await air.add(other)
    await switch(air, ring)
    air.proxy.slots = 1
    await asyncio.sleep(20 * 60)
    synced = datetime.fromisoformat(air.value(other, "last_sync"))
    assert dt_util.utcnow() - synced < timedelta(minutes=16)
    assert is_live(air, ring)
    await switch(air, ring, on=False)


async def test_live_values_of_an_oximeter_until_it_is_taken_off(air: Air) -> None:
    ring = oximeter("o2ring_s", days=0)
    ring.worn = True
    await air.add(ring, live_duration=240)
    await air.passes(minutes=5)
    before = len(air.contacts(ring))
    entity_id = air.state(ring, "live", "switch").entity_id
    await air.hass.services.async_call("switch", "turn_on", {"entity_id": entity_id}, blocking=True)
    await asyncio.sleep(3600)
    # Nothing breaks into the link while there is nothing to take.
    assert len(air.contacts(ring)) == before + 1
    assert air.value(ring, "live", "switch") == STATE_ON
    ring.pinned |= {"spo2": 88, "pulse": 77}
    await asyncio.sleep(15)
    assert air.value(ring, "spo2") == "88"
    assert air.value(ring, "heart_rate") == "77"

    ring.pinned |= {"spo2": None, "pulse": None}
    ring.worn = False
    await air.passes(minutes=6)
    assert air.value(ring, "live", "switch") == STATE_OFF
    assert air.value(ring, "spo2") == STATE_UNKNOWN
    (recording,) = await air.archive.recordings(ring.serial)
    assert recording.data == ring.content(ring.files[0])
    assert not await air.archive.samples(ring.serial, Metric.SPO2, recording.start, recording.end)


def states_of(air: Air, start: datetime, end: datetime) -> dict[str, dict[datetime, str]]:
    """Return the recorder's rows of a time, per entity that has any."""
    written = States.last_updated_ts
    query = (
        select(StatesMeta.entity_id, written, States.state)
        .join(States, States.metadata_id == StatesMeta.metadata_id)
        .where(written >= start.timestamp(), written < end.timestamp())
    )
    rows: dict[str, dict[datetime, str]] = {}
    with session_scope(hass=air.hass, read_only=True) as session:
        for entity_id, at, state in session.execute(query):
            rows.setdefault(entity_id, {})[datetime.fromtimestamp(at, UTC)] = state
    return rows


# Half a minute for the eight hours: a millisecond for each second, and the recorder's commits.
@pytest.mark.timeout(600)
@pytest.mark.parametrize("recorder_config", [{"commit_interval": 5}], ids=["as_usual"])
@pytest.mark.parametrize(("interval", "minutes"), [(10, 480), (2, 15), (60, 30)])
async def test_hours_of_an_oximeter_in_the_recorder(
    followed: None, recorder_mock: Recorder, air: Air, interval: int, minutes: int
) -> None:
    """Every second is taken; one of each interval is kept, until the ring tells them all."""
    told: dict[datetime, Mapping[Metric, float]] = {}
    taken: list[Mapping[Metric, float]] = []
    take = Live._take

    def asked(packet: Packet) -> None:
        if packet.to_ring and packet.value[1:2] == bytes((LIVE,)):
            live = ring.truth()["live"]
            values = {Metric(key): value for key, value in live.items() if value is not None}
            told[dt_util.utcnow()] = values if Metric.SPO2 in values else {}

    async def note(live: Live, state: RingState) -> None:
        taken.append({metric: sample.value for metric, sample in state.latest.items()})
        await take(live, state)

    ring = oximeter("o2ring_s", days=0)
    ring.worn = True
    await air.add(ring, live_interval=interval, live_duration=minutes)
    await air.passes(minutes=5)
    air.radio.observers.append(asked)
    with patch.object(Live, "_take", note):
        await switch(air, ring)
        until = air.state(ring, "live", "switch").attributes["until"]
        await asyncio.sleep((until - dt_util.utcnow()).total_seconds() - 0.1)
    began, end = min(told), dt_util.utcnow()
    assert list(told) == [began + n * SECOND for n in range(len(told))]
    assert len(told) > minutes * 60 - 5
    assert taken == list(told.values())
    valid = [at for at, values in told.items() if values]

    await async_wait_recording_done(air.hass)
    rows = await recorder_mock.async_add_executor_job(states_of, air, began, end)
    entity_ids = {metric: air.state(ring, metric).entity_id for metric in RECORDED}
    assert set(rows) == set(entity_ids.values())
    for metric, entity_id in entity_ids.items():
        written = rows[entity_id]
        shown = {at: float(state) for at, state in written.items() if state != STATE_UNKNOWN}
        newest = {at: valid[bisect(valid, at) - 1] for at in written}
        assert shown == {at: told[newest[at]][metric] for at in shown}
        # One for which there was none in its second comes early, and the next ones with it.
        extra = (len(told) - len(valid)) // interval + 1
        assert len(told) // (interval + 1) < len(shown) <= len(told) // interval + extra
        for at in written.keys() - shown.keys():
            assert at - newest[at] > (interval - 1) * SECOND
        kept = await air.archive.samples(ring.serial, metric, began, end)
        assert {sample.start: sample.value for sample in kept} == {
            newest[at]: value for at, value in shown.items()
        }
    for hidden in (Metric.PERFUSION_INDEX, Metric.MOTION):
        hidden_id = air.entity_id(ring, "sensor", hidden)
        assert hidden_id
        assert not air.hass.states.get(hidden_id)

    ring.worn = False
    await air.passes(minutes=6)
    (recording,) = await air.archive.recordings(ring.serial)
    assert recording.data == ring.content(ring.files[0])
    for metric in RECORDED:
        assert not await air.archive.samples(ring.serial, metric, began, end)


async def test_a_backup_does_not_stop_it(air: Air) -> None:
    """What is shown meanwhile enters the archive."""
    ring = virtual("r12")
    await air.add(ring)
    await switch(air, ring)
    await asyncio.sleep(30)
    await air.archive.freeze()
    began = dt_util.utcnow()
    states = watched(air, ring)
    await asyncio.sleep(120)
    assert all(state.state != STATE_UNKNOWN for _, state in states)
    assert len(await air.archive.samples(ring.address, Metric.HEART_RATE, began)) >= 11
    await air.archive.thaw()
    await switch(air, ring, on=False)


async def test_to_turn_it_on_twice_is_once(air: Air) -> None:
    ring = virtual()
    await air.add(ring)
    await switch(air, ring)
    until = air.state(ring, "live", "switch").attributes["until"]
    await asyncio.sleep(60)
    await switch(air, ring)
    assert air.state(ring, "live", "switch").attributes["until"] == until
    starts = [p.value[0] for p in air.sent(ring) if p.value and p.value[0] == MEASURE]
    assert len(starts) == 1
    await switch(air, ring, on=False)


async def test_an_error_of_the_archive_ends_it(air: Air, caplog: pytest.LogCaptureFixture) -> None:
    ring = virtual()
    await air.add(ring)
    await switch(air, ring)
    with patch.object(Archive, "add", side_effect=ArchiveError("disk full")):
        await asyncio.sleep(60)
    assert not is_live(air, ring)
    assert event(air, ring) == ("live_ended", "not_kept")
    assert not air.radio.links
    await switch(air, ring)
    await asyncio.sleep(30)
    assert air.value(ring, "heart_rate") == str(ring.live["heart_rate"])
    await switch(air, ring, on=False)


async def test_a_ring_that_is_away_is_not_connected_to_again_and_again(air: Air) -> None:
    """Scanners hear nothing while they try."""
    ring = virtual()
    await air.add(ring)
    await switch(air, ring)
    await asyncio.sleep(60)
    ring.faults.hang_on_connect = True
    air.radio.leave(ring.address)
    with patch("custom_components.smart_rings.contact.establish_connection") as tried:
        await asyncio.sleep(240)
    assert not tried.called


async def test_rings_at_the_ends_of_a_house_leave_each_other_alone(air: Air) -> None:
    far = VirtualScanner(air.radio, "AA:00:00:00:00:02")
    far.start(air.hass)
    one, other, third = rings = [virtual(address=address) for address in ADDRESSES[:3]]
    for ring in (one, other):
        air.radio.set_rssi(ring.address, far.source, None)
    air.radio.set_rssi(third.address, air.proxy.source, None)
    for ring in rings:
        await air.add(ring)
    for ring in rings:
        await switch(air, ring)
    await asyncio.sleep(60)
    for ring in rings:
        assert air.value(ring, "heart_rate") == str(ring.live["heart_rate"])
        assert air.value(ring, "contact") == "ok"
    for ring in rings:
        await switch(air, ring, on=False)
    far.stop()
