"""One conversation with a ring at a time, and in words why there was none."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from enum import StrEnum
import math

from bleak import BleakClient
from bleak.exc import BleakError
from bleak_retry_connector import (
    BleakClientWithServiceCache,
    BleakOutOfConnectionSlotsError,
    establish_connection,
)
from homeassistant.components.bluetooth import (
    BluetoothReachabilityIntent,
    async_address_reachability_diagnostics,
    async_ble_device_from_address,
    async_current_scanners,
    async_scanner_devices_by_address,
)
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError
from homeassistant.util import dt as dt_util
from homeassistant.util.hass_dict import HassKey

from .const import DOMAIN
from .rings import connect
from .rings.clock import Clock
from .rings.errors import (
    RingAuthError,
    RingDisconnected,
    RingError,
    RingNotSupported,
    RingRefused,
    RingTimeout,
)
from .rings.models import RingMemory
from .rings.recognise import Model
from .rings.ring import Ring
from .turns import Room, Turn, Turns

# One attempt takes up to 20 s; without a free slot the connector tries for 36 s in any case.
CONNECT_TIMEOUT = 25
# Seven days of everything over a slow link take about two minutes.
CONTACT_TIMEOUT = 300
# Rings advertise every one to five seconds.
HEARD_AGAIN = 15
# What a proxy has, where it doesn't tell.
CONNECTIONS = 3


class Reason(StrEnum):
    """Why there was no contact, or not to the end."""

    OUT_OF_RANGE = "out_of_range"
    NO_FREE_CONNECTION = "no_free_connection"
    CONNECTED_ELSEWHERE = "connected_elsewhere"
    NOT_ANSWERING = "not_answering"
    REFUSED = "refused"
    NOT_SUPPORTED = "not_supported"
    NEEDS_KEY = "needs_key"
    NOT_KEPT = "not_kept"
    PAUSED = "paused"
    UNLOADED = "unloaded"
    NOT_WORN = "not_worn"
    CHARGING = "charging"
    BATTERY_LOW = "battery_low"
    BUSY = "busy"


class ContactError(HomeAssistantError):
    """There was no contact, or not to the end; its text is that of `reason`."""

    def __init__(self, reason: Reason, name: str, detail: str) -> None:
        """Take the ring's name, and what the Bluetooth stack or the ring said."""
        super().__init__(
            translation_domain=DOMAIN,
            translation_key=reason,
            translation_placeholders={"name": name, "detail": detail},
        )
        self.reason = reason
        self.detail = detail


class GaveWay(Exception):
    """A live link ended because it was needed: by this ring's own contacts or by another ring."""

    def __init__(self, *, to_own: bool) -> None:
        """Tell to whom."""
        super().__init__()
        self.to_own = to_own


_TURNS: HassKey[Turns] = HassKey(f"{DOMAIN}_turns")


class Contact:
    """The way to one ring: polls, commands and flows wait here for each other.

    `used_at` is the loop's time at which the radio was last used for it, but by a live link.
    Until `paused_until` the ring is left alone. `heard` is to be set with each of its packets.
    """

    def __init__(self, hass: HomeAssistant, model: Model, address: str, name: str) -> None:
        """Connect to nothing yet."""
        self.hass = hass
        self.model = model
        self.address = address
        self.name = name
        self.connected = False
        self.used_at = -math.inf
        self.paused_until: datetime | None = None
        self.heard = asyncio.Event()
        self._let_go_at = -math.inf
        self._trust_cache = True
        self._closed = False
        self._turns = hass.data.setdefault(_TURNS, Turns())

    async def pause(self, until: datetime) -> None:
        """Leave the ring alone until then; whatever is under way has ended when this returns."""
        self.paused_until = until
        if turn := self._turns.of(self.address):
            turn.end(for_own=True)
            await turn.over.wait()

    def close(self) -> None:
        """Leave the ring alone for good: what is under way ends, what waits is refused."""
        self._closed = True
        self._turns.dismiss(self)

    @asynccontextmanager
    async def open(
        self, memory: RingMemory, *, live: bool = False, back: bool = False
    ) -> AsyncIterator[Ring]:
        """Connect, and give the link back at the end. Raises `ContactError`.

        A `live` link has no time limit, but ends with `GaveWay` when somebody needs it; one that
        comes `back` after that doesn't make others give way.
        """
        self._check_allowed()
        # A device stays known for minutes after the last scanner that heard it is gone.
        if not self.connected and not self._paths():
            raise self.unreachable(Reason.OUT_OF_RANGE)
        turn = Turn(self.address, self._room, self, live=live, back=back)
        async with self._turns.take(turn):
            self._check_allowed()
            try:
                async with asyncio.timeout(None if live else CONTACT_TIMEOUT) as limit:
                    turn.begin(limit)
                    async with self._connected(memory, live=live) as ring:
                        try:
                            yield ring
                        finally:
                            # The link is given back now: that must not be broken off.
                            turn.limit = None
            except TimeoutError as err:
                self._check_allowed()
                if turn.for_own is None or not live:
                    raise self.error(Reason.NOT_ANSWERING, str(err)) from err
                raise GaveWay(to_own=turn.for_own) from err

    @asynccontextmanager
    async def _connected(self, memory: RingMemory, *, live: bool) -> AsyncIterator[Ring]:
        clock = Clock(memory.clock, dt_util.get_default_time_zone(), dt_util.utcnow, memory.doubts)
        try:
            async with connect(self.model, self._connect, memory, clock) as ring:
                self.connected = self._trust_cache = True
                yield ring
        except RingNotSupported as err:
            # A firmware update may have moved what the stack remembers of the ring.
            self._trust_cache = False
            raise self.error(Reason.NOT_SUPPORTED, str(err)) from err
        except RingAuthError as err:
            raise self.error(Reason.NEEDS_KEY, str(err)) from err
        except (RingTimeout, RingDisconnected) as err:
            raise self.error(Reason.NOT_ANSWERING, str(err)) from err
        except RingError as err:
            code = err.code if isinstance(err, RingRefused) else None
            reason = next((r for r in Reason if r == code), Reason.REFUSED)
            raise self.error(reason, str(err)) from err
        finally:
            if self.connected:
                self._let_go_at = self.hass.loop.time()
            self.connected = False
            if not live:
                self.used_at = self.hass.loop.time()

    async def _connect(self, on_lost: Callable[[BleakClient], None]) -> BleakClient:
        await self._until_heard()
        device = async_ble_device_from_address(self.hass, self.address, connectable=True)
        if device is None or not self._paths():
            raise self.unreachable(Reason.OUT_OF_RANGE)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                return await establish_connection(
                    BleakClientWithServiceCache,
                    device,
                    self.name,
                    disconnected_callback=on_lost,
                    max_attempts=2,
                    use_services_cache=self._trust_cache,
                )
        except BleakOutOfConnectionSlotsError as err:
            raise self.unreachable(Reason.NO_FREE_CONNECTION) from err
        except (BleakError, OSError, EOFError, TimeoutError) as err:
            raise self.unreachable(self._why_not()) from err

    async def _until_heard(self) -> None:
        """Wait for a ring that was let go just now: it was silent while it was connected."""
        silence = HEARD_AGAIN - (self.hass.loop.time() - self._let_go_at)
        if silence > 0 and not self._paths():
            self.heard.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(silence):
                    await self.heard.wait()

    @property
    def paused(self) -> ContactError | None:
        """The error to raise while the ring is left to its phone app."""
        if self.paused_until is None or dt_util.utcnow() >= self.paused_until:
            return None
        return self.error(Reason.PAUSED, f"{dt_util.as_local(self.paused_until):%H:%M}")

    def _check_allowed(self) -> None:
        if self._closed:
            raise self.error(Reason.UNLOADED)
        if paused := self.paused:
            raise paused

    def _paths(self) -> list[tuple[int, int]]:
        """How many connections each scanner that hears the ring has, and how many are free."""
        scanners = async_scanner_devices_by_address(self.hass, self.address, connectable=True)
        told = (found.scanner.get_allocations() for found in scanners)
        return [(has.slots, has.free) if has else (CONNECTIONS, 1) for has in told]

    def _room(self) -> Room:
        """Leave one connection of each scanner to other integrations."""
        paths = self._paths()
        fewest = min((slots for slots, _ in paths), default=CONNECTIONS)
        return Room(max(1, fewest - 1), any(free for _, free in paths), self._elsewhere())

    def _elsewhere(self) -> frozenset[str]:
        """Return what is connected through scanners that don't hear this ring."""
        found = async_scanner_devices_by_address(self.hass, self.address, connectable=True)
        near = {device.scanner.source for device in found}
        far = (
            s.get_allocations() for s in async_current_scanners(self.hass) if s.source not in near
        )
        return frozenset(address for has in far if has and near for address in has.allocated)

    def _why_not(self) -> Reason:
        """Judge why a ring that was heard did not accept a connection."""
        if not self._paths():
            return Reason.OUT_OF_RANGE
        return Reason.CONNECTED_ELSEWHERE if self._room().free else Reason.NO_FREE_CONNECTION

    def unreachable(self, reason: Reason) -> ContactError:
        """Return the error that tells what Bluetooth knows of the ring."""
        told = async_address_reachability_diagnostics(
            self.hass, self.address, BluetoothReachabilityIntent.CONNECTION
        )
        return self.error(reason, told[:1].upper() + told[1:])

    def error(self, reason: Reason, detail: str = "") -> ContactError:
        """Return the error that tells a reason in words."""
        return ContactError(reason, self.name, detail)
