"""Ring time ↔ UTC, for rings whose clock is naive and never follows daylight saving by itself."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
import math

from .models import ClockSetting, Span

# Colmi rings hold seven days; a setting is needed as long as a record written under it can arrive.
KEEP = timedelta(days=40)
# A reading may be stamped at the end of the slot it is taken in.
SLACK = timedelta(minutes=5)
# A difference drift can't make in weeks: someone else set the clock, or it was lost.
JUMP = timedelta(minutes=3)


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

    def utc(
        self,
        ring_time: datetime,
        slot: timedelta = SLACK,
        *,
        length: timedelta = timedelta(),
        new: bool = False,
    ) -> datetime | None:
        """When the ring's clock showed this; `None` where that is not certain, or still to come.

        A `slot` bears the ring time of its begin, though the clock may have been set since. What
        is of some `length` is over by now. Where the clock was set back, a ring time has two
        instants: then only what is `new`, that is, was not there when the clock was last written,
        has a certain one.
        """
        found = self.instants(ring_time, slot, length)
        if new:
            written = max((s.at for s in self.settings if not s.unsure), default=None)
            found = [i for i in found if written and i >= written - SLACK] or found
        if not found or max(found) - min(found) > SLACK:
            return None
        instant = found[-1]
        return None if any(start <= instant < end for start, end in self.doubts) else instant

    def instants(
        self, ring_time: datetime, slot: timedelta = SLACK, length: timedelta = timedelta()
    ) -> list[datetime]:
        """Return when it may have shown this, by each setting in the time it was in force."""
        latest = self.now() + SLACK - length
        end, *ends = (min(at, latest) for at in (*(s.at for s in self.settings), latest))
        found = [instant for instant in self._by_zone(ring_time) if instant < end]
        naive = ring_time.replace(tzinfo=UTC)
        for setting, end in zip(self.settings, ends, strict=True):
            if setting.at - setting.unsure - slot <= (instant := naive - setting.offset) < end:
                found.append(instant)
        return found

    def _by_zone(self, ring_time: datetime) -> list[datetime]:
        """Return when it was that time in the zone: once, or twice where summer time ended."""
        folds = [ring_time.replace(tzinfo=self.zone, fold=fold).astimezone(UTC) for fold in (0, 1)]
        return folds if folds[0] < folds[1] else folds[:1]

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
        """Remember a setting the ring has taken; forget those no record can need any more."""
        # Of equal settings in a row, the first and the last say all.
        if {s.offset for s in self.settings[-2:]} == {setting.offset} and len(self.settings) > 1:
            del self.settings[-1]
        self.settings.append(setting)
        while len(self.settings) > 1 and self.settings[1].at < setting.at - KEEP:
            del self.settings[0]
        self.doubts[:] = [doubt for doubt in self.doubts if doubt[1] > setting.at - KEEP]

    def read(self, ring_time: datetime, since: datetime | None) -> timedelta:
        """Learn from what the ring's clock shows; return how far it is from where it should be.

        A clock that does not show what it was set to was set by someone else after it was read
        last (`since`); nobody knows when. One that was never set is taken to have always done so.
        """
        target = self.target()
        # The ring tells whole seconds that have passed.
        offset = timedelta(
            seconds=math.ceil((ring_time.replace(tzinfo=UTC) - target.at).total_seconds())
        )
        if not self.settings:
            self.settings.append(ClockSetting(target.at - KEEP, offset))
        elif abs(offset - self.settings[-1].offset) > JUMP:
            last = self.settings[-1].at
            unsure = target.at - max(since or last, last)
            self.settings.append(ClockSetting(target.at, offset, unsure))
        return offset - target.offset

    def was_off(self, since: datetime | None, shift: timedelta) -> None:
        """Doubt what the ring wrote with a clock off by `shift`: since then, or ever."""
        now = self.now()
        self.doubts.append(((since or now - KEEP) + shift, now + shift))
