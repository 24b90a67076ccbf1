"""Finding, adding and reconfiguring rings; their options."""

from collections.abc import Iterator
import json
from typing import Any, override
from unittest.mock import patch

from homeassistant.components import bluetooth
from homeassistant.config_entries import (
    SOURCE_BLUETOOTH,
    SOURCE_IGNORE,
    SOURCE_RECONFIGURE,
    SOURCE_USER,
    ConfigEntry,
    ConfigFlowContext,
)
from homeassistant.const import CONF_ADDRESS, CONF_MODEL, STATE_ON
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.helpers import device_registry as dr
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.smart_rings.const import CONF_SYNC_INTERVAL, DOMAIN
from custom_components.smart_rings.rings.colmi import ColmiRing
from custom_components.smart_rings.rings.models import RingInfo
from ringsim.rings.base import Service
from ringsim.rings.colmi import COLMI
from ringsim.rings.colmi import ColmiRing as ColmiVirtual
from ringsim.rings.oximeter import LEGACY_WRITE, Oximeter
from tests.air import ADDRESS, ADVERTISING, OTHER, Air, oximeter, virtual


class OtherGadget(ColmiVirtual):
    """Something that is called like a ring and is none."""

    @property
    @override
    def services(self) -> tuple[Service, ...]:
        return super().services[:1]


async def discovered(air: Air) -> str:
    """Return the flow that waits on the Integrations page."""
    (flow,) = air.hass.config_entries.flow.async_progress_by_handler(DOMAIN)
    assert flow["context"]["source"] == SOURCE_BLUETOOTH
    assert flow["step_id"] == "bluetooth_confirm"
    return flow["flow_id"]


async def confirm(air: Air, flow_id: str, **chosen: Any) -> Any:
    result = await air.hass.config_entries.flow.async_configure(flow_id, chosen)
    await air.settle()
    return result


async def start(air: Air) -> Any:
    return await air.hass.config_entries.flow.async_init(DOMAIN, context={"source": SOURCE_USER})


async def test_discovery(air: Air) -> None:
    ring = virtual()
    await air.heard(ring)
    flow_id = await discovered(air)
    (flow,) = air.hass.config_entries.flow.async_progress_by_handler(DOMAIN)
    assert flow["context"]["title_placeholders"] == {"name": "R02_79B5"}
    assert not air.sent(ring), "nobody agreed yet"

    result = await confirm(air, flow_id)
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert result["title"] == "R02_79B5"
    assert result["data"] == {CONF_ADDRESS: ring.address, CONF_MODEL: "colmi_r02"}
    assert result["result"].unique_id == ring.address
    assert air.value(ring, "battery") == str(ring.battery)


async def test_name_only_in_the_scan_response(air: Air) -> None:
    ring = virtual("r10")
    await air.heard(ring)
    assert not air.hass.config_entries.flow.async_progress_by_handler(DOMAIN)
    result = await start(air)
    assert result["type"] is FlowResultType.FORM
    assert result["step_id"] == "user"
    result = await confirm(air, result["flow_id"], address=ring.address)
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert result["title"] == ring.name
    assert not air.hass.config_entries.flow.async_progress_by_handler(DOMAIN)


async def test_title_of_a_name_without_address(air: Air) -> None:
    ring = virtual()
    ring.name = "boAtring"
    await air.heard(ring)
    await discovered(air)
    (flow,) = air.hass.config_entries.flow.async_progress_by_handler(DOMAIN)
    assert flow["context"]["title_placeholders"] == {"name": "boAtring (79B5)"}


async def test_a_look_alike_is_not_offered(air: Air) -> None:
    gadget = virtual()
    gadget.name = "R02_Lamp"
    await air.heard(gadget)
    assert not air.hass.config_entries.flow.async_progress_by_handler(DOMAIN)
    result = await start(air)
    assert result["type"] is FlowResultType.ABORT
    assert result["reason"] == "no_devices_found"


async def test_a_configured_ring_is_not_offered(air: Air) -> None:
    ring, other = virtual(), virtual(address=OTHER)
    await air.add(ring)
    assert not air.hass.config_entries.flow.async_progress_by_handler(DOMAIN)
    await air.heard(other)
    result = await start(air)
    (options,) = [field.config["options"] for field in result["data_schema"].schema.values()]
    assert options == [{"value": other.address, "label": other.name}]


async def test_a_duplicate_is_refused(air: Air) -> None:
    """A ring that was added by discovery while the user step showed it."""
    ring = virtual()
    await air.heard(ring)
    waiting = await start(air)
    await confirm(air, await discovered_by(air, SOURCE_BLUETOOTH))
    result = await confirm(air, waiting["flow_id"], address=ring.address)
    assert result["type"] is FlowResultType.ABORT
    assert result["reason"] == "already_configured"
    assert len(air.hass.config_entries.async_entries(DOMAIN)) == 1


async def discovered_by(air: Air, source: str) -> str:
    (flow,) = [
        flow
        for flow in air.hass.config_entries.flow.async_progress_by_handler(DOMAIN)
        if flow["context"]["source"] == source
    ]
    return flow["flow_id"]


async def test_an_ignored_ring_can_be_added_by_hand(air: Air) -> None:
    ring = virtual()
    MockConfigEntry(domain=DOMAIN, unique_id=ring.address, source=SOURCE_IGNORE).add_to_hass(
        air.hass
    )
    await air.heard(ring)
    assert not air.hass.config_entries.flow.async_progress_by_handler(DOMAIN)
    result = await start(air)
    result = await confirm(air, result["flow_id"], address=ring.address)
    assert result["type"] is FlowResultType.CREATE_ENTRY


async def test_held_by_its_phone_app(air: Air, caplog: pytest.LogCaptureFixture) -> None:
    ring = virtual()
    await air.heard(ring)
    ring.faults.refuse_connections = -1
    flow_id = await discovered(air)
    result = await confirm(air, flow_id)
    assert result["type"] is FlowResultType.FORM
    assert result["errors"] == {"base": "connected_elsewhere"}
    assert result["description_placeholders"]["name"] == ring.name
    assert "slots=3/3" in caplog.text

    ring.faults.refuse_connections = 0
    result = await confirm(air, flow_id)
    assert result["type"] is FlowResultType.CREATE_ENTRY


async def test_gone_when_chosen(air: Air) -> None:
    ring = virtual()
    await air.heard(ring)
    result = await start(air)
    air.radio.leave(ring.address)
    await air.passes(minutes=5)
    result = await confirm(air, result["flow_id"], address=ring.address)
    assert result["step_id"] == "user"
    assert result["errors"] == {"base": "out_of_range"}

    air.radio.come_back(ring.address)
    await air.passes(seconds=5)
    result = await confirm(air, result["flow_id"], address=ring.address)
    assert result["type"] is FlowResultType.CREATE_ENTRY


async def test_all_connections_in_use(air: Air) -> None:
    ring = virtual()
    await air.heard(ring)
    air.proxy.slots = 0
    flow_id = await discovered(air)
    result = await confirm(air, flow_id)
    assert result["errors"] == {"base": "no_free_connection"}

    air.proxy.slots = 3
    result = await confirm(air, flow_id)
    assert result["type"] is FlowResultType.CREATE_ENTRY


async def test_another_gadget_under_the_name_of_a_ring(air: Air) -> None:
    gadget = OtherGadget(COLMI["r02"], address=ADDRESS)
    await air.heard(gadget)
    result = await confirm(air, await discovered(air))
    assert result["errors"] == {"base": "not_supported"}
    assert not air.hass.config_entries.async_entries(DOMAIN)


async def test_an_error_nobody_thought_of(air: Air, caplog: pytest.LogCaptureFixture) -> None:
    await air.heard(virtual())
    flow_id = await discovered(air)
    with patch.object(ColmiRing, "info", side_effect=ValueError("surprise")):
        result = await confirm(air, flow_id)
    assert result["errors"] == {"base": "unknown"}
    assert "surprise" in caplog.text

    result = await confirm(air, flow_id)
    assert result["type"] is FlowResultType.CREATE_ENTRY


async def test_reconfigure(air: Air) -> None:
    ring = virtual()
    entry = await air.add(ring)
    result = await entry.start_reconfigure_flow(air.hass)
    assert result["step_id"] == "reconfigure"
    ring.faults.refuse_connections = -1
    result = await confirm(air, result["flow_id"], address=ring.address)
    assert result["errors"] == {"base": "connected_elsewhere"}

    ring.faults.refuse_connections = 0
    result = await confirm(air, result["flow_id"], address=ring.address)
    assert result["type"] is FlowResultType.ABORT
    assert result["reason"] == "reconfigure_successful"
    assert entry.data[CONF_ADDRESS] == ring.address


async def test_reconfigure_leaves_a_ring_to_its_phone_app(air: Air) -> None:
    ring = virtual()
    entry = await air.add(ring)
    switch = air.state(ring, "hand_over", "switch").entity_id
    await air.call("switch", "turn_on", entity_id=switch)
    sent = len(air.sent(ring))
    result = await entry.start_reconfigure_flow(air.hass)
    result = await confirm(air, result["flow_id"], address=ring.address)
    assert result["errors"] == {"base": "paused"}
    assert result["description_placeholders"]["detail"] == "16:00"
    assert len(air.sent(ring)) == sent


async def test_reconfigure_refuses_another_ring(air: Air) -> None:
    entry = await air.add(virtual())
    other = virtual(address=OTHER)
    await air.heard(other)
    result = await entry.start_reconfigure_flow(air.hass)
    result = await confirm(air, result["flow_id"], address=other.address)
    assert result["reason"] == "unique_id_mismatch"
    assert not air.sent(other)
    assert entry.data[CONF_ADDRESS] != other.address


@pytest.fixture
def by_serial() -> Iterator[None]:
    """Let rings be known by a serial number, as those are whose address changes."""

    async def info(ring: ColmiRing) -> RingInfo:
        ring.memory.info = RingInfo(serial="S0042")
        return ring.memory.info

    with patch.multiple(ColmiRing, identity_is_serial=True, info=info):
        yield


async def added_by_serial(air: Air) -> ConfigEntry:
    await air.heard(virtual())
    result = await confirm(air, await discovered(air))
    entry = result["result"]
    assert isinstance(entry, ConfigEntry)
    assert entry.unique_id == "S0042"
    return entry


async def test_a_ring_that_comes_back_under_a_new_address(air: Air, by_serial: None) -> None:
    entry = await added_by_serial(air)
    air.radio.leave(ADDRESS)
    await air.heard(virtual(address=OTHER))
    result = await confirm(air, await discovered(air))
    assert result["reason"] == "already_configured"
    assert entry.data[CONF_ADDRESS] == OTHER
    assert len(air.hass.config_entries.async_entries(DOMAIN)) == 1


async def added_oximeter(air: Air) -> tuple[Oximeter, ConfigEntry]:
    ring = oximeter("o2ring_s")
    await air.heard(ring)
    result = await confirm(air, await discovered(air))
    entry = result["result"]
    assert isinstance(entry, ConfigEntry)
    assert (entry.unique_id, entry.title) == (ring.serial, ring.name)
    await air.passes(minutes=5)
    return ring, entry


def moved(ring: Oximeter) -> Oximeter:
    """Return the ring with another random address, as after a reset; it has the same name."""
    other = oximeter("o2ring_s", OTHER)
    other.serial, other.name = ring.serial, ring.name
    return other


async def test_a_missing_oximeter_is_followed_to_its_new_address(air: Air) -> None:
    ring, entry = await added_oximeter(air)
    taken = len(await air.archive.recordings(ring.serial))
    air.radio.leave(ADDRESS)
    await air.passes(minutes=20)
    other = moved(ring)
    await air.heard(other)
    await air.passes(minutes=10)
    assert not air.hass.config_entries.flow.async_progress_by_handler(DOMAIN)
    assert entry.data[CONF_ADDRESS] == OTHER
    (device,) = dr.async_entries_for_config_entry(dr.async_get(air.hass), entry.entry_id)
    assert device.connections == {(dr.CONNECTION_BLUETOOTH, OTHER)}
    assert air.value(ring, "battery") == str(other.battery)
    assert len(await air.archive.recordings(ring.serial)) >= taken


@pytest.mark.parametrize("whose", ["somebody else's", "does not answer"])
async def test_an_address_is_tried_once(air: Air, whose: str) -> None:
    """Home Assistant may start anew in between."""
    ring, entry = await added_oximeter(air)
    air.radio.leave(ADDRESS)
    await air.passes(minutes=20)
    other = moved(ring)
    if whose == "somebody else's":
        other.serial = "9999999999"
    else:
        other.faults.refuse_connections = -1
    await air.heard(other)
    assert (tried := len(air.contacts(other)))
    assert entry.data[CONF_ADDRESS] == ADDRESS

    other.faults.refuse_connections = 0
    stored = json.loads(json.dumps(dict(entry.data)))
    await air.hass.config_entries.async_remove(entry.entry_id)
    MockConfigEntry(domain=DOMAIN, unique_id=ring.serial, data=stored).add_to_hass(air.hass)
    for key in [key for key in air.hass.data if str(key).startswith(f"{DOMAIN}_")]:
        del air.hass.data[key]
    air.hass.config_entries.flow.async_abort(await discovered(air))
    bluetooth.async_rediscover_address(air.hass, OTHER)
    await air.passes(minutes=10)
    assert await discovered(air)
    assert len(air.contacts(other)) == tried


async def test_an_address_heard_before_the_ring_went_missing_is_tried(air: Air) -> None:
    ring, entry = await added_oximeter(air)
    other = moved(ring)
    await air.heard(other)
    assert not air.contacts(other)
    air.hass.config_entries.flow.async_abort(await discovered(air))
    air.radio.leave(ADDRESS)
    await air.passes(minutes=20)
    bluetooth.async_rediscover_address(air.hass, OTHER)
    await air.passes(minutes=1)
    assert entry.data[CONF_ADDRESS] == OTHER


@pytest.mark.parametrize("model", ["o2ring_2026", "o2ring_untold"])
async def test_a_ring_of_the_older_name_that_speaks_the_newer_way(air: Air, model: str) -> None:
    """By its advertisement or, where that doesn't tell, by which of its services answers."""
    ring = oximeter(model)
    await air.heard(ring)
    result = await confirm(air, await discovered(air))
    assert result["title"] == ring.name
    assert result["data"][CONF_MODEL] == "oxyii_o2ring"
    assert result["result"].unique_id == ring.serial
    await air.passes(minutes=10)
    taken = await air.archive.recordings(ring.serial)
    assert {r.data for r in taken} == {ring.content(file) for file in ring.files}
    to_legacy = [p for p in air.sent(ring) if p.uuid == LEGACY_WRITE]
    assert bool(to_legacy) is (model == "o2ring_untold"), "asked in vain in the flow"
    await air.passes(minutes=60)
    assert [p for p in air.sent(ring) if p.uuid == LEGACY_WRITE] == to_legacy

    air.radio.leave(ADDRESS)
    await air.passes(minutes=20)
    other = oximeter(model, OTHER)
    other.serial, other.name = ring.serial, ring.name
    await air.heard(other)
    await air.passes(minutes=10)
    assert result["result"].data[CONF_ADDRESS] == OTHER


async def test_an_oximeter_that_changes_its_address_while_it_is_heard(air: Air) -> None:
    """Its new address is heard, and its discovery shown, before the old one is missed."""
    ring, entry = await added_oximeter(air)
    air.radio.readdress(ADDRESS, OTHER)
    await air.passes(minutes=1)
    assert await discovered(air)
    await air.passes(minutes=10)
    assert not air.hass.config_entries.flow.async_progress_by_handler(DOMAIN)
    assert entry.data[CONF_ADDRESS] == OTHER
    assert air.value(ring, "in_range", "binary_sensor") == STATE_ON


async def test_nobody_is_tried_for_an_oximeter_left_to_its_phone_app(air: Air) -> None:
    ring, _ = await added_oximeter(air)
    switch = air.state(ring, "hand_over", "switch").entity_id
    await air.call("switch", "turn_on", entity_id=switch)
    air.radio.leave(ADDRESS)
    await air.passes(minutes=20)
    other = moved(ring)
    await air.heard(other)
    await air.passes(minutes=10)
    assert not air.contacts(other)


async def test_an_oximeter_added_by_hand_is_no_longer_offered(air: Air) -> None:
    ring = oximeter("o2ring_s")
    await air.heard(ring)
    assert await discovered(air)
    result = await start(air)
    result = await confirm(air, result["flow_id"], address=ring.address)
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert not air.hass.config_entries.flow.async_progress_by_handler(DOMAIN)


async def test_no_oximeter_is_tried_while_none_is_missing(air: Air) -> None:
    ring, _ = await added_oximeter(air)
    other = moved(ring)
    await air.heard(other)
    assert not air.contacts(other)


async def test_reconfigure_to_a_new_address(air: Air, by_serial: None) -> None:
    entry = await added_by_serial(air)
    air.radio.leave(ADDRESS)
    await air.heard(virtual(address=OTHER))
    context = ConfigFlowContext(source=SOURCE_RECONFIGURE, entry_id=entry.entry_id)
    result: Any = await air.hass.config_entries.flow.async_init(DOMAIN, context=context)
    result = await confirm(air, result["flow_id"], address=OTHER)
    assert result["reason"] == "reconfigure_successful"
    assert entry.data[CONF_ADDRESS] == OTHER


async def test_a_ring_known_by_its_serial_is_not_offered_again(air: Air, by_serial: None) -> None:
    await added_by_serial(air)
    bluetooth.async_rediscover_address(air.hass, ADDRESS)
    await air.passes(seconds=ADVERTISING)
    assert not air.hass.config_entries.flow.async_progress_by_handler(DOMAIN)


async def test_options(air: Air) -> None:
    ring = virtual()
    entry = await air.add(ring)
    result: Any = await air.hass.config_entries.options.async_init(entry.entry_id)
    shown = {str(field): field.default() for field in result["data_schema"].schema}
    assert shown == {
        "sync_interval": 15,
        "live_interval": 10,
        "live_duration": 60,
        "hand_over_duration": 60,
    }
    result = await air.hass.config_entries.options.async_configure(
        result["flow_id"], shown | {CONF_SYNC_INTERVAL: 30}
    )
    await air.settle()
    assert result["type"] is FlowResultType.CREATE_ENTRY
    await air.passes(minutes=6)
    before = len(air.contacts(ring))
    await air.passes(minutes=28)
    assert len(air.contacts(ring)) == before
    await air.passes(minutes=2)
    assert len(air.contacts(ring)) == before + 1
