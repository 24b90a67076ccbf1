"""What a ring measured, and how it is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, override

from homeassistant.components.sensor import (
    SensorDeviceClass,
    SensorEntity,
    SensorEntityDescription,
    SensorStateClass,
)
from homeassistant.const import (
    PERCENTAGE,
    SIGNAL_STRENGTH_DECIBELS_MILLIWATT,
    EntityCategory,
    UnitOfElectricPotential,
    UnitOfTime,
)
from homeassistant.core import HomeAssistant
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback
from homeassistant.helpers.typing import StateType

from .contact import Reason
from .coordinator import RingConfigEntry, RingCoordinator
from .entity import RingEntity, RingEntityDescription, async_add_supported
from .recording import FIGURES, Figure
from .rings.models import METRICS, Capability, Metric, Sleep
from .sleep import fell_asleep, minutes, woke_up

PARALLEL_UPDATES = 0

ATTR_MEASURED_AT = "measured_at"
ATTR_DETAIL = "detail"
CONTACT_OK = "ok"
CONTACT_FAILS = (
    Reason.OUT_OF_RANGE,
    Reason.NO_FREE_CONNECTION,
    Reason.CONNECTED_ELSEWHERE,
    Reason.NOT_ANSWERING,
    Reason.NOT_KEPT,
    Reason.PAUSED,
    Reason.NEEDS_KEY,
)
# A ring loses about a sixth of its charge a day.
BATTERY_HOLDS = timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class RingSensorDescription(RingEntityDescription, SensorEntityDescription):
    """A sensor: its value, and where it has them the time that value is of and more in words."""

    value_fn: Callable[[RingCoordinator], StateType | datetime]
    measured_fn: Callable[[RingCoordinator], datetime | None] | None = None
    detail_fn: Callable[[RingCoordinator], str | None] | None = None


def _measured_at(coordinator: RingCoordinator, metric: Metric) -> datetime | None:
    sample = coordinator.newest(metric)
    return sample.end if sample else None


def _value(coordinator: RingCoordinator, metric: Metric) -> float | None:
    if (sample := coordinator.sample(metric)) is None:
        return None
    # What rings tell as whole numbers would be shown with a decimal.
    return int(sample.value) if float(sample.value).is_integer() else sample.value


def _reading(
    metric: Metric,
    device_class: SensorDeviceClass | None = None,
    precision: int = 0,
    *,
    enabled: bool = True,
) -> RingSensorDescription:
    """Return the sensor of a reading, whose long-term statistics are its own."""
    return RingSensorDescription(
        key=metric,
        translation_key=metric,
        capability=Capability(metric),
        device_class=device_class,
        native_unit_of_measurement=METRICS[metric].unit or None,
        state_class=SensorStateClass.MEASUREMENT,
        suggested_display_precision=precision,
        entity_registry_enabled_default=enabled,
        value_fn=lambda coordinator: _value(coordinator, metric),
        measured_fn=lambda coordinator: _measured_at(coordinator, metric),
    )


def _counter(
    metric: Metric, device_class: SensorDeviceClass | None = None, *, enabled: bool = False
) -> RingSensorDescription:
    """Return the sensor of a counter since midnight.

    It has no state class: what was counted while the ring was away belongs to other hours than
    that of its arrival, and the external statistic of the metric puts it there.
    """
    return RingSensorDescription(
        key=metric,
        translation_key=metric,
        capability=Capability(metric),
        device_class=device_class,
        native_unit_of_measurement=METRICS[metric].unit,
        suggested_display_precision=0,
        entity_registry_enabled_default=enabled,
        value_fn=lambda coordinator: _value(coordinator, metric),
        measured_fn=lambda coordinator: _measured_at(coordinator, metric),
    )


def _of_last_night[ValueT: StateType | datetime](
    value: Callable[[Sleep], ValueT],
) -> Callable[[RingCoordinator], ValueT | None]:
    return lambda coordinator: value(night) if (night := coordinator.last_night) else None


def _night_figure(key: str, figure: str, *, enabled: bool = False) -> RingSensorDescription:
    """Return the sensor of a figure of last night; its external statistic has all nights."""
    return RingSensorDescription(
        key=key,
        translation_key=key,
        capability=Capability.SLEEP,
        device_class=SensorDeviceClass.DURATION,
        native_unit_of_measurement=UnitOfTime.MINUTES,
        suggested_unit_of_measurement=UnitOfTime.HOURS,
        suggested_display_precision=2,
        entity_registry_enabled_default=enabled,
        value_fn=_of_last_night(lambda night: minutes(night, figure)),
    )


def _recording_figure(key: str, figure: Figure) -> RingSensorDescription:
    """Return the sensor of a figure of the last recording; its external statistic has all."""

    def value(coordinator: RingCoordinator) -> float | None:
        return figure.value(report) if (report := coordinator.last_recording) else None

    return RingSensorDescription(
        key=key,
        translation_key=key,
        capability=Capability.RECORDING,
        device_class=SensorDeviceClass.DURATION if figure.unit == UnitOfTime.MINUTES else None,
        native_unit_of_measurement=figure.unit,
        suggested_unit_of_measurement=figure.shown_in,
        suggested_display_precision=figure.precision,
        entity_registry_enabled_default=figure.enabled,
        value_fn=value,
        measured_fn=_recorded_at,
    )


def _recorded_at(coordinator: RingCoordinator) -> datetime | None:
    return report.recording.end if (report := coordinator.last_recording) else None


def _last_measurement(coordinator: RingCoordinator) -> datetime | None:
    readings = (metric for metric, info in METRICS.items() if not info.counter)
    times = [_recorded_at(coordinator), *(_measured_at(coordinator, m) for m in readings)]
    return max(filter(None, times), default=None)


def _contact(coordinator: RingCoordinator) -> str | None:
    """Return whether the ring can be read, and why not."""
    if (error := coordinator.hindrance) is None:
        return CONTACT_OK if coordinator.last_sync else None
    return error.reason if error.reason in CONTACT_FAILS else Reason.NOT_ANSWERING


def _detail(coordinator: RingCoordinator) -> str | None:
    return error.detail if (error := coordinator.hindrance) else None


SENSORS = (
    _reading(Metric.HEART_RATE),
    _reading(Metric.SPO2),
    _reading(Metric.HRV),
    _reading(Metric.STRESS),
    _reading(Metric.TEMPERATURE, SensorDeviceClass.TEMPERATURE, precision=1),
    _reading(Metric.PERFUSION_INDEX, precision=1, enabled=False),
    _reading(Metric.MOTION, enabled=False),
    _counter(Metric.STEPS, enabled=True),
    _counter(Metric.DISTANCE, SensorDeviceClass.DISTANCE),
    _counter(Metric.ENERGY, SensorDeviceClass.ENERGY),
    _night_figure("last_night_sleep", "sleep", enabled=True),
    _night_figure("last_night_deep_sleep", "deep_sleep"),
    _night_figure("last_night_light_sleep", "light_sleep"),
    _night_figure("last_night_rem_sleep", "rem_sleep"),
    _night_figure("last_night_awake", "awake"),
    RingSensorDescription(
        key="fell_asleep",
        translation_key="fell_asleep",
        capability=Capability.SLEEP,
        device_class=SensorDeviceClass.TIMESTAMP,
        value_fn=_of_last_night(fell_asleep),
    ),
    RingSensorDescription(
        key="woke_up",
        translation_key="woke_up",
        capability=Capability.SLEEP,
        device_class=SensorDeviceClass.TIMESTAMP,
        value_fn=_of_last_night(woke_up),
    ),
    *(_recording_figure(key, figure) for key, figure in FIGURES.items()),
    RingSensorDescription(
        key="battery",
        capability=Capability.BATTERY,
        device_class=SensorDeviceClass.BATTERY,
        entity_category=EntityCategory.DIAGNOSTIC,
        native_unit_of_measurement=PERCENTAGE,
        value_fn=lambda coordinator: coordinator.said(BATTERY_HOLDS).battery,
    ),
    RingSensorDescription(
        key="voltage",
        translation_key="voltage",
        capability=Capability.VOLTAGE,
        device_class=SensorDeviceClass.VOLTAGE,
        entity_category=EntityCategory.DIAGNOSTIC,
        entity_registry_enabled_default=False,
        native_unit_of_measurement=UnitOfElectricPotential.VOLT,
        suggested_display_precision=2,
        value_fn=lambda coordinator: coordinator.said(BATTERY_HOLDS).voltage,
    ),
    RingSensorDescription(
        key="contact",
        translation_key="contact",
        device_class=SensorDeviceClass.ENUM,
        entity_category=EntityCategory.DIAGNOSTIC,
        options=[CONTACT_OK, *CONTACT_FAILS],
        value_fn=_contact,
        detail_fn=_detail,
    ),
    RingSensorDescription(
        key="last_measurement",
        translation_key="last_measurement",
        device_class=SensorDeviceClass.TIMESTAMP,
        entity_category=EntityCategory.DIAGNOSTIC,
        entity_registry_enabled_default=False,
        value_fn=_last_measurement,
    ),
    RingSensorDescription(
        key="last_sync",
        translation_key="last_sync",
        device_class=SensorDeviceClass.TIMESTAMP,
        entity_category=EntityCategory.DIAGNOSTIC,
        value_fn=lambda coordinator: coordinator.last_sync,
    ),
    RingSensorDescription(
        key="rssi",
        device_class=SensorDeviceClass.SIGNAL_STRENGTH,
        entity_category=EntityCategory.DIAGNOSTIC,
        entity_registry_enabled_default=False,
        native_unit_of_measurement=SIGNAL_STRENGTH_DECIBELS_MILLIWATT,
        value_fn=lambda coordinator: coordinator.rssi,
    ),
)


async def async_setup_entry(
    _hass: HomeAssistant, entry: RingConfigEntry, async_add_entities: AddConfigEntryEntitiesCallback
) -> None:
    """Add the sensors a ring has."""
    async_add_supported(entry.runtime_data, SENSORS, RingSensor, async_add_entities)


class RingSensor(RingEntity, SensorEntity):
    """A sensor of a ring."""

    entity_description: RingSensorDescription

    # It changes with every reading, and the state's own history tells when.
    _unrecorded_attributes = frozenset({ATTR_MEASURED_AT, ATTR_DETAIL})

    @property
    @override
    def native_value(self) -> StateType | datetime:
        return self.entity_description.value_fn(self.coordinator)

    @property
    @override
    def extra_state_attributes(self) -> Mapping[str, Any] | None:
        attributes = {
            ATTR_MEASURED_AT: self.entity_description.measured_fn,
            ATTR_DETAIL: self.entity_description.detail_fn,
        }
        said = {name: value(self.coordinator) for name, value in attributes.items() if value}
        return {name: value for name, value in said.items() if value is not None}
