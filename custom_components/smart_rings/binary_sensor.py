"""Whether a ring is charging, and whether it is there."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import override

from homeassistant.components.binary_sensor import (
    BinarySensorEntity,
    BinarySensorEntityDescription,
)
from homeassistant.components.binary_sensor.const import BinarySensorDeviceClass
from homeassistant.const import EntityCategory
from homeassistant.core import HomeAssistant
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .coordinator import RingConfigEntry, RingCoordinator
from .entity import RingEntity, RingEntityDescription, async_add_supported
from .rings.models import Capability

PARALLEL_UPDATES = 0


@dataclass(frozen=True, kw_only=True)
class RingBinarySensorDescription(RingEntityDescription, BinarySensorEntityDescription):
    """A binary sensor and its value."""

    value_fn: Callable[[RingCoordinator], bool | None]


BINARY_SENSORS = (
    RingBinarySensorDescription(
        key="charging",
        capability=Capability.CHARGING,
        device_class=BinarySensorDeviceClass.BATTERY_CHARGING,
        entity_category=EntityCategory.DIAGNOSTIC,
        value_fn=lambda coordinator: coordinator.said(2 * coordinator.interval).charging,
    ),
    RingBinarySensorDescription(
        key="measuring",
        translation_key="measuring",
        capability=Capability.MEASURE_HEART_RATE,
        device_class=BinarySensorDeviceClass.RUNNING,
        entity_category=EntityCategory.DIAGNOSTIC,
        entity_registry_enabled_default=False,
        value_fn=lambda coordinator: coordinator.measuring is not None,
    ),
    RingBinarySensorDescription(
        key="in_range",
        translation_key="in_range",
        device_class=BinarySensorDeviceClass.CONNECTIVITY,
        entity_category=EntityCategory.DIAGNOSTIC,
        value_fn=lambda coordinator: coordinator.in_range,
    ),
)


async def async_setup_entry(
    _hass: HomeAssistant, entry: RingConfigEntry, async_add_entities: AddConfigEntryEntitiesCallback
) -> None:
    """Add the binary sensors a ring has."""
    async_add_supported(entry.runtime_data, BINARY_SENSORS, RingBinarySensor, async_add_entities)


class RingBinarySensor(RingEntity, BinarySensorEntity):
    """A binary sensor of a ring."""

    entity_description: RingBinarySensorDescription

    @property
    @override
    def is_on(self) -> bool | None:
        return self.entity_description.value_fn(self.coordinator)
