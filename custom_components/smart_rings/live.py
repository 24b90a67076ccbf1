"""Values as they are measured, as long as somebody wants to see them."""

import asyncio
from contextlib import aclosing, suppress
from datetime import datetime, timedelta
import logging
from typing import TYPE_CHECKING

from homeassistant.core import CALLBACK_TYPE, callback
from homeassistant.helpers.event import async_call_later
from homeassistant.util import dt as dt_util

from .archive import ArchiveError
from .const import DOMAIN
from .contact import ContactError, GaveWay, Reason
from .rings.models import Metric, RingState, Sample

if TYPE_CHECKING:
    from .coordinator import RingCoordinator

_LOGGER = logging.getLogger(__name__)

# To measure all the time empties a ring in some hours.
BATTERY_LOW = 10
RETRY = timedelta(seconds=2)
# Scanners hear nothing while they connect.
MAX_RETRY = timedelta(minutes=5)
LEFT_AFTER = timedelta(minutes=3)
# Rings tell about once a second what they measure: of two values the nearer to the time is shown.
NEAR = timedelta(seconds=0.5)
PASSING = {
    Reason.OUT_OF_RANGE,
    Reason.NO_FREE_CONNECTION,
    Reason.CONNECTED_ELSEWHERE,
    Reason.NOT_ANSWERING,
}


class Live:
    """The live link to a ring.

    `shown` changes once in an interval, and holds what was measured in the last one, or nothing.

    It ends by itself at `until`, and when the ring leaves, is taken off, charged or runs low. A
    lost link is made good; one that others need is given up and taken again (`waiting` for it
    meanwhile).
    """

    def __init__(
        self, coordinator: RingCoordinator, interval: timedelta, duration: timedelta
    ) -> None:
        """Take how often to show a value, and when to end."""
        self.until: datetime | None = None
        self.waiting: ContactError | None = None
        self.shown: dict[Metric, Sample] = {}
        self._coordinator = coordinator
        self._hass = coordinator.hass
        self._interval = interval
        self._duration = duration
        self._task: asyncio.Task[None] | None = None
        self._began: asyncio.Future[None]
        self._next_at = dt_util.utcnow()
        self._fresh: dict[Metric, Sample] = {}
        self._unkept: list[Sample] = []
        self._unset_expiry: CALLBACK_TYPE | None = None

    @property
    def is_on(self) -> bool:
        """Whether values are live, or about to be."""
        return self.until is not None

    async def start(self) -> None:
        """Begin; returns when the ring measures. Raises `ContactError`."""
        if not self.is_on:
            self.until = dt_util.utcnow() + self._duration
            self._began = self._hass.loop.create_future()
            self._task = self._coordinator.config_entry.async_create_background_task(
                self._hass, self._run(), f"{DOMAIN} live"
            )
            self._coordinator.async_update_listeners()
        await asyncio.shield(self._began)

    async def stop(self, reason: Reason | None = None) -> None:
        """End; the link is given back when this returns. `reason` is told if it isn't a wish."""
        if self._task and self.is_on:
            self._task.cancel()
            await asyncio.wait((self._task,))
            if reason:
                self._tell("live_ended", reason)

    async def _run(self) -> None:
        reason = "time_over"
        try:
            async with asyncio.timeout(self._duration.total_seconds()):
                await self._hold()
        except TimeoutError:
            pass
        except ContactError as err:
            if not self._began.done():
                self._began.set_exception(err)
                return
            reason = err.reason
        except Exception:
            _LOGGER.exception("Unexpected error while %s was live", self._coordinator.name)
            reason = "unexpected_error"
        finally:
            self.until = None
            self.waiting = None
            self._fresh = {}
            self._show()
            if not self._began.done():
                self._began.set_result(None)
            with suppress(ArchiveError):
                await self._keep()
        self._tell("live_ended", reason)

    async def _hold(self) -> None:
        """Hold the link, again and again. Raises the `ContactError` that speaks against it."""
        pause = RETRY
        while True:
            try:
                async with (
                    self._coordinator.talk(live=True, back=self._began.done()) as ring,
                    aclosing(ring.live()) as states,
                ):
                    async for state in states:
                        pause = RETRY
                        await self._take(state)
            except GaveWay as way:
                if not way.to_own:
                    self._wait()
                continue
            except ContactError as err:
                if not self._began.done() or err.reason not in PASSING:
                    raise
                self._coordinator.error = err
                self._coordinator.async_update_listeners()
            await self._until_heard(pause)
            pause = min(2 * pause, MAX_RETRY)

    def _wait(self) -> None:
        """Tell that other rings need the connection."""
        self.waiting = self._coordinator.contact.unreachable(Reason.NO_FREE_CONNECTION)
        self._coordinator.async_update_listeners()
        self._tell("live_paused", Reason.NO_FREE_CONNECTION)

    async def _until_heard(self, pause: timedelta) -> None:
        """Don't try to connect to a ring that has left. Raises `ContactError`."""
        await asyncio.sleep(pause.total_seconds())
        heard = self._coordinator.contact.heard
        heard.clear()
        try:
            async with asyncio.timeout(LEFT_AFTER.total_seconds()):
                await heard.wait()
        except TimeoutError as err:
            raise self._coordinator.contact.unreachable(Reason.OUT_OF_RANGE) from err

    async def _take(self, state: RingState) -> None:
        """Take what the ring says; show it when it is time."""
        self.waiting = None
        self._coordinator.error = None
        self._coordinator.take(state)
        for reason, holds in (
            (Reason.CHARGING, state.charging),
            # A link would keep such a ring from ending its recording, and from its sleep.
            (Reason.NOT_WORN, state.worn is False),
            (Reason.BATTERY_LOW, state.battery is not None and state.battery <= BATTERY_LOW),
        ):
            if holds:
                raise self._coordinator.contact.error(reason)
        if not self._began.done():
            self._began.set_result(None)
        self._fresh |= state.latest
        if self._fresh and (not self.shown or dt_util.utcnow() >= self._next_at - NEAR):
            self._show()
        await self._keep()

    async def _keep(self) -> None:
        """Let what was shown enter the archive."""
        if self._unkept:
            samples, self._unkept = self._unkept, []
            await self._coordinator.archive.add(self._coordinator.key, samples)

    @callback
    def _show(self) -> None:
        """Show the newest of what came since, until it is as old as the interval."""
        if self._unset_expiry:
            self._unset_expiry()
            self._unset_expiry = None
        now = dt_util.utcnow()
        if not self.shown:
            self._next_at = now
        self.shown, self._fresh = self._fresh, {}
        if self.shown:
            # Times are a grid, whenever in it a value comes: as many are shown as were wished.
            if now >= self._next_at - NEAR:
                self._next_at += self._interval
            self._unkept += self.shown.values()
            oldest = min(sample.end for sample in self.shown.values())
            left = oldest + self._interval + NEAR - now
            self._unset_expiry = async_call_later(self._hass, left, self._expire)
        self._coordinator.async_update_listeners()

    @callback
    def _expire(self, _now: datetime) -> None:
        self._unset_expiry = None
        if not self._fresh:
            # What was said minutes ago must not come back when this ends.
            self._coordinator.forget_sensed()
        self._show()

    def _tell(self, event: str, reason: str) -> None:
        _LOGGER.info("%s of %s: %s", event, self._coordinator.name, reason)
        self._coordinator.tell(event, {"reason": reason})
