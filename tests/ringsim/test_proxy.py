"""A virtual proxy, as the client library of Home Assistant sees it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from aioesphomeapi.client import APIClient
from aioesphomeapi.core import (
    BluetoothConnectionDroppedError,
    BluetoothGATTAPIError,
    TimeoutAPIError,
)
from aioesphomeapi.model import BluetoothProxyFeature, BluetoothScannerMode
import pytest

from ringsim.proxy import HOST_TERMINATED, Proxy, address_number
from ringsim.radio import Radio

from .echo import ANSWER_HANDLE, COMMAND_HANDLE, MODEL_HANDLE, EchoRing, echo_ring

type Event = tuple[Any, ...]

pytestmark = pytest.mark.usefixtures("socket_enabled")

CCCD_ON, CCCD_OFF = b"\x01\x00", b"\x00\x00"


class Central:
    """An API client with one queue of all it hears."""

    def __init__(self, proxy: Proxy) -> None:
        self.api = APIClient("127.0.0.1", proxy.port, None)
        self.advertisements: asyncio.Queue[Any] = asyncio.Queue()
        self.slots: asyncio.Queue[Event] = asyncio.Queue()
        self.states: asyncio.Queue[Event] = asyncio.Queue()
        self.notifications: asyncio.Queue[Event] = asyncio.Queue()

    async def start(self) -> None:
        await self.api.connect(login=True)
        self.api.subscribe_bluetooth_connections_free(lambda *e: self.slots.put_nowait(e))
        self.api.subscribe_bluetooth_le_raw_advertisements(self._heard)
        await self.api.device_info()  # All before it has arrived.

    def _heard(self, batch: Any) -> None:
        for advertisement in batch.advertisements:
            self.advertisements.put_nowait(advertisement)

    async def connect(self, ring: EchoRing, patience: float = 5) -> int:
        address = address_number(ring.address)
        await self.api.bluetooth_device_connect(
            address,
            lambda *e: self.states.put_nowait(e),
            timeout=patience,
            feature_flags=127,
            address_type=ring.address_type,
        )
        return address

    async def start_notify(self, address: int) -> Callable[[], Any]:
        stop, _ = await self.api.bluetooth_gatt_start_notify(
            address, ANSWER_HANDLE, lambda *e: self.notifications.put_nowait(e)
        )
        cccd = ANSWER_HANDLE + 0x8000
        await self.api.bluetooth_gatt_write_descriptor(address, cccd, CCCD_ON)
        return stop


@pytest.fixture
async def radio() -> AsyncIterator[Radio]:
    air = Radio()
    air.add(echo_ring(1))
    air.add(echo_ring(2, name_in_scan_response=True))
    yield air
    air.stop()


@pytest.fixture
async def proxy(radio: Radio) -> AsyncIterator[Proxy]:
    box = Proxy(radio, "proxy-1", "02:00:00:00:00:01", slots=1)
    await box.start()
    yield box
    await box.stop()


@pytest.fixture
async def central(proxy: Proxy) -> AsyncIterator[Central]:
    client = Central(proxy)
    await client.start()
    yield client
    await client.api.disconnect(force=True)


def ring(radio: Radio, number: int = 1) -> EchoRing:
    found = radio.rings[f"AA:BB:CC:DD:EE:{number:02X}"]
    assert isinstance(found, EchoRing)
    return found


async def test_introduces_itself(proxy: Proxy, central: Central) -> None:
    info = await central.api.device_info()
    entities, actions = await central.api.list_entities_services()
    assert info.name == "proxy-1"
    assert info.mac_address == "02:00:00:00:00:01"
    assert info.bluetooth_mac_address == "02:00:00:00:00:02"
    flags = info.bluetooth_proxy_feature_flags
    assert flags & BluetoothProxyFeature.ACTIVE_CONNECTIONS
    assert not flags & BluetoothProxyFeature.CONNECTION_PARAMS_SETTING
    assert (entities, actions) == ([], [])


async def test_passive_scanning_hears_no_scan_response(radio: Radio, central: Central) -> None:
    states: asyncio.Queue[Any] = asyncio.Queue()
    central.api.subscribe_bluetooth_scanner_state(states.put_nowait)
    central.api.bluetooth_scanner_set_mode(BluetoothScannerMode.PASSIVE)
    while (await states.get()).mode != BluetoothScannerMode.PASSIVE:
        pass
    hidden = ring(radio, 2)
    radio.advertise(hidden.address)
    passive = await central.advertisements.get()
    assert passive.data == hidden.advertisement
    assert passive.rssi == -60
    assert passive.address_type == hidden.address_type

    central.api.bluetooth_scanner_set_mode(BluetoothScannerMode.ACTIVE)
    state = await states.get()
    assert state.mode == state.configured_mode == BluetoothScannerMode.ACTIVE
    radio.advertise(hidden.address)
    assert (await central.advertisements.get()).data == hidden.advertisement
    active = await central.advertisements.get()
    assert active.data == hidden.advertisement + hidden.scan_response
    assert hidden.name.encode() in active.data


async def test_talks_to_a_ring(radio: Radio, proxy: Proxy, central: Central) -> None:
    device = ring(radio)
    address = await central.connect(device)
    assert await central.states.get() == (True, device.mtu, 0)
    (service,) = (await central.api.bluetooth_gatt_get_services(address)).services
    for listed, own in zip(
        service.characteristics, device.services[0].characteristics, strict=True
    ):
        assert (listed.uuid, listed.handle, listed.properties) == (
            own.uuid,
            own.handle,
            own.properties,
        )
    assert [len(c.descriptors) for c in service.characteristics] == [0, 0, 1]
    assert await central.api.bluetooth_gatt_read(address, MODEL_HANDLE) == b"Echo"

    stop = await central.start_notify(address)
    await central.api.bluetooth_gatt_write(address, COMMAND_HANDLE, b"\x03one", response=True)
    await central.api.bluetooth_gatt_write(address, COMMAND_HANDLE, b"\x03two", response=False)
    assert await central.notifications.get() == (ANSWER_HANDLE, b"\x03one")
    assert await central.notifications.get() == (ANSWER_HANDLE, b"\x03two")

    await stop()
    await central.api.bluetooth_gatt_write(address, COMMAND_HANDLE, b"\x03no", response=True)
    await central.api.bluetooth_device_disconnect(address)
    assert await central.states.get() == (False, 0, HOST_TERMINATED)
    assert central.notifications.empty()
    assert not radio.links


async def test_notifies_only_what_is_subscribed_at_the_ring(radio: Radio, central: Central) -> None:
    address = await central.connect(ring(radio))
    await central.start_notify(address)
    cccd = ANSWER_HANDLE + 0x8000
    assert await central.api.bluetooth_gatt_read_descriptor(address, cccd) == CCCD_ON
    await central.api.bluetooth_gatt_write_descriptor(address, cccd, CCCD_OFF)
    assert await central.api.bluetooth_gatt_read_descriptor(address, cccd) == CCCD_OFF
    await central.api.bluetooth_gatt_write(address, COMMAND_HANDLE, b"\x03", response=True)
    await central.api.bluetooth_gatt_read(address, MODEL_HANDLE)
    assert central.notifications.empty()


@pytest.mark.parametrize(
    ("handle", "error"), [(99, 1), (MODEL_HANDLE, 3)], ids=["no such handle", "not writable"]
)
async def test_refuses_what_the_table_does_not_offer(
    radio: Radio, central: Central, handle: int, error: int
) -> None:
    address = await central.connect(ring(radio))
    with pytest.raises(BluetoothGATTAPIError) as refusal:
        await central.api.bluetooth_gatt_write(address, handle, b"\x03", response=True)
    assert refusal.value.error.error == error
    assert not [p for p in radio.log if p.value]


async def test_a_ring_may_want_a_bond(radio: Radio, central: Central) -> None:
    device = ring(radio)
    address = await central.connect(device)
    device.faults.att_error = 15
    cccd = ANSWER_HANDLE + 0x8000
    for refused in (
        central.api.bluetooth_gatt_read(address, MODEL_HANDLE),
        central.api.bluetooth_gatt_write(address, COMMAND_HANDLE, b"\x03", response=True),
        central.api.bluetooth_gatt_write_descriptor(address, cccd, CCCD_ON),
    ):
        with pytest.raises(BluetoothGATTAPIError) as refusal:
            await refused
        assert refusal.value.error.error == 15
    assert len((await central.api.bluetooth_gatt_get_services(address)).services) == 1
    device.faults.att_error = None
    assert await central.api.bluetooth_gatt_read(address, MODEL_HANDLE) == b"Echo"


async def test_others_hold_slots(radio: Radio, proxy: Proxy, central: Central) -> None:
    assert await central.slots.get() == (1, 1, [])
    proxy.occupy(1)
    free, limit, allocated = await central.slots.get()
    assert (free, limit, len(allocated)) == (0, 1, 1)
    await central.connect(ring(radio))
    assert (await central.states.get())[0] is False
    proxy.occupy(0)
    assert await central.slots.get() == (1, 1, [])
    address = await central.connect(ring(radio))
    assert (await central.states.get())[0] is True
    proxy.occupy(1)
    assert await central.slots.get() == (0, 1, [address])


async def test_counts_slots(radio: Radio, central: Central) -> None:
    assert await central.slots.get() == (1, 1, [])
    address = await central.connect(ring(radio))
    assert await central.slots.get() == (0, 1, [address])
    await central.connect(ring(radio, 2))
    connected = [await central.states.get() for _ in range(2)]
    assert [state[0] for state in connected] == [True, False]
    await central.api.bluetooth_device_disconnect(address)
    while (slots := await central.slots.get())[0] == 0:
        pass
    assert slots == (1, 1, [])


async def test_a_lost_link_is_reported_and_frees_its_slot(
    radio: Radio, proxy: Proxy, central: Central
) -> None:
    address = await central.connect(ring(radio))
    await central.states.get()
    with pytest.raises(BluetoothConnectionDroppedError):
        await central.api.bluetooth_gatt_write(address, COMMAND_HANDLE, b"\x08", response=True)
    assert await central.states.get() == (False, 0, 8)
    assert not proxy.connections


async def test_a_silent_ring_is_given_up(radio: Radio, proxy: Proxy, central: Central) -> None:
    proxy.connect_timeout = 0
    ring(radio).powered = False
    await central.connect(ring(radio))
    assert await central.states.get() == (False, 0, 0x85)
    assert not proxy.connections


async def test_a_proxy_that_never_answers_keeps_the_slot_until_told(
    radio: Radio, proxy: Proxy, central: Central
) -> None:
    proxy.connect_timeout = None
    ring(radio).faults.hang_on_connect = True
    with pytest.raises(TimeoutAPIError):
        await central.connect(ring(radio), patience=0.01)
    assert not proxy.connections


async def test_a_ring_has_one_central(radio: Radio, proxy: Proxy, central: Central) -> None:
    second = Proxy(radio, "proxy-2", "02:00:00:00:00:11")
    await second.start()
    other = Central(second)
    await other.start()
    await central.connect(ring(radio))
    await other.connect(ring(radio))
    assert (await central.states.get())[0] is True
    assert (await other.states.get())[0] is False
    radio.advertise(ring(radio).address)
    radio.advertise(ring(radio, 2).address)
    heard = await other.advertisements.get()
    assert heard.address == address_number(ring(radio, 2).address)
    await other.api.disconnect(force=True)
    await second.stop()


async def test_links_end_with_the_subscriber(radio: Radio, proxy: Proxy, central: Central) -> None:
    await central.connect(ring(radio))
    gone = asyncio.Event()
    radio.links[ring(radio).address].ring.unlinked = gone.set  # type: ignore[method-assign]
    await central.api.disconnect(force=True)
    await gone.wait()
    assert not radio.links
    assert not proxy.connections


async def test_only_one_client_takes_advertisements(
    radio: Radio, proxy: Proxy, central: Central
) -> None:
    late = Central(proxy)
    await late.start()
    radio.advertise(ring(radio).address)
    await central.advertisements.get()
    assert (await late.api.device_info()).name == "proxy-1"
    assert late.advertisements.empty()
    await late.api.disconnect(force=True)


async def test_power_cut_and_return(radio: Radio, proxy: Proxy) -> None:
    lost = asyncio.Event()

    async def on_stop(_: bool) -> None:
        lost.set()

    client = Central(proxy)
    await client.api.connect(on_stop=on_stop, login=True)
    port = proxy.port
    await proxy.stop()
    await lost.wait()
    assert not proxy.running
    await proxy.start()
    assert proxy.port == port
    again = Central(proxy)
    await again.start()
    radio.advertise(ring(radio).address)
    heard = await again.advertisements.get()
    assert heard.address == address_number(ring(radio).address)
    await again.api.disconnect()


@pytest.mark.parametrize(
    "noise", [b"\x01\x00\x00", b"GET / HTTP/1.1\r\n\r\n", b"\x00" + b"\xff" * 9]
)
async def test_strangers_are_hung_up_on(proxy: Proxy, central: Central, noise: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(noise)
    assert await reader.read() == b""
    writer.close()
    assert (await central.api.device_info()).name == "proxy-1"
