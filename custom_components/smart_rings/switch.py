"""Live values, the hand-over to a phone, and the settings of a ring that are on or off."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, override

from homeassistant.components.switch import SwitchEntity, SwitchEntityDescription
from homeassistant.core import HomeAssistant
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .coordinator import RingConfigEntry, RingCoordinator
from .entity import (
    RingEntity,
    RingEntityDescription,
    RingSettingDescription,
    RingSettingEntity,
    async_add_supported,
)
from .rings.models import Capability, Setting, SettingKind

# Contacts of a ring wait for each other; a hand-over must not wait for live values to begin.
PARALLEL_UPDATES = 0

ATTR_UNTIL = "until"


@dataclass(frozen=True, kw_only=True)
class RingModeDescription(RingEntityDescription, SwitchEntityDescription):
    """A way to treat a ring that ends by itself: until when, and what switches it.

    It may raise `ContactError`.
    """

    until_fn: Callable[[RingCoordinator], datetime | None]
    on_fn: Callable[[RingCoordinator], Awaitable[None]]
    off_fn: Callable[[RingCoordinator], Awaitable[None]]


MODES = (
    RingModeDescription(
        key="live",
        translation_key="live",
        capability=Capability.LIVE,
        until_fn=lambda coordinator: coordinator.live.until,
        on_fn=lambda coordinator: coordinator.live.start(),
        off_fn=lambda coordinator: coordinator.live.stop(),
    ),
    RingModeDescription(
        key="hand_over",
        translation_key="hand_over",
        until_fn=lambda coordinator: (
            coordinator.contact.paused_until if coordinator.contact.paused else None
        ),
        on_fn=RingCoordinator.async_hand_over,
        off_fn=RingCoordinator.async_take_back,
    ),
)


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
    async_add_supported(entry.runtime_data, MODES, RingMode, async_add_entities)
    rows = entry.runtime_data.settings_of(SettingKind.SWITCH)
    switches = map(RingSwitchDescription.of, rows)
    async_add_supported(entry.runtime_data, switches, RingSwitch, async_add_entities)


class RingMode(RingEntity, SwitchEntity):
    """A way to treat a ring, for some time."""

    entity_description: RingModeDescription

    @property
    @override
    def is_on(self) -> bool:
        return self.entity_description.until_fn(self.coordinator) is not None

    @property
    @override
    def extra_state_attributes(self) -> Mapping[str, Any]:
        return {ATTR_UNTIL: self.entity_description.until_fn(self.coordinator)}

    @override
    async def async_turn_on(self, **kwargs: Any) -> None:
        await self.entity_description.on_fn(self.coordinator)

    @override
    async def async_turn_off(self, **kwargs: Any) -> None:
        await self.entity_description.off_fn(self.coordinator)


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
