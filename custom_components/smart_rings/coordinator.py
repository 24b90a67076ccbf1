"""What is known of a ring, and when to ask it again."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from datetime import datetime, timedelta
import logging
from typing import Any, NamedTuple, override

from bleak_retry_connector import close_stale_connections_by_address
from homeassistant.components.bluetooth import (
    BluetoothServiceInfoBleak,
    async_ble_device_from_address,
    async_discovered_service_info,
    async_last_service_info,
    async_rediscover_address,
    async_register_advertisement_callback,
)
from homeassistant.config_entries import ConfigEntry, ConfigEntryState
from homeassistant.const import CONF_ADDRESS, CONF_MODEL, CONF_NAME
from homeassistant.core import HomeAssistant, callback
from homeassistant.exceptions import ConfigEntryNotReady, HomeAssistantError
from homeassistant.helpers import device_registry as dr
from homeassistant.helpers.device_registry import CONNECTION_BLUETOOTH, DeviceInfo
from homeassistant.helpers.dispatcher import async_dispatcher_send
from homeassistant.helpers.event import async_track_time_interval
from homeassistant.helpers.update_coordinator import DataUpdateCoordinator
from homeassistant.util import dt as dt_util

from .archive import RECORDING, Archive, ArchiveError
from .const import (
    CONF_HAND_OVER_DURATION,
    CONF_LIVE_DURATION,
    CONF_LIVE_INTERVAL,
    CONF_SYNC_INTERVAL,
    CONF_TRIED,
    DOMAIN,
    OPTIONS,
    SIGNAL_EVENT,
)
from .contact import Contact, ContactError, Reason
from .live import Live
from .recording import Report, is_told, last_recording
from .rings import MODELS, family_of
from .rings.models import (
    METRICS,
    Metric,
    Recording,
    RingMemory,
    RingState,
    Sample,
    Setting,
    SettingKind,
    Sleep,
    Value,
)
from .rings.recognise import Model
from .rings.ring import Ring
from .sleep import RECENT, figures, kind, last_night, to_announce

_LOGGER = logging.getLogger(__name__)

TICK = timedelta(minutes=1)
# Rings advertise every one to five seconds, and a scanner misses many of these packets.
AWAY_AFTER = timedelta(minutes=3)
# After a longer silence the ring may have left, and would be connected to in vain.
FRESH = timedelta(seconds=15)
# Not more often by itself, unless the ring says so: each contact costs the ring's battery.
MIN_INTERVAL = timedelta(minutes=5)
# Scanners pause while they connect, so that a ring that refuses is tried ever less often.
MAX_BACKOFF = timedelta(hours=1)
# A ring may go back to its own settings, and its phone app may change them.
SETTINGS_INTERVAL = timedelta(days=1)
# Of what a ring doesn't tell how often it records it.
DEFAULT_LOGGING = timedelta(hours=1)

SYNC_FAILED = "sync_failed"

type RingConfigEntry = ConfigEntry[RingCoordinator]


class _Kept(NamedTuple):
    """How an attribute of a coordinator becomes JSON, and back."""

    dump: Callable[[Any], Any]
    load: Callable[[Any], Any]


_PLAIN = _Kept(lambda value: value, lambda value: value)
_TIME = _Kept(datetime.isoformat, datetime.fromisoformat)
KEPT: Mapping[str, _Kept] = {
    "memory": _Kept(RingMemory.as_dict, RingMemory.from_dict),
    "data": _Kept(RingState.as_dict, RingState.from_dict),
    "said_at": _TIME,
    "last_sync": _TIME,
    "settings": _PLAIN,
    "settings_at": _TIME,
    "failures": _PLAIN,
    "failing_since": _TIME,
    "again": _Kept(timedelta.total_seconds, lambda seconds: timedelta(seconds=seconds)),
    "announced": _Kept(
        lambda ends: {kind: end.isoformat() for kind, end in ends.items()},
        lambda ends: {kind: datetime.fromisoformat(end) for kind, end in ends.items()},
    ),
}
"""What outlives a restart; unset it is what it begins as."""


class RingCoordinator(DataUpdateCoordinator[RingState]):
    """Asks one ring when it is there and it is time, keeps what it said, and for how long it holds.

    A ring that is away is no error. Without an interval of its own, a refresh is started by what is
    heard of the ring (every packet of its advertisement), or by a person.
    """

    config_entry: RingConfigEntry

    def __init__(self, hass: HomeAssistant, entry: RingConfigEntry, archive: Archive) -> None:
        """Take the entry and where everything is kept."""
        super().__init__(hass, _LOGGER, config_entry=entry, name=entry.title)
        self.key = str(entry.unique_id)
        self.archive = archive
        self.model = MODELS[entry.data[CONF_MODEL]]
        self.contact = Contact(hass, self.model, entry.data[CONF_ADDRESS], entry.title)
        self.interval = self._option(CONF_SYNC_INTERVAL)
        self.memory = RingMemory()
        self.data = RingState()
        self.settings: Mapping[str, Value] = {}
        self.settings_at: datetime | None = None
        self.measuring: Metric | None = None
        self.said_at: datetime | None = None
        self.last_sync: datetime | None = None
        self.error: ContactError | None = None
        self.live = Live(self, self._option(CONF_LIVE_INTERVAL), self._option(CONF_LIVE_DURATION))
        self.failures = 0
        self.failing_since: datetime | None = None
        """Since when the ring is there but no sync goes well."""
        self.dropped: Counter[str] = Counter()
        self._sleeps: dict[Sleep, datetime] = {}
        self._reports: list[Report] = []
        self.announced: dict[str, datetime] = {}
        self._reread = False
        self.again: timedelta | None = None
        """How soon the ring wishes to be asked again."""
        self._progress = False
        self._seems_gone = False
        self._heard_at = -AWAY_AFTER.total_seconds()
        self._was_in_range = True
        self._away: ContactError | None = None
        self._returned = True
        self._syncing: asyncio.Task[None] | None = None
        self._talks: set[asyncio.Event] = set()

    def _option(self, key: str) -> timedelta:
        return OPTIONS[key].time(self.config_entry.options.get(key))

    @property
    def in_range(self) -> bool:
        """Whether the ring was heard in the last minutes, or is connected."""
        return self._is_heard(AWAY_AFTER)

    def _is_heard(self, silence: timedelta) -> bool:
        """Whether the ring is not silent for that long; connected ones don't advertise."""
        heard = self.hass.loop.time() - self._heard_at < silence.total_seconds()
        return heard or self.contact.connected

    @property
    def is_missing(self) -> bool:
        """Whether the ring is neither here nor left to its phone app."""
        return not self.in_range and self.contact.paused is None

    @property
    def hindrance(self) -> ContactError | None:
        """Why nothing comes from the ring now, if so."""
        over = self.error and self.error.reason in (Reason.OUT_OF_RANGE, Reason.PAUSED)
        last = None if over else self.error
        return self.contact.paused or self.live.waiting or self._away or last

    @property
    def rssi(self) -> int | None:
        """How well the best of the scanners hears the ring, in dBm."""
        info = async_last_service_info(self.hass, self.contact.address, connectable=True)
        return info.rssi if info and self.in_range else None

    @property
    def device_info(self) -> DeviceInfo:
        """What the device page shows."""
        info = self.memory.info
        return DeviceInfo(
            identifiers={(DOMAIN, self.key)},
            connections={(CONNECTION_BLUETOOTH, self.contact.address)},
            name=self.config_entry.title,
            manufacturer=self.model.manufacturer,
            model=self.model.name,
            serial_number=info.serial,
            sw_version=info.firmware,
            hw_version=info.hardware,
        )

    def said(self, max_age: timedelta) -> RingState:
        """Return what the ring said of itself, if that is not older than `max_age`."""
        if self.said_at is None or dt_util.utcnow() - self.said_at > max_age:
            return RingState()
        return self.data

    def newest(self, metric: Metric) -> Sample | None:
        """Return the newest value of a metric; what is measured live is fresh or not there."""
        if self.live.is_on and metric in family_of(self.model).live_metrics:
            return self.live.shown.get(metric)
        return self.data.latest.get(metric)

    def sample(self, metric: Metric) -> Sample | None:
        """Return the newest value of a metric as long as it can be taken for the present one.

        A reading holds for two of the ring's recording intervals and a sync interval, a counter
        until the wearer's midnight.
        """
        if (sample := self.newest(metric)) is None:
            return None
        if METRICS[metric].counter:
            # The ring's midnight is a little off ours, at a change of the time zone by hours.
            holds = sample.start > dt_util.start_of_local_day() - timedelta(hours=12)
        else:
            max_age = 2 * self.memory.logging.get(metric, DEFAULT_LOGGING) + self.interval
            holds = dt_util.utcnow() - sample.end <= max_age
        return sample if holds else None

    @property
    def last_night(self) -> Sleep | None:
        """The night a sleeper means by "last night" now."""
        return last_night(self._sleeps, dt_util.utcnow())

    @property
    def last_recording(self) -> Report | None:
        """What a wearer means by the last recording now."""
        return last_recording(self._reports, dt_util.utcnow())

    def settings_of(self, kind: SettingKind) -> Iterator[Setting]:
        """Return the settings of one kind that rings of this family may have."""
        return (s for s in family_of(self.model).settings if s.kind is kind)

    @callback
    def async_start(self) -> None:
        """Listen to the ring from now on."""
        for unsubscribe in (
            async_register_advertisement_callback(self.hass, self._heard, self.contact.address),
            async_track_time_interval(self.hass, self._tick, TICK, cancel_on_shutdown=True),
        ):
            self.config_entry.async_on_unload(unsubscribe)
        self._look()

    def take(self, state: RingState) -> None:
        """Take over what the ring says now."""
        self.forget_sensed()
        self.data = replace(state, latest=_newest(self.data.latest, state.latest))
        self.said_at = dt_util.utcnow()

    def forget_sensed(self) -> None:
        """Know nothing any more of what the ring measures all the time."""
        senses = family_of(self.model).senses
        known = {m: sample for m, sample in self.data.latest.items() if m not in senses}
        self.data = replace(self.data, latest=known)

    async def async_hand_over(self) -> None:
        """Leave the ring to its phone app; nothing goes to it any more when this returns."""
        self._returned = True
        self._end_failure()
        until = dt_util.utcnow() + self._option(CONF_HAND_OVER_DURATION)
        await asyncio.gather(self.contact.pause(until), self.live.stop(Reason.PAUSED))
        await self._keep()
        self.async_update_listeners()

    async def async_take_back(self) -> None:
        """Talk to the ring again, now."""
        self.contact.paused_until = None
        await self._keep()
        self.async_update_listeners()
        self._look()

    async def async_close(self) -> None:
        """Leave the ring alone for good; when this returns, what was under way is over and kept."""
        self.contact.close()
        await self.live.stop()
        for over in tuple(self._talks):
            await over.wait()

    async def async_sync(self) -> None:
        """Ask the ring now; if that is under way, wait for it. Raises `ContactError`."""
        await asyncio.wait((self._begin_sync(),))
        if error := self.error or (None if self.last_update_success else self.last_exception):
            raise error

    async def async_reread(self) -> None:
        """Ask the ring for all it holds, read or deleted before. Raises `ContactError`."""
        while self._syncing and not self._syncing.done():
            await asyncio.wait((self._syncing,))
        self._reread = True
        try:
            await self.async_sync()
        finally:
            self._reread = False

    async def async_delete(self, start: datetime | None, end: datetime | None) -> None:
        """Delete what began in [start, end), and show nothing of it any more."""
        await self.archive.delete(self.key, start, end)
        latest = {
            metric: sample
            for metric, sample in self.data.latest.items()
            if (start and sample.start < start) or (end and sample.start >= end)
        }
        self.data = replace(self.data, latest=latest)
        await self._keep()
        self.async_update_listeners()

    async def async_command(self, command: Callable[[Ring], Awaitable[object]]) -> None:
        """Let the ring do something. Raises `ContactError`."""
        async with self.talk() as ring:
            await command(ring)
        self.async_update_listeners()

    async def async_measure(self, metric: Metric) -> Sample:
        """Measure once, now, and keep the result. Raises `ContactError`."""
        if self.measuring:
            raise self.contact.error(Reason.BUSY)
        self.measuring = metric
        self.async_update_listeners()
        try:
            async with self.talk() as ring:
                sample = await ring.measure(metric)
                await self.archive.add(self.key, [sample])
        finally:
            self.measuring = None
            self.async_update_listeners()
        return sample

    async def async_change(self, setting: Setting, value: Value) -> None:
        """Write a setting; what the ring then says is what is shown. Raises `ContactError`."""
        async with self.talk() as ring:
            self.settings = {**self.settings, setting.key: await ring.change(setting, value)}
        self.async_update_listeners()

    @override
    async def _async_setup(self) -> None:
        try:
            await self._restore()
        except ArchiveError as err:
            raise not_ready(err) from err

    async def _restore(self) -> None:
        stored = await self.archive.memory(self.key)
        address = self.contact.address
        if not stored and not async_ble_device_from_address(self.hass, address, connectable=True):
            raise not_ready(self.contact.unreachable(Reason.OUT_OF_RANGE))
        for name, kept in KEPT.items():
            if (value := stored.get(name)) is not None:
                setattr(self, name, kept.load(value))
        if until := stored.get("paused_until"):
            self.contact.paused_until = datetime.fromisoformat(until)
        if failed := stored.get("failed"):
            self.error = self.contact.error(Reason(failed[0]), failed[1])
        await self._recall(self.last_sync or dt_util.utcnow())
        if self.said_at:
            ago = (dt_util.utcnow() - self.said_at).total_seconds()
            # A computer without a clock of its own may start in the past.
            self.contact.used_at = self.hass.loop.time() - max(0, ago)
        if info := async_last_service_info(self.hass, address, connectable=True):
            self._heard_at = info.time
        await close_stale_connections_by_address(address)

    @override
    async def _async_update_data(self) -> RingState:
        """Ask the ring, but at set-up: then what is stored has to do."""
        if self.config_entry.state is not ConfigEntryState.SETUP_IN_PROGRESS:
            await self._sync()
        return self.data

    async def _sync(self) -> None:
        self._progress = False
        try:
            async with self.talk() as ring:
                await self._read(ring)
            with self._keeping():
                await self._announce()
        except ContactError as err:
            if err.reason in (Reason.OUT_OF_RANGE, Reason.PAUSED, Reason.UNLOADED):
                self.error = err
                return
            if not self.failures:
                _LOGGER.info("No contact with %s: %s (%s)", self.name, err, err.detail)
            self.error = err
            # What is taken bit by bit over a bad link is no reason to try less often.
            self.failures = 1 if self._progress else self.failures + 1
            self._seems_gone = True
            await self._try_to_keep()
        else:
            self.error = None
            if self.failures:
                _LOGGER.info("Contact with %s is back", self.name)
                self._end_failure()
                await self._try_to_keep()
        self._returned = False

    async def _confirm_failure(self, err: ContactError) -> None:
        """Tell of a failure, once, when the ring is still there after it."""
        now = dt_util.utcnow()
        self.failing_since = self.failing_since or now
        told = SYNC_FAILED in self.announced
        self.announced.setdefault(SYNC_FAILED, now)
        await self._try_to_keep()
        if not told:
            self.tell(SYNC_FAILED, {"reason": err.reason})

    def _end_failure(self) -> None:
        self.failures = 0
        self.failing_since = None
        self.announced.pop(SYNC_FAILED, None)

    async def _read(self, ring: Ring) -> None:
        """Do what a contact is for; the clock is set after what was written by it is read."""
        await ring.info()
        state = await ring.state()
        self.take(state)
        if self._reread:
            await self.archive.readmit(self.key)
        cursor = {} if self._reread else await self.archive.cursor(self.key)
        try:
            async with aclosing(ring.history(cursor)) as batches:
                async for batch in batches:
                    await self.archive.commit(self.key, batch)
                    self._progress = True
        finally:
            self.again = ring.again
        if ring.clock_due():
            await ring.set_time()
        if self.settings_at is None or dt_util.utcnow() - self.settings_at >= SETTINGS_INTERVAL:
            self.settings = await ring.read_settings()
            self.settings_at = dt_util.utcnow()
        self.last_sync = dt_util.utcnow()

    @asynccontextmanager
    async def talk(self, *, live: bool = False, back: bool = False) -> AsyncIterator[Ring]:
        """Open a contact; what was learned in it is kept, however it ends."""
        with self._keeping():
            async with self._talk(live=live, back=back) as ring:
                yield ring

    @asynccontextmanager
    async def _talk(self, *, live: bool, back: bool) -> AsyncIterator[Ring]:
        self._talks.add(over := asyncio.Event())
        model = self.model
        try:
            async with self.contact.open(self.memory, live=live, back=back) as ring:
                model = ring.model
                try:
                    yield ring
                finally:
                    self.dropped += ring.dropped + ring.link.dropped
                    self._heard_at = self.hass.loop.time()
        finally:
            try:
                await self._keep()
            finally:
                self._talks.remove(over)
                over.set()
            if model is not self.model:
                self._turn_into(model)

    def _turn_into(self, model: Model) -> None:
        """Begin anew as what the ring turned out to be: each family has entities of its own."""
        entry, entries = self.config_entry, self.hass.config_entries
        entries.async_update_entry(entry, data={**entry.data, CONF_MODEL: model.key})
        if entry.state is ConfigEntryState.LOADED:
            entries.async_schedule_reload(entry.entry_id)

    @contextmanager
    def _keeping(self) -> Iterator[None]:
        """Take what can't be kept for a contact that failed."""
        try:
            yield
        except ArchiveError as err:
            raise self.contact.error(Reason.NOT_KEPT, err.detail) from err

    async def _try_to_keep(self) -> None:
        """Keep what matters after a restart only."""
        with suppress(ArchiveError):
            await self._keep()

    async def _keep(self) -> None:
        recorded = {
            metric: sample
            for metric, sample in (await self.archive.latest(self.key)).items()
            if not METRICS[metric].counter and metric not in family_of(self.model).senses
        }
        self.data = replace(self.data, latest=_newest(self.data.latest, recorded))
        await self._recall(dt_util.utcnow())
        values = {name: getattr(self, name) for name in KEPT}
        until, error = self.contact.paused_until, self.error if self.failures else None
        await self.archive.remember(
            self.key,
            {name: KEPT[name].dump(value) for name, value in values.items() if value is not None}
            | {
                "paused_until": until and until.isoformat(),
                "failed": error and [error.reason, error.detail],
            },
        )
        registry = dr.async_get(self.hass)
        device = registry.async_get_or_create(
            config_entry_id=self.config_entry.entry_id, **self.device_info
        )
        # The address of some rings changes.
        registry.async_update_device(
            device.id, new_connections={(CONNECTION_BLUETOOTH, self.contact.address)}
        )

    async def _recall(self, now: datetime) -> None:
        """Learn from the archive what was slept and recorded lately.

        Of a sleep also since when it is known like that.
        """
        sleeps = await self.archive.sleeps(self.key, now - RECENT)
        self._sleeps = {sleep: self._sleeps.get(sleep, now) for sleep in sleeps}
        recordings = await self.archive.recordings(self.key, now - RECENT)
        if recordings != [report.recording for report in self._reports]:
            self._reports = await self.hass.async_add_executor_job(
                lambda: [Report.of(recording) for recording in recordings]
            )

    async def _announce(self) -> None:
        """Tell automations of what is final; never twice, be it that a crash loses one."""
        now = dt_util.utcnow()
        news: list[tuple[str, Sleep | Recording, Mapping[str, float]]] = [
            (kind(sleep), sleep, figures(sleep))
            for sleep in to_announce(self._sleeps, self.announced, now)
        ]
        news += [
            (RECORDING, report.recording, report.as_dict())
            for report in self._reports
            if is_told(report.recording, now)
            and report.recording.start >= self.announced.get(RECORDING, report.recording.start)
        ]
        if not news:
            return
        told = self.announced
        self.announced = {**told, **{name: record.end for name, record, _ in news}}
        try:
            await self._keep()
        except ArchiveError:
            self.announced = told
            raise
        for name, record, data in news:
            times = {"start": record.start.isoformat(), "end": record.end.isoformat()}
            self.tell(f"{name}_recorded", {**times, **data})

    @callback
    def tell(self, event: str, data: Mapping[str, Any]) -> None:
        """Let an event of the ring be known."""
        async_dispatcher_send(self.hass, SIGNAL_EVENT.format(self.key), event, data)

    @callback
    def _heard(self, info: BluetoothServiceInfoBleak) -> None:
        """Take one packet, of which there are many."""
        if info.connectable:
            self._heard_at = self.hass.loop.time()
            self.contact.heard.set()
            if self._seems_gone and self.error:
                self._seems_gone = False
                self.config_entry.async_create_background_task(
                    self.hass, self._confirm_failure(self.error), f"{DOMAIN} failure"
                )
            self._look()

    @callback
    def _tick(self, _now: datetime) -> None:
        """Let time pass: values age, and a ring that is silent has left."""
        self._look()
        self.async_update_listeners()

    @callback
    def _look(self) -> None:
        """Notice that the ring came or left, and start a sync when one is due."""
        if self.in_range is not self._was_in_range:
            self._was_in_range = self.in_range
            # Kept as it was then: Bluetooth counts the seconds, the recorder would each of them.
            self._away = None if self.in_range else self.contact.unreachable(Reason.OUT_OF_RANGE)
            self._returned |= self.in_range
            # One that left is not failing.
            self._seems_gone = False
            self.failing_since = None
            _LOGGER.info("%s is %s", self.name, "heard again" if self.in_range else "not heard")
            self.async_update_listeners()
            if self.is_missing:
                self._look_for_namesakes()
        if self._is_due():
            self._begin_sync()

    def _begin_sync(self) -> asyncio.Task[None]:
        """Return the sync that is under way, begun now if there was none."""
        if self._syncing is None or self._syncing.done():
            # The packet this may be called for is not stored yet: not before the next turn.
            self._syncing = self.config_entry.async_create_background_task(
                self.hass, self.async_refresh(), f"{DOMAIN} sync", eager_start=False
            )
        return self._syncing

    def _look_for_namesakes(self) -> None:
        """Let discovery look again at rings of the same name: one may be this, readdressed."""
        data, flows = self.config_entry.data, self.hass.config_entries.flow
        known = {self.contact.address, *data.get(CONF_TRIED, ())}
        for info in async_discovered_service_info(self.hass, connectable=True):
            if info.name != data.get(CONF_NAME) or info.address in known:
                continue
            found = {"unique_id": info.address}
            for flow in flows.async_progress_by_handler(DOMAIN, match_context=found):
                flows.async_abort(flow["flow_id"])
            async_rediscover_address(self.hass, info.address)

    def _is_due(self) -> bool:
        if self.config_entry.pref_disable_polling or self.contact.paused:
            return False
        if not self._is_heard(FRESH):
            return False
        if self._syncing and not self._syncing.done():
            return False
        if self.live.is_on and self.data.worn:
            # What it records is told when it is taken off, and the link notices that.
            return False
        return self.hass.loop.time() - self.contact.used_at >= self._pause().total_seconds()

    def _pause(self) -> timedelta:
        """Return how long to leave the ring in peace after the last contact."""
        soonest = self.again or MIN_INTERVAL
        if self._returned and not self.failures:
            return soonest
        if self.failures:
            doubled = soonest * (1 << min(self.failures - 1, 8))
            return min(doubled, max(MAX_BACKOFF, self.interval))
        return self.again or self.interval


def not_ready(err: HomeAssistantError) -> ConfigEntryNotReady:
    """Return what lets Home Assistant try an entry again later, with the words of an error."""
    return ConfigEntryNotReady(
        translation_domain=err.translation_domain,
        translation_key=err.translation_key,
        translation_placeholders=err.translation_placeholders,
    )


def _newest(known: Mapping[Metric, Sample], said: Mapping[Metric, Sample]) -> dict[Metric, Sample]:
    """Return the newest of two samples for each metric; of a counter, the one said last."""
    return dict(known) | {
        metric: sample
        for metric, sample in said.items()
        if METRICS[metric].counter or metric not in known or sample.start >= known[metric].start
    }
