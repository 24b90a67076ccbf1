"""What several modules name."""

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from homeassistant.const import UnitOfTime
from homeassistant.util.hass_dict import HassKey
from homeassistant.util.signal_type import SignalTypeFormat

if TYPE_CHECKING:
    from .archive import Archive

DOMAIN = "smart_rings"
DATA_ARCHIVE: HassKey[Archive] = HassKey(DOMAIN)
# Of an entry: the last addresses at which its ring was looked for when it was missing.
CONF_TRIED = "tried"
CONF_SYNC_INTERVAL = "sync_interval"
CONF_LIVE_INTERVAL = "live_interval"
CONF_LIVE_DURATION = "live_duration"
CONF_HAND_OVER_DURATION = "hand_over_duration"


class Option(NamedTuple):
    """A time that may be chosen for a ring: its unit, what holds if none was chosen, its range."""

    unit: UnitOfTime
    default: float
    low: float
    high: float

    def time(self, chosen: float | None) -> timedelta:
        """Return the time that holds."""
        value = self.default if chosen is None else chosen
        return timedelta(seconds=value if self.unit is UnitOfTime.SECONDS else value * 60)


OPTIONS: Mapping[str, Option] = {
    CONF_SYNC_INTERVAL: Option(UnitOfTime.MINUTES, 15, 5, 240),
    CONF_LIVE_INTERVAL: Option(UnitOfTime.SECONDS, 10, 2, 60),
    CONF_LIVE_DURATION: Option(UnitOfTime.MINUTES, 60, 1, 480),
    CONF_HAND_OVER_DURATION: Option(UnitOfTime.MINUTES, 60, 1, 1440),
}
# What happened to a ring, for its event entity: the type and its data.
SIGNAL_EVENT: SignalTypeFormat[str, Mapping[str, Any]] = SignalTypeFormat(f"{DOMAIN}_event_{{}}")
