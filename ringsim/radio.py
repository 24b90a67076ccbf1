"""The air between rings and proxies: who hears whom, and links with their time and their faults."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count
from typing import NamedTuple, Protocol

from .rings.base import INDICATE, NOTIFY, Characteristic, Notification, VirtualRing

LOG_SIZE = 100_000


@dataclass(frozen=True, slots=True)
class Profile:
    """How long things take, in seconds."""

    advertising_interval: float
    connect: float
    exchange: float
    """One ATT exchange: a read, a write with response."""
    packet: float
    """Between two notifications."""


FAST = Profile(0.2, 0.0, 0.0, 0.0)
REALISTIC = Profile(1.0, 1.0, 0.03, 0.015)
PROFILES = {"fast": FAST, "realistic": REALISTIC}


class Packet(NamedTuple):
    """What went over the air: `to_ring` or from it; a connection has no UUID."""

    time: float
    address: str
    to_ring: bool
    uuid: str
    value: bytes


class LinkRefused(Exception):
    """The ring did not take the connection."""


class LinkLost(Exception):
    """There is no link."""


class AttError(Exception):
    """The ring answered a request with an error; `code` is that of ATT."""

    def __init__(self, code: int) -> None:
        """Keep the code."""
        super().__init__(f"ATT error {code:#04x}")
        self.code = code


class Listener(Protocol):
    """Somebody with an antenna: a proxy, or the scanner of a test."""

    source: str

    def heard(self, ring: VirtualRing, rssi: int) -> None:
        """Take one advertisement."""


class Radio:
    """All rings and all that listen. RSSI is per listener; `None` is out of range of it."""

    def __init__(self, profile: Profile = FAST) -> None:
        """Start with silence."""
        self.profile = profile
        self.rings: dict[str, VirtualRing] = {}
        self.log: deque[Packet] = deque(maxlen=LOG_SIZE)
        self.observers: list[Callable[[Packet], None]] = []
        """Called with every packet of the log."""
        self.links: dict[str, Link] = {}
        self._listeners: list[Listener] = []
        self._away: set[str] = set()
        self._rssi: dict[tuple[str, str], int | None] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._silent_until: dict[str, float] = {}

    def add(self, ring: VirtualRing) -> None:
        """Put a ring into the air; `start` lets it advertise."""
        self.rings[ring.address] = ring
        ring.reboot = lambda seconds: self._reboot(ring, seconds)

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Let somebody hear all advertisements; return what ends that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def set_rssi(self, address: str, source: str, rssi: int | None) -> None:
        """Set how well one listener hears one ring."""
        self._rssi[address, source] = rssi

    def leave(self, address: str) -> None:
        """Carry a ring out of range of everything."""
        self._away.add(address)
        self.drop(address)

    def come_back(self, address: str) -> None:
        """Carry it back; it is heard with its next advertisement."""
        self._away.discard(address)

    def readdress(self, address: str, new: str) -> None:
        """Let a ring come back under another address, as random ones may."""
        self.drop(address)
        ring = self.rings.pop(address)
        self.rings[new], ring.address = ring, new
        self._rssi |= {(new, source): r for (a, source), r in self._rssi.items() if a == address}
        if address in self._away:
            self._away = self._away - {address} | {new}
        if timer := self._timers.pop(address, None):
            timer.cancel()
            self._schedule(new, self.profile.advertising_interval)

    def drop(self, address: str) -> None:
        """Break a ring's link, if it has one."""
        if link := self.links.get(address):
            link.lose()

    def start(self) -> None:
        """Let all rings advertise, each at its own moment; those that do go on."""
        for number, address in enumerate(a for a in self.rings if a not in self._timers):
            self._schedule(address, self.profile.advertising_interval * (number + 1) / 7)

    def stop(self) -> None:
        """End all links and all advertising."""
        for address in list(self.links):
            self.drop(address)
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def advertise(self, address: str) -> None:
        """Let a ring be heard once, if it is there and speaks."""
        ring = self.rings[address]
        if not self._on_air(ring):
            return
        for listener in tuple(self._listeners):
            if (rssi := self.rssi(address, listener.source)) is not None:
                listener.heard(ring, rssi)

    def rssi(self, address: str, source: str) -> int | None:
        """Return how well a listener hears a ring."""
        return self._rssi.get((address, source), -60)

    async def connect(self, address: str, source: str) -> Link:
        """Connect to a ring. Raises `LinkRefused`; hangs where nobody answers."""
        ring = self.rings.get(address)
        if ring is None or ring.faults.hang_on_connect or not self._reachable(ring, source):
            await asyncio.Event().wait()
            raise LinkRefused(address)
        self.record(address, "connect", b"", to_ring=True)
        await asyncio.sleep(self.profile.connect)
        if ring.faults.refuse_connections or address in self.links:
            ring.faults.refuse_connections -= ring.faults.refuse_connections > 0
            raise LinkRefused(address)
        link = self.links[address] = Link(self, ring)
        return link

    def _reachable(self, ring: VirtualRing, source: str) -> bool:
        awake = ring.awake and self._silent_until.get(ring.address, 0) <= self._time()
        heard = self.rssi(ring.address, source) is not None
        return awake and heard and ring.address not in self._away

    def _on_air(self, ring: VirtualRing) -> bool:
        free = ring.stays_on_air or ring.address not in self.links
        awake = ring.awake and self._silent_until.get(ring.address, 0) <= self._time()
        return free and awake and ring.address not in self._away

    def _schedule(self, address: str, delay: float) -> None:
        def tick() -> None:
            self._schedule(address, self.profile.advertising_interval)
            self.advertise(address)

        self._timers[address] = asyncio.get_running_loop().call_later(delay, tick)

    def _reboot(self, ring: VirtualRing, seconds: float) -> None:
        self._silent_until[ring.address] = self._time() + seconds
        self.drop(ring.address)

    def record(self, address: str, uuid: str, value: bytes, *, to_ring: bool) -> None:
        """Note what went over the air."""
        packet = Packet(self._time(), address, to_ring, uuid, value)
        self.log.append(packet)
        for observer in tuple(self.observers):
            observer(packet)

    @staticmethod
    def _time() -> float:
        return asyncio.get_running_loop().time()


class Link:
    """One connection to one ring, with its pace and its faults."""

    def __init__(self, radio: Radio, ring: VirtualRing) -> None:
        """Use `Radio.connect`."""
        self.ring = ring
        self.mtu = ring.mtu
        self.is_connected = True
        self.on_notification: Callable[[Characteristic, bytes], None] = lambda *_: None
        self.on_disconnect: Callable[[], None] = lambda: None
        self._radio = radio
        self._subscribed: set[str] = set()
        self._sent = 0
        self._queue: deque[Notification] = deque()
        self._due: list[tuple[float, int, Notification]] = []
        self._order = count()
        self._later: set[asyncio.TimerHandle] = set()
        self._pump: asyncio.Handle | None = None
        self._by_uuid = {c.uuid: c for s in ring.services for c in s.characteristics}
        ring.emit = self._send
        ring.schedule = self._schedule
        ring.linked()

    def characteristic(self, handle: int) -> Characteristic | None:
        """Return the characteristic with a handle."""
        return next((c for c in self._by_uuid.values() if c.handle == handle), None)

    def is_subscribed(self, uuid: str) -> bool:
        """Return whether a characteristic notifies."""
        return uuid in self._subscribed

    async def read(self, uuid: str) -> bytes:
        """Read a characteristic. Raises `AttError`, `LinkLost`."""
        await self._exchange()
        value = self.ring.read(uuid)
        self._radio.record(self.ring.address, uuid, value, to_ring=False)
        return value

    async def write(self, uuid: str, data: bytes, *, response: bool) -> None:
        """Write a characteristic; what it brings is notified later.

        Raises `AttError`, `LinkLost`; without response, nobody is told that the ring refuses.
        """
        if response:
            await self._exchange()
        self._check()
        self._radio.record(self.ring.address, uuid, data, to_ring=True)
        if self.ring.faults.att_error is not None:
            return
        for notification in self._answers(uuid, data):
            self._send(notification)

    async def subscribe(self, uuid: str, *, enable: bool = True) -> None:
        """Switch the notifications of a characteristic. Raises `AttError`, `LinkLost`."""
        await self._exchange()
        if enable and self._by_uuid[uuid].properties & (NOTIFY | INDICATE):
            self._subscribed.add(uuid)
        else:
            self._subscribed.discard(uuid)

    def disconnect(self) -> None:
        """Give the link back."""
        self.lose()

    def lose(self) -> None:
        """End the link, whoever wants it."""
        if not self.is_connected:
            return
        self.is_connected = False
        for timer in (*self._later, *((self._pump,) if self._pump else ())):
            timer.cancel()
        self._queue.clear()
        self._radio.links.pop(self.ring.address, None)
        self.ring.emit = lambda _: None
        self.ring.schedule = lambda *_: None
        self.ring.unlinked()
        self.on_disconnect()

    def _answers(self, uuid: str, data: bytes) -> Iterable[Notification]:
        answers = list(self.ring.write(uuid, data))
        faults, opcode = self.ring.faults, self.ring.opcode(data)
        if opcode in faults.ignore:
            return ()
        if opcode in faults.answer_other and answers:
            return (Notification(answers[0].uuid, faults.answer_other[opcode]),)
        if opcode in faults.endless and answers:
            self._repeat(answers[0])
            return ()
        return answers

    def _repeat(self, notification: Notification) -> None:
        self._send(notification)
        self._schedule(0.5, lambda: self._repeat(notification))

    def _send(self, notification: Notification) -> None:
        """Queue a notification when its time has come, cut to what fits and to what is broken."""
        if delay := notification.delay + self.ring.faults.delay:
            # Timers of the same instant fire in any order; what is sent keeps its own.
            due = asyncio.get_running_loop().time() + delay
            heappush(self._due, (due, next(self._order), notification))
            self._schedule(delay, lambda: self._queue_up(heappop(self._due)[-1]))
        else:
            self._queue_up(notification)

    def _schedule(self, delay: float, call: Callable[[], None]) -> None:
        """Call back later, unless the link is gone by then."""
        loop = asyncio.get_running_loop()
        self._later = {timer for timer in self._later if timer.when() > loop.time()}
        self._later.add(loop.call_later(delay, lambda: call() if self.is_connected else None))

    def _queue_up(self, notification: Notification) -> None:
        size = min(self.mtu - 3, self.ring.faults.split or self.mtu)
        value = notification.value
        for at in range(0, max(len(value), 1), size):
            self._queue.append(Notification(notification.uuid, value[at : at + size]))
        if self._pump is None:
            self._pump = asyncio.get_running_loop().call_soon(self._pump_one)

    def _pump_one(self) -> None:
        """Send the first of the queue; the next a packet's time later, in the order they came."""
        self._pump = None
        self._deliver(self._queue.popleft())
        if self._queue:
            loop = asyncio.get_running_loop()
            self._pump = loop.call_later(self._radio.profile.packet, self._pump_one)

    def _deliver(self, piece: Notification) -> None:
        if piece.uuid not in self._subscribed:
            return
        self._sent += 1
        faults = self.ring.faults
        if self._sent not in faults.swallow:
            value = piece.value
            if value and self._sent in faults.corrupt:
                value = value[:-1] + bytes((value[-1] ^ 0xFF,))
            self._radio.record(self.ring.address, piece.uuid, value, to_ring=False)
            for _ in range(2 if self._sent in faults.duplicate else 1):
                self.on_notification(self._by_uuid[piece.uuid], value)
        if self._sent == faults.drop_after:
            if not faults.drop_after_each:
                faults.drop_after = None
            self.lose()

    async def _exchange(self) -> None:
        self._check()
        await asyncio.sleep(self._radio.profile.exchange)
        self._check()
        if self.ring.faults.att_error is not None:
            raise AttError(self.ring.faults.att_error)

    def _check(self) -> None:
        if not self.is_connected:
            raise LinkLost(self.ring.address)
