"""What several modules name."""

from datetime import timedelta

from homeassistant.util.hass_dict import HassKey

from .archive import Archive

DOMAIN = "smart_rings"
DATA_ARCHIVE: HassKey[Archive] = HassKey(DOMAIN)
CONF_SYNC_INTERVAL = "sync_interval"
DEFAULT_SYNC_INTERVAL = timedelta(minutes=15)
