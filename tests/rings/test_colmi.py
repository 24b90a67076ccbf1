"""Conversations with virtual Colmi rings: what is read is what they hold, whatever happens."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from custom_components.smart_rings.rings import MODELS, connect
from custom_components.smart_rings.rings.clock import Clock
from custom_components.smart_rings.rings.errors import RingError, RingRefused
from custom_components.smart_rings.rings.models import (
    Capability,
    Cursor,
    Metric,
    Record,
    RingMemory,
    RingState,
    Sample,
    Sleep,
    Stage,
)
from ringsim.radio import Radio
from ringsim.rings import MODELS as VIRTUAL
from ringsim.rings.colmi import ColmiRing
from tests import bleak_backend
from tests.virtual_time import virtual_time

ZONE = ZoneInfo("Europe/Amsterdam")
BEGAN = datetime(2026, 11, 11, 9, 30, 20, tzinfo=UTC)
ADDRESS = "C0:FF:EE:00:79:B5"


class Wearer:
    """A ring, a Home Assistant that keeps what it is told, and the time."""

    def __init__(self, model: str) -> None:
        self.loop = asyncio.get_running_loop()
        self.began = self.loop.time()
        self.radio = Radio()
        ring = VIRTUAL[model](
            address=ADDRESS, now=self.now, seed=7, days=7, zone=ZONE, ahead=timedelta(days=5)
        )
        assert isinstance(ring, ColmiRing)
        self.ring = ring
        self.radio.add(ring)
        self.memory = RingMemory()
        self.cursor: Cursor = {}
        self.kept: dict[Any, Record] = {}
        self.state = RingState()
        self.dropped: dict[str, int] = {}

    def now(self) -> datetime:
        return BEGAN + timedelta(seconds=self.loop.time() - self.began)

    async def contact(self) -> None:
        """Do what the integration does in a contact; keep what is complete when it breaks."""
        memory = RingMemory.from_dict(self.memory.as_dict())
        clock = Clock(memory.clock, ZONE, self.now, memory.doubts)
        model = MODELS[f"colmi_{self.ring.model}"]
        connector = partial(bleak_backend.connect, self.radio, ADDRESS)
        try:
            async with connect(model, connector, memory, clock) as ring:
                self.state = await ring.state()
                async for batch in ring.history(self.cursor):
                    self.cursor = batch.cursor
                    for record in batch.records:
                        self.kept[_identity(record)] = record
                if ring.clock_due():
                    await ring.set_time()
                self.dropped = dict(ring.dropped + ring.link.dropped)
        finally:
            self.memory = memory
            assert not self.radio.links, "the link was not given back"

    async def complete(self) -> None:
        """Try until a contact goes through."""
        for _ in range(40):
            try:
                await self.contact()
            except RingError:
                continue
            return
        raise AssertionError("no contact went through")

    async def measure(self, metric: Metric) -> Sample:
        clock = Clock(self.memory.clock, ZONE, self.now, self.memory.doubts)
        connector = partial(bleak_backend.connect, self.radio, ADDRESS)
        model = MODELS[f"colmi_{self.ring.model}"]
        async with connect(model, connector, self.memory, clock) as ring:
            return await ring.measure(metric)

    def readings(self, metric: Metric) -> dict[datetime, float]:
        return {
            r.start: r.value
            for r in self.kept.values()
            if isinstance(r, Sample) and r.metric == metric
        }

    def sleeps(self, *, nap: bool) -> dict[datetime, Sleep]:
        return {r.start: r for r in self.kept.values() if isinstance(r, Sleep) and r.nap == nap}

    def assert_true(self) -> None:
        """All the ring holds was read, and nothing else."""
        truth = self.ring.truth()
        for metric in Metric:
            if metric not in truth["readings"]:
                assert not self.readings(metric)
                continue
            told = {_utc(r["start"]): r["value"] for r in truth["readings"][metric]}
            read = self.readings(metric)
            assert {s: read[s] for s in told if s in read} == pytest.approx(told), metric
        for kind, nap in (("sleeps", False), ("naps", True)):
            read_sleeps = self.sleeps(nap=nap)
            for sleep in truth[kind]:
                found = read_sleeps[_utc(sleep["start"])]
                assert found.end == _utc(sleep["end"])
                minutes = {s: found.total(Stage(s)) for s in sleep["minutes"]}
                assert minutes == {s: timedelta(minutes=m) for s, m in sleep["minutes"].items()}
        assert not self.ring.abuse
        assert not self.ring.malformed


def _utc(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _identity(record: Record) -> Any:
    match record:
        case Sample():
            return record.metric, record.start
        case Sleep():
            return record.nap, record.start


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
    assert sent == [0x03, 0x48, 0x16]


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
        values = {_utc(r["start"]): r["value"] for r in told}
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
        told = {_utc(r["start"]): r["value"] for r in true[metric]}
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
