"""The way from bleak to virtual rings: a backend like those of adapters and proxies."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, override

from bleak import BleakClient
from bleak.args import SizedBuffer
from bleak.assigned_numbers import CHARACTERISTIC_PROPERTIES
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.client import BaseBleakClient, NotifyCallback
from bleak.backends.descriptor import BleakGATTDescriptor
from bleak.backends.device import BLEDevice
from bleak.backends.service import BleakGATTService, BleakGATTServiceCollection
from bleak.exc import BleakError, BleakGATTProtocolError

from ringsim.radio import AttError, Link, LinkLost, LinkRefused, Radio
from ringsim.rings.base import Characteristic


@contextmanager
def _as_bleak() -> Iterator[None]:
    """Raise what bleak does."""
    try:
        yield
    except AttError as err:
        raise BleakGATTProtocolError(err.code) from err
    except LinkLost as err:
        raise BleakError("The peripheral changed its connection status") from err


class RadioClient(BaseBleakClient):
    """One connection over the virtual radio; like a proxy's, it forgets the services when lost."""

    def __init__(
        self,
        address_or_ble_device: BLEDevice | str,
        *,
        radio: Radio,
        source: str,
        track: Callable[[RadioClient], object] = lambda _: None,
        **kwargs: Any,
    ) -> None:
        super().__init__(address_or_ble_device, **kwargs)
        self.services = BleakGATTServiceCollection()
        self._radio = radio
        self._source = source
        self._track = track
        self._link: Link | None = None
        self._notify: dict[str, NotifyCallback] = {}

    @property
    @override
    def mtu_size(self) -> int:
        return self.link.mtu

    @property
    @override
    def is_connected(self) -> bool:
        return self._link is not None and self._link.is_connected

    @property
    def link(self) -> Link:
        if self._link is None or not self._link.is_connected:
            raise BleakError("Not connected")
        return self._link

    @override
    async def connect(self, pair: bool, timeout: float | None = None, **kwargs: Any) -> None:
        try:
            async with asyncio.timeout(timeout or self._timeout):
                link = await self._radio.connect(self.address, self._source)
        except LinkRefused as err:
            raise BleakError("ESP_GATT_CONN_FAIL_ESTABLISH") from err
        link.on_disconnect = self._lost
        link.on_notification = self._notified
        self._link = link
        self.services = _services(link)
        self._track(self)

    @override
    async def disconnect(self) -> None:
        if self._link:
            self._link.disconnect()

    @override
    async def read_gatt_char(
        self, characteristic: BleakGATTCharacteristic, **kwargs: Any
    ) -> bytearray:
        with _as_bleak():
            return bytearray(await self.link.read(characteristic.uuid))

    @override
    async def write_gatt_char(
        self, characteristic: BleakGATTCharacteristic, data: SizedBuffer, response: bool
    ) -> None:
        with _as_bleak():
            await self.link.write(characteristic.uuid, bytes(data), response=response)

    @override
    async def start_notify(
        self, characteristic: BleakGATTCharacteristic, callback: NotifyCallback, **kwargs: Any
    ) -> None:
        if characteristic.uuid in self._notify:
            raise BleakError("Notifications are already enabled")
        self._notify[characteristic.uuid] = callback
        with _as_bleak():
            await self.link.subscribe(characteristic.uuid)

    @override
    async def stop_notify(self, characteristic: BleakGATTCharacteristic) -> None:
        del self._notify[characteristic.uuid]
        await self.link.subscribe(characteristic.uuid, enable=False)

    @override
    async def pair(self, *args: Any, **kwargs: Any) -> None:
        raise NotImplementedError

    @override
    async def unpair(self) -> None:
        raise NotImplementedError

    @override
    async def read_gatt_descriptor(
        self, descriptor: BleakGATTDescriptor, **kwargs: Any
    ) -> bytearray:
        raise NotImplementedError

    @override
    async def write_gatt_descriptor(
        self, descriptor: BleakGATTDescriptor, data: SizedBuffer
    ) -> None:
        raise NotImplementedError

    def _notified(self, characteristic: Characteristic, value: bytes) -> None:
        self._notify[characteristic.uuid](bytearray(value))

    def _lost(self) -> None:
        self.services = BleakGATTServiceCollection()
        self._notify.clear()
        self._link = None
        if self._disconnected_callback:
            self._disconnected_callback()


async def connect(
    radio: Radio, address: str, on_lost: Callable[[BleakClient], None]
) -> BleakClient:
    """Connect as the library's `Connect` wants it, without Home Assistant."""
    client = BleakClient(
        address,
        disconnected_callback=on_lost,
        backend=RadioClient,
        radio=radio,
        source="test",
    )
    await client.connect()
    return client


def _services(link: Link) -> BleakGATTServiceCollection:
    found = BleakGATTServiceCollection()
    for service in link.ring.services:
        known = BleakGATTService(service, service.handle, service.uuid)
        found.add_service(known)
        for item in service.characteristics:
            properties = [
                p for bit, p in CHARACTERISTIC_PROPERTIES.items() if item.properties & bit
            ]
            found.add_characteristic(
                BleakGATTCharacteristic(
                    item, item.handle, item.uuid, properties, lambda: link.mtu - 3, known
                )
            )
    return found
