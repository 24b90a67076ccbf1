"""Ring time ↔ UTC, for rings whose clock is naive and never follows daylight saving by itself."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo

from .models import ClockSetting, Span

# Colmi rings hold seven days; a setting is needed as long as a record written under it can arrive.
KEEP = timedelta(days=40)
# A reading may be stamped at the end of the slot it is taken in.
SLACK = timedelta(minutes=5)


def utcnow() -> datetime:
    """Return the present instant."""
    return datetime.now(UTC)


class Clock:
    """A ring's clock as it follows from when it was written, and with what.

    `settings` and `doubts` are owned by the ring's memory and grow in place, oldest first. A doubt
    is a span of time that a wrong clock may have written records into.
    """

    def __init__(
        self,
        settings: list[ClockSetting],
        zone: tzinfo,
        now: Callable[[], datetime] = utcnow,
        doubts: list[Span] | None = None,
    ) -> None:
        """Take what is stored, and the zone whose rules hold for records older than any setting."""
        self.settings = settings
        self.doubts = [] if doubts is None else doubts
        self.zone = zone
        self.now = now

    def ring_time(self, at: datetime | None = None) -> datetime:
        """What the ring's clock shows, naive; at present if not told otherwise."""
        at = at or self.now()
        for setting in reversed(self.settings):
            if setting.at <= at:
                return (at + setting.offset).replace(tzinfo=None)
        return at.astimezone(self.zone).replace(tzinfo=None)

    def utc(self, ring_time: datetime) -> datetime | None:
        """When the ring's clock showed this; `None` where that is not certain, or still to come.

        The setting in force wins. Where the clock was set back, a ring time has two instants: the
        later one, unless it lies in the future.
        """
        instant = self._instant(ring_time)
        if instant is None or any(start <= instant < end for start, end in self.doubts):
            return None
        return instant

    def _instant(self, ring_time: datetime) -> datetime | None:
        latest = self.now() + SLACK
        naive = ring_time.replace(tzinfo=UTC)
        for setting in reversed(self.settings):
            if setting.at <= (instant := naive - setting.offset) <= latest:
                return instant
        instant = ring_time.replace(tzinfo=self.zone).astimezone(UTC)
        return instant if instant <= latest else None

    def target(self) -> ClockSetting:
        """What the clock is to be set to now: the wearer's local time."""
        now = self.now()
        offset = now.astimezone(self.zone).utcoffset()
        return ClockSetting(now, offset or timedelta())

    def due(self, interval: timedelta) -> bool:
        """Whether the clock should be set: never done, long ago, or the zone's offset changed."""
        if not self.settings:
            return True
        last, target = self.settings[-1], self.target()
        return target.offset != last.offset or target.at - last.at >= interval

    def written(self, setting: ClockSetting) -> None:
        """Remember a setting the ring has taken; forget those no record can need any more.

        Where it set the clock back, what the ring shows at the times it shows again may be from
        the first time: slots of its memory stay as they are until something is recorded anew.
        """
        if self.settings and (back := self.settings[-1].offset - setting.offset) > timedelta():
            self.doubts.append((setting.at, setting.at + back))
        self.settings.append(setting)
        while len(self.settings) > 1 and self.settings[1].at < setting.at - KEEP:
            del self.settings[0]
        self.doubts[:] = [doubt for doubt in self.doubts if doubt[1] > setting.at - KEEP]

    def was_off(self, since: datetime | None, shift: timedelta) -> None:
        """Doubt what the ring wrote with a clock off by `shift`: since then, or ever."""
        now = self.now()
        self.doubts.append(((since or now - KEEP) + shift, now + shift))
