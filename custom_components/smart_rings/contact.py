"""One conversation with a ring at a time, and in words why there was none."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
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
    RingDisconnected,
    RingError,
    RingNotSupported,
    RingRefused,
    RingTimeout,
)
from .rings.models import RingMemory
from .rings.recognise import Model
from .rings.ring import Ring

# One attempt takes up to 20 s; without a free slot the connector tries for 36 s in any case.
CONNECT_TIMEOUT = 25
# Seven days of everything over a slow link take about two minutes.
CONTACT_TIMEOUT = 300
# A proxy has three connections, and other integrations need some.
RINGS_AT_ONCE = 2


class Reason(StrEnum):
    """Why there was no contact, or not to the end."""

    OUT_OF_RANGE = "out_of_range"
    NO_FREE_CONNECTION = "no_free_connection"
    CONNECTED_ELSEWHERE = "connected_elsewhere"
    NOT_ANSWERING = "not_answering"
    REFUSED = "refused"
    NOT_SUPPORTED = "not_supported"
    NOT_WORN = "not_worn"
    CHARGING = "charging"


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


@dataclass(slots=True)
class _Shared:
    """What all contacts of this Home Assistant have in common."""

    slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(RINGS_AT_ONCE))
    locks: defaultdict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))


_SHARED: HassKey[_Shared] = HassKey(f"{DOMAIN}_contacts")


class Contact:
    """The way to one ring: polls, commands and flows wait here for each other.

    `used_at` is the loop's time at which the radio was last used for it.
    """

    def __init__(self, hass: HomeAssistant, model: Model, address: str, name: str) -> None:
        """Connect to nothing yet."""
        self.hass = hass
        self.model = model
        self.address = address
        self.name = name
        self.connected = False
        self.used_at = -math.inf
        self._trust_cache = True
        shared = hass.data.setdefault(_SHARED, _Shared())
        self._slots = shared.slots
        self._lock = shared.locks[address]

    @asynccontextmanager
    async def open(self, memory: RingMemory) -> AsyncIterator[Ring]:
        """Connect, and give the link back at the end. Raises `ContactError`."""
        clock = Clock(memory.clock, dt_util.get_default_time_zone(), dt_util.utcnow, memory.doubts)
        async with self._lock, self._slots:
            try:
                async with (
                    asyncio.timeout(CONTACT_TIMEOUT),
                    connect(self.model, self._connect, memory, clock) as ring,
                ):
                    self.connected = self._trust_cache = True
                    yield ring
            except RingNotSupported as err:
                # A firmware update may have moved what the stack remembers of the ring.
                self._trust_cache = False
                raise self._error(Reason.NOT_SUPPORTED, str(err)) from err
            except (RingTimeout, RingDisconnected, TimeoutError) as err:
                raise self._error(Reason.NOT_ANSWERING, str(err)) from err
            except RingError as err:
                code = err.code if isinstance(err, RingRefused) else None
                reason = next((r for r in Reason if r == code), Reason.REFUSED)
                raise self._error(reason, str(err)) from err
            finally:
                if self.connected:
                    self.used_at = self.hass.loop.time()
                self.connected = False

    async def _connect(self, on_lost: Callable[[BleakClient], None]) -> BleakClient:
        device = async_ble_device_from_address(self.hass, self.address, connectable=True)
        # A device stays known for minutes after the last scanner that heard it is gone.
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
        finally:
            self.used_at = self.hass.loop.time()

    def _paths(self) -> list[int | None]:
        """Free connections of each scanner that hears the ring; `None` where it doesn't say."""
        scanners = async_scanner_devices_by_address(self.hass, self.address, connectable=True)
        allocations = (found.scanner.get_allocations() for found in scanners)
        return [known.free if known else None for known in allocations]

    def _why_not(self) -> Reason:
        """Judge why a ring that was heard did not accept a connection."""
        if not (paths := self._paths()):
            return Reason.OUT_OF_RANGE
        if not any(free is None or free for free in paths):
            return Reason.NO_FREE_CONNECTION
        return Reason.CONNECTED_ELSEWHERE

    def unreachable(self, reason: Reason) -> ContactError:
        """Return the error that tells what Bluetooth knows of the ring."""
        intent = BluetoothReachabilityIntent.CONNECTION
        return self._error(
            reason, async_address_reachability_diagnostics(self.hass, self.address, intent)
        )

    def _error(self, reason: Reason, detail: str) -> ContactError:
        return ContactError(reason, self.name, detail)
