"""What a sleeper wants to know of a night, and when: docs/sleep.md in code."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from .archive import NAP, NIGHT
from .rings.models import Recording, Sleep, Stage

ASLEEP = (Stage.LIGHT, Stage.DEEP, Stage.REM)
NIGHT_FIGURES: Mapping[str, tuple[Stage, ...]] = {
    "sleep": ASLEEP,
    "deep_sleep": (Stage.DEEP,),
    "light_sleep": (Stage.LIGHT,),
    "rem_sleep": (Stage.REM,),
    "awake": (Stage.AWAKE,),
}

# Longer than a waking day lasts for most, shorter than from one waking up to the next.
RECENT = timedelta(hours=18)
# Rings work a night out in steps, up to an hour after waking, and some are asked for their nights
# only once an hour.
STEADY = timedelta(minutes=90)


def kind(sleep: Sleep) -> str:
    """Return the name of the archive's series a sleep is in."""
    return NAP if sleep.nap else NIGHT


def minutes(sleep: Sleep, figure: str) -> float | None:
    """Return one of the `NIGHT_FIGURES`; None without any: many rings don't tell stages apart."""
    return sleep.total(*NIGHT_FIGURES[figure]) / timedelta(minutes=1) or None


def figures(sleep: Sleep) -> dict[str, float]:
    """Return those of the `NIGHT_FIGURES` there are, in minutes."""
    return {figure: value for figure in NIGHT_FIGURES if (value := minutes(sleep, figure))}


def fell_asleep(sleep: Sleep) -> datetime:
    """Return when the sleeper, who may have lain awake first, fell asleep."""
    return min((p.start for p in sleep.stages if p.stage in ASLEEP), default=sleep.start)


def woke_up(sleep: Sleep) -> datetime:
    """Return when the sleeper woke up for good."""
    awake_at_last = sleep.stages and sleep.stages[-1].stage is Stage.AWAKE
    asleep = [p.end for p in sleep.stages if p.stage is not Stage.AWAKE]
    return max(asleep) if awake_at_last and asleep else sleep.end


def is_recent(record: Sleep | Recording, now: datetime) -> bool:
    """Whether a sleep is over, and not so long that nobody calls it the last one any more."""
    return now - RECENT < record.end <= now


def last_night(sleeps: Iterable[Sleep], now: datetime) -> Sleep | None:
    """Return what is "last night" now: the night that ended last, if that is not long ago."""
    nights = (sleep for sleep in sleeps if not sleep.nap and is_recent(sleep, now))
    return max(nights, key=lambda sleep: sleep.end, default=None)


def to_announce(
    known: Mapping[Sleep, datetime], announced: Mapping[str, datetime], now: datetime
) -> list[Sleep]:
    """Return the sleeps to tell of now, by time.

    `known` holds since when a sleep has been known as it is, `announced` the end of the last sleep
    of each kind that was told of: what began before it is told or was overtaken.
    """
    return sorted(
        (
            sleep
            for sleep, since in known.items()
            if is_recent(sleep, now)
            and now - since >= STEADY
            and sleep.start >= announced.get(kind(sleep), sleep.start)
        ),
        key=lambda sleep: sleep.start,
    )
