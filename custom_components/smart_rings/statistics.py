"""The archive's way into the recorder's long-term statistics.

Readings go into the sensor's own series, so that its graph shows what the ring recorded while it
was away; counters and night figures into external series `smart_rings:<ring>_<name>`. Nothing is
kept here: the archive knows what is out of date, and forgets it only once the recorder has it.
"""

import asyncio
from bisect import bisect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
import logging
from typing import Literal, NamedTuple, override

from homeassistant.components.recorder import db_schema
from homeassistant.components.recorder.core import Recorder
from homeassistant.components.recorder.db_schema import StatisticsBase
from homeassistant.components.recorder.entity_options import is_entity_recorded
from homeassistant.components.recorder.models import (
    StatisticData,
    StatisticMeanType,
    StatisticMetaData,
    process_timestamp,
)
from homeassistant.components.recorder.statistics import (
    STATISTIC_UNIT_TO_UNIT_CONVERTER,
    async_add_external_statistics,
    async_import_statistics,
    get_metadata,
    statistics_during_period,
)
from homeassistant.components.recorder.tasks import RecorderTask, SynchronizeTask
from homeassistant.components.sensor import ATTR_STATE_CLASS, SensorStateClass
from homeassistant.components.sensor import DOMAIN as SENSOR
from homeassistant.const import (
    ATTR_UNIT_OF_MEASUREMENT,
    EVENT_RECORDER_5MIN_STATISTICS_GENERATED,
    UnitOfTime,
)
from homeassistant.core import CALLBACK_TYPE, Event, HomeAssistant, State, callback
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers.recorder import DATA_INSTANCE, session_scope
from homeassistant.util import dt as dt_util
from homeassistant.util import slugify
from homeassistant.util.hass_dict import HassKey
from sqlalchemy import delete, func, select

from .archive import EPOCH, NIGHT, RECORDING, Archive, ArchiveError, Stale
from .const import DOMAIN
from .recording import FIGURES, LONG_ENOUGH, Report
from .rings.models import METRICS, Metric, Sleep
from .sleep import NIGHT_FIGURES, minutes

_LOGGER = logging.getLogger(__name__)

DATA_STATISTICS: HassKey[Statistics] = HassKey(f"{DOMAIN}_statistics")

HOUR = timedelta(hours=1)
FIVE_MINUTES = timedelta(minutes=5)
TABLES = {HOUR: "Statistics", FIVE_MINUTES: "StatisticsShortTerm"}


class _Series(NamedTuple):
    """A sensor's own series, and the way from our unit to the one it is kept in."""

    meta: StatisticMetaData
    convert: Callable[[float], float]


class _Rows(NamedTuple):
    """Rows that are to be, and where those go that have none of them in their place."""

    rows: list[StatisticData]
    gone: list[tuple[datetime, datetime]]


@dataclass(slots=True)
class _Forget(RecorderTask):
    """Deletes rows of a series; the recorder itself can only clear all of it."""

    statistic_id: str
    table: type[StatisticsBase]
    start: datetime
    end: datetime

    @override
    def run(self, instance: Recorder) -> None:
        """Delete the rows that begin in [start, end)."""
        meta, table = db_schema.StatisticsMeta, self.table
        series = select(meta.id).where(meta.statistic_id == self.statistic_id).scalar_subquery()
        with session_scope(session=instance.get_session()) as session:
            session.execute(
                delete(table)
                .where(table.metadata_id == series)
                .where(table.start_ts >= self.start.timestamp())
                .where(table.start_ts < self.end.timestamp())
                .execution_options(synchronize_session=False)
            )


class Statistics:
    """Keeps the recorder's statistics equal to the archive, whenever there is a recorder.

    An imported period that the recorder has yet to compile would make its insert fail and take
    the rows of other sensors with it. So readings are written only up to the recorder's last run,
    each time it has made one.
    """

    def __init__(self, hass: HomeAssistant, archive: Archive) -> None:
        """Do nothing until `start` or `flush`."""
        self._hass = hass
        self._archive = archive
        self._flushing = asyncio.Lock()
        self._queued = False

    @callback
    def start(self) -> CALLBACK_TYPE:
        """Write after each run of the recorder, until the returned function is called."""

        @callback
        def compiled(_: Event) -> None:
            if not self._flushing.locked():
                self._hass.async_create_background_task(self._follow(), f"{DOMAIN} statistics")

        return self._hass.bus.async_listen(EVENT_RECORDER_5MIN_STATISTICS_GENERATED, compiled)

    async def _follow(self) -> None:
        try:
            await self.flush()
        except ArchiveError as err:
            _LOGGER.warning("Statistics have to wait: %s", err.detail)

    async def flush(self) -> None:
        """Write all that may be written now; return when the recorder has it."""
        recorder = self._hass.data.get(DATA_INSTANCE)
        if recorder is None or not recorder.async_recorder_ready.is_set():
            return
        async with self._flushing:
            due = [stale for stale in await self._archive.stale() if self._is_due(stale)]
            if not due:
                return
            await _processed(recorder)
            compiled = await recorder.async_add_executor_job(_compiled, self._hass)
            for stale in due:
                self._queued = False
                until = await self._write(recorder, stale, compiled)
                # One series at a time, so that the recorder's other work has its turn.
                if self._queued:
                    await _processed(recorder)
                if until is not None:
                    await self._archive.settle(stale, until)

    def _is_due(self, stale: Stale) -> bool:
        """Whether there is something to write; readings wait until their sensor is enabled."""
        if stale.gone or stale.name not in Metric or METRICS[Metric(stale.name)].counter:
            return True
        return self._recorded(stale.ring, Metric(stale.name)) is not None

    async def _write(self, recorder: Recorder, stale: Stale, compiled: datetime) -> datetime | None:
        """Queue the rows of one series; return how far it is done with, None if it is not."""
        now = dt_util.utcnow()
        if stale.name == NIGHT:
            await self._write_nights(recorder, stale, now)
        elif stale.name == RECORDING:
            await self._write_recordings(recorder, stale, now)
        elif stale.name not in Metric:
            return now
        elif METRICS[metric := Metric(stale.name)].counter:
            await self._write_counter(recorder, stale, metric, now)
        else:
            return await self._write_readings(recorder, stale, metric, compiled)
        return now

    async def _write_readings(
        self, recorder: Recorder, stale: Stale, metric: Metric, compiled: datetime
    ) -> datetime | None:
        if (series := await self._own_series(recorder, stale.ring, metric)) is None:
            if not stale.gone:
                return None
            if entity_id := self._entity_id(stale.ring, metric):
                for width in TABLES:
                    self._forget(recorder, entity_id, width, _emptied(stale.gone, width))
            return stale.since
        until = _floor(compiled, HOUR)
        since = _floor(stale.since, HOUR)
        kept = _floor(dt_util.utcnow() - timedelta(days=recorder.keep_days), HOUR)
        hours = await self._rows(recorder, stale, metric, series, HOUR, since, until)
        fives = await self._rows(
            recorder, stale, metric, series, FIVE_MINUTES, max(since, kept), compiled
        )
        entity_id = series.meta["statistic_id"]
        if self._entity_id(stale.ring, metric) != entity_id:
            return None  # renamed while we looked
        for width, found in ((HOUR, hours), (FIVE_MINUTES, fives)):
            self._forget(recorder, entity_id, width, found.gone)
        if hours.rows:
            self._queued = True
            async_import_statistics(self._hass, series.meta, hours.rows)
        if fives.rows and (table := getattr(db_schema, TABLES[FIVE_MINUTES], None)):
            self._queued = True
            recorder.async_import_statistics(series.meta, fives.rows, table)
        return until if until > since else None

    async def _rows(
        self,
        recorder: Recorder,
        stale: Stale,
        metric: Metric,
        series: _Series,
        width: timedelta,
        start: datetime,
        end: datetime,
    ) -> _Rows:
        """Return what the rows of the periods in [start, end) are to be, and where rows go.

        A period without a reading has a row if the recorder compiled what the sensor showed. That
        was too old a value where the newest of then had yet to arrive.
        """
        buckets = await self._archive.buckets(stale.ring, metric, width, start, end)
        rows = [
            _row(series, bucket.start, bucket.mean, bucket.low, bucket.high) for bucket in buckets
        ]
        times = [bucket.start for bucket in buckets]
        gone = _emptied(stale.gone, width)
        if not buckets:
            return _Rows(rows, gone)
        shown = await recorder.async_add_executor_job(
            _periods, self._hass, series, width, times[0], end
        )
        for at in sorted(at for at in shown.difference(times) if not _is_in(at, gone)):
            newest = buckets[bisect(times, at) - 1].last
            rows.append(_row(series, at, newest, newest, newest))
        return _Rows(rows, gone)

    @callback
    def _forget(
        self,
        recorder: Recorder,
        statistic_id: str,
        width: timedelta,
        gone: Iterable[tuple[datetime, datetime]],
    ) -> None:
        """Queue that rows go."""
        if table := getattr(db_schema, TABLES[width], None):
            for start, end in gone:
                self._queued = True
                recorder.queue_task(_Forget(statistic_id, table, start, end))

    def _entity_id(self, ring: str, metric: Metric) -> str | None:
        return er.async_get(self._hass).async_get_entity_id(SENSOR, DOMAIN, f"{ring}_{metric}")

    def _recorded(self, ring: str, metric: Metric) -> State | None:
        """Return the state of a sensor if the recorder makes statistics of it."""
        if (
            (entity_id := self._entity_id(ring, metric)) is None
            or (state := self._hass.states.get(entity_id)) is None
            or state.attributes.get(ATTR_STATE_CLASS) != SensorStateClass.MEASUREMENT
            or not is_entity_recorded(self._hass, entity_id)
        ):
            return None
        return state

    async def _own_series(self, recorder: Recorder, ring: str, metric: Metric) -> _Series | None:
        """Return the series as the recorder has it, or as it would begin it."""
        if (state := self._recorded(ring, metric)) is None:
            return None
        entity_id = state.entity_id
        known = await recorder.async_add_executor_job(
            lambda: get_metadata(self._hass, statistic_ids={entity_id})
        )
        if entity_id in known:
            _, meta = known[entity_id]
        else:
            unit = state.attributes.get(ATTR_UNIT_OF_MEASUREMENT)
            meta = _meta("recorder", entity_id, None, unit, StatisticMeanType.ARITHMETIC)
        convert = _conversion(METRICS[metric].unit, meta["unit_of_measurement"])
        if convert is None or meta["mean_type"] is not StatisticMeanType.ARITHMETIC:
            return None
        return _Series(meta, convert)

    async def _write_counter(
        self, recorder: Recorder, stale: Stale, metric: Metric, now: datetime
    ) -> None:
        since = _floor(stale.since, HOUR)
        buckets = await self._archive.buckets(stale.ring, metric, HOUR, since, now)
        # What the archive doesn't hold, since it was lost once, stays and is counted.
        total, hours = await recorder.async_add_executor_job(
            _counted, self._hass, _external_id(stale.ring, metric), since
        )
        gone = _emptied(stale.gone, HOUR)
        hours = {at: count for at, count in hours.items() if not _is_in(at, gone)}
        hours |= {bucket.start: bucket.total for bucket in buckets}
        rows: list[StatisticData] = []
        for at in sorted(hours):
            # Added up from another hour on, floats differ in their last digits; rows must not.
            total = round(total + hours[at], 6)
            rows.append({"start": at, "state": hours[at], "sum": total})
        self._write_external(
            recorder, stale, metric, METRICS[metric].unit, StatisticMeanType.NONE, rows
        )

    async def _write_nights(self, recorder: Recorder, stale: Stale, now: datetime) -> None:
        nights = [
            sleep
            for sleep in await self._archive.sleeps(stale.ring, stale.since, now)
            if not sleep.nap and sleep.end <= now
        ]
        for name in NIGHT_FIGURES:
            self._write_external(
                recorder,
                stale,
                name,
                UnitOfTime.HOURS,
                StatisticMeanType.ARITHMETIC,
                _night_rows(nights, name),
            )

    async def _write_recordings(self, recorder: Recorder, stale: Stale, now: datetime) -> None:
        recordings = [
            recording
            for recording in await self._archive.recordings(stale.ring, stale.since, now)
            if recording.end - recording.start >= LONG_ENOUGH
        ]
        reports = await self._hass.async_add_executor_job(lambda: list(map(Report.of, recordings)))
        for name, figure in FIGURES.items():
            values = {
                _floor(report.recording.end, HOUR): value
                for report in reports
                if (value := figure.value(report)) is not None
            }
            self._write_external(
                recorder,
                stale,
                name,
                figure.unit,
                StatisticMeanType.ARITHMETIC,
                _single_rows(values),
            )

    @callback
    def _write_external(
        self,
        recorder: Recorder,
        stale: Stale,
        name: str,
        unit: str | None,
        mean_type: StatisticMeanType,
        rows: list[StatisticData],
    ) -> None:
        entry = self._hass.config_entries.async_entry_for_domain_unique_id(DOMAIN, stale.ring)
        title = f"{entry.title if entry else stale.ring} {name.replace('_', ' ')}"
        statistic_id = _external_id(stale.ring, name)
        self._forget(recorder, statistic_id, HOUR, _emptied(stale.gone, HOUR))
        if rows:
            self._queued = True
            meta = _meta(DOMAIN, statistic_id, title, unit, mean_type)
            async_add_external_statistics(self._hass, meta, rows)


async def _processed(recorder: Recorder) -> None:
    """Wait until the recorder has done all that is queued now."""
    done = asyncio.get_running_loop().create_future()
    recorder.queue_task(SynchronizeTask(done))
    await done


def _compiled(hass: HomeAssistant) -> datetime:
    """Return the end of the recorder's last run.

    Runs of the future, left by a clock that was wrong, say nothing of the periods before them.
    """
    runs = db_schema.StatisticsRuns.start
    with session_scope(hass=hass, read_only=True) as session:
        last = session.scalar(select(func.max(runs)).where(runs <= dt_util.utcnow()))
    return process_timestamp(last) + FIVE_MINUTES if last else EPOCH


def _periods(
    hass: HomeAssistant, series: _Series, width: timedelta, start: datetime, end: datetime
) -> set[datetime]:
    """Return the periods in [start, end) that have a row."""
    statistic_id = series.meta["statistic_id"]
    period: Literal["hour", "5minute"] = "hour" if width == HOUR else "5minute"
    found = statistics_during_period(hass, start, end, {statistic_id}, period, None, {"mean"})
    return {datetime.fromtimestamp(row["start"], UTC) for row in found.get(statistic_id, ())}


def _counted(
    hass: HomeAssistant, statistic_id: str, since: datetime
) -> tuple[float, dict[datetime, float]]:
    """Return the sum of a counter before `since`, and what it counted in each hour from then on."""
    meta, table, at = db_schema.StatisticsMeta, db_schema.Statistics, since.timestamp()
    rows = select(table.start_ts, table.state, table.sum).join(
        meta, (meta.id == table.metadata_id) & (meta.statistic_id == statistic_id)
    )
    with session_scope(hass=hass, read_only=True) as session:
        last = session.execute(
            rows.where(table.start_ts < at).order_by(table.start_ts.desc()).limit(1)
        ).first()
        later = session.execute(rows.where(table.start_ts >= at)).all()
    hours = {datetime.fromtimestamp(row.start_ts, UTC): row.state or 0.0 for row in later}
    return (last and last.sum) or 0.0, hours


def _emptied(
    gone: Iterable[tuple[datetime, datetime]], width: timedelta
) -> list[tuple[datetime, datetime]]:
    """Return where no row is right but those of what is still there."""
    return [(_floor(start, width), end) for start, end in gone]


def _is_in(at: datetime, ranges: Iterable[tuple[datetime, datetime]]) -> bool:
    return any(start <= at < end for start, end in ranges)


def _external_id(ring: str, name: str) -> str:
    return f"{DOMAIN}:{slugify(ring)}_{name}"


def _floor(when: datetime, width: timedelta) -> datetime:
    return when - (when - EPOCH) % width


def _conversion(unit: str, wanted: str | None) -> Callable[[float], float] | None:
    if unit == (wanted or ""):
        return float
    converter = STATISTIC_UNIT_TO_UNIT_CONVERTER.get(unit)
    if converter is None or wanted not in converter.VALID_UNITS:
        return None
    return converter.converter_factory(unit, wanted)


def _meta(
    source: str,
    statistic_id: str,
    name: str | None,
    unit: str | None,
    mean_type: StatisticMeanType,
) -> StatisticMetaData:
    converter = STATISTIC_UNIT_TO_UNIT_CONVERTER.get(unit)
    return StatisticMetaData(
        source=source,
        statistic_id=statistic_id,
        name=name,
        unit_of_measurement=unit,
        unit_class=converter.UNIT_CLASS if converter else None,
        mean_type=mean_type,
        has_sum=mean_type is StatisticMeanType.NONE,
    )


def _row(series: _Series, at: datetime, mean: float, low: float, high: float) -> StatisticData:
    return {
        "start": at,
        "mean": series.convert(mean),
        "min": series.convert(low),
        "max": series.convert(high),
    }


def _night_rows(nights: Iterable[Sleep], figure: str) -> list[StatisticData]:
    """Put the hours of a figure at each night's hour of waking; a night without it has no row."""
    values = {
        _floor(night.end, HOUR): value / 60 for night in nights if (value := minutes(night, figure))
    }
    return _single_rows(values)


def _single_rows(values: Mapping[datetime, float]) -> list[StatisticData]:
    return [{"start": at, "mean": v, "min": v, "max": v} for at, v in values.items()]
