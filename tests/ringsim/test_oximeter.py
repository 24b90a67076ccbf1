"""What virtual oximeter rings have in common: when they are heard, and what they keep."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from ringsim.control import Control
from ringsim.radio import Radio
from ringsim.rings import MODELS
from ringsim.rings.base import VirtualRing
from ringsim.rings.oximeter import Oximeter
from ringsim.rings.oxyii import OXYII
from ringsim.rings.recording import summarise
from ringsim.rings.viatom import VIATOM

from .life import Life
from .oximeters import tracks

NOW = datetime(2025, 12, 11, 14, 54, 15, tzinfo=UTC)
ADDRESS = "C1:BB:CC:DD:00:01"
OXIMETERS = (*OXYII, *VIATOM)


def _worn_by_day(model: str, **options: Any) -> Life[Oximeter]:
    options = {"days": 0} | options
    return Life(partial(MODELS[model], address=ADDRESS, **options), NOW)  # type: ignore[arg-type]


@pytest.fixture(params=["o2ring_s", "o2ring"])
def life(request: pytest.FixtureRequest) -> Life[Oximeter]:
    return _worn_by_day(request.param)


def _wear(life: Life[Oximeter], **span: float) -> None:
    life.ring.worn = True
    life.pass_time(**span)
    life.ring.worn = False


def _lengths(life: Life[Oximeter]) -> list[int]:
    return [recording["duration"] for recording in life.ring.truth()["recordings"]]


def test_on_the_charger_it_is_heard_until_it_is_full(life: Life[Oximeter]) -> None:
    life.pass_time(hours=3)
    assert life.ring.awake
    life.ring.battery = 100
    assert not life.ring.awake
    life.ring.charging = False
    assert life.ring.awake
    life.ring.charging = True
    life.pass_time(seconds=119)
    assert life.ring.awake
    life.pass_time(seconds=1)
    assert not life.ring.awake


def test_taken_off_it_goes_off_the_air_until_it_is_put_on(life: Life[Oximeter]) -> None:
    _wear(life, hours=1)
    life.pass_time(seconds=129)
    assert life.ring.awake
    life.pass_time(seconds=1)
    assert not life.ring.awake
    life.ring.worn = True
    life.pass_time(hours=1)
    assert life.ring.awake


def test_each_connection_keeps_it_awake_for_longer(life: Life[Oximeter]) -> None:
    _wear(life, hours=1)
    life.pass_time(seconds=100)
    life.ring.linked()
    life.pass_time(minutes=10)
    assert life.ring.awake
    life.ring.unlinked()
    life.pass_time(seconds=119)
    assert life.ring.awake
    life.pass_time(seconds=1)
    assert not life.ring.awake


def test_put_back_on_in_the_countdown_the_recording_goes_on(life: Life[Oximeter]) -> None:
    _wear(life, minutes=10)
    life.pass_time(seconds=9)
    _wear(life, minutes=10)
    life.pass_time(seconds=10)
    (recording,) = life.ring.truth()["recordings"]
    assert 1219 <= recording["duration"] <= 1220
    per_minute = 60 // recording["interval"]
    gap = recording["spo2"][10 * per_minute + 1 : 10 * per_minute + 17 // recording["interval"]]
    assert set(gap) == {None}
    _wear(life, minutes=5)
    life.pass_time(seconds=10)
    assert len(_lengths(life)) == 2


def test_a_recording_ends_after_ten_hours(life: Life[Oximeter]) -> None:
    _wear(life, hours=12)
    life.pass_time(minutes=5)
    assert _lengths(life) == [36_000]
    _wear(life, hours=1)
    life.pass_time(minutes=5)
    assert len(_lengths(life)) == 2


def test_the_oldest_of_four_goes_when_a_new_one_begins(life: Life[Oximeter]) -> None:
    for minutes in (1, 2, 3, 4):
        _wear(life, minutes=minutes)
        life.pass_time(minutes=1)
    assert [length // 60 for length in _lengths(life)] == [1, 2, 3, 4]
    life.ring.worn = True
    assert [length // 60 for length in _lengths(life)] == [2, 3, 4]
    life.pass_time(minutes=5)
    life.ring.worn = False
    life.pass_time(minutes=1)
    assert [length // 60 for length in _lengths(life)] == [2, 3, 4, 5]


def test_without_power_a_recording_ends_and_none_begins(life: Life[Oximeter]) -> None:
    life.ring.worn = True
    life.pass_time(minutes=10)
    life.ring.powered = False
    life.ring.worn = True
    life.pass_time(minutes=10)
    assert not life.ring.awake
    (recording,) = life.ring.truth()["recordings"]
    assert (recording["final"], recording["duration"]) == (True, 600)
    life.ring.powered = True
    assert life.ring.awake
    assert not life.ring.worn


def test_charging_takes_it_off_the_finger(life: Life[Oximeter]) -> None:
    life.ring.worn = True
    assert not life.ring.charging
    life.pass_time(minutes=10)
    life.ring.charging = True
    life.pass_time(minutes=3)
    assert life.ring.truth()["worn"] is False
    assert _lengths(life)[0] // 10 == 61


@pytest.mark.parametrize("model", OXIMETERS)
def test_at_night_it_is_worn(model: str) -> None:
    midnight = datetime(2025, 12, 12, 1, tzinfo=UTC)
    life = Life(partial(MODELS[model], address=ADDRESS), midnight)
    truth = life.ring.truth()
    assert (truth["worn"], truth["charging"], truth["live"]["spo2"] > 80) == (True, False, True)
    assert len(truth["recordings"]) == 3


@pytest.mark.parametrize("hour", [1, 15])
@pytest.mark.parametrize("model", ["o2ring_s", "o2ring"])
def test_it_can_be_told_whether_it_is_worn(model: str, hour: int) -> None:
    at = datetime(2025, 12, 12, hour, tzinfo=UTC)
    for worn in (True, False):
        life = Life(partial(MODELS[model], address=ADDRESS, worn=worn), at)
        truth = life.ring.truth()
        assert (truth["worn"], truth["charging"]) == (worn, not worn)
        assert len(truth["recordings"]) == (3 if worn else 4)
        last = truth["recordings"][-1]
        assert last["final"]
        assert last["duration"] > 3600
        life.ring.worn = False
        life.pass_time(minutes=3)
        last = life.ring.truth()["recordings"][-1]
        assert datetime.fromisoformat(last["start"]) <= at - timedelta(hours=1)
        assert last["duration"] > 3600


def test_wearers_differ_and_dates_repeat() -> None:
    def nights(at: datetime, **options: Any) -> dict[str, dict[str, Any]]:
        life = Life(partial(MODELS["o2ring_s"], address=ADDRESS, **options), at)
        return {night["name"]: night for night in life.ring.truth()["recordings"]}

    today, tomorrow = nights(NOW), nights(NOW + timedelta(days=1))
    common = today.keys() & tomorrow.keys()
    assert len(common) == 3
    assert all(today[name] == tomorrow[name] for name in common)
    assert nights(NOW, seed=2).keys() != today.keys()


def test_pinned_values_are_told() -> None:
    life = _worn_by_day("o2ring_s")
    life.ring.pinned |= {"spo2": 88, "pulse": 127, "perfusion": 12, "motion": 255}
    assert life.ring.truth()["live"] == {
        "spo2": 88,
        "heart_rate": 127,
        "motion": None,
        "perfusion_index": 1.2,
    }
    life.ring.pinned["spo2"] = 127
    assert life.ring.truth()["live"]["heart_rate"] is None


def test_a_summary_counts_what_was_measured_only() -> None:
    spo2 = [97, 97, 255, 94, 95, 97, 93, 0, 89, 88, 92, 97, 89, 97]
    figures = summarise(tracks(*((value, 60, 0, 0) for value in spo2), (0, 255, 0, 0)), 4)
    assert (figures.average, figures.lowest, figures.pulse) == (94, 88, 60)
    assert (figures.drops_3, figures.drops_4) == (3, 2)
    assert (figures.seconds_below_90, figures.episodes_below_90) == (12, 2)
    assert figures.percent_below_90 == 25
    assert summarise(tracks((255, 255, 0, 0), (0, 0, 0, 0)), 4).average == 0


@pytest.fixture
async def radio() -> AsyncIterator[Radio]:
    air = Radio()
    yield air
    air.stop()


class Ear:
    """Hears addresses."""

    source = "ear"

    def __init__(self) -> None:
        self.heard_from: list[str] = []

    def heard(self, ring: VirtualRing, rssi: int) -> None:  # noqa: ARG002
        self.heard_from.append(ring.address)


async def test_asleep_it_is_not_heard(radio: Radio) -> None:
    ring, ear = _worn_by_day("o2ring_s").ring, Ear()
    radio.add(ring)
    radio.listen(ear)
    radio.advertise(ADDRESS)
    ring.battery = 100
    ring.stays_awake = timedelta()
    ring.charging = True
    radio.advertise(ADDRESS)
    assert ear.heard_from == [ADDRESS]


async def test_it_comes_back_under_another_address(radio: Radio) -> None:
    ring, ear, other = _worn_by_day("o2ring_s").ring, Ear(), "C2:00:00:00:00:07"
    radio.add(ring)
    radio.set_rssi(ADDRESS, "ear", -80)
    serial, name = ring.serial, ring.name
    link = await radio.connect(ADDRESS, "ear")
    Control(radio, []).readdress(ADDRESS, other.lower())
    assert not link.is_connected
    assert radio.rings == {other: ring}
    assert radio.rssi(other, "ear") == -80
    radio.listen(ear)
    radio.advertise(other)
    assert ear.heard_from == [other]
    truth = ring.truth()
    assert (truth["address"], truth["serial"], truth["name"]) == (other, serial, name)
    assert (await radio.connect(other, "ear")).is_connected
