"""A house with rings in it, as tests of the integration see it."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

from homeassistant.config_entries import RELOAD_AFTER_UPDATE_DELAY, ConfigEntryState
from homeassistant.const import CONF_ADDRESS, CONF_MODEL
from homeassistant.core import HomeAssistant, State
from homeassistant.helpers import entity_registry as er
from homeassistant.util import dt as dt_util
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.smart_rings.archive import Archive
from custom_components.smart_rings.const import CONF_SYNC_INTERVAL, DATA_ARCHIVE, DOMAIN
from custom_components.smart_rings.rings import Advertisement, recognise
from ringsim.radio import FAST, Packet, Radio
from ringsim.rings import MODELS
from ringsim.rings.base import VirtualRing
from ringsim.rings.colmi import COLMI, ColmiRing
from ringsim.rings.oximeter import Oximeter
from tests.virtual_scanner import VirtualScanner

ADDRESS = "AA:BB:CC:DD:79:B5"
OTHER = "AA:BB:CC:DD:EE:FF"
AMSTERDAM = ZoneInfo("Europe/Amsterdam")
ADVERTISING = 5.0


def virtual(
    model: str = "r02",
    address: str = ADDRESS,
    *,
    zone: ZoneInfo = AMSTERDAM,
    ahead: timedelta = timedelta(days=2),
) -> ColmiRing:
    """Return a ring that was worn for a week, and will be for some time more."""
    return ColmiRing(
        COLMI[model],
        address=address,
        now=dt_util.utcnow,
        zone=zone,
        ahead=ahead,
    )


def oximeter(model: str, address: str = ADDRESS, *, days: int = 7) -> Oximeter:
    """Return a ring that was worn in the last nights and now lies on its charger."""
    ring = MODELS[model](
        address=address, now=dt_util.utcnow, seed=7, days=days, zone=AMSTERDAM, ahead=timedelta()
    )
    assert isinstance(ring, Oximeter)
    return ring


def key_of(ring: VirtualRing) -> str:
    """Return what a ring is known by."""
    return ring.serial if isinstance(ring, Oximeter) else ring.address


class Air:
    """Home Assistant, a radio, and a proxy between them."""

    def __init__(self, hass: HomeAssistant) -> None:
        self.hass = hass
        self.radio = Radio(replace(FAST, advertising_interval=ADVERTISING))
        self.proxy = VirtualScanner(self.radio)
        self.proxy.start(hass)

    @property
    def archive(self) -> Archive:
        return self.hass.data[DATA_ARCHIVE]

    def stop(self) -> None:
        self.radio.stop()
        self.proxy.stop()

    async def settle(self) -> None:
        """Wait until all that has begun is done."""
        await self.hass.async_block_till_done(wait_background_tasks=True)

    async def passes(self, **time: float) -> None:
        """Let time pass, and all that happens in it."""
        await asyncio.sleep(timedelta(**time).total_seconds())
        await self.settle()

    async def heard(self, *rings: VirtualRing) -> None:
        """Put rings into the air until each was heard."""
        for ring in rings:
            self.radio.add(ring)
        self.radio.start()
        await self.passes(seconds=ADVERTISING)

    async def leave(self, ring: VirtualRing) -> None:
        """Carry a ring away until it is missed."""
        self.radio.leave(ring.address)
        await self.passes(minutes=4, seconds=10)

    async def come_back(self, ring: VirtualRing) -> None:
        """Carry a ring back; what that brings about is done at the end."""
        self.radio.come_back(ring.address)
        await self.passes(seconds=ADVERTISING)

    def entry(
        self,
        ring: VirtualRing,
        *,
        sync_interval: int = 15,
        pref_disable_polling: bool = False,
        **options: Any,
    ) -> MockConfigEntry:
        """Return an entry of a ring as the flow makes it."""
        model = recognise(Advertisement(ring.name))
        assert model
        entry = MockConfigEntry(
            domain=DOMAIN,
            unique_id=key_of(ring),
            title=ring.name,
            data={CONF_ADDRESS: ring.address, CONF_MODEL: model.key},
            options={CONF_SYNC_INTERVAL: sync_interval, **options},
            pref_disable_polling=pref_disable_polling,
        )
        entry.add_to_hass(self.hass)
        return entry

    async def add(
        self, ring: VirtualRing, sync_interval: int = 15, **options: Any
    ) -> MockConfigEntry:
        """Put a ring into the air and set its entry up; its first sync is done at the end."""
        entry = self.entry(ring, sync_interval=sync_interval, **options)
        await self.heard(ring)
        assert await self.hass.config_entries.async_setup(entry.entry_id)
        await self.settle()
        assert entry.state is ConfigEntryState.LOADED
        return entry

    async def restart(self, entry: MockConfigEntry) -> None:
        """Set an entry up again, as after a start of Home Assistant."""
        assert await self.hass.config_entries.async_reload(entry.entry_id)
        await self.settle()

    def entity_id(self, ring: VirtualRing, platform: str, key: str) -> str | None:
        """Return the id of an entity, if the ring has it."""
        return er.async_get(self.hass).async_get_entity_id(
            platform, DOMAIN, f"{key_of(ring)}_{key}"
        )

    def state(self, ring: VirtualRing, key: str, platform: str = "sensor") -> State:
        """Return what Home Assistant shows."""
        entity_id = self.entity_id(ring, platform, key)
        assert entity_id, f"no {platform} {key}"
        state = self.hass.states.get(entity_id)
        assert state, f"{entity_id} is disabled"
        return state

    def value(self, ring: VirtualRing, key: str, platform: str = "sensor") -> str:
        """Return the state of one entity."""
        return self.state(ring, key, platform).state

    async def enable(self, ring: VirtualRing, platform: str, key: str) -> None:
        """Switch an entity on that is off by default."""
        entity_id = self.entity_id(ring, platform, key)
        assert entity_id
        er.async_get(self.hass).async_update_entity(entity_id, disabled_by=None)
        await self.passes(seconds=RELOAD_AFTER_UPDATE_DELAY + 1)

    async def press(self, ring: VirtualRing, key: str) -> None:
        """Press a button."""
        await self.call("button", "press", entity_id=self.state(ring, key, "button").entity_id)

    async def call(self, domain: str, service: str, **data: Any) -> None:
        """Call a service and let what it brings about happen."""
        await self.hass.services.async_call(domain, service, data, blocking=True)
        await self.settle()

    def sent(self, ring: VirtualRing) -> list[Packet]:
        """Return what went to a ring, connections included."""
        return [p for p in self.radio.log if p.address == ring.address and p.to_ring]

    async def contacted(self, ring: VirtualRing) -> None:
        """Wait until a ring is connected to, or refuses it."""
        came = asyncio.Event()

        def saw(packet: Packet) -> None:
            if packet.address == ring.address and packet.uuid == "connect":
                came.set()

        self.radio.observers.append(saw)
        await came.wait()
        self.radio.observers.remove(saw)

    def contacts(self, ring: VirtualRing) -> list[float]:
        """Return when a ring was connected to, in seconds of the loop's time."""
        return [packet.time for packet in self.sent(ring) if packet.uuid == "connect"]
