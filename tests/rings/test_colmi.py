"""Conversations with virtual Colmi rings: what is read is what they hold, whatever happens."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from custom_components.smart_rings.rings.errors import RingError, RingRefused
from custom_components.smart_rings.rings.models import (
    Capability,
    Metric,
)
from ringsim.rings.colmi import COLMI as VIRTUAL
from tests.rings.wearer import BEGAN, ZONE, Wearer, utc
from tests.virtual_time import virtual_time


@pytest.fixture(autouse=True)
async def _time() -> Any:
    with virtual_time(asyncio.get_running_loop()):
        yield


@pytest.mark.parametrize("model", VIRTUAL)
async def test_first_contact_takes_all_the_ring_holds(model: str) -> None:
    wearer = Wearer(model)
    await wearer.contact()
    wearer.assert_true()
    truth = wearer.ring.truth()
    assert wearer.state.battery == truth["battery"]
    assert wearer.state.charging is truth["charging"]
    assert wearer.memory.info.firmware == truth["firmware"]
    assert wearer.memory.info.hardware == (truth["hardware"] or None)
    latest = wearer.state.latest
    assert latest[Metric.STEPS].value == truth["today"]["steps"]
    assert latest[Metric.ENERGY].value == pytest.approx(truth["today"]["energy"])
    assert latest[Metric.STEPS].start == datetime(2026, 11, 10, 23, tzinfo=UTC)


@pytest.mark.parametrize("model", VIRTUAL)
async def test_capabilities_are_those_of_the_unit(model: str) -> None:
    wearer = Wearer(model)
    await wearer.contact()
    can = {m for m in Metric if Capability(m) in wearer.memory.capabilities}
    assert can == {Metric(m) for m in wearer.ring.truth()["metrics"]} | {
        Metric.STEPS,
        Metric.DISTANCE,
        Metric.ENERGY,
    }


@pytest.mark.parametrize("model", VIRTUAL)
async def test_next_contact_brings_what_is_new(model: str) -> None:
    wearer = Wearer(model)
    await wearer.contact()
    await asyncio.sleep(timedelta(hours=20).total_seconds())
    await wearer.contact()
    wearer.assert_true()


async def test_nothing_is_asked_twice_at_once() -> None:
    wearer = Wearer("r12")
    await wearer.contact()
    asked = len(wearer.radio.log)
    await asyncio.sleep(60)
    await wearer.contact()
    sent = [p.value[0] for p in list(wearer.radio.log)[asked:] if p.to_ring and p.value]
    assert sent == [0x03, 0x48]


async def test_ring_away_for_three_days() -> None:
    wearer = Wearer("r09")
    await wearer.contact()
    await asyncio.sleep(timedelta(days=3).total_seconds())
    await wearer.contact()
    wearer.assert_true()


def _cuts(model: str) -> Iterator[Any]:
    # About as many notifications as a first contact brings; the test notes when it brought more.
    yield from (
        pytest.param(model, n, id=f"{model}-{n}") for n in (1, 2, 3, 5, 8, 30, 60, 150, 280)
    )


@pytest.mark.parametrize(("model", "cut"), [*_cuts("r02"), *_cuts("r12")])
async def test_cut_link(model: str, cut: int) -> None:
    wearer = Wearer(model)
    wearer.ring.faults.drop_after = cut
    with pytest.raises(RingError):
        await wearer.contact()
    await wearer.complete()
    wearer.assert_true()


@pytest.mark.parametrize("fault", ["corrupt", "duplicate", "swallow"])
@pytest.mark.parametrize("model", VIRTUAL)
async def test_bad_notifications(model: str, fault: str) -> None:
    wearer = Wearer(model)
    setattr(wearer.ring.faults, fault, frozenset(range(3, 400, 37)))
    await wearer.contact()
    setattr(wearer.ring.faults, fault, frozenset())
    await wearer.contact()
    wearer.assert_true()


@pytest.mark.parametrize("size", [1, 7, 20])
async def test_split_notifications(size: int) -> None:
    wearer = Wearer("r12")
    wearer.ring.faults.split = size
    await wearer.contact()
    wearer.assert_true()


@pytest.mark.parametrize("forgets", [False, True])
@pytest.mark.parametrize("model", ["r02", "r12"])
async def test_ring_that_was_powered_off_for_three_days(model: str, *, forgets: bool) -> None:
    """What it recorded before is complete; what it wrote with a lost clock is not misplaced."""
    wearer = Wearer(model)
    await wearer.contact()
    await asyncio.sleep(timedelta(hours=2).total_seconds())
    true = wearer.ring.truth()["readings"]
    wearer.ring.forgets_time = forgets
    wearer.ring.powered = False
    await asyncio.sleep(timedelta(days=3).total_seconds())
    wearer.ring.powered = True
    await asyncio.sleep(timedelta(minutes=40).total_seconds())
    await wearer.complete()
    await wearer.complete()
    off, on = BEGAN + timedelta(hours=2), wearer.now() - timedelta(hours=1)
    told = {utc(r["start"]): r["value"] for r in true[Metric.HEART_RATE]}
    read = wearer.readings(Metric.HEART_RATE)
    assert {s: read[s] for s in read if s < off} == told
    assert not any(off < start < on for start in read)
    await asyncio.sleep(timedelta(hours=2).total_seconds())
    await wearer.complete()
    assert max(wearer.readings(Metric.HEART_RATE)) > wearer.now() - timedelta(hours=1)


async def test_day_without_data() -> None:
    wearer = Wearer("r12")
    gone = wearer.ring.clock.read().date() - timedelta(days=2)
    for metric in wearer.ring.store.values():
        for shown in [shown for shown in metric if shown.date() == gone]:
            del metric[shown]
    await wearer.contact()
    wearer.assert_true()
    local = {start.astimezone(ZONE).date() for start in wearer.readings(Metric.HEART_RATE)}
    assert gone not in local
    assert len(local) == 6


async def test_late_frames_of_an_earlier_request() -> None:
    wearer = Wearer("r12")
    wearer.ring.faults.delay = 4.9
    await wearer.contact()
    wearer.ring.faults.delay = 0
    await wearer.contact()
    wearer.assert_true()


async def test_spot_measurement() -> None:
    wearer = Wearer("r12")
    wearer.ring.live["heart_rate"] = 77
    sample = await wearer.measure(Metric.HEART_RATE)
    assert abs(sample.value - 77) <= 3
    assert wearer.now() - sample.start < timedelta(minutes=1, seconds=5)


async def test_spot_measurement_is_read_back_as_the_same_record() -> None:
    wearer = Wearer("r12")
    await wearer.contact()
    sample = await wearer.measure(Metric.HEART_RATE)
    await asyncio.sleep(timedelta(hours=1).total_seconds())
    await wearer.contact()
    assert wearer.readings(Metric.HEART_RATE)[sample.start] == sample.value


async def test_spot_measurement_off_the_finger() -> None:
    wearer = Wearer("r12")
    wearer.ring.worn = False
    with pytest.raises(RingRefused) as refused:
        await wearer.measure(Metric.HEART_RATE)
    assert refused.value.code == "not_worn"


async def test_spot_measurement_on_the_charger() -> None:
    wearer = Wearer("r12")
    wearer.ring.charging = True
    with pytest.raises(RingRefused) as refused:
        await wearer.measure(Metric.HEART_RATE)
    assert refused.value.code == "charging"


def _assert_nothing_at_a_wrong_time(wearer: Wearer, true: dict[str, Any]) -> None:
    for metric, told in true.items():
        values = {utc(r["start"]): r["value"] for r in told}
        read = wearer.readings(Metric(metric))
        assert {s: values.get(s) for s in read} == pytest.approx(read), metric


@pytest.mark.parametrize("days", [-3, -1, 1])
async def test_clock_off_by_days(days: int) -> None:
    """What was written right is read after the clock was set; nothing lands at a wrong time."""
    wearer = Wearer("r12")
    await wearer.contact()
    await asyncio.sleep(timedelta(hours=4).total_seconds())
    true = wearer.ring.truth()["readings"]
    wearer.ring.clock.jump(timedelta(days=days))
    await asyncio.sleep(timedelta(minutes=40).total_seconds())
    await wearer.contact()
    assert wearer.dropped["clock off by days"]
    await wearer.contact()
    assert "clock off by days" not in wearer.dropped
    for metric in (Metric.HEART_RATE, Metric.STRESS, Metric.HRV):
        told = {utc(r["start"]): r["value"] for r in true[metric]}
        last_hours = {s: v for s, v in told.items() if s > BEGAN}
        read = wearer.readings(metric)
        assert last_hours.items() <= read.items(), metric
        assert {s: told[s] for s in read if s in told} == {s: read[s] for s in read if s in told}


@pytest.mark.parametrize("days", [-3, -1, 1])
async def test_clock_that_was_never_right(days: int) -> None:
    """Since when it is wrong nobody knows: what may be at a wrong time is left out."""
    wearer = Wearer("r12")
    true = wearer.ring.truth()["readings"]
    wearer.ring.clock.jump(timedelta(days=days))
    await wearer.contact()
    assert not wearer.kept
    await wearer.contact()
    assert any("not certain" in reason for reason in wearer.dropped)
    _assert_nothing_at_a_wrong_time(wearer, true)


@pytest.mark.parametrize("model", VIRTUAL)
async def test_first_contact_does_not_wait_for_what_the_ring_has_not(model: str) -> None:
    """A ring is silent for five seconds on what it doesn't know: at most two of that."""
    wearer = Wearer(model)
    began = wearer.loop.time()
    await wearer.contact()
    assert wearer.loop.time() - began < 11
    await wearer.contact()
    began = wearer.loop.time()
    await asyncio.sleep(timedelta(hours=2).total_seconds())
    await wearer.contact()
    assert wearer.loop.time() - began < timedelta(hours=2).total_seconds() + 1


async def test_what_the_ring_does_not_record_any_more_is_read_once_it_told_what_it_can() -> None:
    wearer = Wearer("r09")
    wearer.ring.enabled = dict.fromkeys(wearer.ring.enabled, False)
    await wearer.contact()
    assert not wearer.readings(Metric.HRV)
    assert wearer.readings(Metric.HEART_RATE)
    await wearer.contact()
    wearer.assert_true()


async def test_silence_on_what_was_answered_is_no_refusal() -> None:
    wearer = Wearer("r12")
    await wearer.contact()
    for ignored in (frozenset({0x48}), frozenset[int]()):
        wearer.ring.faults.ignore = ignored
        for _ in range(3):
            await wearer.contact()
    assert wearer.state.latest[Metric.STEPS].value == wearer.ring.truth()["today"]["steps"]
    assert "today: RingTimeout" not in wearer.dropped
    assert [p.value[0] for p in wearer.radio.log if p.to_ring and p.value][-1] == 0x48
