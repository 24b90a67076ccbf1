"""What helps to find out why a ring does not do as it should; nothing of its wearer."""

from typing import Any

from homeassistant.components.bluetooth import async_last_service_info
from homeassistant.config_entries import ConfigEntryState
from homeassistant.const import CONF_ADDRESS, CONF_MODEL
from homeassistant.core import HomeAssistant
from homeassistant.loader import async_get_loaded_integration

from .const import DOMAIN
from .coordinator import RingConfigEntry, RingCoordinator

LONGEST_TEXT = 40


async def async_get_config_entry_diagnostics(
    hass: HomeAssistant, entry: RingConfigEntry
) -> dict[str, Any]:
    """Return counters, versions, cursors and reasons: no reading, address, serial, key or name."""
    return {
        "version": str(async_get_loaded_integration(hass, DOMAIN).version),
        "model": entry.data[CONF_MODEL],
        "state": entry.state.value,
        "polling_disabled": entry.pref_disable_polling,
        "advertisement": _shape(hass, entry.data[CONF_ADDRESS]),
        # Without a first contact, or disabled, there is no more.
        **(await _known(entry.runtime_data) if entry.state is ConfigEntryState.LOADED else {}),
    }


async def _known(coordinator: RingCoordinator) -> dict[str, Any]:
    """Return what is known of a ring that was set up."""
    memory = coordinator.memory
    return {
        "firmware": memory.info.firmware,
        "hardware": memory.info.hardware,
        "capabilities": sorted(memory.capabilities),
        "notes": memory.notes,
        "logging": {metric: str(every) for metric, every in memory.logging.items()},
        "clock": [[setting.at.isoformat(), str(setting.offset)] for setting in memory.clock],
        "cursor": _outline(await coordinator.archive.cursor(coordinator.key)),
        "sync_interval": str(coordinator.interval),
        "last_sync": coordinator.last_sync and coordinator.last_sync.isoformat(),
        "in_range": coordinator.in_range,
        "rssi": coordinator.rssi,
        "failures": coordinator.failures,
        "live": coordinator.live.is_on,
        "paused": coordinator.contact.paused is not None,
        "reason": coordinator.error and coordinator.error.reason,
        "dropped": dict(coordinator.dropped),
    }


def _outline(document: Any) -> Any:  # noqa: ANN401 - any JSON
    """Return JSON with its long texts as their length: half a recording may wait in a cursor."""
    match document:
        case str() if len(document) > LONGEST_TEXT:
            return f"{len(document)} characters"
        case list():
            return [_outline(item) for item in document]
        case dict():
            return {key: _outline(value) for key, value in document.items()}
        case _:
            return document


def _shape(hass: HomeAssistant, address: str) -> dict[str, Any] | None:
    """Return what an advertisement is made of; its name and data may hold the address."""
    if (info := async_last_service_info(hass, address, connectable=True)) is None:
        return None
    return {
        "has_name": info.name != address,
        "service_uuids": sorted(info.service_uuids),
        "service_data": {uuid: len(data) for uuid, data in info.service_data.items()},
        "manufacturer_data": {
            str(company): len(data) for company, data in info.manufacturer_data.items()
        },
        "connectable": info.connectable,
    }
