"""Smart rings over local Bluetooth: no cloud, no phone, no account."""

from pathlib import Path

from homeassistant.const import EVENT_HOMEASSISTANT_CLOSE, Platform
from homeassistant.core import Event, HomeAssistant
from homeassistant.helpers import config_validation as cv
from homeassistant.helpers import issue_registry as ir
from homeassistant.helpers.singleton import singleton
from homeassistant.helpers.storage import STORAGE_DIR
from homeassistant.helpers.typing import ConfigType
from homeassistant.util.hass_dict import HassKey

from .archive import Archive, ArchiveError, ArchiveTooNew
from .const import DATA_ARCHIVE, DOMAIN
from .coordinator import RingConfigEntry, RingCoordinator, not_ready
from .repairs import async_forget, async_watch
from .services import async_setup_services
from .statistics import DATA_STATISTICS, Statistics

FILE = f"{DOMAIN}.db"
# Apart from what others find, which is there only when it is open.
_OPENED: HassKey[Archive] = HassKey(f"{DOMAIN}_opened")
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
    Platform.TIME,
)


async def async_setup(hass: HomeAssistant, _config: ConfigType) -> bool:
    """Register what needs no ring."""
    async_setup_services(hass)
    return True


@singleton(_OPENED, async_=True)
async def _open_archive(hass: HomeAssistant) -> Archive:
    """Open the archive, which all rings share, and let the recorder follow it."""
    archive = await Archive.open(Path(hass.config.path(STORAGE_DIR, FILE)))
    hass.data[DATA_ARCHIVE] = archive
    hass.data[DATA_STATISTICS] = statistics = Statistics(hass, archive)
    stop_statistics = statistics.start()

    async def close(_: Event) -> None:
        stop_statistics()
        await archive.close()

    hass.bus.async_listen_once(EVENT_HOMEASSISTANT_CLOSE, close)
    if archive.set_aside:
        _report(hass, "archive_damaged", archive.set_aside.name)
    return archive


def _report(hass: HomeAssistant, issue: str, file: str) -> None:
    """Tell a person what is wrong with the archive."""
    ir.async_create_issue(
        hass,
        DOMAIN,
        issue,
        is_fixable=False,
        # A file is found damaged but once; the next start finds the new one.
        is_persistent=issue == "archive_damaged",
        severity=ir.IssueSeverity.ERROR,
        translation_key=issue,
        translation_placeholders={"file": file},
    )


async def async_setup_entry(hass: HomeAssistant, entry: RingConfigEntry) -> bool:
    """Show what is known of a ring and start to listen for it."""
    try:
        archive = await _open_archive(hass)
    except ArchiveTooNew:
        _report(hass, "archive_too_new", FILE)
        return False
    except ArchiveError as err:
        raise not_ready(err) from err
    coordinator = RingCoordinator(hass, entry, archive)
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
