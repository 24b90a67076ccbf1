"""What all entities of a ring have in common."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, override

from homeassistant.const import EntityCategory
from homeassistant.core import callback
from homeassistant.helpers.entity import EntityDescription
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback
from homeassistant.helpers.update_coordinator import CoordinatorEntity

from .coordinator import RingCoordinator
from .rings.models import Capability, Setting, Value


@dataclass(frozen=True, kw_only=True)
class RingEntityDescription(EntityDescription):
    """An entity, and what a ring must be able to do to have it."""

    capability: Capability | None = None

    def supported(self, coordinator: RingCoordinator) -> bool:
        """Whether this ring has it."""
        return self.capability is None or self.capability in coordinator.memory.capabilities


class RingEntity(CoordinatorEntity[RingCoordinator]):
    """One row of a platform's table, for one ring.

    It stays available while the ring is away, which is what rings are most of the day: a value
    becomes unknown when it is too old to be true, not when the link is down.
    """

    _attr_has_entity_name = True

    def __init__(self, coordinator: RingCoordinator, description: RingEntityDescription) -> None:
        """Take the ring and the row."""
        super().__init__(coordinator)
        self.entity_description = description
        self._attr_unique_id = f"{coordinator.key}_{description.key}"
        self._attr_device_info = coordinator.device_info

    @property
    @override
    def available(self) -> bool:
        """Always: see above."""
        return True


@dataclass(frozen=True, kw_only=True)
class RingSettingDescription(RingEntityDescription):
    """A setting of a ring, as the ring's family describes it."""

    setting: Setting

    @staticmethod
    def common(setting: Setting) -> dict[str, Any]:
        """Return the fields all kinds of settings have."""
        return {
            "setting": setting,
            "key": setting.key,
            "translation_key": setting.key,
            "entity_category": EntityCategory.CONFIG,
            "entity_registry_enabled_default": False,
        }

    @override
    def supported(self, coordinator: RingCoordinator) -> bool:
        """Whether the ring told this setting."""
        return self.setting.key in coordinator.settings


class RingSettingEntity(RingEntity):
    """A setting: written to the ring, and shown as the ring answered."""

    entity_description: RingSettingDescription

    @property
    def setting_value(self) -> Value | None:
        """What the ring said last."""
        key = self.entity_description.setting.key
        return self.coordinator.settings.get(key)

    async def async_change(self, value: Value) -> None:
        """Write it. Raises `ContactError`, also while the ring is away."""
        await self.coordinator.async_change(self.entity_description.setting, value)


@callback
def async_add_supported[DescriptionT: RingEntityDescription](
    coordinator: RingCoordinator,
    descriptions: Iterable[DescriptionT],
    create: Callable[[RingCoordinator, DescriptionT], RingEntity],
    add: AddConfigEntryEntitiesCallback,
) -> None:
    """Add the entities this ring has, each as soon as the ring is known to be able to do it.

    Some rings tell what they can do only in the course of the first contact.
    """
    waiting = list(descriptions)

    @callback
    def add_known() -> None:
        if known := [row for row in waiting if row.supported(coordinator)]:
            waiting[:] = [row for row in waiting if row not in known]
            add(create(coordinator, row) for row in known)

    add_known()
    if waiting:
        coordinator.config_entry.async_on_unload(coordinator.async_add_listener(add_known))
