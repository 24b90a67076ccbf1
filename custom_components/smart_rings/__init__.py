"""Smart rings over local Bluetooth: no cloud, no phone, no account."""

from pathlib import Path

from homeassistant.const import EVENT_HOMEASSISTANT_CLOSE, Platform
from homeassistant.core import Event, HomeAssistant
from homeassistant.helpers import config_validation as cv
from homeassistant.helpers import issue_registry as ir
from homeassistant.helpers.storage import STORAGE_DIR
from homeassistant.helpers.typing import ConfigType

from .archive import Archive, ArchiveTooNew
from .const import DATA_ARCHIVE, DOMAIN
from .coordinator import RingConfigEntry, RingCoordinator
from .repairs import async_forget, async_watch
from .services import async_setup_services
from .statistics import Statistics

CONFIG_SCHEMA = cv.config_entry_only_config_schema(DOMAIN)
PLATFORMS = (
    Platform.BINARY_SENSOR,
    Platform.BUTTON,
    Platform.CALENDAR,
    Platform.EVENT,
    Platform.NUMBER,
    Platform.SELECT,
    Platform.SENSOR,
    Platform.SWITCH,
)


async def async_setup(hass: HomeAssistant, _config: ConfigType) -> bool:
    """Open the archive, which all rings share, and let the recorder follow it."""
    path = Path(hass.config.path(STORAGE_DIR, f"{DOMAIN}.db"))
    try:
        archive = await Archive.open(path)
    except ArchiveTooNew:
        _report(hass, "archive_too_new", path)
        return False
    hass.data[DATA_ARCHIVE] = archive
    statistics = Statistics(hass, archive)
    stop_statistics = statistics.start()
    async_setup_services(hass, statistics)

    async def close(_: Event) -> None:
        stop_statistics()
        await archive.close()

    hass.bus.async_listen_once(EVENT_HOMEASSISTANT_CLOSE, close)
    if archive.set_aside:
        _report(hass, "archive_damaged", archive.set_aside)
    return True


def _report(hass: HomeAssistant, issue: str, file: Path) -> None:
    """Tell a person what is wrong with the archive."""
    ir.async_create_issue(
        hass,
        DOMAIN,
        issue,
        is_fixable=False,
        severity=ir.IssueSeverity.ERROR,
        translation_key=issue,
        translation_placeholders={"file": file.name},
    )


async def async_setup_entry(hass: HomeAssistant, entry: RingConfigEntry) -> bool:
    """Show what is known of a ring and start to listen for it."""
    coordinator = RingCoordinator(hass, entry, hass.data[DATA_ARCHIVE])
    await coordinator.async_config_entry_first_refresh()
    entry.runtime_data = coordinator
    await hass.config_entries.async_forward_entry_setups(entry, PLATFORMS)
    coordinator.async_start()
    async_watch(hass, coordinator)
    return True


async def async_unload_entry(hass: HomeAssistant, entry: RingConfigEntry) -> bool:
    """Leave the ring alone; its link, if there is one, is given back."""
    await entry.runtime_data.async_close()
    return await hass.config_entries.async_unload_platforms(entry, PLATFORMS)


async def async_remove_entry(hass: HomeAssistant, entry: RingConfigEntry) -> None:
    """Report nothing of the ring any more; what it recorded stays."""
    async_forget(hass, entry)
