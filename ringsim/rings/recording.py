"""What a virtual oximeter wrote in a night, whatever the format of its file."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from itertools import pairwise
from math import ceil
from typing import Any

from ..generate import NIGHT_SECONDS, NO_SIGNAL, oximetry

LONGEST = timedelta(seconds=NIGHT_SECONDS)
"""A recording stops then, and the next begins only when the ring is put on anew."""
SEARCHING = 8
"""Seconds on the finger without a reading yet."""
COUNTDOWN = timedelta(seconds=10)
"""Off the finger, until the recording ends."""
SPO2_ALARM, PULSE_ALARM = 0x80, 0x40


@dataclass(frozen=True, slots=True)
class Limits:
    """Where alarms begin."""

    spo2_low: int = 0
    pulse_low: int = 0
    pulse_high: int = 0xFF


@dataclass(slots=True)
class Tracks:
    """A recording's samples: %, bpm, movement and alarms; FF is no reading of the first two."""

    spo2: bytearray
    pulse: bytearray
    motion: bytearray
    alarms: bytearray


@dataclass(slots=True)
class Figures:
    """A ring's own summary of a recording: %, counts, seconds, bpm; `score` is times 10."""

    asleep: int = 0
    average: int = 0
    lowest: int = 0
    drops_3: int = 0
    drops_4: int = 0
    percent_below_90: int = 0
    seconds_below_90: int = 0
    episodes_below_90: int = 0
    score: int = 0xFF
    steps: int = 0
    pulse: int = 0


@dataclass
class Recording:
    """What a ring wrote from being put on until it was taken off.

    `shown` is what its clock showed at `start`. `tracks` is there once it has `end`ed; it and
    `figures` may be changed, and the ring's file changes with them.
    """

    start: datetime
    shown: datetime
    interval: int
    limits: Limits
    life: str
    worn: list[tuple[datetime, datetime | None]]
    """From when to when it was on the finger."""
    end: datetime | None = None
    final: datetime | None = None
    """When its file has all of its bytes."""
    pinned_figures: Figures | None = None
    _tracks: Tracks | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """The file's name."""
        return f"{self.shown:%Y%m%d%H%M%S}"

    @property
    def ends(self) -> datetime:
        """When it stops as things stand."""
        removed = self.worn[-1][1]
        limit = self.start + LONGEST
        return min(removed + COUNTDOWN, limit) if removed else limit

    @property
    def tracks(self) -> Tracks:
        """All samples, worked out when first asked for."""
        if self._tracks is None:
            self._tracks = self._sampled()
        return self._tracks

    @tracks.setter
    def tracks(self, tracks: Tracks) -> None:
        self._tracks = tracks

    @property
    def duration(self) -> int:
        """Seconds its samples cover."""
        return len(self.tracks.spo2) * self.interval

    @property
    def figures(self) -> Figures:
        """The ring's summary, computed from the samples unless pinned."""
        return self.pinned_figures or summarise(self.tracks, self.interval)

    def _sampled(self) -> Tracks:
        if self.end is None:
            raise ValueError("It is still being written")
        step, signal = self.interval, oximetry(f"{self.life} {self.start.isoformat()}")
        count = ceil((self.end - self.start).total_seconds() / step)
        spo2, pulse = (bytearray((NO_SIGNAL,)) * count for _ in range(2))
        for on, off in self.worn:
            first = ceil(((on - self.start).total_seconds() + SEARCHING) / step)
            last = min(ceil(((off or self.end) - self.start).total_seconds() / step), count)
            if first < last:
                spo2[first:last] = signal.spo2[first * step : last * step : step]
                pulse[first:last] = signal.pulse[first * step : last * step : step]
        motion = bytearray(max(signal.motion[n * step : n * step + step]) for n in range(count))
        alarms = bytearray(self._alarm(*pair) for pair in zip(spo2, pulse, strict=True))
        return Tracks(spo2, pulse, motion, alarms)

    def _alarm(self, spo2: int, pulse: int) -> int:
        if NO_SIGNAL in (spo2, pulse):
            return 0
        calm = self.limits.pulse_low <= pulse <= self.limits.pulse_high
        return SPO2_ALARM * (spo2 < self.limits.spo2_low) | PULSE_ALARM * (not calm)

    def truth(self, content: bytes, *, final: bool) -> dict[str, Any]:
        """Return it as JSON, its bytes as their SHA-256."""
        tracks = self.tracks
        return {
            "name": self.name,
            "start": self.start.isoformat(),
            "interval": self.interval,
            "duration": self.duration,
            "final": final,
            "size": len(content),
            "sha256": sha256(content).hexdigest(),
            "spo2": [known_spo2(value) for value in tracks.spo2],
            "heart_rate": [known_pulse(value) for value in tracks.pulse],
            "motion": list(tracks.motion),
            "figures": asdict(self.figures),
        }


def summarise(tracks: Tracks, interval: int) -> Figures:
    """Work out a summary; the vendor's rules for drops and score are not known."""
    spo2 = [value for value in tracks.spo2 if known_spo2(value)]
    pulse = [value for value in tracks.pulse if known_pulse(value)]
    if not spo2 or not pulse:
        return Figures()
    below = [value < 90 for value in spo2]
    episodes = sum(now and not before for before, now in pairwise([False, *below]))
    return Figures(
        average=round(sum(spo2) / len(spo2)),
        lowest=min(spo2),
        drops_3=min(_drops(spo2, 3), 0xFF),
        drops_4=min(_drops(spo2, 4), 0xFF),
        percent_below_90=round(100 * sum(below) / len(spo2)),
        seconds_below_90=sum(below) * interval,
        episodes_below_90=min(episodes, 0xFF),
        score=max(0, 100 - round(300 * sum(below) / len(spo2))),
        pulse=round(sum(pulse) / len(pulse)),
    )


def _drops(spo2: Iterable[int], depth: int) -> int:
    """Count falls of `depth` below the last peak, each with a rise of as much before the next."""
    count, peak, trough, fallen = 0, 0, 0, False
    for value in spo2:
        if fallen:
            trough = min(trough, value)
            if value - trough >= depth:
                fallen, peak = False, value
        else:
            peak = max(peak, value)
            if peak - value >= depth:
                count, trough, fallen = count + 1, value, True
    return count


def known_spo2(value: int) -> int | None:
    """Return a percentage, or nothing for a mark."""
    return None if value in (0, 127, 0xFF) else value


def known_pulse(value: int) -> int | None:
    """Return bpm, or nothing for a mark."""
    return None if value in (0, 0xFF, 511, 0xFFFF) else value
