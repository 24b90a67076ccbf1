"""The settings of a ring that are numbers."""

from dataclasses import dataclass
from typing import override

from homeassistant.components.number import NumberEntity, NumberEntityDescription
from homeassistant.core import HomeAssistant
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .coordinator import RingConfigEntry
from .entity import RingSettingDescription, RingSettingEntity, async_add_supported
from .rings.models import Setting, SettingKind

PARALLEL_UPDATES = 1


@dataclass(frozen=True, kw_only=True)
class RingNumberDescription(RingSettingDescription, NumberEntityDescription):
    """A setting shown as a number."""

    @classmethod
    def of(cls, setting: Setting) -> RingNumberDescription:
        """Take over the range and the unit."""
        return cls(
            **cls.common(setting),
            native_min_value=setting.low,
            native_max_value=setting.high,
            native_step=setting.step,
            native_unit_of_measurement=setting.unit,
        )


async def async_setup_entry(
    _hass: HomeAssistant, entry: RingConfigEntry, async_add_entities: AddConfigEntryEntitiesCallback
) -> None:
    """Add the numbers a ring has."""
    rows = entry.runtime_data.settings_of(SettingKind.NUMBER)
    numbers = map(RingNumberDescription.of, rows)
    async_add_supported(entry.runtime_data, numbers, RingNumber, async_add_entities)


class RingNumber(RingSettingEntity, NumberEntity):
    """A number in a ring."""

    entity_description: RingNumberDescription

    @property
    @override
    def native_value(self) -> float | None:
        return None if self.setting_value is None else float(self.setting_value)

    @override
    async def async_set_native_value(self, value: float) -> None:
        await self.async_change(value)
