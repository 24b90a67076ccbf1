"""Backups hold the archive whole."""

from homeassistant.core import HomeAssistant

from .const import DATA_ARCHIVE


async def async_pre_backup(hass: HomeAssistant) -> None:
    """Let writes to the archive wait until the backup has copied it."""
    if archive := hass.data.get(DATA_ARCHIVE):
        await archive.hold()


async def async_post_backup(hass: HomeAssistant) -> None:
    """Let writes go on."""
    if archive := hass.data.get(DATA_ARCHIVE):
        archive.resume()
