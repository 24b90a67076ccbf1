"""What a ring is, holds and says. All times are timezone-aware UTC."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple


class Metric(StrEnum):
    """A quantity a ring measures; its unit and plausible range stand in `METRICS`."""

    HEART_RATE = "heart_rate"
    SPO2 = "spo2"
    HRV = "hrv"
    STRESS = "stress"
    TEMPERATURE = "temperature"
    STEPS = "steps"
    DISTANCE = "distance"
    ENERGY = "energy"
    PERFUSION_INDEX = "perfusion_index"
    MOTION = "motion"


class MetricInfo(NamedTuple):
    """Unit, inclusive plausible range of one value, and whether values add up (a counter)."""

    unit: str
    low: float
    high: float
    counter: bool = False


METRICS: Mapping[Metric, MetricInfo] = {
    Metric.HEART_RATE: MetricInfo("bpm", 20, 250),
    Metric.SPO2: MetricInfo("%", 50, 100),
    Metric.HRV: MetricInfo("ms", 1, 250),
    Metric.STRESS: MetricInfo("", 1, 99),
    Metric.TEMPERATURE: MetricInfo("°C", 25, 42),
    Metric.STEPS: MetricInfo("steps", 0, 200_000, counter=True),
    Metric.DISTANCE: MetricInfo("m", 0, 300_000, counter=True),
    Metric.ENERGY: MetricInfo("kcal", 0, 20_000, counter=True),
    Metric.PERFUSION_INDEX: MetricInfo("%", 0.1, 25.4),
    Metric.MOTION: MetricInfo("", 0, 254),
}


def plausible(metric: Metric, value: float) -> bool:
    """Whether a value can be a reading of a living wearer at all."""
    return METRICS[metric].low <= value <= METRICS[metric].high


class Capability(StrEnum):
    """What one unit says or shows it can do."""

    BATTERY = "battery"
    VOLTAGE = "voltage"
    CHARGING = "charging"
    WORN = "worn"
    HEART_RATE = "heart_rate"
    SPO2 = "spo2"
    HRV = "hrv"
    STRESS = "stress"
    TEMPERATURE = "temperature"
    STEPS = "steps"
    DISTANCE = "distance"
    ENERGY = "energy"
    PERFUSION_INDEX = "perfusion_index"
    MOTION = "motion"
    SLEEP = "sleep"
    RECORDING = "recording"
    MEASURE_HEART_RATE = "measure_heart_rate"
    MEASURE_SPO2 = "measure_spo2"
    MEASURE_HRV = "measure_hrv"
    MEASURE_STRESS = "measure_stress"
    LIVE = "live"
    SET_TIME = "set_time"
    RESTART = "restart"
    FIND = "find"
    DISPLAY = "display"


@dataclass(frozen=True, slots=True)
class Sample:
    """A reading, or a counter's share of the time from `start` on for `duration`."""

    metric: Metric
    start: datetime
    value: float
    duration: timedelta = timedelta()

    @property
    def end(self) -> datetime:
        """The instant the value is true for."""
        return self.start + self.duration


class Stage(StrEnum):
    """What a sleeper does."""

    AWAKE = "awake"
    LIGHT = "light"
    DEEP = "deep"
    REM = "rem"
    UNKNOWN = "unknown"


class Phase(NamedTuple):
    """One stage of a sleep, in elapsed time."""

    stage: Stage
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Sleep:
    """A night or a nap."""

    start: datetime
    end: datetime
    stages: tuple[Phase, ...] = ()
    nap: bool = False

    def total(self, *stages: Stage) -> timedelta:
        """Time spent in any of these stages."""
        return sum((p.end - p.start for p in self.stages if p.stage in stages), timedelta())


class RecordingFormat(StrEnum):
    """How the bytes of a recording are laid out."""

    VLD = "vld"
    OXYII = "oxyii"


@dataclass(frozen=True, slots=True)
class Recording:
    """What an oximeter kept of one time it was worn: the ring's own file, decoded on demand.

    Only finished files become recordings; `recordings.decode` reads them.
    """

    start: datetime
    interval: timedelta
    count: int
    """How many samples there are, an interval apart."""
    format: RecordingFormat
    data: bytes

    @property
    def end(self) -> datetime:
        """When the last sample's interval is over."""
        return self.start + self.count * self.interval


type Record = Sample | Sleep | Recording
type Cursor = Mapping[str, Any]
"""How far history was read: JSON, opaque to all but the family that wrote it."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Records that are complete, and the cursor to be kept in the same transaction."""

    records: Sequence[Record]
    cursor: Cursor


@dataclass(frozen=True, slots=True)
class RingInfo:
    """Who the ring is."""

    firmware: str | None = None
    hardware: str | None = None
    serial: str | None = None


@dataclass(frozen=True, slots=True)
class RingState:
    """What the ring says of itself now.

    `latest` holds the newest known sample per metric: a reading at its own time, a counter from the
    wearer's local midnight on.
    """

    battery: int | None = None
    charging: bool | None = None
    worn: bool | None = None
    voltage: float | None = None
    """Of the battery, in volts."""
    latest: Mapping[Metric, Sample] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "battery": self.battery,
            "charging": self.charging,
            "worn": self.worn,
            "voltage": self.voltage,
            "latest": [
                [s.metric, s.start.timestamp(), s.value, s.duration.total_seconds()]
                for s in self.latest.values()
            ],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> RingState:
        """Read what `as_dict` wrote, by this version or an older one."""
        samples = (
            Sample(
                Metric(metric),
                datetime.fromtimestamp(start, UTC),
                value,
                timedelta(seconds=duration),
            )
            for metric, start, value, duration in data.get("latest", ())
            if metric in Metric
        )
        return cls(
            battery=data.get("battery"),
            charging=data.get("charging"),
            worn=data.get("worn"),
            voltage=data.get("voltage"),
            latest={sample.metric: sample for sample in samples},
        )


type Value = float | str | bool
"""What a setting is set to; a time of day is HH:MM."""


class SettingKind(StrEnum):
    """How a setting is shown and changed."""

    NUMBER = "number"
    SELECT = "select"
    SWITCH = "switch"
    TIME = "time"


@dataclass(frozen=True, slots=True)
class Setting:
    """One thing a person may change in a ring: data of a family, never code."""

    key: str
    kind: SettingKind
    low: float = 0
    high: float = 0
    step: float = 1
    options: tuple[str, ...] = ()
    unit: str | None = None
    capability: Capability | None = None
    """What the unit must be able to do for the setting to exist."""


@dataclass(frozen=True, slots=True)
class ClockSetting:
    """From `at` on the ring's clock shows UTC plus `offset`.

    One that we did not write ourselves may have been in force for `unsure` before, too.
    """

    at: datetime
    offset: timedelta
    unsure: timedelta = timedelta()


type Span = tuple[datetime, datetime]
"""From an instant on until before another."""


@dataclass(slots=True)
class RingMemory:
    """What must be known of a ring between contacts. Owned by its `Ring`, kept by the caller."""

    info: RingInfo = field(default_factory=RingInfo)
    capabilities: frozenset[Capability] = frozenset()
    clock: list[ClockSetting] = field(default_factory=list)
    doubts: list[Span] = field(default_factory=list)
    logging: dict[Metric, timedelta] = field(default_factory=dict)
    """How often the ring records a metric by itself."""
    unread: int = 0
    """How many recordings it holds, as far as known, that were not taken."""
    notes: dict[str, Any] = field(default_factory=dict)
    """What a family remembers for itself, such as what the ring keeps silent on. JSON."""

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "info": {
                "firmware": self.info.firmware,
                "hardware": self.info.hardware,
                "serial": self.info.serial,
            },
            "capabilities": sorted(self.capabilities),
            "clock": [
                [s.at.timestamp(), s.offset.total_seconds(), s.unsure.total_seconds()]
                for s in self.clock
            ],
            "doubts": [[start.timestamp(), end.timestamp()] for start, end in self.doubts],
            "logging": {metric: every.total_seconds() for metric, every in self.logging.items()},
            "unread": self.unread,
            "notes": self.notes,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> RingMemory:
        """Read what `as_dict` wrote, by this version or an older one."""
        return cls(
            info=RingInfo(**data.get("info", {})),
            capabilities=frozenset(
                Capability(c) for c in data.get("capabilities", ()) if c in Capability
            ),
            clock=[
                ClockSetting(
                    datetime.fromtimestamp(at, UTC), *(timedelta(seconds=t) for t in spans)
                )
                for at, *spans in data.get("clock", ())
            ],
            doubts=[
                (datetime.fromtimestamp(start, UTC), datetime.fromtimestamp(end, UTC))
                for start, end in data.get("doubts", ())
            ],
            logging={
                Metric(metric): timedelta(seconds=every)
                for metric, every in data.get("logging", {}).items()
                if metric in Metric
            },
            unread=data.get("unread", 0),
            notes=dict(data.get("notes", {})),
        )
