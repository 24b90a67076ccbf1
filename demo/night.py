"""An oximeter's recording in numbers, worked out slowly by the rule of docs/sleep.md."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

type Recording = Mapping[str, Any]
"""As the simulator tells it: `interval` in s, `spo2` and `heart_rate` with null for no reading."""

LOW = 90
BASELINE = 120
SHORTEST_DROP = 10
HOUR = 3600


def known(recording: Recording, metric: str) -> list[int]:
    """Return what was measured."""
    return [value for value in recording[metric] if value is not None]


def mean(recording: Recording, metric: str) -> float:
    """Return the mean of what was measured."""
    return sum(known(recording, metric)) / len(known(recording, metric))


def low(recording: Recording) -> int:
    """Return how many samples are below 90 %."""
    return sum(value < LOW for value in known(recording, "spo2"))


def drops(spo2: Sequence[int | None], interval: int, depth: int) -> int:
    """Count the drops of so many points that last ten seconds or more."""
    levels = [value or 0 for value in spo2]
    return sum(
        (last - first + 1) * interval >= SHORTEST_DROP
        for first, last in _falls(levels, BASELINE // interval, depth)
    )


def _falls(levels: Sequence[int], window: int, depth: int) -> Iterator[tuple[int, int]]:
    """Yield the first and the last sample of each fall, however short; 0 is no reading."""
    at = 0
    while at < len(levels):
        before = levels[max(0, at - window) : at]
        top = max(before, default=0)
        if not levels[at] or top - levels[at] < depth:
            at += 1
            continue
        first, seen = at, max(n for n in range(at - len(before), at) if levels[n] == top)
        fallen = range(first, len(levels))
        at = next(
            (n for n in fallen if levels[n] and (levels[n] >= top - 1 or n > seen + window)),
            len(levels),
        )
        yield first, max(n for n in range(first, at) if levels[n])


def per_hour(recording: Recording, depth: int) -> float | None:
    """Return the drops per measured hour, of one hour or more."""
    hours = len(known(recording, "spo2")) * int(recording["interval"]) / HOUR
    return drops(recording["spo2"], recording["interval"], depth) / hours if hours >= 1 else None


FIGURES: Mapping[str, Callable[[Recording], float | None]] = {
    "recording_duration": lambda recording: recording["duration"] / HOUR,
    "recording_spo2_mean": partial(mean, metric="spo2"),
    "recording_spo2_min": lambda recording: min(known(recording, "spo2")),
    "recording_below_90": lambda recording: low(recording) * recording["interval"] / 60,
    "recording_below_90_share": lambda recording: (
        100 * low(recording) / len(known(recording, "spo2"))
    ),
    "recording_drops_3": lambda recording: drops(recording["spo2"], recording["interval"], 3),
    "recording_drops_4": lambda recording: drops(recording["spo2"], recording["interval"], 4),
    "recording_odi_3": partial(per_hour, depth=3),
    "recording_odi_4": partial(per_hour, depth=4),
    "recording_o2_score": lambda recording: recording["figures"]["score"] / 10,
    "recording_pulse_mean": partial(mean, metric="heart_rate"),
    "recording_pulse_min": lambda recording: min(known(recording, "heart_rate")),
    "recording_pulse_max": lambda recording: max(known(recording, "heart_rate")),
}
"""What is shown of a recording, in its unit there."""
