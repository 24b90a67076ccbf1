"""What a wearer wants to know of an oximeter's recording."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from homeassistant.const import PERCENTAGE, UnitOfTime

from .rings.analysis import Figures, figures
from .rings.models import METRICS, Metric, Recording
from .rings.recordings import Summary, decode
from .sleep import is_recent

# Shorter ones, of a ring that was put on for a moment, are not what is asked for.
LONG_ENOUGH = timedelta(minutes=10)

MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Report:
    """A recording with our figures and what the ring says of it itself."""

    recording: Recording
    figures: Figures
    summary: Summary | None

    @classmethod
    def of(cls, recording: Recording) -> Report:
        """Work out the figures; takes tens of milliseconds a night."""
        stored = decode(recording)
        ours = figures(stored.spo2, stored.pulse, recording.interval)
        return cls(recording, ours, stored.summary)

    def as_dict(self) -> dict[str, float]:
        """Return those of the `FIGURES` there are."""
        return {
            key.removeprefix("recording_"): value
            for key, figure in FIGURES.items()
            if (value := figure.value(self)) is not None
        }


class Figure(NamedTuple):
    """A figure: its unit, how it is got, and with how many decimals, if and in what it is shown."""

    unit: str | None
    value: Callable[[Report], float | None]
    precision: int = 0
    enabled: bool = False
    shown_in: str | None = None


PER_HOUR = "/h"
BPM = METRICS[Metric.HEART_RATE].unit
FIGURES: Mapping[str, Figure] = {
    "recording_duration": Figure(
        UnitOfTime.MINUTES,
        lambda report: report.figures.duration / MINUTE,
        2,
        enabled=True,
        shown_in=UnitOfTime.HOURS,
    ),
    "recording_spo2_mean": Figure(
        PERCENTAGE, lambda report: report.figures.spo2_mean, 1, enabled=True
    ),
    "recording_spo2_min": Figure(PERCENTAGE, lambda report: report.figures.spo2_min, enabled=True),
    "recording_below_90": Figure(
        UnitOfTime.MINUTES, lambda report: report.figures.below_90 / MINUTE, 1
    ),
    "recording_below_90_share": Figure(PERCENTAGE, lambda report: report.figures.below_90_share, 1),
    "recording_drops_3": Figure(None, lambda report: report.figures.drops_3),
    "recording_drops_4": Figure(None, lambda report: report.figures.drops_4),
    "recording_odi_3": Figure(PER_HOUR, lambda report: report.figures.odi_3, 1, enabled=True),
    "recording_odi_4": Figure(PER_HOUR, lambda report: report.figures.odi_4, 1),
    "recording_o2_score": Figure(
        None, lambda report: report.summary.o2_score if report.summary else None, 1
    ),
    "recording_pulse_mean": Figure(BPM, lambda report: report.figures.pulse_mean, enabled=True),
    "recording_pulse_min": Figure(BPM, lambda report: report.figures.pulse_min),
    "recording_pulse_max": Figure(BPM, lambda report: report.figures.pulse_max),
}


def is_told(recording: Recording, now: datetime) -> bool:
    """Whether a recording is one a wearer wants to know of now."""
    return is_recent(recording, now) and recording.end - recording.start >= LONG_ENOUGH


def last_recording(reports: Iterable[Report], now: datetime) -> Report | None:
    """Return the recording that ended last, if that is not long ago."""
    told = (report for report in reports if is_told(report.recording, now))
    return max(told, key=lambda report: report.recording.end, default=None)
