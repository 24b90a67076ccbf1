"""Backups hold the archive whole, however long they take, while rings are read."""

from homeassistant.core import HomeAssistant

from .const import DATA_ARCHIVE


async def async_pre_backup(hass: HomeAssistant) -> None:
    """Let the archive be copied while it is written: the main file stays, its log only grows.

    A backup takes both, and SQLite leaves out what is torn at the end of a log.
    """
    if archive := hass.data.get(DATA_ARCHIVE):
        await archive.freeze()


async def async_post_backup(hass: HomeAssistant) -> None:
    """Let the log end."""
    if archive := hass.data.get(DATA_ARCHIVE):
        await archive.thaw()
