"""The control port: one JSON object per line in, one out.

`{"do": "truth", "ring": "AA:BB:..."}` → `{"ok": true, "result": {...}}`, or
`{"ok": false, "error": "..."}`. What can be done is the public methods of `Control`.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, MutableMapping, MutableSequence
import contextlib
from dataclasses import fields
from datetime import date, datetime, timedelta
import inspect
import json
from typing import Any

from .proxy import Proxy
from .radio import Packet, Radio
from .rings.base import Faults, VirtualRing

# A week of readings is one line.
LINE_LIMIT = 1 << 26

type Json = Any
"""Whatever JSON can hold."""


class ControlError(Exception):
    """A request the control port refused."""


async def ask(port: int, do: str, /, host: str = "127.0.0.1", **arguments: Json) -> Json:
    """Ask a running simulator for one thing. Raises `ControlError`, `OSError`."""
    reader, writer = await asyncio.open_connection(host, port, limit=LINE_LIMIT)
    try:
        writer.write(_line({"do": do} | arguments))
        answer = json.loads(await reader.readline())
    finally:
        writer.close()
    if not answer["ok"]:
        raise ControlError(answer["error"])
    return answer["result"]


class Control:
    """What can be asked of the simulator. A ring is named by its address, a proxy by its name."""

    def __init__(self, radio: Radio, proxies: list[Proxy]) -> None:
        """Rule over these; `serve` opens the port."""
        self._radio = radio
        self._proxies = {proxy.name: proxy for proxy in proxies}
        public = (name for name in vars(Control) if not name.startswith("_") and name != "serve")
        self._commands: dict[str, Callable[..., Json]] = {n: getattr(self, n) for n in public}

    async def serve(self, port: int = 0) -> asyncio.Server:
        """Listen on the loopback interface only; port 0 is any that is free."""
        return await asyncio.start_server(self._serve, "127.0.0.1", port)

    def rings(self) -> Json:
        """List all rings."""
        return [
            {
                "address": ring.address,
                "name": ring.name,
                "model": ring.model,
                "powered": ring.powered,
                "connected": ring.address in self._radio.links,
                "abuse": [request.hex() for request in ring.abuse],
            }
            for ring in self._radio.rings.values()
        ]

    def proxies(self) -> Json:
        """List all proxies."""
        return [
            {
                "name": proxy.name,
                "mac": proxy.mac,
                "source": proxy.source,
                "host": proxy.host,
                "port": proxy.port,
                "running": proxy.running,
                "active": proxy.active,
                "subscribed": proxy.subscriber is not None,
                "slots": proxy.slots,
                "connections": len(proxy.connections),
            }
            for proxy in self._proxies.values()
        ]

    def truth(self, ring: str) -> Json:
        """Return what an outside observer should see of a ring, in dBm by the best proxy."""
        found = self._ring(ring)
        heard = (self._radio.rssi(found.address, p.source) for p in self._proxies.values())
        return found.truth() | {"rssi": max((r for r in heard if r is not None), default=None)}

    def get(self, ring: str, path: str) -> Json:
        """Return an attribute of a ring by its dotted path."""
        owner, key = self._find(self._ring(ring), path)
        return _to_json(_child(owner, key))

    def set(self, ring: str, path: str, value: Json) -> None:
        """Set an attribute of a ring by its dotted path.

        Instants and dates are ISO 8601, durations seconds, bytes hex, sets lists.
        """
        owner, key = self._find(self._ring(ring), path)
        _set_child(owner, key, _from_json(_child(owner, key), value))

    def faults(self, ring: str, **faults: Json) -> None:
        """Let a ring have these faults and no others."""
        defaults = Faults()
        if unknown := faults.keys() - {field.name for field in fields(Faults)}:
            raise ControlError(f"No fault {', '.join(sorted(unknown))}")
        self._ring(ring).faults = Faults(
            **{name: _from_json(getattr(defaults, name), value) for name, value in faults.items()}
        )

    def jump_clock(self, ring: str, seconds: float) -> None:
        """Let a ring's clock be wrong by so much more."""
        self._ring(ring).clock.jump(timedelta(seconds=seconds))

    def leave(self, ring: str) -> None:
        """Carry a ring out of range of everything."""
        self._radio.leave(self._ring(ring).address)

    def come_back(self, ring: str) -> None:
        """Carry it back."""
        self._radio.come_back(self._ring(ring).address)

    def power(self, ring: str, *, on: bool) -> None:
        """Switch a ring off or on."""
        self._ring(ring).powered = on
        if not on:
            self._radio.drop(self._ring(ring).address)

    def readdress(self, ring: str, address: str) -> None:
        """Let a ring come back under another address."""
        self._radio.readdress(self._ring(ring).address, address.upper())

    def drop(self, ring: str) -> None:
        """Break a ring's link."""
        self._radio.drop(self._ring(ring).address)

    def advertise(self, ring: str) -> None:
        """Let a ring be heard now."""
        self._radio.advertise(self._ring(ring).address)

    def rssi(self, ring: str, proxy: str, rssi: int | None) -> None:
        """Set how well a proxy hears a ring; null: not at all."""
        self._radio.set_rssi(self._ring(ring).address, self._proxy(proxy).source, rssi)

    async def stop_proxy(self, proxy: str) -> None:
        """Cut a proxy's power."""
        await self._proxy(proxy).stop()

    async def start_proxy(self, proxy: str) -> None:
        """Give it power again, on the same port."""
        await self._proxy(proxy).start()

    def occupy(self, proxy: str, others: int) -> None:
        """Let so many devices that are no rings hold slots of a proxy."""
        self._proxy(proxy).occupy(others)

    def log(self, ring: str | None = None) -> Json:
        """Return the packets since the start or the last `clear_log`, oldest first."""
        return [_packet(packet) for packet in self._packets(ring)]

    def counters(self, ring: str | None = None) -> Json:
        """Count the packets of the log: connections, to the ring, from the ring."""
        return Counter(_kind(packet) for packet in self._packets(ring))

    def clear_log(self) -> None:
        """Forget all packets."""
        self._radio.log.clear()

    async def wait_packets(self, ring: str, count: int) -> None:
        """Return when so many packets more have gone to or come from a ring."""
        address = self._ring(ring).address
        reached = asyncio.Event()
        left = count

        def observe(packet: Packet) -> None:
            nonlocal left
            left -= packet.address == address
            if left <= 0:
                reached.set()

        self._radio.observers.append(observe)
        try:
            await reached.wait()
        finally:
            self._radio.observers.remove(observe)

    def _packets(self, ring: str | None) -> list[Packet]:
        address = ring and self._ring(ring).address
        return [p for p in self._radio.log if address in (None, p.address)]

    def _ring(self, address: str) -> VirtualRing:
        try:
            return self._radio.rings[address.upper()]
        except KeyError:
            raise ControlError(f"No ring {address}") from None

    def _proxy(self, name: str) -> Proxy:
        try:
            return self._proxies[name]
        except KeyError:
            raise ControlError(f"No proxy {name}") from None

    @staticmethod
    def _find(owner: Json, path: str) -> tuple[Json, str]:
        *parents, key = path.split(".")
        for parent in parents:
            owner = _child(owner, parent)
        return owner, key

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while line := await reader.readline():
                writer.write(_line(await self._answer(line)))
                await writer.drain()
        writer.close()

    async def _answer(self, line: bytes) -> Json:
        try:
            request = json.loads(line)
            result = self._commands[request.pop("do")](**request)
            if inspect.isawaitable(result):
                result = await result
        except (ControlError, LookupError, AttributeError, TypeError, ValueError, OSError) as error:
            return {"ok": False, "error": f"{type(error).__name__}: {error}"}
        return {"ok": True, "result": result}


def _line(content: Json) -> bytes:
    return json.dumps(content).encode() + b"\n"


def _kind(packet: Packet) -> str:
    if packet.uuid == "connect":
        return "connections"
    return "to_ring" if packet.to_ring else "from_ring"


def _packet(packet: Packet) -> Json:
    return packet._asdict() | {"value": packet.value.hex()}


def _child(owner: Json, key: str) -> Json:
    if isinstance(owner, Mapping):
        return owner[_key(owner, key)]
    if isinstance(owner, MutableSequence):
        return owner[int(key)]
    return getattr(owner, key)


def _set_child(owner: Json, key: str, value: Json) -> None:
    if isinstance(owner, MutableMapping):
        owner[_key(owner, key)] = value
    elif isinstance(owner, MutableSequence):
        owner[int(key)] = value
    else:
        setattr(owner, key, value)


def _key(owner: Mapping[Json, Json], key: str) -> Json:
    """Return the key that reads like this, whatever its type."""
    return next((own for own in owner if str(own) == key), key)


def _from_json(present: Json, value: Json) -> Json:
    """Return a value in the type of the one it replaces."""
    match present:
        case datetime() | date():
            return type(present).fromisoformat(value)
        case timedelta():
            return timedelta(seconds=value)
        case bytes():
            return bytes.fromhex(value)
        case frozenset() | set() | tuple():
            return type(present)(value)
        case Mapping():
            # Opcode → frame, the only table that is set as a whole.
            return {int(key): bytes.fromhex(frame) for key, frame in value.items()}
    return value


def _to_json(value: Json) -> Json:
    match value:
        case datetime() | date():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case bytes():
            return value.hex()
        case frozenset() | set():
            return sorted(value)
    return value
