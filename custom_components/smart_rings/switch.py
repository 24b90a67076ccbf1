"""The settings of a ring that are on or off."""

from dataclasses import dataclass
from typing import Any, override

from homeassistant.components.switch import SwitchEntity, SwitchEntityDescription
from homeassistant.core import HomeAssistant
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .coordinator import RingConfigEntry
from .entity import RingSettingDescription, RingSettingEntity, async_add_supported
from .rings.models import Setting, SettingKind

PARALLEL_UPDATES = 1


@dataclass(frozen=True, kw_only=True)
class RingSwitchDescription(RingSettingDescription, SwitchEntityDescription):
    """A setting shown as a switch."""

    @classmethod
    def of(cls, setting: Setting) -> RingSwitchDescription:
        """Take over the key."""
        return cls(**cls.common(setting))


async def async_setup_entry(
    _hass: HomeAssistant, entry: RingConfigEntry, async_add_entities: AddConfigEntryEntitiesCallback
) -> None:
    """Add the switches a ring has."""
    rows = entry.runtime_data.settings_of(SettingKind.SWITCH)
    switches = map(RingSwitchDescription.of, rows)
    async_add_supported(entry.runtime_data, switches, RingSwitch, async_add_entities)


class RingSwitch(RingSettingEntity, SwitchEntity):
    """A switch in a ring."""

    entity_description: RingSwitchDescription

    @property
    @override
    def is_on(self) -> bool | None:
        return None if self.setting_value is None else bool(self.setting_value)

    @override
    async def async_turn_on(self, **kwargs: Any) -> None:
        await self.async_change(value=True)

    @override
    async def async_turn_off(self, **kwargs: Any) -> None:
        await self.async_change(value=False)
