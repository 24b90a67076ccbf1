"""Nights and naps where they were, on any past date."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import override

from homeassistant.components.calendar import (
    CalendarEntity,
    CalendarEntityDescription,
    CalendarEvent,
)
from homeassistant.core import HomeAssistant
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback
from homeassistant.util import dt as dt_util

from .coordinator import RingConfigEntry
from .entity import RingEntity, RingEntityDescription, async_add_supported
from .rings.models import Capability, Sleep
from .sleep import figures, kind

PARALLEL_UPDATES = 0


@dataclass(frozen=True, kw_only=True)
class RingCalendarDescription(RingEntityDescription, CalendarEntityDescription):
    """A calendar."""


CALENDARS = (
    RingCalendarDescription(key="sleep", translation_key="sleep", capability=Capability.SLEEP),
)


async def async_setup_entry(
    _hass: HomeAssistant, entry: RingConfigEntry, async_add_entities: AddConfigEntryEntitiesCallback
) -> None:
    """Add the calendar of a ring that records sleep."""
    async_add_supported(entry.runtime_data, CALENDARS, RingCalendar, async_add_entities)


class RingCalendar(RingEntity, CalendarEntity):
    """The nights and naps of the archive."""

    entity_description: RingCalendarDescription

    @property
    @override
    def event(self) -> CalendarEvent | None:
        """The next event: a ring tells of a sleep only when it is over."""
        return None

    @override
    async def async_get_events(
        self, hass: HomeAssistant, start_date: datetime, end_date: datetime
    ) -> list[CalendarEvent]:
        sleeps = await self.coordinator.archive.sleeps(self.coordinator.key, start_date, end_date)
        return [_event(sleep) for sleep in sleeps]


def _event(sleep: Sleep) -> CalendarEvent:
    """Return a sleep with its length, and how long each stage was as its description."""
    lines = (
        f"{figure.replace('_', ' ').capitalize()}: {_duration(timedelta(minutes=value))}"
        for figure, value in figures(sleep).items()
    )
    return CalendarEvent(
        start=dt_util.as_local(sleep.start),
        end=dt_util.as_local(sleep.end),
        summary=f"{kind(sleep).capitalize()}, {_duration(sleep.end - sleep.start)}",
        description="\n".join(lines),
        uid=f"{kind(sleep)}-{sleep.start.isoformat()}",
    )


def _duration(time: timedelta) -> str:
    hours, minutes = divmod(round(time / timedelta(minutes=1)), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
