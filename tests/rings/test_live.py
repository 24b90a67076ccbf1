"""Live values of virtual Colmi rings: fresh or none, and never measured longer than wanted."""

import asyncio
from collections.abc import Iterable
from contextlib import aclosing
from datetime import timedelta
from functools import partial
from itertools import pairwise
from typing import Any

import pytest

from custom_components.smart_rings.rings.errors import RingDisconnected, RingRefused, RingTimeout
from custom_components.smart_rings.rings.models import Metric, RingState
from custom_components.smart_rings.rings.ring import Ring
from ringsim.rings.base import Faults
from ringsim.rings.colmi import ColmiRing, frame
from tests.rings.wearer import ADDRESS, Wearer
from tests.virtual_time import virtual_time

MEASURE, STOP = 0x69, 0x6A
STREAM, SPOT = 0x06, 0x01


@pytest.fixture(autouse=True)
async def _time() -> Any:
    with virtual_time(asyncio.get_running_loop()):
        yield


async def watch(wearer: Wearer, ring: Ring, seconds: float) -> list[tuple[float, RingState]]:
    """Watch for some seconds; return what was said, each with when."""
    told: list[tuple[float, RingState]] = []
    began = wearer.loop.time()
    async with aclosing(ring.live()) as states:
        async for state in states:
            told.append((wearer.loop.time() - began, state))
            for sample in state.latest.values():
                assert wearer.now() - sample.end < timedelta(seconds=1)
            if told[-1][0] > seconds:
                break
    return told


def values(told: list[tuple[float, RingState]]) -> list[tuple[float, float]]:
    return [(at, s.latest[Metric.HEART_RATE].value) for at, s in told if s.latest]


def commands(wearer: Wearer) -> list[bytes]:
    """Return what was started and stopped."""
    sent = (p.value for p in wearer.radio.log if p.to_ring and p.value)
    return [value[:2] for value in sent if value[0] in (MEASURE, STOP)]


def without_streaming(ring: ColmiRing) -> None:
    start = ring._start

    def refuse(body: bytes) -> Iterable[bytes]:
        return (frame(MEASURE | 0x80, 0xEE),) if body[0] == STREAM else start(body)

    ring._start = refuse  # type: ignore[method-assign]


@pytest.mark.parametrize("model", ["r02", "r12"])
async def test_a_value_a_second_from_the_warm_up_on(model: str) -> None:
    wearer = Wearer(model)
    wearer.ring.live["heart_rate"] = 77
    async with wearer.open() as ring:
        told = values(await watch(wearer, ring, 300))
        assert {value for _, value in told} == {77}
        assert told[0][0] < 20
        assert all(b - a < 2 for (a, _), (b, _) in pairwise(told))
    assert commands(wearer) == [bytes((MEASURE, STREAM)), bytes((STOP, STREAM))]


async def test_firmware_that_does_not_stream_measures_again_and_again() -> None:
    wearer = Wearer("r02")
    without_streaming(wearer.ring)
    async with wearer.open() as ring:
        told = values(await watch(wearer, ring, 300))
        assert len(told) > 50
        assert max(b - a for (a, _), (b, _) in pairwise(told)) < 45
    spots = [bytes((MEASURE, SPOT)), bytes((STOP, SPOT))]
    assert commands(wearer)[:3] == [bytes((MEASURE, STREAM)), *spots]
    assert commands(wearer).count(bytes((MEASURE, STREAM))) == 1, "a refusal is remembered"
    assert commands(wearer)[-1] == spots[1]


async def test_not_worn_is_no_value() -> None:
    wearer = Wearer("r12")
    async with wearer.open() as ring:
        wearer.ring.worn = False
        told = await watch(wearer, ring, 150)
        assert told
        assert not values(told)
        wearer.ring.worn = True
        assert values(await watch(wearer, ring, 60))


async def test_on_the_charger_it_is_refused() -> None:
    wearer = Wearer("r12")
    wearer.ring.charging = True
    async with wearer.open() as ring:
        with pytest.raises(RingRefused) as refused:
            await watch(wearer, ring, 10)
    assert refused.value.code == "charging"


async def test_what_the_battery_does_is_told() -> None:
    wearer = Wearer("r12")
    async with wearer.open() as ring:
        wearer.loop.call_later(60, lambda: setattr(wearer.ring, "charging", True))
        told = await watch(wearer, ring, 90)
        assert [state.charging for at, state in told if at < 59 or at > 62] == [
            at > 60 for at, _ in told if at < 59 or at > 62
        ]


async def test_a_lost_link_ends_it() -> None:
    wearer = Wearer("r02")
    async with wearer.open() as ring:
        wearer.loop.call_later(30, partial(wearer.radio.drop, ADDRESS))
        with pytest.raises(RingDisconnected):
            await watch(wearer, ring, 60)


@pytest.mark.parametrize("after", [0, 10])
async def test_a_ring_that_falls_silent(after: int) -> None:
    wearer = Wearer("r02")
    began = wearer.loop.time()
    async with wearer.open() as ring:
        wearer.ring.faults = Faults(swallow=frozenset(range(after, 1000)))
        with pytest.raises(RingTimeout):
            await watch(wearer, ring, 120)
    assert wearer.loop.time() - began < 60


async def test_requests_are_answered_while_it_streams() -> None:
    wearer = Wearer("r12")
    async with wearer.open() as ring, aclosing(ring.live()) as states:
        async for state in states:
            if state.latest:
                break
        wearer.ring.battery = 33
        assert (await ring.state()).battery == 33
        assert (await anext(states)).latest


async def test_nothing_goes_on_when_it_is_closed() -> None:
    wearer = Wearer("r12")
    async with wearer.open() as ring:
        before = asyncio.all_tasks()
        await watch(wearer, ring, 5)
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == before
