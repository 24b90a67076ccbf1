"""The settings of a ring that are a choice."""

from dataclasses import dataclass
from typing import override

from homeassistant.components.select import SelectEntity, SelectEntityDescription
from homeassistant.core import HomeAssistant
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .coordinator import RingConfigEntry
from .entity import RingSettingDescription, RingSettingEntity, async_add_supported
from .rings.models import Setting, SettingKind

PARALLEL_UPDATES = 1


@dataclass(frozen=True, kw_only=True)
class RingSelectDescription(RingSettingDescription, SelectEntityDescription):
    """A setting shown as a choice."""

    @classmethod
    def of(cls, setting: Setting) -> RingSelectDescription:
        """Take over the options."""
        return cls(**cls.common(setting), options=list(setting.options))


async def async_setup_entry(
    _hass: HomeAssistant, entry: RingConfigEntry, async_add_entities: AddConfigEntryEntitiesCallback
) -> None:
    """Add the choices a ring has."""
    rows = entry.runtime_data.settings_of(SettingKind.SELECT)
    selects = map(RingSelectDescription.of, rows)
    async_add_supported(entry.runtime_data, selects, RingSelect, async_add_entities)


class RingSelect(RingSettingEntity, SelectEntity):
    """A choice in a ring."""

    entity_description: RingSelectDescription

    @property
    @override
    def current_option(self) -> str | None:
        return None if self.setting_value is None else str(self.setting_value)

    @override
    async def async_select_option(self, option: str) -> None:
        await self.async_change(option)
