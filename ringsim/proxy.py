"""A virtual ESPHome Bluetooth proxy: the server side of the native API, in plaintext."""

import asyncio
from collections.abc import Awaitable, Callable
import contextlib
from typing import Any
from uuid import UUID

from aioesphomeapi.core import MESSAGE_TYPE_TO_PROTO

from .radio import AttError, Link, LinkLost, LinkRefused, Radio
from .rings.base import (
    INDICATE,
    NOTIFY,
    READ,
    WRITE,
    WRITE_NO_RESPONSE,
    Characteristic,
    Service,
    VirtualRing,
    uuid16,
)

type Message = Any
"""A protobuf message; its package has no types."""

PROTO = {proto.__name__: (number, proto) for number, proto in MESSAGE_TYPE_TO_PROTO.items()}

API_VERSION = (1, 14)
# Home Assistant asks to update anything older than 2026.5.1.
ESPHOME_VERSION = "2026.10.0"
# All but connection parameters (128): passive, active, caching, pairing, clearing, raw, scan mode.
FEATURE_FLAGS = 127
SCANNER_RUNNING = 2

DISCONNECT, PAIR, UNPAIR, CLEAR_CACHE = 1, 2, 3, 6
CONNECT = (0, 4, 5)

NOT_CONNECTED, INVALID_HANDLE, READ_NOT_PERMITTED, WRITE_NOT_PERMITTED = -1, 1, 2, 3
GATT_ERROR, CONNECTION_TIMEOUT, HOST_TERMINATED = 0x85, 0x08, 0x16

CCCD = uuid16(0x2902)
# Above any handle of a ring: its GATT table lists no descriptors.
CCCD_OFFSET = 0x8000
# The first address of devices that are no rings.
OTHER = 0xC0FFEE000000


class Proxy:
    """An ESP32 with antenna, slots and a network socket.

    Several API clients may talk to it; the one that takes advertisements owns all links.
    """

    def __init__(
        self,
        radio: Radio,
        name: str,
        mac: str,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        slots: int = 3,
    ) -> None:
        """Take its identity; `start` lets it listen. Port 0 is any that is free, then kept."""
        self.radio = radio
        self.name = name
        self.mac = mac
        self.source = address_text(address_number(mac) + 1)
        self.host = host
        self.port = port
        self.slots = slots
        self.connect_timeout: float | None = 10.0
        """Seconds until it gives a silent ring up; `None`: it never answers."""
        self.active = True
        self.subscriber: Client | None = None
        self.clients: set[Client] = set()
        self.connections: dict[int, Connection] = {}
        self.others = 0
        """How many slots devices that are no rings hold."""
        self._server: asyncio.Server | None = None
        self._unlisten: Callable[[], None] = lambda: None

    @property
    def running(self) -> bool:
        """Whether it has power."""
        return self._server is not None

    async def start(self) -> None:
        """Boot. Raises `OSError` when its port is taken."""
        if self._server is not None:
            return
        self._server = await asyncio.start_server(self._serve, self.host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        self.active = True
        self._unlisten = self.radio.listen(self)

    async def stop(self) -> None:
        """Cut its power: connections break without a word."""
        if self._server is None:
            return
        server, self._server = self._server, None
        self._unlisten()
        self.release(self.subscriber)
        server.close()
        server.abort_clients()
        await server.wait_closed()

    def heard(self, ring: VirtualRing, rssi: int) -> None:
        """Pass an advertisement on; the scan response is asked for by active scanning only."""
        if self.subscriber is None:
            return
        advertisement = {
            "address": address_number(ring.address),
            "rssi": rssi,
            "address_type": ring.address_type,
        }
        payloads = [ring.advertisement]
        if self.active and ring.scan_response:
            payloads.append(ring.advertisement + ring.scan_response)
        self.send(
            "BluetoothLERawAdvertisementsResponse",
            advertisements=[advertisement | {"data": payload} for payload in payloads],
        )

    def send(self, message: str, /, **fields: object) -> None:
        """Tell the subscriber."""
        if self.subscriber is not None:
            self.subscriber.send(message, **fields)

    def send_slots(self) -> None:
        """Tell the subscriber which slots are taken."""
        self.send("BluetoothConnectionsFreeResponse", **self.slots_state())

    def slots_state(self) -> dict[str, object]:
        """Return the fields of a slots message."""
        others = range(OTHER, OTHER + self.others)
        taken = [*self.connections, *others][: self.slots]
        return {"free": self.slots - len(taken), "limit": self.slots, "allocated": taken}

    def occupy(self, others: int) -> None:
        """Let so many devices that are no rings hold slots, each as soon as one is free for it."""
        self.others = others
        self.send_slots()

    def release(self, client: Client | None) -> None:
        """Take leave of the subscriber: its links go with it, as in the firmware."""
        if client is None or client is not self.subscriber:
            return
        self.subscriber = None
        for connection in list(self.connections.values()):
            connection.close(HOST_TERMINATED)

    def device_request(self, request: Message) -> None:
        """Connect, disconnect, pair, unpair or forget."""
        address, kind = request.address, request.request_type
        connection = self.connections.get(address)
        if kind in CONNECT:
            self._connect(address, connection)
        elif kind == DISCONNECT and connection:
            connection.close(HOST_TERMINATED)
        elif kind == DISCONNECT:
            self.send("BluetoothDeviceConnectionResponse", address=address, connected=False)
        elif kind == PAIR:
            self.send("BluetoothDevicePairingResponse", address=address, paired=True)
        elif kind == UNPAIR:
            self.send("BluetoothDeviceUnpairingResponse", address=address, success=True)
        elif kind == CLEAR_CACHE:
            self.send("BluetoothDeviceClearCacheResponse", address=address, success=True)

    def gatt_request(self, request: Message) -> None:
        """Pass a request on to its link."""
        if connection := self.connections.get(request.address):
            connection.requests.put_nowait(request)
        else:
            self.send(
                "BluetoothGATTErrorResponse",
                address=request.address,
                handle=getattr(request, "handle", 0),
                error=NOT_CONNECTED,
            )

    def _connect(self, address: int, connection: Connection | None) -> None:
        if connection:
            connection.confirm()
        elif len(self.connections) + self.others >= self.slots or self.subscriber is None:
            self.send("BluetoothDeviceConnectionResponse", address=address, connected=False)
        else:
            self.connections[address] = Connection(self, address)
            self.send_slots()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = Client(self, writer)
        self.clients.add(client)
        try:
            await client.run(reader)
        except ConnectionError, EOFError, ValueError:
            pass  # A client that went away or does not speak this language.
        finally:
            self.clients.discard(client)
            self.release(client)
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


class Client:
    """One API connection."""

    def __init__(self, proxy: Proxy, writer: asyncio.StreamWriter) -> None:
        """Speak for a proxy."""
        self._proxy = proxy
        self._writer = writer
        self._open = True
        self._answers: dict[str, Callable[[Message], None]] = {
            "HelloRequest": self._hello,
            "DeviceInfoRequest": self._device_info,
            "ListEntitiesRequest": lambda _: self.send("ListEntitiesDoneResponse"),
            "PingRequest": lambda _: self.send("PingResponse"),
            "DisconnectRequest": self._goodbye,
            "SubscribeBluetoothConnectionsFreeRequest": self._slots,
            "SubscribeBluetoothLEAdvertisementsRequest": self._subscribe,
            "UnsubscribeBluetoothLEAdvertisementsRequest": lambda _: proxy.release(self),
            "BluetoothScannerSetModeRequest": self._set_mode,
            "BluetoothDeviceRequest": proxy.device_request,
        } | dict.fromkeys(GATT_ANSWERS, proxy.gatt_request)

    async def run(self, reader: asyncio.StreamReader) -> None:
        """Answer until one side says goodbye. Raises what a broken connection raises."""
        while self._open:
            number, payload = await read_frame(reader)
            if proto := MESSAGE_TYPE_TO_PROTO.get(number):
                # The rest (states, actions, authentication) is left unanswered, as by a device
                # without entities.
                answer = self._answers.get(proto.__name__, lambda _: None)
                answer(proto.FromString(payload))

    def send(self, message: str, /, **fields: object) -> None:
        """Send one message."""
        if not self._writer.is_closing():
            self._writer.write(frame(message, **fields))

    def _hello(self, _: Message) -> None:
        major, minor = API_VERSION
        self.send(
            "HelloResponse",
            api_version_major=major,
            api_version_minor=minor,
            server_info="ringsim",
            name=self._proxy.name,
        )

    def _device_info(self, _: Message) -> None:
        self.send(
            "DeviceInfoResponse",
            name=self._proxy.name,
            friendly_name=self._proxy.name,
            mac_address=self._proxy.mac,
            bluetooth_mac_address=self._proxy.source,
            manufacturer="smart_rings",
            model="Virtual Bluetooth proxy",
            esphome_version=ESPHOME_VERSION,
            bluetooth_proxy_feature_flags=FEATURE_FLAGS,
        )

    def _goodbye(self, _: Message) -> None:
        self.send("DisconnectResponse")
        self._open = False

    def _slots(self, _: Message) -> None:
        self.send("BluetoothConnectionsFreeResponse", **self._proxy.slots_state())

    def _subscribe(self, _: Message) -> None:
        # A second one is refused without a word; it notices by the missing scanner state.
        if self._proxy.subscriber in (None, self):
            self._proxy.subscriber = self
            self._scanner_state()

    def _set_mode(self, request: Message) -> None:
        self._proxy.active = bool(request.mode)
        self._scanner_state()

    def _scanner_state(self) -> None:
        self.send(
            "BluetoothScannerStateResponse",
            state=SCANNER_RUNNING,
            mode=int(self._proxy.active),
            # What its YAML says. Home Assistant would keep "passive" for good.
            configured_mode=1,
        )


class Connection:
    """A slot in use: one link, or the attempt at one. Its requests are answered in their order."""

    def __init__(self, proxy: Proxy, address: int) -> None:
        """Begin to connect."""
        self.requests: asyncio.Queue[Message] = asyncio.Queue()
        self._proxy = proxy
        self._address = address
        self._link: Link | None = None
        self._wanted: set[int] = set()
        self._task = asyncio.create_task(self._run())

    def confirm(self) -> None:
        """Say that it stands, if it does."""
        if self._link is not None:
            self._send("BluetoothDeviceConnectionResponse", connected=True, mtu=self._link.mtu)

    def close(self, error: int) -> None:
        """Free the slot, whatever state the link is in."""
        if self._proxy.connections.get(self._address) is not self:
            return
        del self._proxy.connections[self._address]
        self._task.cancel()
        if self._link is not None:
            self._link.disconnect()
        self._send("BluetoothDeviceConnectionResponse", connected=False, error=error)
        self._proxy.send_slots()

    async def _run(self) -> None:
        try:
            link = await self._connect()
            while True:
                request = await self.requests.get()
                try:
                    await GATT_ANSWERS[type(request).__name__](self, link, request)
                except AttError as error:
                    self.refuse(request, error.code)
                except LinkLost:
                    self.refuse(request, NOT_CONNECTED)
        except LinkRefused, TimeoutError:
            pass
        finally:
            self.close(GATT_ERROR)

    async def _connect(self) -> Link:
        proxy = self._proxy
        async with asyncio.timeout(proxy.connect_timeout):
            link = await proxy.radio.connect(address_text(self._address), proxy.source)
        self._link = link
        link.on_notification = self._notified
        link.on_disconnect = lambda: self.close(CONNECTION_TIMEOUT)
        self.confirm()
        proxy.send_slots()
        return link

    async def get_services(self, link: Link, _: Message) -> None:
        """List the GATT table."""
        for service in link.ring.services:
            self._send("BluetoothGATTGetServicesResponse", services=[_service(service)])
        self._send("BluetoothGATTGetServicesDoneResponse")

    async def read(self, link: Link, request: Message) -> None:
        """Read a characteristic."""
        if characteristic := self._characteristic(link, request, READ, READ_NOT_PERMITTED):
            value = await link.read(characteristic.uuid)
            self._send("BluetoothGATTReadResponse", handle=request.handle, data=value)

    async def write(self, link: Link, request: Message) -> None:
        """Write a characteristic; only a write with response is confirmed."""
        kind = WRITE if request.response else WRITE_NO_RESPONSE
        if characteristic := self._characteristic(link, request, kind, WRITE_NOT_PERMITTED):
            await link.write(characteristic.uuid, request.data, response=request.response)
            if request.response:
                self._send("BluetoothGATTWriteResponse", handle=request.handle)

    async def notify(self, link: Link, request: Message) -> None:
        """Let notifications through; the ring sends them once its descriptor is written."""
        kinds = NOTIFY | INDICATE
        if self._characteristic(link, request, kinds, WRITE_NOT_PERMITTED):
            (self._wanted.add if request.enable else self._wanted.discard)(request.handle)
            self._send("BluetoothGATTNotifyResponse", handle=request.handle)

    async def read_descriptor(self, link: Link, request: Message) -> None:
        """Read whether the ring notifies."""
        if characteristic := link.characteristic(request.handle - CCCD_OFFSET):
            value = int(link.is_subscribed(characteristic.uuid)).to_bytes(2, "little")
            self._send("BluetoothGATTReadResponse", handle=request.handle, data=value)
        else:
            self.refuse(request, INVALID_HANDLE)

    async def write_descriptor(self, link: Link, request: Message) -> None:
        """Switch the ring's notifications."""
        if characteristic := link.characteristic(request.handle - CCCD_OFFSET):
            await link.subscribe(characteristic.uuid, enable=any(request.data))
            self._send("BluetoothGATTWriteResponse", handle=request.handle)
        else:
            self.refuse(request, INVALID_HANDLE)

    def refuse(self, request: Message, error: int) -> None:
        """Answer with an ATT error code, or -1 for no connection."""
        handle = getattr(request, "handle", 0)
        self._send("BluetoothGATTErrorResponse", handle=handle, error=error)

    def _characteristic(
        self, link: Link, request: Message, kinds: int, error: int
    ) -> Characteristic | None:
        characteristic = link.characteristic(request.handle)
        if characteristic is None:
            self.refuse(request, INVALID_HANDLE)
        elif not characteristic.properties & kinds:
            self.refuse(request, error)
            return None
        return characteristic

    def _notified(self, characteristic: Characteristic, value: bytes) -> None:
        if characteristic.handle in self._wanted:
            self._send("BluetoothGATTNotifyDataResponse", handle=characteristic.handle, data=value)

    def _send(self, message: str, **fields: object) -> None:
        self._proxy.send(message, address=self._address, **fields)


GATT_ANSWERS: dict[str, Callable[[Connection, Link, Message], Awaitable[None]]] = {
    "BluetoothGATTGetServicesRequest": Connection.get_services,
    "BluetoothGATTReadRequest": Connection.read,
    "BluetoothGATTWriteRequest": Connection.write,
    "BluetoothGATTNotifyRequest": Connection.notify,
    "BluetoothGATTReadDescriptorRequest": Connection.read_descriptor,
    "BluetoothGATTWriteDescriptorRequest": Connection.write_descriptor,
}


def address_number(address: str) -> int:
    """Return a MAC as the API's integer."""
    return int(address.replace(":", ""), 16)


def address_text(number: int) -> str:
    """Return the API's integer as a MAC."""
    return number.to_bytes(6).hex(":").upper()


def frame(message: str, /, **fields: object) -> bytes:
    """Encode a message: a zero, its length and its number as varints, itself."""
    number, proto = PROTO[message]
    payload: bytes = proto(**fields).SerializeToString()
    return b"\x00" + _varint(len(payload)) + _varint(number) + payload


async def read_frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Return number and payload of the next message. Raises `EOFError`, `ValueError`."""
    if await reader.readexactly(1) != b"\x00":
        raise ValueError("Not plaintext")
    length, number = await _read_varint(reader), await _read_varint(reader)
    if length > 0xFFFF:
        raise ValueError("Too long")
    return number, await reader.readexactly(length)


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*encoded, value))


async def _read_varint(reader: asyncio.StreamReader) -> int:
    value = 0
    for shift in range(0, 35, 7):
        (byte,) = await reader.readexactly(1)
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value
    raise ValueError("Not a varint")


def _service(service: Service) -> dict[str, object]:
    return {
        "uuid": _uuid(service.uuid),
        "handle": service.handle,
        "characteristics": [_characteristic(c) for c in service.characteristics],
    }


def _characteristic(characteristic: Characteristic) -> dict[str, object]:
    cccd = {"uuid": _uuid(CCCD), "handle": characteristic.handle + CCCD_OFFSET}
    return {
        "uuid": _uuid(characteristic.uuid),
        "handle": characteristic.handle,
        "properties": characteristic.properties,
        "descriptors": [cccd] if characteristic.properties & (NOTIFY | INDICATE) else [],
    }


def _uuid(uuid: str) -> tuple[int, int]:
    return divmod(UUID(uuid).int, 1 << 64)
