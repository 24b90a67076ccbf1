"""One conversation: replies are matched, timed, reassembled; nothing else gets through."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import aclosing

from aioesphomeapi.core import BluetoothGATTAPIError
from aioesphomeapi.model import BluetoothGATTError
from bleak.exc import BleakDBusError, BleakError, BleakGATTProtocolError
import pytest

from custom_components.smart_rings.rings.colmi import frames
from custom_components.smart_rings.rings.colmi.frames import Command
from custom_components.smart_rings.rings.errors import (
    RingAuthError,
    RingDisconnected,
    RingError,
    RingNotSupported,
    RingRefused,
    RingTimeout,
)
from custom_components.smart_rings.rings.link import STREAM_SIZE, Channel, Link
from tests.rings.fake_client import FakeClient
from tests.virtual_time import virtual_time

WRITE, NOTIFY = "w", "n"
BATTERY = bytes.fromhex("03400000000000000000000000000043")
OTHER = frames.encode(Command.TODAY, 1, 2, 3)

type Script = Callable[[bytes], Iterable[bytes]]


class Talk:
    """An open channel to a client that follows a script."""

    def __init__(self) -> None:
        self.script: Script = lambda _: ()
        self.client = FakeClient(NOTIFY, WRITE, lambda _, data: self.script(data))
        self.unsolicited: list[bytes] = []
        self.link = Link(self.client.connect)
        self.channel = Channel(
            self.link,
            WRITE,
            NOTIFY,
            frames.V1Framer(),
            frames.answered,
            frames.may_send,
            self.unsolicited.append,
        )


@pytest.fixture
async def talk() -> AsyncIterator[Talk]:
    talk = Talk()
    with virtual_time(asyncio.get_running_loop()):
        async with talk.link:
            await talk.link.open(talk.channel)
            yield talk
    assert not talk.client.is_connected


async def test_reply_is_matched_by_command(talk: Talk) -> None:
    talk.script = lambda _: (OTHER, BATTERY)
    assert (await talk.channel.request(frames.BATTERY)).battery_percent == 64
    assert talk.unsolicited == [OTHER]


async def test_frame_in_pieces(talk: Talk) -> None:
    talk.script = lambda _: (BATTERY[:5], BATTERY[5:11], BATTERY[11:])
    assert (await talk.channel.request(frames.BATTERY)).battery_percent == 64


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        pytest.param(BATTERY[:-1] + b"\0", "checksum", id="checksum"),
        pytest.param(BATTERY[:7], "length", id="short"),
        pytest.param(BATTERY + b"\1\2\3", "length", id="long"),
        pytest.param(frames.encode(Command.BATTERY, 101), "content", id="101 percent"),
    ],
)
async def test_bad_frame_is_dropped_counted_and_asked_again(
    talk: Talk, bad: bytes, reason: str
) -> None:
    answers = iter([[bad], [BATTERY]])
    talk.script = lambda _: next(answers)
    if bad[:16] == BATTERY:
        assert (await talk.channel.request(frames.BATTERY)).battery_percent == 64
        talk.channel.framer.reset()
    else:
        assert (await talk.channel.request(frames.BATTERY)).battery_percent == 64
        assert len(talk.client.written) == 2
    assert talk.link.dropped[reason] == 1


async def test_no_reply_times_out_after_one_retry_and_the_next_request_works(talk: Talk) -> None:
    with pytest.raises(RingTimeout):
        await talk.channel.request(frames.BATTERY)
    assert len(talk.client.written) == 2
    talk.script = lambda _: (BATTERY,)
    assert (await talk.channel.request(frames.BATTERY)).battery_percent == 64


async def test_endless_stream_ends_at_the_total(talk: Talk) -> None:
    loop = asyncio.get_running_loop()
    header = frames.encode(Command.HEART_RATE_LOG, 0, 24, 5)

    async def flood() -> None:
        while True:
            await asyncio.sleep(0.5)
            talk.client.notify(header)

    stream = asyncio.create_task(flood())
    began = loop.time()
    with pytest.raises(RingTimeout):
        await talk.channel.request(frames.heart_rate_log(0))
    assert loop.time() - began == pytest.approx(10, abs=1)
    stream.cancel()


async def test_refusal_carries_the_code(talk: Talk) -> None:
    talk.script = lambda _: (bytes.fromhex("83ee0000000000000000000000000071"),)
    with pytest.raises(RingRefused) as refused:
        await talk.channel.request(frames.BATTERY)
    assert refused.value.code == "unsupported"
    assert len(talk.client.written) == 1


async def test_lost_link_ends_the_request_at_once(talk: Talk) -> None:
    def script(_: bytes) -> Iterator[bytes]:
        asyncio.get_running_loop().call_soon(talk.client.drop)
        return iter(())

    talk.script = script
    with pytest.raises(RingDisconnected):
        await talk.channel.request(frames.BATTERY)
    with pytest.raises(RingDisconnected):
        await talk.channel.request(frames.BATTERY)
    assert len(talk.client.written) == 1


def of_a_proxy(code: int) -> BleakError:
    """Return what the client of ESPHome's proxies raises."""
    error = BleakError("Bluetooth GATT Error")
    error.__cause__ = BluetoothGATTAPIError(BluetoothGATTError.from_dict({"error": code}))
    return error


def of_bluez(error: str, *details: str) -> BleakError:
    return BleakDBusError(f"org.bluez.Error.{error}", [*details])


@pytest.mark.parametrize(
    "error",
    [
        *map(BleakGATTProtocolError, (0x05, 0x08, 0x0C, 0x0F)),
        *map(of_a_proxy, (0x05, 0x08, 0x0C, 0x0F, 0x89)),
        of_bluez("NotPermitted", "Not paired"),
    ],
    ids=repr,
)
@pytest.mark.parametrize("connected", [True, False])
async def test_a_ring_that_wants_a_bond(talk: Talk, error: BleakError, *, connected: bool) -> None:
    def script(_: bytes) -> Iterator[bytes]:
        # Some hang up at once.
        talk.client.is_connected = connected
        raise error

    talk.script = script
    with pytest.raises(RingAuthError):
        await talk.channel.request(frames.BATTERY)
    assert len(talk.client.written) == 1


@pytest.mark.parametrize(
    "error",
    [
        BleakGATTProtocolError(0x03),
        of_a_proxy(0x85),
        of_bluez("NotPermitted", "Write acquired"),
        of_bluez("Failed"),
        BleakError("error=5 insufficient authentication"),
    ],
    ids=repr,
)
async def test_other_refusals_of_the_stack_are_no_matter_of_trust(
    talk: Talk, error: BleakError
) -> None:
    def script(_: bytes) -> Iterator[bytes]:
        raise error

    talk.script = script
    with pytest.raises(RingError) as raised:
        await talk.channel.request(frames.BATTERY)
    assert not isinstance(raised.value, RingAuthError)


async def test_without_a_link_nothing_is_known_of_the_ring(talk: Talk) -> None:
    assert talk.link.has(NOTIFY)
    assert not talk.link.has("another")
    talk.client.drop()
    for uuid in (NOTIFY, "another"):
        with pytest.raises(RingDisconnected):
            talk.link.has(uuid)


async def test_frame_behind_the_loss_of_the_link_harms_nobody(talk: Talk) -> None:
    async with aclosing(talk.channel.listen(frozenset({Command.BATTERY}), 1)) as heard:
        first = asyncio.create_task(anext(heard))
        await asyncio.sleep(0.1)
        talk.client.notify(BATTERY)
        assert await first == BATTERY
        talk.client.drop()
        talk.client.notify(BATTERY)
        with pytest.raises(RingDisconnected):
            await anext(heard)


async def test_one_request_at_a_time(talk: Talk) -> None:
    waiting: list[bytes] = []

    def script(data: bytes) -> Iterable[bytes]:
        waiting.append(data)
        return ()

    talk.script = script
    first = asyncio.create_task(talk.channel.request(frames.BATTERY))
    second = asyncio.create_task(talk.channel.request(frames.TODAY))
    await asyncio.sleep(0.1)
    assert waiting == [frames.BATTERY.data]
    talk.client.notify(BATTERY)
    assert (await first).battery_percent == 64
    await asyncio.sleep(0.1)
    talk.client.notify(OTHER)
    assert (await second).steps == 0x010203


@pytest.mark.parametrize("opcode", range(256))
async def test_nothing_but_the_allow_list_leaves(talk: Talk, opcode: int) -> None:
    body = bytes((opcode,)).ljust(15, b"\0")
    frame = body + bytes((frames.checksum(body),))
    if opcode in Command:
        await talk.channel.send(frame)
        assert talk.client.written == [frame]
    else:
        with pytest.raises(RingNotSupported):
            await talk.channel.send(frame)
        assert not talk.client.written


async def test_power_off_never_leaves(talk: Talk) -> None:
    with pytest.raises(RingNotSupported):
        await talk.channel.send(frames.encode(Command.RESTART, 1))
    assert not talk.client.written


async def test_ring_of_another_kind_is_refused() -> None:
    client = FakeClient("something", "else", lambda *_: ())
    link = Link(client.connect)
    channel = Channel(
        link, WRITE, NOTIFY, frames.V1Framer(), frames.answered, frames.may_send, print
    )
    async with link:
        with pytest.raises(RingNotSupported):
            await link.open(channel)
    assert not client.is_connected


async def test_a_stream_that_nobody_takes_keeps_its_newest_frames(talk: Talk) -> None:
    numbered = [frames.encode(Command.MEASURE, number) for number in range(STREAM_SIZE + 10)]
    async with aclosing(talk.channel.listen(frozenset({Command.MEASURE}), 1)) as heard:
        first = asyncio.create_task(anext(heard))
        await asyncio.sleep(0.1)
        for frame in numbered:
            talk.client.notify(frame)
        talk.client.notify(BATTERY)
        taken = [await first, *[await anext(heard) for _ in range(STREAM_SIZE - 1)]]
        assert taken == numbered[-STREAM_SIZE:]
        with pytest.raises(RingTimeout):
            await anext(heard)
    assert talk.unsolicited == [BATTERY]
    talk.client.notify(numbered[0])
    assert talk.unsolicited == [BATTERY, numbered[0]], "who has closed it no longer listens"
