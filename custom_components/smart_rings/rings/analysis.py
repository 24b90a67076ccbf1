"""The figures of a night, computed from its samples by one stated rule; no ring is asked.

The rule. A second counts as *measured* when its sample has an SpO2. Means and shares are over
measured time. A *drop* of n points begins with a sample that lies n or more below the highest
SpO2 of the two minutes before it (the baseline), and ends when SpO2 is back within one point of
that baseline, or two minutes after the baseline was last seen: what stays low that long is the new
baseline. A dip shorter than ten seconds is none. The desaturation index is drops per measured hour.
Rings count by rules of their own, so that their figures differ.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

BASELINE = timedelta(minutes=2)
MIN_DROP = timedelta(seconds=10)
RECOVERED = 1
LOW = 90
# Of less than this an index per hour would be a guess.
MIN_INDEXED = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Figures:
    """A night in numbers: %, bpm, drops per hour; `None` where nothing was measured."""

    duration: timedelta
    measured: timedelta
    spo2_mean: float | None
    spo2_min: int | None
    below_90: timedelta
    below_90_share: float | None
    drops_3: int
    drops_4: int
    odi_3: float | None
    odi_4: float | None
    pulse_mean: float | None
    pulse_min: int | None
    pulse_max: int | None


def figures(spo2: bytes, pulse: bytes, interval: timedelta) -> Figures:
    """Compute the figures of columns with one value per interval, where 0 is no reading."""
    levels = [value for value in spo2 if value]
    beats = [value for value in pulse if value]
    measured = len(levels) * interval
    low = sum(value < LOW for value in levels)
    drops_3, drops_4 = (count_drops(spo2, interval, depth) for depth in (3, 4))
    hours = measured / timedelta(hours=1) if measured >= MIN_INDEXED else None
    return Figures(
        duration=len(spo2) * interval,
        measured=measured,
        spo2_mean=_mean(levels),
        spo2_min=min(levels, default=None),
        below_90=low * interval,
        below_90_share=100 * low / len(levels) if levels else None,
        drops_3=drops_3,
        drops_4=drops_4,
        odi_3=drops_3 / hours if hours else None,
        odi_4=drops_4 / hours if hours else None,
        pulse_mean=_mean(beats),
        pulse_min=min(beats, default=None),
        pulse_max=max(beats, default=None),
    )


def count_drops(spo2: bytes, interval: timedelta, depth: int) -> int:
    """Count the drops of `depth` points or more."""
    window, needed = BASELINE // interval, -(-MIN_DROP // interval)
    # Of the last two minutes, the (sample, level) nothing later reaches: highest first.
    highest: deque[tuple[int, int]] = deque()
    baseline: tuple[int, int] | None = None
    began = last = drops = 0
    for now, level in enumerate(spo2):
        if not level:
            continue
        while highest and highest[0][0] < now - window:
            highest.popleft()
        if baseline and (level >= baseline[1] - RECOVERED or now - baseline[0] > window):
            drops += last - began + 1 >= needed
            baseline = None
        if baseline is None and highest and highest[0][1] - level >= depth:
            baseline, began = highest[0], now
        while highest and highest[-1][1] <= level:
            highest.pop()
        highest.append((now, level))
        last = now
    return drops + (baseline is not None and last - began + 1 >= needed)


def _mean(values: Sequence[int]) -> float | None:
    return sum(values) / len(values) if values else None
