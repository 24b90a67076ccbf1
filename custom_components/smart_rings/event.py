"""What happened to a ring, for automations to start from: each once."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, override

from homeassistant.components.event import EventEntity, EventEntityDescription
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.dispatcher import async_dispatcher_connect
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .const import SIGNAL_EVENT
from .coordinator import RingConfigEntry
from .entity import RingEntity, RingEntityDescription, async_add_supported
from .rings.models import Capability

PARALLEL_UPDATES = 0


@dataclass(frozen=True, kw_only=True)
class RingEventDescription(RingEntityDescription, EventEntityDescription):
    """An event entity: its types, and what a ring must be able to do for each."""

    types: Mapping[str, Capability | None] = field(hash=False)


EVENTS = (
    RingEventDescription(
        key="events",
        translation_key="events",
        types={
            "night_recorded": Capability.SLEEP,
            "nap_recorded": Capability.SLEEP,
            "sync_failed": None,
            "live_paused": Capability.LIVE,
            "live_ended": Capability.LIVE,
        },
    ),
)


async def async_setup_entry(
    _hass: HomeAssistant, entry: RingConfigEntry, async_add_entities: AddConfigEntryEntitiesCallback
) -> None:
    """Add the events of a ring."""
    async_add_supported(entry.runtime_data, EVENTS, RingEvent, async_add_entities)


class RingEvent(RingEntity, EventEntity):
    """The events of a ring."""

    entity_description: RingEventDescription

    @property
    @override
    def event_types(self) -> list[str]:
        """Those that can happen to this ring: it may tell what it can do after it was added."""
        can = {None, *self.coordinator.memory.capabilities}
        return [name for name, needs in self.entity_description.types.items() if needs in can]

    @override
    async def async_added_to_hass(self) -> None:
        await super().async_added_to_hass()
        signal = SIGNAL_EVENT.format(self.coordinator.key)
        self.async_on_remove(async_dispatcher_connect(self.hass, signal, self._happened))

    @callback
    def _happened(self, event: str, data: Mapping[str, Any]) -> None:
        self._trigger_event(event, dict(data))
        self.async_write_ha_state()
