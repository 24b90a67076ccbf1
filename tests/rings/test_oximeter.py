"""What both oximeter families share: frames out of any stream of bytes, and the cursor."""

from collections.abc import Iterable
from random import Random

import pytest

from custom_components.smart_rings.rings.oximeter.frames import MarkedFramer, encode
from custom_components.smart_rings.rings.oximeter.ring import Marks

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
