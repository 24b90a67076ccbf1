"""The air: who hears whom, one central at a time, and links with their faults."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from ringsim.radio import FAST, REALISTIC, AttError, Link, LinkLost, LinkRefused, Packet, Radio
from ringsim.rings.base import Characteristic, Faults, Notification, VirtualRing

from ..virtual_time import virtual_time
from .echo import ANSWER, COMMAND, MODEL, EchoRing, echo_ring

HERE, THERE = "here", "there"


class Scanner:
    """Remembers what it hears."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.rssi: dict[str, int] = {}

    def heard(self, ring: VirtualRing, rssi: int) -> None:
        self.rssi[ring.address] = rssi


class Central:
    """A link with all it brings."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.values: list[bytes] = []
        self.lost = asyncio.Event()
        link.on_notification = self._notified
        link.on_disconnect = self.lost.set

    def _notified(self, characteristic: Characteristic, value: bytes) -> None:
        assert characteristic.uuid == ANSWER
        self.values.append(value)

    async def say(self, *requests: bytes, wait: float = 5) -> list[bytes]:
        """Send all; return what has been notified some seconds later."""
        for request in requests:
            await self.link.write(COMMAND, request, response=False)
        await asyncio.sleep(wait)
        return self.values


@pytest.fixture
async def time() -> AsyncIterator[asyncio.AbstractEventLoop]:
    """Let time pass at once."""
    loop = asyncio.get_running_loop()
    with virtual_time(loop):
        yield loop


@pytest.fixture
async def ring() -> EchoRing:
    return echo_ring()


@pytest.fixture
async def radio(time: asyncio.AbstractEventLoop, ring: EchoRing) -> AsyncIterator[Radio]:
    air = Radio(FAST)
    air.add(ring)
    yield air
    air.stop()


async def connect(radio: Radio, ring: EchoRing) -> Central:
    central = Central(await radio.connect(ring.address, HERE))
    await central.link.subscribe(ANSWER)
    return central


async def test_a_ring_that_wants_a_bond_is_silent_on_what_asks_for_no_response(
    radio: Radio, ring: EchoRing
) -> None:
    central = await connect(radio, ring)
    ring.faults.att_error = 5
    assert await central.say(b"one") == []
    with pytest.raises(AttError):
        await central.link.write(COMMAND, b"two", response=True)
    ring.faults.att_error = None
    assert await central.say(b"three") == [b"three"]


async def test_is_heard_where_it_is_in_range(radio: Radio, ring: EchoRing) -> None:
    near, far = Scanner(HERE), Scanner(THERE)
    radio.listen(near)
    stop = radio.listen(far)
    radio.set_rssi(ring.address, HERE, -40)
    radio.start()
    await asyncio.sleep(2)
    assert (near.rssi, far.rssi) == ({ring.address: -40}, {ring.address: -60})

    far.rssi.clear()
    near.rssi.clear()
    stop()
    radio.set_rssi(ring.address, HERE, None)
    await asyncio.sleep(2)
    assert near.rssi == far.rssi == {}


async def test_is_silent_while_away_off_or_connected(radio: Radio, ring: EchoRing) -> None:
    scanner = Scanner(HERE)
    radio.listen(scanner)

    def heard() -> bool:
        scanner.rssi.clear()
        radio.advertise(ring.address)
        return bool(scanner.rssi)

    assert heard()
    radio.leave(ring.address)
    assert not heard()
    radio.come_back(ring.address)
    assert heard()
    ring.powered = False
    assert not heard()
    ring.powered = True
    link = await radio.connect(ring.address, HERE)
    assert not heard()
    ring.stays_on_air = True
    assert heard()
    ring.stays_on_air = False
    link.disconnect()
    assert heard()


async def test_has_one_central(radio: Radio, ring: EchoRing) -> None:
    link = await radio.connect(ring.address, HERE)
    with pytest.raises(LinkRefused):
        await radio.connect(ring.address, THERE)
    link.disconnect()
    assert (await radio.connect(ring.address, THERE)).is_connected


async def test_two_centrals_at_once(radio: Radio, ring: EchoRing) -> None:
    results = await asyncio.gather(
        *(radio.connect(ring.address, source) for source in (HERE, THERE)), return_exceptions=True
    )
    assert {type(result) for result in results} == {Link, LinkRefused}


@pytest.mark.parametrize("where", ["off", "away", "unheard", "hanging", "unknown"])
async def test_who_is_not_there_does_not_answer(radio: Radio, ring: EchoRing, where: str) -> None:
    address = "00:00:00:00:00:00" if where == "unknown" else ring.address
    ring.powered = where != "off"
    ring.faults.hang_on_connect = where == "hanging"
    if where == "away":
        radio.leave(ring.address)
    if where == "unheard":
        radio.set_rssi(ring.address, HERE, None)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(60):
            await radio.connect(address, HERE)
    assert not radio.links


async def test_takes_its_time(time: asyncio.AbstractEventLoop, ring: EchoRing) -> None:
    radio = Radio(REALISTIC)
    radio.add(ring)
    began = time.time()
    central = await connect(radio, ring)
    assert time.time() - began == pytest.approx(REALISTIC.connect + REALISTIC.exchange)
    arrived: list[float] = []
    central.link.on_notification = lambda *_: arrived.append(time.time())
    await central.say(b"\x03", b"\x04", b"\x05")
    assert [later - arrived[0] for later in arrived] == pytest.approx(
        [0, REALISTIC.packet, 2 * REALISTIC.packet]
    )
    radio.stop()


async def test_sends_nothing_unsubscribed(radio: Radio, ring: EchoRing) -> None:
    central = Central(await radio.connect(ring.address, HERE))
    assert await central.say(b"\x03") == []
    await central.link.subscribe(ANSWER)
    assert await central.say(b"\x04") == [b"\x04"]
    await central.link.subscribe(ANSWER, enable=False)
    assert await central.say(b"\x05") == [b"\x04"]


@pytest.mark.parametrize(
    ("faults", "arrives"),
    [
        ({}, [b"\x03one", b"\x04two", b"\x05xyz"]),
        ({"corrupt": {2}}, [b"\x03one", b"\x04tw\x90", b"\x05xyz"]),
        ({"duplicate": {1}}, [b"\x03one", b"\x03one", b"\x04two", b"\x05xyz"]),
        ({"swallow": {2}}, [b"\x03one", b"\x05xyz"]),
        ({"split": 3}, [b"\x03on", b"e", b"\x04tw", b"o", b"\x05xy", b"z"]),
        ({"ignore": {4}}, [b"\x03one", b"\x05xyz"]),
        ({"answer_other": {4: b"\x99"}}, [b"\x03one", b"\x99", b"\x05xyz"]),
        ({"delay": 3.0}, [b"\x03one", b"\x04two", b"\x05xyz"]),
        ({"delay": 6.0}, []),
        ({"drop_after": 2}, [b"\x03one", b"\x04two"]),
    ],
    ids=str,
)
async def test_faults(
    radio: Radio, ring: EchoRing, faults: dict[str, Any], arrives: list[bytes]
) -> None:
    ring.faults = Faults(**faults)
    central = await connect(radio, ring)
    assert await central.say(b"\x03one", b"\x04two", b"\x05xyz") == arrives
    assert central.link.is_connected == ("drop_after" not in faults)
    assert central.lost.is_set() == ("drop_after" in faults)


async def test_long_values_are_cut_to_the_mtu(radio: Radio, ring: EchoRing) -> None:
    ring.mtu = 23
    central = await connect(radio, ring)
    value = bytes(range(45))
    assert await central.say(value) == [value[:20], value[20:40], value[40:]]


async def test_an_endless_answer_ends_with_the_link(radio: Radio, ring: EchoRing) -> None:
    ring.faults.endless = frozenset({3})
    central = await connect(radio, ring)
    assert len(await central.say(b"\x03", wait=10.1)) == 21
    central.link.disconnect()
    await asyncio.sleep(10)
    assert len(central.values) == 21


async def test_drops_once_or_each_time(radio: Radio, ring: EchoRing) -> None:
    ring.faults = Faults(drop_after=1, drop_after_each=True)
    for _ in range(2):
        central = await connect(radio, ring)
        await central.say(b"\x03")
        assert central.lost.is_set()
    ring.faults.drop_after_each = False
    for survives in (False, True):
        central = await connect(radio, ring)
        await central.say(b"\x03")
        assert central.link.is_connected == survives


async def test_refuses_so_many_times(radio: Radio, ring: EchoRing) -> None:
    ring.faults.refuse_connections = 2
    for _ in range(2):
        with pytest.raises(LinkRefused):
            await radio.connect(ring.address, HERE)
    (await radio.connect(ring.address, HERE)).disconnect()
    ring.faults.refuse_connections = -1
    for _ in range(3):
        with pytest.raises(LinkRefused):
            await radio.connect(ring.address, HERE)


async def test_a_reboot_drops_the_link_and_takes_a_while(radio: Radio, ring: EchoRing) -> None:
    scanner = Scanner(HERE)
    radio.listen(scanner)
    central = await connect(radio, ring)
    await central.link.write(COMMAND, b"\x08", response=False)
    assert central.lost.is_set()
    radio.advertise(ring.address)
    assert not scanner.rssi
    await asyncio.sleep(1.1)
    radio.advertise(ring.address)
    assert scanner.rssi
    assert (await radio.connect(ring.address, HERE)).is_connected


async def test_a_lost_link_does_nothing_more(radio: Radio, ring: EchoRing) -> None:
    central = await connect(radio, ring)
    ring.emit(Notification(ANSWER, b"\x01"))
    ring.emit(Notification(ANSWER, b"\x02", delay=1))
    called: list[bool] = []
    ring.schedule(1, lambda: called.append(True))
    radio.drop(ring.address)
    for use in (
        central.link.read(MODEL),
        central.link.write(COMMAND, b"\x03", response=False),
        central.link.subscribe(ANSWER),
    ):
        with pytest.raises(LinkLost):
            await use
    ring.emit(Notification(ANSWER, b"\x04"))
    await asyncio.sleep(5)
    assert (central.values, called) == ([], [])


async def test_logs_what_went_over_the_air(radio: Radio, ring: EchoRing) -> None:
    seen: list[Packet] = []
    radio.observers.append(seen.append)
    central = await connect(radio, ring)
    await central.link.read(MODEL)
    ring.faults.corrupt = frozenset({1})
    await central.say(b"\x03")
    assert [(p.to_ring, p.uuid, p.value) for p in radio.log] == [
        (True, "connect", b""),
        (False, MODEL, b"Echo"),
        (True, COMMAND, b"\x03"),
        (False, ANSWER, b"\xfc"),
    ]
    assert seen == list(radio.log)


def names(data: bytes) -> Iterator[bytes]:
    while data:
        length, kind = data[0], data[1]
        if kind == 0x09:
            yield data[2 : length + 1]
        data = data[length + 1 :]


async def test_the_name_may_be_in_the_scan_response_only() -> None:
    open_ring, shy = echo_ring(1), echo_ring(2, name_in_scan_response=True)
    assert list(names(open_ring.advertisement)) == [b"Echo 1"]
    assert list(names(shy.advertisement)) == []
    assert list(names(shy.scan_response)) == [b"Echo 2"]
