"""The settings of a ring that are a time of day."""

from dataclasses import dataclass
from datetime import time
from typing import override

from homeassistant.components.time import TimeEntity, TimeEntityDescription
from homeassistant.core import HomeAssistant
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .coordinator import RingConfigEntry
from .entity import RingSettingDescription, RingSettingEntity, async_add_supported
from .rings.models import Setting, SettingKind

PARALLEL_UPDATES = 1


@dataclass(frozen=True, kw_only=True)
class RingTimeDescription(RingSettingDescription, TimeEntityDescription):
    """A setting shown as a time of day."""

    @classmethod
    def of(cls, setting: Setting) -> RingTimeDescription:
        """Take it as it is."""
        return cls(**cls.common(setting))


async def async_setup_entry(
    _hass: HomeAssistant, entry: RingConfigEntry, async_add_entities: AddConfigEntryEntitiesCallback
) -> None:
    """Add the times a ring has."""
    rows = entry.runtime_data.settings_of(SettingKind.TIME)
    times = map(RingTimeDescription.of, rows)
    async_add_supported(entry.runtime_data, times, RingTime, async_add_entities)


class RingTime(RingSettingEntity, TimeEntity):
    """A time of day in a ring."""

    entity_description: RingTimeDescription

    @property
    @override
    def native_value(self) -> time | None:
        return None if self.setting_value is None else time.fromisoformat(str(self.setting_value))

    @override
    async def async_set_value(self, value: time) -> None:
        await self.async_change(value.isoformat("minutes"))
