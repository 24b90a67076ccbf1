"""Actions: what was recorded in figures and files, read again, or deleted; measuring now."""

import asyncio
from collections.abc import Callable, Container, Coroutine, Iterable, Iterator
from datetime import datetime, timedelta, tzinfo
from enum import StrEnum
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from homeassistant.core import (
    HomeAssistant,
    ServiceCall,
    ServiceResponse,
    SupportsResponse,
    callback,
)
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError
from homeassistant.helpers import config_validation as cv
from homeassistant.helpers import device_registry as dr
from homeassistant.helpers.service import async_get_config_entry, async_register_admin_service
from homeassistant.util import dt as dt_util
from homeassistant.util import slugify
from homeassistant.util.file import WriteError
import voluptuous as vol

from .archive import Bucket
from .const import DOMAIN
from .coordinator import RingConfigEntry, RingCoordinator
from .export import Table, samples_table, sleep_table, write
from .rings.models import METRICS, Capability, Metric, Recording, Sample, Sleep
from .sleep import figures
from .statistics import DATA_STATISTICS

ATTR_RING = "ring"
ATTR_METRICS = "metrics"
ATTR_METRIC = "metric"
ATTR_START = "start_time"
ATTR_END = "end_time"
ATTR_PERIOD = "period"
ATTR_FOLDER = "folder"
ATTR_ZIP = "zip"
ATTR_SOURCE = "source"

DAY = "day"
# A local day is made of quarters of an hour: no zone is off UTC by a part of one.
PERIODS = {
    "5minute": timedelta(minutes=5),
    "hour": timedelta(hours=1),
    DAY: timedelta(minutes=15),
}

SLEEP = "sleep"
RECORDINGS = "recordings"
EXPORTED = [*Metric, SLEEP, RECORDINGS]

MEASURABLE = [metric for metric in Metric if f"measure_{metric}" in Capability]

type Span = tuple[datetime | None, datetime | None]
type _Fields = dict[vol.Marker, Any]
type _Handler = Callable[[ServiceCall], Coroutine[Any, Any, ServiceResponse]]


class _Action(NamedTuple):
    name: str
    handler: _Handler
    fields: _Fields
    response: SupportsResponse = SupportsResponse.NONE


class Source(StrEnum):
    """Where history is taken from anew."""

    RING = "ring"
    ARCHIVE = "archive"


RING: _Fields = {vol.Required(ATTR_RING): cv.string}
END: _Fields = {vol.Optional(ATTR_END): cv.datetime}
SINCE: _Fields = {**RING, vol.Required(ATTR_START): cv.datetime, **END}
MAYBE_SINCE: _Fields = {**RING, vol.Optional(ATTR_START): cv.datetime, **END}
METRIC_LIST: _Fields = {
    vol.Optional(ATTR_METRICS, default=list(Metric)): vol.All(cv.ensure_list, [vol.Coerce(Metric)])
}


async def _get_readings(call: ServiceCall) -> ServiceResponse:
    """Return readings as they are, or summed up per period."""
    coordinator = _coordinator(call)
    key, archive, span = coordinator.key, coordinator.archive, _range(call)
    period = call.data.get(ATTR_PERIOD)
    readings: dict[str, Any] = {}
    for metric in call.data[ATTR_METRICS]:
        values: list[dict[str, Any]]
        if period is None:
            samples = await archive.readings(key, metric, *span)
            values = await call.hass.async_add_executor_job(_sample_rows, samples)
        else:
            buckets = await archive.buckets(key, metric, PERIODS[period], *span)
            values = await call.hass.async_add_executor_job(_bucket_rows, metric, buckets, period)
        readings[metric] = {"unit": METRICS[metric].unit, "values": values}
    return {"readings": readings}


def _sample_rows(samples: Iterable[Sample]) -> list[dict[str, Any]]:
    return [
        {
            "start": _local(sample.start),
            **({"end": _local(sample.end)} if sample.duration else {}),
            "value": sample.value,
        }
        for sample in samples
    ]


def _bucket_rows(metric: Metric, buckets: Iterable[Bucket], period: str) -> list[dict[str, Any]]:
    return [
        {
            "start": _local(bucket.start),
            **(
                {"sum": bucket.total}
                if METRICS[metric].counter
                else {"mean": bucket.mean, "min": bucket.low, "max": bucket.high}
            ),
        }
        for bucket in (_days(buckets) if period == DAY else buckets)
    ]


def _days(buckets: Iterable[Bucket]) -> Iterator[Bucket]:
    """Sum up what belongs to the same local day, be it 23, 24 or 25 hours long."""
    for day, parts in groupby(buckets, lambda bucket: dt_util.as_local(bucket.start).date()):
        _, sizes, _, lows, highs, totals, lasts = zip(*parts, strict=True)
        size, total = sum(sizes), sum(totals)
        yield Bucket(
            dt_util.start_of_local_day(day),
            size,
            total / size,
            min(lows),
            max(highs),
            total,
            lasts[-1],
        )


async def _get_sleep(call: ServiceCall) -> ServiceResponse:
    """Return nights and naps with their stages."""
    coordinator = _coordinator(call)
    sleeps = await coordinator.archive.sleeps(coordinator.key, *_range(call))
    return {"sleeps": [_sleep(sleep) for sleep in sleeps]}


def _sleep(sleep: Sleep) -> dict[str, Any]:
    return {
        "start": _local(sleep.start),
        "end": _local(sleep.end),
        "nap": sleep.nap,
        "minutes": figures(sleep),
        "stages": [
            {"stage": phase.stage, "start": _local(phase.start), "end": _local(phase.end)}
            for phase in sleep.stages
        ],
    }


async def _measure(call: ServiceCall) -> ServiceResponse:
    """Measure once, now; return the result."""
    coordinator, metric = _coordinator(call), Metric(call.data[ATTR_METRIC])
    if f"measure_{metric}" not in coordinator.memory.capabilities:
        raise _wrong("cannot_measure", name=coordinator.name)
    sample = await coordinator.async_measure(metric)
    return {
        "metric": metric,
        "value": sample.value,
        "unit": METRICS[metric].unit,
        "measured_at": _local(sample.end),
    }


async def _export(call: ServiceCall) -> ServiceResponse:
    """Write what was recorded into files; return their paths."""
    coordinator, span = _coordinator(call), _range(call)
    folder = Path(call.data[ATTR_FOLDER])
    if not await call.hass.async_add_executor_job(_is_allowed, call.hass, folder):
        raise _wrong("folder_not_allowed", folder=str(folder))
    zone = dt_util.get_default_time_zone()
    try:
        files = await call.hass.async_add_executor_job(
            lambda: write(
                _things(coordinator, call.data[ATTR_METRICS], span, zone),
                folder,
                slugify(f"{coordinator.name} {coordinator.key}"),
                zone,
                zipped=call.data[ATTR_ZIP],
            )
        )
    except WriteError as err:
        raise HomeAssistantError(
            translation_domain=DOMAIN,
            translation_key="export_failed",
            translation_placeholders={"folder": str(folder), "detail": str(err)},
        ) from err
    return {"files": [str(file) for file in files]}


def _things(
    coordinator: RingCoordinator, wanted: Container[str], span: Span, zone: tzinfo
) -> Iterator[Table | Recording]:
    """Yield what is to be written, each read from the archive when its turn comes. Blocks."""
    key, archive = coordinator.key, coordinator.archive

    def ask[R](answer: Coroutine[Any, Any, R]) -> R:
        return asyncio.run_coroutine_threadsafe(answer, coordinator.hass.loop).result()

    for metric in Metric:
        if metric in wanted and (samples := ask(archive.samples(key, metric, *span))):
            yield samples_table(metric, samples, zone)
    if SLEEP in wanted and (sleeps := ask(archive.sleeps(key, *span))):
        yield sleep_table(sleeps, zone)
    for start in ask(archive.recording_starts(key, *span)) if RECORDINGS in wanted else ():
        # Those that overlap it have their own turn.
        found = ask(archive.recordings(key, start, start + timedelta(milliseconds=1)))
        yield from (recording for recording in found if recording.start == start)


async def _import_history(call: ServiceCall) -> None:
    """Read all the ring holds, or write all statistics of the archive, once more."""
    coordinator = _coordinator(call)
    if call.data[ATTR_SOURCE] is Source.RING:
        await coordinator.async_reread()
    else:
        await coordinator.archive.restate(coordinator.key)
    await call.hass.data[DATA_STATISTICS].flush()


async def _delete_history(call: ServiceCall) -> None:
    """Delete what was recorded, and the statistics made of it."""
    await _coordinator(call).async_delete(*_range(call))
    await call.hass.data[DATA_STATISTICS].flush()


ACTIONS = (
    _Action(
        "get_readings",
        _get_readings,
        {**SINCE, **METRIC_LIST, vol.Optional(ATTR_PERIOD): vol.In(PERIODS)},
        SupportsResponse.ONLY,
    ),
    _Action("get_sleep", _get_sleep, SINCE, SupportsResponse.ONLY),
    _Action(
        "measure",
        _measure,
        {**RING, vol.Required(ATTR_METRIC): vol.In(MEASURABLE)},
        SupportsResponse.OPTIONAL,
    ),
    _Action(
        "export",
        _export,
        {
            **MAYBE_SINCE,
            vol.Optional(ATTR_METRICS, default=EXPORTED): vol.All(
                cv.ensure_list, [vol.In(EXPORTED)]
            ),
            vol.Required(ATTR_FOLDER): cv.string,
            vol.Optional(ATTR_ZIP, default=False): cv.boolean,
        },
        SupportsResponse.OPTIONAL,
    ),
    _Action(
        "import_history",
        _import_history,
        {**RING, vol.Optional(ATTR_SOURCE, default=Source.RING): vol.Coerce(Source)},
    ),
)


@callback
def async_setup_services(hass: HomeAssistant) -> None:
    """Register the actions."""
    for name, handler, fields, response in ACTIONS:
        hass.services.async_register(DOMAIN, name, handler, vol.Schema(fields), response)
    async_register_admin_service(
        hass, DOMAIN, "delete_history", _delete_history, vol.Schema(MAYBE_SINCE)
    )


def _is_allowed(hass: HomeAssistant, folder: Path) -> bool:
    return folder.is_dir() and hass.config.is_allowed_path(str(folder))


def _coordinator(call: ServiceCall) -> RingCoordinator:
    """Return the ring a call names by its device or its entry."""
    entry_id = call.data[ATTR_RING]
    if device := dr.async_get(call.hass).async_get(entry_id):
        entry_id = device.config_entry_id
    entry: RingConfigEntry = async_get_config_entry(call.hass, DOMAIN, entry_id)
    return entry.runtime_data


def _range(call: ServiceCall) -> Span:
    """Return the time a call is about; times without a zone are local."""
    start, end = (
        dt_util.as_utc(when) if (when := call.data.get(key)) else None
        for key in (ATTR_START, ATTR_END)
    )
    if start and end and start >= end:
        raise _wrong("empty_range", start=_local(start), end=_local(end))
    return start, end


def _local(when: datetime) -> str:
    return dt_util.as_local(when).isoformat()


def _wrong(key: str, **placeholders: str) -> ServiceValidationError:
    return ServiceValidationError(
        translation_domain=DOMAIN, translation_key=key, translation_placeholders=placeholders
    )
