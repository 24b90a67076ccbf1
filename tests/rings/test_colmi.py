"""Conversations with virtual Colmi rings: what is read is what they hold, whatever happens."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from custom_components.smart_rings.rings.colmi import ColmiRing, frames
from custom_components.smart_rings.rings.colmi.frames import Command
from custom_components.smart_rings.rings.errors import RingError, RingRefused
from custom_components.smart_rings.rings.link import Request
from custom_components.smart_rings.rings.models import (
    Capability,
    Metric,
)
from ringsim.radio import Link
from ringsim.rings.base import Faults, Notification
from ringsim.rings.colmi import COLMI as VIRTUAL
from ringsim.rings.colmi import frame, message
from tests.rings.wearer import BEGAN, ZONE, Wearer, utc
from tests.virtual_time import virtual_time

SET_TIME, HEART_RATES, HEART_RATE_SETTINGS, HRV, ACTIVITY = 0x01, 0x15, 0x16, 0x39, 0x43
SLEEP, SPO2 = 0x27, 0x2A
RESTART, POWER_OFF = frame(0x08, 0), frame(0x08, 1)


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
    await asyncio.sleep(timedelta(hours=2).total_seconds())
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


type Answer = list[Notification]


def _change(wearer: Wearer, opcode: int | bytes, change: Callable[[Answer], Answer]) -> None:
    """Let the ring answer otherwise to what begins so."""
    answer, head = wearer.ring.write, opcode if isinstance(opcode, bytes) else bytes((opcode,))

    def write(uuid: str, data: bytes) -> Answer:
        told = list(answer(uuid, data))
        return change(told) if data.startswith(head) else told

    wearer.ring.write = write  # type: ignore[method-assign]


def _say(wearer: Wearer, kind: int, payload: bytes) -> None:
    """Let the ring answer a request for big data with that."""
    head, told = bytes((0xBC, kind)), message(kind, payload)
    _change(wearer, head, lambda answer: [Notification(n.uuid, told) for n in answer[-1:]])


@pytest.mark.parametrize("delays", [(5.2, 2, 3), (0, 5.2, 2, 3)])
@pytest.mark.parametrize("opcode", [HEART_RATES, ACTIVITY])
async def test_late_answers_are_taken_for_no_other_day(
    opcode: int, delays: Sequence[float]
) -> None:
    wearer = Wearer("r12")
    first = wearer.ring.clock.read().date() - timedelta(days=6)
    for metric in wearer.ring.store.values():
        for shown in [shown for shown in metric if shown.date() == first]:
            del metric[shown]
    left = iter(delays)

    def be_late(answer: Answer) -> Answer:
        late = next(left, 0.0)
        return [Notification(n.uuid, n.value, late) for n in answer]

    _change(wearer, opcode, be_late)
    await wearer.contact()
    assert "clock off by days" not in wearer.dropped
    await wearer.contact()
    assert not wearer.memory.doubts
    wearer.assert_true()


async def test_a_day_said_twice_is_no_wrong_clock() -> None:
    wearer = Wearer("r12")
    before: Answer = []

    def repeat(answer: Answer) -> Answer:
        again, before[:] = before.copy(), answer
        return again + answer

    _change(wearer, ACTIVITY, repeat)
    await wearer.contact()
    assert "clock off by days" not in wearer.dropped
    wearer.assert_true()


@pytest.mark.parametrize("seconds", [-5, 5])
async def test_clock_off_by_seconds_at_midnight(seconds: int) -> None:
    """Whether the ring's today is ours nobody knows then: it is asked later."""
    wearer = Wearer("r12")
    await wearer.contact()
    midnight = (wearer.now() + timedelta(days=1)).astimezone(ZONE).replace(hour=0, minute=0)
    until = midnight.replace(second=0) - timedelta(seconds=seconds - 2) - wearer.now()
    await asyncio.sleep(until.total_seconds())
    wearer.ring.clock.jump(timedelta(seconds=seconds))
    await wearer.contact()
    assert Metric.STEPS not in wearer.state.latest
    await asyncio.sleep(timedelta(hours=2).total_seconds())
    await wearer.contact()
    assert not wearer.memory.doubts
    wearer.assert_true()


async def test_without_a_dated_day_nothing_is_placed_by_the_rings_today() -> None:
    wearer = Wearer("r12")
    await wearer.contact()
    await asyncio.sleep(timedelta(hours=4).total_seconds())
    wearer.ring.clock.jump(timedelta(days=-1))
    true = wearer.readings(Metric.STRESS)
    wearer.ring.faults.ignore = frozenset({ACTIVITY})
    await wearer.contact()
    assert wearer.readings(Metric.STRESS) == true


async def test_silence_at_the_edge_of_range_is_forgotten() -> None:
    """What never came in the first contacts comes later, and then counts as an ability again."""
    wearer = Wearer("r12")
    wearer.ring.faults.ignore = frozenset({HEART_RATES, HRV})
    for _ in range(2):
        await wearer.contact()
        await asyncio.sleep(timedelta(hours=7).total_seconds())
    await wearer.contact()
    assert Capability.HRV not in wearer.memory.capabilities
    wearer.ring.faults.ignore = frozenset()
    await asyncio.sleep(timedelta(hours=25).total_seconds())
    await wearer.contact()
    wearer.assert_true()
    assert {Capability.HEART_RATE, Capability.HRV} <= wearer.memory.capabilities


async def test_a_refusal_is_not_provoked_again() -> None:
    wearer = Wearer("r12")
    wearer.ring.faults.answer_other = {HRV: frame(HRV | 0x80, 0xEE)}
    for _ in range(3):
        await wearer.contact()
        await asyncio.sleep(timedelta(hours=25).total_seconds())
    sent = [p.value[0] for p in wearer.radio.log if p.to_ring and p.value]
    assert sent.count(HRV) == 1
    assert Capability.HRV not in wearer.memory.capabilities


async def test_naps_come_although_one_sleep_answer_was_lost() -> None:
    wearer = Wearer("r12")
    answers: Iterator[Answer] = iter(([],))
    _change(wearer, bytes((0xBC, SLEEP)), lambda answer: next(answers, answer))
    await wearer.contact()
    assert not wearer.sleeps(nap=True)
    assert wearer.sleeps(nap=False)
    await asyncio.sleep(timedelta(hours=2).total_seconds())
    await wearer.contact()
    assert wearer.sleeps(nap=True)
    wearer.assert_true()


async def test_a_link_lost_behind_the_last_answer_takes_no_ability_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wearer = Wearer("r12")
    await wearer.contact()
    assert Capability.SLEEP in wearer.memory.capabilities
    await asyncio.sleep(timedelta(hours=13).total_seconds())
    deliver = Link._deliver

    def lose_behind(link: Link, piece: Notification) -> None:
        deliver(link, piece)
        if piece.value[0] == SET_TIME:
            link.lose()

    monkeypatch.setattr(Link, "_deliver", lose_behind)
    await wearer.contact()
    assert Capability.SLEEP in wearer.memory.capabilities


@pytest.mark.parametrize(
    ("log", "answers"),
    [
        pytest.param(frames.slot_log(Command.HRV_LOG, 3), (2, 3, 4, 1), id="header lost"),
        pytest.param(frames.slot_log(Command.HRV_LOG, 3), (1, 3, 4), id="frame lost"),
    ],
)
def test_a_mixture_of_days_is_no_day(log: Request[frames.Days], answers: Sequence[int]) -> None:
    decoder = log.decode()
    next(decoder)
    decoder.send(frame(HRV, 0, 5, 30))
    for index in answers:
        assert decoder.send(frame(HRV, index, 3, bytes((50,)) * 12)) in (None, "stray")


async def test_sleep_that_ends_in_the_future_is_dropped() -> None:
    wearer = Wearer("r12")
    now = wearer.ring.clock.read().hour * 60
    ends = ((now - 120).to_bytes(2, "little"), (now + 120).to_bytes(2, "little"))
    night = b"".join((bytes((1, 0, 6)), *ends, bytes((2, 240))))
    _say(wearer, SLEEP, night)
    await wearer.contact()
    assert not wearer.sleeps(nap=False)
    assert wearer.dropped["sleep: still to come"] == 1


async def test_days_the_ring_can_not_have_are_dropped() -> None:
    wearer = Wearer("r12")
    hours = bytes((97,)) * 48
    _say(wearer, SPO2, bytes((0,)) + hours + bytes((200,)) + hours)
    await wearer.contact()
    assert wearer.readings(Metric.SPO2)
    assert min(wearer.readings(Metric.SPO2)) > BEGAN - timedelta(days=7)
    assert wearer.dropped["spo2: out of range"] == 1


@pytest.mark.parametrize(("told", "minutes"), [(0, 5), (1, 5), (30, 30), (255, 60)])
async def test_an_interval_no_ring_keeps_to(told: int, minutes: int) -> None:
    wearer = Wearer("r12")
    wearer.ring.heart_rate_interval = told
    await wearer.contact()
    assert wearer.memory.logging[Metric.HEART_RATE] == timedelta(minutes=minutes)


async def test_firmware_text_is_printable() -> None:
    wearer = Wearer("r12")
    read = wearer.ring.read
    wearer.ring.read = lambda uuid: b"\x1b[2J" + read(uuid)[:9] + b"\r\n\0"  # type: ignore[method-assign]
    await wearer.contact()
    assert wearer.memory.info.firmware == "[2JRT11CR_1."


@pytest.mark.parametrize(
    "fault",
    [
        {"ignore": {HEART_RATE_SETTINGS}},
        {"answer_other": {HEART_RATE_SETTINGS: frame(HEART_RATE_SETTINGS | 0x80, 0xEE)}},
    ],
)
async def test_a_setting_the_ring_does_not_answer_for(fault: dict[str, Any]) -> None:
    wearer = Wearer("r12")
    (setting,) = (s for s in ColmiRing.settings if s.key == "heart_rate_interval")
    async with wearer.open() as ring:
        wearer.ring.faults = Faults(**fault)
        with pytest.raises(RingError):
            await ring.change(setting, 10)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(POWER_OFF, id="power off"),
        pytest.param(POWER_OFF[:2], id="power off, short"),
        pytest.param(RESTART[:-1] + b"\x01", id="wrong checksum"),
        pytest.param(RESTART + POWER_OFF, id="two frames"),
        pytest.param(frame(0xFF), id="factory reset"),
        pytest.param(message(0x01, b""), id="update"),
    ],
)
def test_commands_that_must_not_leave(data: bytes) -> None:
    assert not frames.may_send(data)
    assert frames.may_send(RESTART)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(message(0x01, b""), id="update"),
        pytest.param(message(SLEEP, b"") + message(0x01, b""), id="two messages"),
        pytest.param(message(SLEEP, b"\xff")[:-1] + b"\xfe", id="wrong checksum"),
        pytest.param(RESTART, id="a command"),
    ],
)
def test_messages_that_must_not_leave(data: bytes) -> None:
    assert not frames.may_send_big(data)
    assert frames.may_send_big(message(SLEEP, b"\xff"))
