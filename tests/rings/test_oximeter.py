"""What both oximeter families share: frames out of any stream of bytes, and the cursor."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import pytest

from custom_components.smart_rings.rings.errors import (
    RingNotSupported,
    RingProtocolError,
    RingRefused,
    RingTimeout,
)
from custom_components.smart_rings.rings.link import Decoder
from custom_components.smart_rings.rings.models import Metric
from custom_components.smart_rings.rings.oximeter.frames import MarkedFramer, encode
from custom_components.smart_rings.rings.oximeter.ring import Marks
from custom_components.smart_rings.rings.oxyii import OxyIIRing
from custom_components.smart_rings.rings.oxyii import frames as oxyii
from custom_components.smart_rings.rings.recordings import parse
from custom_components.smart_rings.rings.ring import Ring
from custom_components.smart_rings.rings.viatom import frames as viatom
from tests.rings.fake_oximeter import NOW, Contacts, FakeLegacy, FakeOximeter, FakeOxyII
from tests.virtual_time import virtual_time

FRAMES = [encode(0xA5, opcode, opcode << 8, bytes(range(opcode))) for opcode in (0, 5, 90, 240)]
FALSE = bytes((0xA5, 0xF3, 0x0C, 1, 9, 0, 4))


def fed(framer: MarkedFramer, pieces: Iterable[bytes]) -> list[bytes]:
    return [frame for piece in pieces for frame in framer.feed(piece)]


def split(data: bytes, seed: int) -> Iterable[bytes]:
    random = Random(seed)
    while data:
        size = random.randint(1, 70)
        yield data[:size]
        data = data[size:]


@pytest.mark.parametrize("seed", range(20))
def test_any_split(seed: int) -> None:
    assert fed(MarkedFramer(0xA5, 2048), split(b"".join(FRAMES), seed)) == FRAMES


@pytest.mark.parametrize("seed", range(20))
def test_noise_between_frames(seed: int) -> None:
    random = Random(seed)
    noise = [bytes(random.choices((0, 1, 0x5A, 0xA5, 0xFF), k=9)) for _ in FRAMES]
    stream = b"".join(a + b for a, b in zip(noise, FRAMES, strict=True))
    framer = MarkedFramer(0xA5, 2048)
    found = fed(framer, split(stream, seed)) + list(framer.rest())
    assert found == FRAMES


def test_wrong_checksum_is_dropped_and_counted() -> None:
    framer = MarkedFramer(0xA5, 2048)
    assert fed(framer, [FRAMES[2][:-1] + b"\0", FRAMES[1]]) == [FRAMES[1]]
    assert framer.dropped["checksum"] == 1


def test_frame_inside_an_unfinished_one_waits_for_it() -> None:
    outer = encode(0xA5, 0xF3, 0, FRAMES[1] * 3 + FALSE)
    framer = MarkedFramer(0xA5, 2048)
    assert fed(framer, [outer[:40]]) == []
    assert fed(framer, [outer[40:]]) == [outer]
    assert list(framer.rest()) == []


def test_frame_behind_a_false_header_is_found_in_the_end() -> None:
    framer = MarkedFramer(0xA5, 2048)
    assert fed(framer, [FALSE, *FRAMES]) == []
    assert list(framer.rest()) == FRAMES
    assert framer.dropped["unfinished"] == 1


def test_absurd_length_is_not_waited_for() -> None:
    framer = MarkedFramer(0xA5, 2048)
    assert fed(framer, [bytes.fromhex("a504fb0000ffff"), FRAMES[0]]) == [FRAMES[0]]
    assert framer.dropped["length"] == 1


def test_request_forgets_what_was_before_it() -> None:
    framer = MarkedFramer(0xA5, 2048)
    fed(framer, [FRAMES[3][:50]])
    framer.reset()
    assert fed(framer, [FRAMES[0]]) == [FRAMES[0]]


def test_cursor_forgets_what_the_ring_no_longer_holds() -> None:
    marks = Marks.of({}, ["a", "b", "c"])
    marks.finish("a")
    marks.sizes["b"] = 7
    marks.reject("c")
    marks.part = ("b", bytes(1000))
    kept = marks.batch().cursor
    assert Marks.of(kept, ["a", "b", "c"]) == marks
    assert Marks.of(kept, ["d"]) == Marks(set(), {}, {}, ("b", b""))


def hostile(seed: int, *begins: bytes) -> Iterable[bytes]:
    """Return well-formed payloads full of nonsense."""
    random = Random(seed)
    for _ in range(300):
        extremes = bytes(random.choices((0, 1, 0x7F, 0xFF), k=random.randint(0, 80)))
        for body in (random.randbytes(random.randint(0, 600)), extremes):
            yield random.choice((b"", *begins)) + body


@pytest.mark.parametrize("seed", range(5))
def test_nonsense_raises_nothing_unexpected(seed: int) -> None:
    session = oxyii.Session()
    session.key = bytes(16)
    oxyii_asks = (
        *(oxyii.info(), oxyii.battery(), oxyii.live(), oxyii.config(), oxyii.file_list()),
        *(oxyii.read_start("20261120230102"), oxyii.read_data(0), oxyii.auth(NOW)),
    )
    decoders: list[tuple[int, Callable[[], Decoder[Any]]]] = [
        (0xA5, session.request(ask).decode) for ask in oxyii_asks
    ]
    requests = (viatom.info(), viatom.live(), viatom.live_of_wave(), viatom.read_start("x"))
    decoders += [(0x55, request.decode) for request in requests]
    decoders += [(0x55, viatom.Blocks().read(3).decode)]
    for payload in hostile(seed, b'{"SN":"1","FileList":', b"{"):
        for marker, decode in decoders:
            decoder = decode()
            next(decoder)
            for field in (0, 1, 0x0101, 0xFFFF):
                try:
                    decoder.send(encode(marker, 0, field, payload))
                except StopIteration, RingRefused:
                    break


@pytest.mark.parametrize("seed", range(5))
def test_nonsense_is_no_recording_or_a_harmless_one(seed: int) -> None:
    end = bytes.fromhex("0000000048125ada")
    for data in hostile(seed, b"\1\3", b"\3\0", b"\5", b"\1\3" + bytes(8) + end):
        try:
            stored = parse(data)
        except RingProtocolError:
            continue
        assert len(stored.spo2) == len(stored.pulse) == len(stored.motion) == len(stored.alarms)
        assert all(value == 0 or 50 <= value <= 100 for value in stored.spo2)
        assert all(value == 0 or 20 <= value <= 250 for value in stored.pulse)


@asynccontextmanager
async def answering(fake: FakeOximeter) -> AsyncIterator[Ring]:
    """Talk to a ring that is called like one of the first generation."""
    with virtual_time(asyncio.get_running_loop()):
        async with Contacts(fake, "viatom_o2ring").open() as ring:
            yield ring


async def test_a_ring_with_the_newer_service_alone() -> None:
    async with answering(FakeOxyII()) as ring:
        assert isinstance(ring, OxyIIRing)
        assert ring.model.key == "oxyii_o2ring"
        assert (await ring.info()).serial


async def test_a_silent_ring_of_the_first_generation_stays_one() -> None:
    fake = FakeLegacy()
    fake.mute = {viatom.Command.INFO}
    with pytest.raises(RingTimeout):
        async with answering(fake):
            pass


async def test_a_ring_with_neither_service() -> None:
    fake = FakeLegacy()
    fake.notify = "0000fff1-0000-1000-8000-00805f9b34fb"
    with pytest.raises(RingNotSupported):
        async with answering(fake):
            pass


async def test_what_the_newer_protocol_has_no_scale_for_is_left_out() -> None:
    with virtual_time(asyncio.get_running_loop()):
        async with Contacts(FakeOxyII(), "oxyii_o2ring").open() as ring:
            assert "vibration" in await ring.read_settings()
        async with Contacts(FakeOxyII(), "oxyii_kids_o2").open() as ring:
            assert "vibration" not in await ring.read_settings()


@pytest.mark.parametrize(
    ("fake", "model"), [(FakeOxyII, "oxyii_o2ring_s"), (FakeLegacy, "viatom_o2ring")]
)
async def test_live_misses_no_second_in_eight_hours(
    fake: Callable[[], FakeOximeter], model: str
) -> None:
    loop = asyncio.get_running_loop()
    loop.set_debug(False)  # which keeps a traceback for each of the futures
    ring = fake()
    ring.wear()
    seconds: list[float] = []
    with virtual_time(loop):
        async with Contacts(ring, model).open() as connected:
            began = loop.time()
            async for state in connected.live():
                seconds.append(round(loop.time() - began, 3))
                assert state.latest[Metric.SPO2].value == 97
                if len(seconds) == 8 * 3600:
                    break
    assert seconds == list(range(8 * 3600))
