"""An oximeter's nights in Home Assistant: taken once, whole, and told as they were."""

from collections.abc import Iterable
from datetime import datetime, timedelta
import threading
from typing import Any
from unittest.mock import patch

from homeassistant.const import STATE_OFF, STATE_ON, STATE_UNKNOWN
from homeassistant.helpers import entity_registry as er
import pytest

from custom_components.smart_rings.archive import Archive
from custom_components.smart_rings.recording import Report
from custom_components.smart_rings.rings.models import Metric, Recording
from demo.night import FIGURES
from ringsim.rings.oximeter import Oximeter, Request
from ringsim.rings.oxyii import CLOSE
from tests.air import ADVERTISING, Air, key_of, oximeter

MODELS = ("o2ring", "sleepu", "o2ring_s", "o2ring_s_aes", "s8_aw", "shqo2pro")


async def taken(air: Air, ring: Oximeter) -> list[tuple[datetime, float, bytes]]:
    """Return of each recording in the archive its start, its length in seconds, its bytes."""
    return [
        (recording.start, (recording.end - recording.start).total_seconds(), recording.data)
        for recording in await air.archive.recordings(key_of(ring))
    ]


def held(ring: Oximeter) -> list[tuple[datetime, float, bytes]]:
    """Return what `taken` should be."""
    return [
        (recording.start.replace(microsecond=0), recording.duration, ring.content(recording))
        for recording in sorted(ring.files, key=lambda recording: recording.start)
    ]


def last_night(ring: Oximeter) -> dict[str, Any]:
    """Return what there is to know of the ring's last recording."""
    night: dict[str, Any] = ring.truth()["recordings"][-1]
    return night


def events(air: Air, ring: Oximeter, kind: str = "recording_recorded") -> dict[str, dict[str, Any]]:
    """Collect the events of a ring of a kind by their time."""
    found: dict[str, dict[str, Any]] = {}
    entity_id = air.entity_id(ring, "event", "events")

    def changed(event: Any) -> None:
        state = event.data["new_state"]
        if event.data["entity_id"] == entity_id and state:
            told = dict(state.attributes)
            # It is the same event that returns after a start.
            if told.get("event_type") == kind:
                found[state.state] = told

    air.hass.bus.async_listen("state_changed", changed)
    return found


async def wear(air: Air, ring: Oximeter, **time: float) -> None:
    """Wear a ring for some time, and put it on its charger after it has gone to sleep."""
    ring.worn = True
    await air.passes(**time)
    ring.worn = False
    await air.passes(minutes=10)
    ring.charging = True
    await air.passes(minutes=5)


@pytest.mark.parametrize("model", MODELS)
async def test_all_nights_are_taken_once(air: Air, model: str) -> None:
    ring = oximeter(model)
    await air.add(ring)
    await air.passes(minutes=30)
    assert len(held(ring)) == 4
    assert await taken(air, ring) == held(ring)
    assert not ring.abuse
    content = await air.archive.content_hash(key_of(ring))
    await air.passes(hours=2)
    assert await air.archive.content_hash(key_of(ring)) == content


@pytest.mark.parametrize("watched", [True, False])
@pytest.mark.parametrize("model", ["o2ring", "o2ring_s"])
async def test_a_clock_forty_minutes_off(air: Air, model: str, *, watched: bool) -> None:
    """The ring's clock can be read: a recording stands where it was, whoever set it right when."""
    ring = oximeter(model, days=0)
    await air.add(ring)
    if not watched:
        await air.leave(ring)
    ring.clock.jump(timedelta(minutes=40))
    await air.passes(minutes=1)
    await wear(air, ring, minutes=30)
    air.radio.come_back(ring.address)
    await air.passes(minutes=30)
    ((start, length, data),) = await taken(air, ring)
    (recording,) = ring.files
    assert abs(start - recording.start) <= timedelta(seconds=2)
    assert (length, data) == (recording.duration, ring.content(recording))


@pytest.mark.parametrize("model", ["o2ring", "o2ring_s"])
async def test_what_is_shown_of_the_last_night(air: Air, model: str) -> None:
    ring = oximeter(model)
    await air.add(ring)
    await air.passes(minutes=5)
    night = last_night(ring)
    expected = {key: figure(night) for key, figure in FIGURES.items()}
    for key in (*expected, "last_measurement"):
        entity = er.async_get(air.hass).async_get(air.entity_id(ring, "sensor", key) or "")
        assert entity
        if entity.disabled:
            await air.enable(ring, "sensor", key)
    for key, value in expected.items():
        assert float(air.value(ring, key)) == pytest.approx(value), key
    end = datetime.fromisoformat(last_night(ring)["start"]) + timedelta(
        seconds=last_night(ring)["duration"]
    )
    assert air.state(ring, "recording_spo2_min").attributes["measured_at"] == end
    assert datetime.fromisoformat(air.value(ring, "last_measurement")) == end.replace(microsecond=0)
    await air.passes(hours=18)
    assert air.value(ring, "recording_spo2_min") == STATE_UNKNOWN


@pytest.mark.parametrize("model", MODELS)
async def test_a_night_while_home_assistant_watches(air: Air, model: str) -> None:
    ring = oximeter(model, days=0)
    entry = await air.add(ring)
    told = events(air, ring)
    assert not held(ring)
    ring.worn = True
    await air.passes(minutes=20)
    assert air.value(ring, "worn", "binary_sensor") == STATE_ON
    coordinator = entry.runtime_data
    contacts = len(air.contacts(ring))
    for metric in (Metric.SPO2, Metric.HEART_RATE):
        sample = coordinator.sample(metric)
        assert sample is not None, metric
    await air.passes(minutes=50)
    assert len(air.contacts(ring)) > contacts
    assert not await taken(air, ring)

    ring.worn = False
    await air.passes(minutes=10)
    assert len(held(ring)) == 1
    assert await taken(air, ring) == held(ring)
    assert air.value(ring, "worn", "binary_sensor") == STATE_OFF
    assert air.value(ring, "spo2") == STATE_UNKNOWN
    (event,) = told.values()
    (recording,) = ring.files
    assert event["start"] == recording.start.replace(microsecond=0).isoformat()
    assert event["spo2_min"] == FIGURES["recording_spo2_min"](last_night(ring))
    assert event["duration"] == last_night(ring)["duration"] / 60

    await air.restart(entry)
    await air.passes(hours=1)
    assert len(told) == 1


async def test_a_worn_ring_is_not_lost_over_a_restart(air: Air) -> None:
    """Taken off, it is on the air for two minutes only."""
    ring = oximeter("o2ring_s", days=0)
    entry = await air.add(ring)
    ring.worn = True
    await air.passes(minutes=30)
    await air.restart(entry)
    ring.worn = False
    await air.passes(minutes=4)
    assert await taken(air, ring) == held(ring) != []


async def test_a_ring_that_told_all_may_go_to_sleep(air: Air) -> None:
    ring = oximeter("o2ring_s", days=0)
    await air.add(ring)
    ring.worn = True
    await air.passes(minutes=30)
    ring.worn = False
    await air.passes(minutes=10)
    assert await taken(air, ring) == held(ring) != []
    assert not ring.awake
    contacts = len(air.contacts(ring))
    await air.passes(hours=3)
    assert len(air.contacts(ring)) == contacts


async def test_a_moment_on_the_finger_is_not_the_last_night(air: Air) -> None:
    ring = oximeter("o2ring_s")
    await air.add(ring)
    told = events(air, ring)
    shown = air.value(ring, "recording_duration")
    await wear(air, ring, minutes=4)
    assert len(await taken(air, ring)) == 5
    assert air.value(ring, "recording_duration") == shown
    assert not told


@pytest.mark.parametrize("cut", [40, 150, 199])
async def test_nights_over_a_link_that_is_cut_again_and_again(air: Air, cut: int) -> None:
    ring = oximeter("o2ring_s")
    ring.faults.drop_after = cut
    ring.faults.drop_after_each = True
    await air.add(ring)
    await air.passes(seconds=ADVERTISING)
    assert air.state(ring, "events", "event").attributes["event_type"] == "sync_failed"
    failed = events(air, ring, "sync_failed")
    await air.passes(hours=2)
    assert await taken(air, ring) == held(ring)
    assert len(air.contacts(ring)) > 5
    assert not failed, "one trouble is told once"


async def test_a_file_that_can_not_be_kept_is_closed(
    air: Air, caplog: pytest.LogCaptureFixture
) -> None:
    """A ring whose file is left open keeps silent on its files."""
    ring = oximeter("o2ring_s")
    codes: list[int] = []
    answer = ring.answer

    def watched(request: Request) -> Iterable[bytes]:
        codes.append(request.code)
        return answer(request)

    with (
        patch.object(ring, "answer", watched),
        patch.object(Archive, "commit", side_effect=OSError("disk full")),
    ):
        await air.add(ring)
        await air.passes(minutes=2)
    assert "disk full" in caplog.text
    assert codes[-1] == CLOSE
    await air.passes(minutes=30)
    assert await taken(air, ring) == held(ring)


async def test_a_night_read_again_changes_nothing(air: Air) -> None:
    ring = oximeter("o2ring_s")
    entry = await air.add(ring)
    await air.passes(minutes=5)
    told = events(air, ring)
    content = await air.archive.content_hash(key_of(ring))
    await entry.runtime_data.async_reread()
    await air.passes(minutes=5)
    assert await air.archive.content_hash(key_of(ring)) == content
    assert not told


async def test_the_loop_runs_while_a_night_is_worked_out(air: Air) -> None:
    """A night's figures take as long as hundreds of other things: never in the loop."""
    ring = oximeter("o2ring_s")
    threads = set[int]()
    work_out = Report.of

    def watched(recording: Recording) -> Report:
        threads.add(threading.get_ident())
        return work_out(recording)

    with patch.object(Report, "of", watched):
        await air.add(ring)
        await air.passes(minutes=5)
    assert threads
    assert threading.get_ident() not in threads
