"""What several modules name."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from homeassistant.util.hass_dict import HassKey
from homeassistant.util.signal_type import SignalTypeFormat

from .archive import Archive

DOMAIN = "smart_rings"
DATA_ARCHIVE: HassKey[Archive] = HassKey(DOMAIN)
CONF_SYNC_INTERVAL = "sync_interval"
DEFAULT_SYNC_INTERVAL = timedelta(minutes=15)
# What happened to a ring, for its event entity: the type and its data.
SIGNAL_EVENT: SignalTypeFormat[str, Mapping[str, Any]] = SignalTypeFormat(f"{DOMAIN}_event_{{}}")
