"""What a ring can be told to do."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import override

from homeassistant.components.button import ButtonEntity, ButtonEntityDescription
from homeassistant.components.button.const import ButtonDeviceClass
from homeassistant.const import EntityCategory
from homeassistant.core import HomeAssistant
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .coordinator import RingConfigEntry, RingCoordinator
from .entity import RingEntity, RingEntityDescription, async_add_supported
from .rings.models import Capability, Metric
from .rings.ring import Ring

# Contacts of a ring wait for each other; that it is busy is to be said at once.
PARALLEL_UPDATES = 0


@dataclass(frozen=True, kw_only=True)
class RingButtonDescription(RingEntityDescription, ButtonEntityDescription):
    """A button and what it does; it raises `ContactError`."""

    press_fn: Callable[[RingCoordinator], Awaitable[None]]


def _tell(
    command: Callable[[Ring], Awaitable[None]],
) -> Callable[[RingCoordinator], Awaitable[None]]:
    return lambda coordinator: coordinator.async_command(command)


def _measure(metric: Metric, *, enabled: bool = False) -> RingButtonDescription:
    """Return the button that measures a metric now."""

    async def press(coordinator: RingCoordinator) -> None:
        await coordinator.async_measure(metric)

    key = f"measure_{metric}"
    return RingButtonDescription(
        key=key,
        translation_key=key,
        capability=Capability(key),
        entity_registry_enabled_default=enabled,
        press_fn=press,
    )


BUTTONS = (
    _measure(Metric.HEART_RATE, enabled=True),
    _measure(Metric.SPO2),
    _measure(Metric.HRV),
    _measure(Metric.STRESS),
    RingButtonDescription(
        key="sync",
        translation_key="sync",
        entity_category=EntityCategory.DIAGNOSTIC,
        press_fn=RingCoordinator.async_sync,
    ),
    RingButtonDescription(
        key="find",
        capability=Capability.FIND,
        device_class=ButtonDeviceClass.IDENTIFY,
        entity_category=EntityCategory.DIAGNOSTIC,
        entity_registry_enabled_default=False,
        press_fn=_tell(lambda ring: ring.find()),
    ),
    RingButtonDescription(
        key="set_time",
        translation_key="set_time",
        capability=Capability.SET_TIME,
        entity_category=EntityCategory.CONFIG,
        entity_registry_enabled_default=False,
        press_fn=_tell(lambda ring: ring.set_time()),
    ),
    RingButtonDescription(
        key="restart",
        capability=Capability.RESTART,
        device_class=ButtonDeviceClass.RESTART,
        entity_category=EntityCategory.CONFIG,
        entity_registry_enabled_default=False,
        press_fn=_tell(lambda ring: ring.restart()),
    ),
)


async def async_setup_entry(
    _hass: HomeAssistant, entry: RingConfigEntry, async_add_entities: AddConfigEntryEntitiesCallback
) -> None:
    """Add the buttons a ring has."""
    async_add_supported(entry.runtime_data, BUTTONS, RingButton, async_add_entities)


class RingButton(RingEntity, ButtonEntity):
    """A button of a ring."""

    entity_description: RingButtonDescription

    @override
    async def async_press(self) -> None:
        await self.entity_description.press_fn(self.coordinator)
