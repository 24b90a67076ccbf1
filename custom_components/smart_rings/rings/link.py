"""One BLE conversation: subscribe, write, match replies to requests, time out, reassemble."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

from bleak import BleakClient
from bleak.exc import (
    BleakDBusError,
    BleakError,
    BleakGATTProtocolError,
    BleakGATTProtocolErrorCode,
)

from .errors import RingAuthError, RingDisconnected, RingError, RingNotSupported, RingTimeout

DISCONNECT_TIMEOUT = 10.0
PIECE_PAUSE = 0.02
# A stream is taken frame by frame; whoever is that far behind misses some.
STREAM_SIZE = 64
BLUEZ_NOT_PAIRED = ("org.bluez.Error.NotPermitted", "Not paired")
UNTRUSTED = {
    BleakGATTProtocolErrorCode.INSUFFICIENT_AUTHENTICATION: "Insufficient authentication",
    BleakGATTProtocolErrorCode.INSUFFICIENT_AUTHORIZATION: "Insufficient authorisation",
    BleakGATTProtocolErrorCode.INSUFFICIENT_ENCRYPTION_KEY_SIZE: "Encryption key too short",
    BleakGATTProtocolErrorCode.INSUFFICIENT_ENCRYPTION: "Insufficient encryption",
    # An ESP32's own, when it could not encrypt the link as it had once agreed with the ring.
    0x89: "Authentication failed",
}
"""What ATT says of a link that a ring does not trust."""

type Decoder[T] = Generator[str | None, bytes, T]
"""Is sent frame after frame and returns the decoded reply.

It yields `None`, or why it dropped the last frame.
"""

type Connect = Callable[[Callable[[BleakClient], None]], Awaitable[BleakClient]]
"""Connects; the argument is to be called when the link is lost."""


@dataclass(frozen=True, slots=True)
class Request[T]:
    """Bytes to write, and how their reply is told and decoded.

    `answers` holds the routing keys of the frames that belong to the reply. Times are seconds:
    `first` until the first of them, `idle` between two, `total` for all. `repeat` says that asking
    again is harmless.
    """

    data: bytes
    answers: frozenset[int]
    decode: Callable[[], Decoder[T]]
    first: float = 5.0
    idle: float = 3.0
    total: float = 10.0
    repeat: bool = True


class Framer(Protocol):
    """Turns notifications, however they are split, into whole frames that passed their checksum."""

    dropped: Counter[str]

    def feed(self, data: bytes) -> Iterable[bytes]:
        """Take one notification and yield the frames it completes."""

    def rest(self) -> Iterable[bytes]:
        """Yield what was held back behind an unfinished frame, now that nothing more comes."""
        return ()

    def reset(self) -> None:
        """Forget an unfinished frame."""


class Link:
    """A connection that is surely given back: `async with Link(connect) as link`."""

    def __init__(self, connect: Connect) -> None:
        """Take what connects; nothing happens before the `async with`."""
        self._connect = connect
        self._client: BleakClient | None = None
        self._channels: list[Channel] = []
        self.lost = asyncio.Event()
        self.lock = asyncio.Lock()

    async def __aenter__(self) -> Self:
        """Connect."""
        with self._translated():
            self._client = await self._connect(self._on_disconnect)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Disconnect, whatever happened."""
        client, self._client = self.client, None
        self._on_disconnect(client)
        with suppress(BleakError, OSError, EOFError, TimeoutError):
            async with asyncio.timeout(DISCONNECT_TIMEOUT):
                await client.disconnect()

    @property
    def client(self) -> BleakClient:
        """The connected client."""
        if self._client is None:
            raise RingDisconnected("The link is closed")
        return self._client

    @property
    def dropped(self) -> Counter[str]:
        """How many frames were dropped, by reason."""
        return sum((c.framer.dropped for c in self._channels), Counter())

    def has(self, uuid: str) -> bool:
        """Whether the ring has this characteristic."""
        # Without a link some backends know no services, and some an empty collection.
        if self.lost.is_set() or not self.client.is_connected:
            raise RingDisconnected("The link was lost")
        with self._translated():
            return self.client.services.get_characteristic(uuid) is not None

    async def read(self, uuid: str) -> bytes:
        """Read a characteristic; empty where the ring has none."""
        if not self.has(uuid):
            return b""
        with self._translated():
            return bytes(await self.client.read_gatt_char(uuid))

    async def write(self, uuid: str, data: bytes, *, response: bool) -> None:
        """Write one value."""
        with self._translated():
            await self.client.write_gatt_char(uuid, data, response=response)

    async def open(self, channel: Channel) -> None:
        """Subscribe to a channel's notifications."""
        if not self.has(channel.notify) or not self.has(channel.write):
            raise RingNotSupported(f"No characteristic {channel.notify}")
        self._channels.append(channel)
        with self._translated():
            await self.client.start_notify(channel.notify, channel.on_notification)

    def _on_disconnect(self, _client: BleakClient) -> None:
        self.lost.set()
        for channel in self._channels:
            channel.fail(RingDisconnected("The link was lost"))

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn what bleak and its backends raise into our errors."""
        try:
            yield
        except TimeoutError as err:
            raise RingTimeout("The Bluetooth stack did not answer") from err
        except (BleakError, OSError, EOFError) as err:
            if (code := _att_error(err)) in UNTRUSTED:
                raise RingAuthError(UNTRUSTED[code]) from err
            if self._client is None or not self._client.is_connected:
                raise RingDisconnected(str(err)) from err
            raise RingError(str(err)) from err


def _att_error(err: Exception) -> int | None:
    """Return with which code of ATT the ring refused, if that is what an error is about."""
    if isinstance(err, BleakGATTProtocolError):
        return err.code
    # BlueZ has one word for the lack of authentication and of encryption; bleak passes it on.
    if isinstance(err, BleakDBusError) and err.args == BLUEZ_NOT_PAIRED:
        return BleakGATTProtocolErrorCode.INSUFFICIENT_AUTHENTICATION
    # The client of ESPHome's proxies raises a plain error, from one that holds the code.
    code = getattr(getattr(err.__cause__, "error", None), "error", None)
    return code if isinstance(code, int) else None


@dataclass(slots=True)
class Channel:
    """A pair of characteristics that carries requests one way and frames the other.

    `key` tells what a frame answers; a frame that answers no pending request goes to whoever
    listens for it, else to `unsolicited`.
    `may_send` is the family's allow-list: nothing else leaves.
    """

    link: Link
    write: str
    notify: str
    framer: Framer
    key: Callable[[bytes], int]
    may_send: Callable[[bytes], bool]
    unsolicited: Callable[[bytes], None]
    response: bool = False
    piece: int | None = None
    """Longer requests are written in pieces of this many bytes, a moment apart."""
    _pending: _Pending[Any] | None = field(default=None, init=False)
    _streams: list[_Stream] = field(default_factory=list, init=False)

    async def request[T](self, request: Request[T]) -> T:
        """Write a request and return its decoded reply.

        Only one request of a link is under way at a time. Raises `RingTimeout`, `RingDisconnected`,
        and what the decoder raises (`RingRefused`, `RingProtocolError`).
        """
        async with self.link.lock:
            if request.repeat:
                with suppress(RingTimeout):
                    return await self._exchange(request)
            return await self._exchange(request)

    async def send(self, data: bytes) -> None:
        """Write a request that has no reply."""
        async with self.link.lock:
            await self._write(data)

    async def listen(self, keys: frozenset[int], idle: float) -> AsyncGenerator[bytes]:
        """Yield the frames of these keys that answer no request.

        Raises `RingTimeout` after `idle` seconds of silence, `RingDisconnected` when the link is
        lost. Close it (`aclosing`), or it listens on.
        """
        stream = _Stream(keys)
        self._streams.append(stream)
        try:
            while True:
                async with asyncio.timeout(idle):
                    frame = await stream.frames.get()
                yield frame
        except TimeoutError as err:
            raise RingTimeout("The ring fell silent") from err
        except asyncio.QueueShutDown as err:
            raise RingDisconnected("The link was lost") from err
        finally:
            self._streams.remove(stream)

    async def _write(self, data: bytes) -> None:
        if not self.may_send(data):
            raise RingNotSupported(f"{data[:2].hex()} is not on the allow-list")
        for at in range(0, len(data), self.piece or len(data)):
            if at:
                await asyncio.sleep(PIECE_PAUSE)
            piece = data[at : at + (self.piece or len(data))]
            await self.link.write(self.write, piece, response=self.response)

    async def _exchange[T](self, request: Request[T]) -> T:
        self.framer.reset()
        pending = _Pending(request)
        self._pending = pending
        try:
            async with asyncio.timeout(request.first) as limit:
                pending.limit = limit
                await self._write(request.data)
                await asyncio.wait((pending.result,))
        except TimeoutError as err:
            self._take(self.framer.rest())
            if not pending.result.done():
                raise RingTimeout(f"No reply to {request.data[:2].hex()}") from err
        finally:
            self._pending = None
            pending.decoder.close()
            if pending.result.done():
                pending.result.exception()  # or asyncio logs what a cancelled caller can't retrieve
        return pending.result.result()

    def on_notification(self, _characteristic: object, data: bytearray) -> None:
        """Take one notification from the stack."""
        self._take(self.framer.feed(bytes(data)))

    def _take(self, frames: Iterable[bytes]) -> None:
        for frame in frames:
            pending = self._pending
            if pending and not pending.result.done() and self.key(frame) in pending.request.answers:
                if reason := pending.feed(frame):
                    self.framer.dropped[reason] += 1
            elif stream := next((s for s in self._streams if self.key(frame) in s.keys), None):
                stream.put(frame)
            else:
                self.unsolicited(frame)

    def fail(self, error: RingError) -> None:
        """End the pending request and all streams."""
        for stream in self._streams:
            stream.frames.shutdown(immediate=True)
        if self._pending and not self._pending.result.done():
            self._pending.result.set_exception(error)


class _Stream:
    """Frames somebody listens for."""

    def __init__(self, keys: frozenset[int]) -> None:
        self.keys = keys
        self.frames: asyncio.Queue[bytes] = asyncio.Queue(STREAM_SIZE)

    def put(self, frame: bytes) -> None:
        """Take a frame; the oldest gives way. Nothing is taken behind the loss of the link."""
        with suppress(asyncio.QueueShutDown):
            if self.frames.full():
                self.frames.get_nowait()
            self.frames.put_nowait(frame)


class _Pending[T]:
    """A request under way."""

    def __init__(self, request: Request[T]) -> None:
        loop = asyncio.get_running_loop()
        self.request = request
        self.result: asyncio.Future[T] = loop.create_future()
        self.limit: asyncio.Timeout | None = None
        self.decoder = request.decode()
        self._deadline = loop.time() + request.total
        next(self.decoder)

    def feed(self, frame: bytes) -> str | None:
        """Hand a frame to the decoder; return why it was dropped, if it was."""
        try:
            reason = self.decoder.send(frame)
        except StopIteration as stop:
            self.result.set_result(stop.value)
        except RingError as err:
            self.result.set_exception(err)
        else:
            if reason:
                return reason
            if self.limit and not self.limit.expired():
                now = asyncio.get_running_loop().time()
                self.limit.reschedule(min(self._deadline, now + self.request.idle))
        return None
