"""Virtual Colmi rings answer as captured rings did, from what they hold."""

import asyncio
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, time, timedelta
from functools import partial
import json
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from ringsim.radio import Radio
from ringsim.rings import MODELS
from ringsim.rings.base import Characteristic, VirtualRing
from ringsim.rings.colmi import (
    COLMI,
    HARMFUL,
    HARMFUL_BIG,
    V1_NOTIFY,
    V1_WRITE,
    V2_NOTIFY,
    V2_WRITE,
    ColmiRing,
    crc16,
    frame,
    message,
)

from .life import Life as OneLife

VECTORS = json.loads(
    (Path(__file__).parents[1] / "rings" / "vectors" / "colmi.json").read_text("utf-8")
)
NOW = datetime(2025, 12, 11, 22, 54, 15, tzinfo=UTC)
ADDRESS = "AA:BB:CC:DD:12:34"


class Life(OneLife[ColmiRing]):
    """A ring, and what can be written to it."""

    def __init__(self, model: str, at: datetime = NOW, **options: Any) -> None:
        super().__init__(partial(ColmiRing, COLMI[model], address=ADDRESS, **options), at)

    def ask(self, request: bytes | str) -> list[bytes]:
        """Write a command or a big-data message and return its answers."""
        data = bytes.fromhex(request) if isinstance(request, str) else request
        big = len(data) != 16
        answers = self.ring.write(V2_WRITE if big else V1_WRITE, data)
        assert {answer.uuid for answer in answers} <= {V2_NOTIFY if big else V1_NOTIFY}
        return [answer.value for answer in answers]

    def command(self, *parts: int | bytes) -> list[bytes]:
        """Write a command of these bytes."""
        return self.ask(frame(*parts))


def empty(model: str, at: datetime = NOW) -> Life:
    life = Life(model, at, days=0)
    life.ring.clear()
    return life


# The request of a vector that came without one.
type Request = bytes | None
type Prepare = Callable[[Life, dict[str, Any]], Request]


def _at(life: Life, days_ago: int, minute: int) -> datetime:
    today = datetime.combine(life.ring.today, time())
    return today + timedelta(days=-days_ago, minutes=minute)


def _set_clock(life: Life, day: str) -> None:
    life.ring.clock.set(datetime.fromisoformat(f"{day}T23:58:00"))


def _nothing(_: Life, __: dict[str, Any]) -> None:
    return None


def _battery(life: Life, wanted: dict[str, Any]) -> None:
    life.ring.charging = wanted["charging"]
    life.ring.battery = wanted["battery_percent"]


def _log_settings(life: Life, wanted: dict[str, Any]) -> Request:
    if wanted["write_ack"]:
        return frame(0x16, 2, 1, 5)
    life.ring.heart_rate_log = wanted["enabled"]
    life.ring.heart_rate_interval = wanted["interval_min"]
    return None


def _toggle(life: Life, wanted: dict[str, Any]) -> None:
    life.ring.enabled[wanted["feature"]] = wanted["enabled"]


def _goals(life: Life, wanted: dict[str, Any]) -> None:
    fields = ("steps", "calories_cal", "distance_m", "sport_min", "sleep_min")
    life.ring.goals = dict(zip(life.ring.goals, (wanted[f] for f in fields), strict=True))


def _activity(life: Life, shown: datetime, counts: dict[str, Any]) -> None:
    life.ring.put("steps", shown, counts["steps"])
    life.ring.put("distance", shown, counts["distance_m"])
    life.ring.put("energy", shown, counts["calories_cal"] / 1000)
    life.ring.put("active", shown, counts.get("duration_min", 0))


def _totals(life: Life, wanted: dict[str, Any]) -> None:
    _activity(life, _at(life, 0, 600), wanted)


def _steps(life: Life, wanted: dict[str, Any]) -> Request:
    for entry in wanted.get("entries", ()):
        _set_clock(life, entry["date"])
        _activity(life, _at(life, 0, entry["start_minute_of_day"]), entry)
    return frame(0x43, 0, 0x0F, 0, 0x5F, 1)


def _heart_rates(life: Life, wanted: dict[str, Any]) -> Request:
    if wanted["no_data"]:
        return frame(0x15, int(NOW.timestamp()).to_bytes(4, "little"))
    _set_clock(life, wanted["date"])
    for reading in wanted["readings"]:
        life.ring.put(
            "heart_rate", _at(life, 0, reading["minute_of_day"]), reading["heart_rate_bpm"]
        )
    return frame(0x15, wanted["echo_timestamp_s"].to_bytes(4, "little"))


def _half_hours(code: int, metric: str, key: str) -> Prepare:
    def prepare(life: Life, wanted: dict[str, Any]) -> Request:
        for reading in wanted.get("readings", ()):
            shown = _at(life, wanted["day_offset"], reading["minute_of_day"])
            life.ring.put(metric, shown, reading[key])
        return frame(code, wanted.get("day_offset", 0))

    return prepare


def _spo2(life: Life, wanted: dict[str, Any]) -> None:
    for day in wanted["days"]:
        for reading in day["readings"]:
            shown = _at(life, day["days_ago"], 60 * reading["hour_of_day"])
            low, high = reading["spo2_low_percent"], reading["spo2_high_percent"]
            life.ring.put("spo2", shown, low, high)


def _sleep(life: Life, wanted: dict[str, Any]) -> None:
    _sessions(life, wanted, nap=False)


def _nap(life: Life, wanted: dict[str, Any]) -> Request:
    _sessions(life, wanted, nap=True)
    return bytes.fromhex("bc2702008180ff01")


def _sessions(life: Life, wanted: dict[str, Any], *, nap: bool) -> None:
    for session in wanted["sessions"]:
        stages = [(stage["stage"], stage["duration_min"]) for stage in session["stages"]]
        shown = _at(life, session["days_ago"], session["start_minute_of_day"])
        life.ring.put_sleep(shown, stages, nap=nap)


def _manual(life: Life, wanted: dict[str, Any]) -> None:
    for reading in wanted["readings"]:
        shown = _at(life, wanted["days_ago"], reading["minute_of_day"])
        life.ring.put("manual", shown, reading["heart_rate_bpm"])


def _temperature(life: Life, wanted: dict[str, Any]) -> Request:
    for day in wanted["days"]:
        for reading in day["readings"]:
            shown = _at(life, day["days_ago"], reading["minute_of_day"])
            life.ring.put("temperature", shown, reading["temperature_celsius"])
    return bytes.fromhex("bc2501003f4206")


PREPARE: dict[str, Prepare] = {
    "set_time_exchange": _nothing,
    "device_support": _nothing,
    "display_settings": _nothing,
    "error": _nothing,
    "message_push": _nothing,
    "hr_log_settings_write": _nothing,
    "toggle_write": _nothing,
    "big_data_empty": _nothing,
    "capabilities": lambda *_: frame(1, bytes.fromhex("25121122541501")),
    "battery": _battery,
    "hr_log_settings": _log_settings,
    "toggle": _toggle,
    "goals": _goals,
    "today_totals": _totals,
    "steps_history": _steps,
    "hr_log": _heart_rates,
    "stress_history": _half_hours(0x37, "stress", "stress"),
    "hrv_history": _half_hours(0x39, "hrv", "hrv_ms"),
    "spo2_history": _spo2,
    "sleep_history": _sleep,
    "nap_history": _nap,
    "manual_hr_history": _manual,
    "temperature_history": _temperature,
}
NOT_COMPUTABLE = {
    "sleep_two_days_synthetic": "its stages don't fill its sessions",
    "spo2_today_first_two_days": "lists today first, unlike any capture",
}
OF_MODEL = {
    "capabilities_r02": "r02",
    "hr_settings_on_60": "r02",
    "hr_settings_off_60": "r02",
    "temperature_single_value": "r09",
}
ANSWERED = [
    vector
    for vector in VECTORS
    if vector["kind"] in PREPARE and vector["response_hex"] and vector["name"] not in NOT_COMPUTABLE
]


@pytest.mark.parametrize("vector", ANSWERED, ids=lambda vector: vector["name"])
def test_vector(vector: dict[str, Any]) -> None:
    life = empty(OF_MODEL.get(vector["name"], "r12"))
    request = PREPARE[vector["kind"]](life, vector["decoded"])
    if vector.get("request_hex"):
        request = bytes.fromhex(vector["request_hex"])
    assert request
    answers = b"".join(life.ask(request)).hex()
    # A nap's vector has no night behind it, a capability's no piece size before.
    wanted = "".join(vector["response_hex"])
    if vector["kind"] == "nap_history":
        assert answers == wanted + "bc270100bf4000"
    elif vector["kind"] == "capabilities":
        assert answers.endswith(wanted)
    else:
        assert answers == wanted


SAID: dict[str, Callable[[ColmiRing], object]] = {
    "battery_notify_21": lambda ring: setattr(ring, "battery", 21),
    "battery_notify_65": lambda ring: setattr(ring, "battery", 65),
    "notify_new_hr": lambda ring: ring.push(0x01),
    "notify_gesture_swipe_up": lambda ring: ring.gesture(1),
    "notify_live_activity_r08": lambda ring: ring.walk(25),
}


@pytest.mark.parametrize("name", SAID)
def test_unasked(name: str) -> None:
    vector = next(v for v in VECTORS if v["name"] == name)
    life = empty("r12")
    SAID[name](life.ring)
    said = life.said[-1]
    if name == "notify_live_activity_r08":
        # Metres per step differ between people.
        assert said[:8].hex() == vector["response_hex"][0][:16]
    else:
        assert said.hex() == vector["response_hex"][0]


@pytest.mark.parametrize(
    "request_",
    [
        "03000000000000000000000000000004",
        "0300000000000000000000000003",
        "",
        "bc2a0100ff01ff",
        "bc2a0200ff00ff",
        frame(1, 0x26, 0x13, 0x11).hex(),
    ],
)
def test_malformed_requests_get_no_answer(request_: str) -> None:
    life = Life("r12")
    shown = life.ring.clock.read()
    assert life.ring.write(V1_WRITE, bytes.fromhex(request_)) == []
    assert life.ring.write(V2_WRITE, bytes.fromhex(request_)) == []
    assert life.ring.malformed
    assert life.ring.clock.read() == shown


def _harmful() -> Iterable[bytes]:
    yield from (frame(code) for code in HARMFUL)
    yield from (frame(0x08, 1), frame(0xFF, 0x66, 0x66))
    yield from (message(kind, b"") for kind in HARMFUL_BIG)


@pytest.mark.parametrize("request_", _harmful(), ids=bytes.hex)
@pytest.mark.parametrize("model", ["r02", "r12"])
def test_harmful_requests_are_kept_and_ignored(model: str, request_: bytes) -> None:
    life = Life(model)
    before = life.ring.truth()
    assert life.ask(request_) == []
    assert life.ring.truth() == before | {"abuse": [request_.hex()]}


def test_every_command_is_answered_refused_or_passed_over() -> None:
    for model in COLMI:
        life = Life(model)
        for code in set(range(256)) - HARMFUL - {0x08}:
            for answer in life.command(code):
                assert len(answer) == 16
                assert answer[15] == sum(answer[:15]) % 256
                assert answer[0] & 0x7F == code & 0x7F or answer[0] == 0x2F or code == 0x6A


@pytest.mark.parametrize(
    ("model", "code", "answers"),
    [
        ("r02", 0x38, ["b8ee"]),
        ("r02", 0x3A, ["baee"]),
        ("r02", 0x3C, ["bcee"]),
        ("r02", 0x39, []),
        ("r02", 0x44, ["44ff"]),
        ("r10", 0x1E, ["9eee"]),
        ("r12", 0x44, ["c4ee"]),
        ("r12", 0x72, []),
        ("r08", 0x50, []),
    ],
)
def test_models_differ_in_what_they_refuse(model: str, code: int, answers: list[str]) -> None:
    assert [a.hex()[:4] for a in Life(model).command(code, 1)] == answers


def test_clock_is_naive_and_deaf_to_daylight_saving() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    life = Life("r12", datetime(2026, 3, 28, 12, tzinfo=UTC), zone=berlin)
    life.command(1, bytes.fromhex("26032813000001"))
    assert life.ring.clock.read().isoformat() == "2026-03-28T13:00:00"
    life.pass_time(days=1)
    assert life.ring.clock.read().isoformat() == "2026-03-29T13:00:00"
    assert life.time.astimezone(berlin).hour == 14


def _decoded_day(frames: list[bytes]) -> dict[int, int]:
    """Minute of day → heart rate, as section 8.1 of the reference lays out a day."""
    values = frames[1][6:15] + b"".join(f[2:15] for f in frames[2:])
    return {5 * n: value for n, value in enumerate(values) if value}


def test_a_changed_reading_changes_the_answer_and_the_truth() -> None:
    life = Life("r12", seed=3)
    shown, reading = max(life.ring.store["heart_rate"].items())
    reading.value = 123
    answer = life.command(0x15, int(NOW.timestamp()).to_bytes(4, "little"))
    assert _decoded_day(answer)[shown.hour * 60 + shown.minute] == 123
    assert life.ring.truth()["heart_rate"] == {"value": 123, "at": reading.start.isoformat()}


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Asia/Kathmandu", "America/St_Johns"])
def test_heart_rates_of_all_days_are_the_truth(zone: str) -> None:
    at = datetime(2026, 11, 4, 17, 20, tzinfo=UTC)
    life = Life("r12", at, zone=ZoneInfo(zone))
    told = {}
    for ago in range(7):
        day = life.ring.today - timedelta(days=ago)
        midnight = datetime.combine(day, time(), UTC)
        frames = life.command(0x15, int(midnight.timestamp()).to_bytes(4, "little"))
        for minute, value in _decoded_day(frames).items():
            local = (midnight + timedelta(minutes=minute)).replace(tzinfo=ZoneInfo(zone))
            told[local.astimezone(UTC).isoformat()] = value
    readings = life.ring.truth()["readings"]["heart_rate"]
    repeated = 12 if zone == "America/St_Johns" else 0
    right = [r for r in readings if told.get(r["start"]) == r["value"]]
    assert len(readings) > 1800
    assert len(readings) - len(right) <= repeated


def test_history_is_seven_days_of_the_rings_clock() -> None:
    life = Life("r12")
    assert len(life.command(0x37, 6)) == 5
    assert life.command(0x37, 7) == [frame(0x37, 0xFF)]
    life.ring.clock.jump(timedelta(days=1))
    assert life.command(0x37, 0) == [frame(0x37, 0xFF)]
    assert len(life.command(0x37, 1)) == 5


def test_totals_are_the_sum_of_the_buckets_and_empty_on_the_r02() -> None:
    life, old = Life("r12", seed=5), Life("r02", seed=5)
    buckets = life.command(0x43, 0, 0x0F, 0, 0x5F, 1)[1:]
    steps = sum(int.from_bytes(b[9:11], "little") for b in buckets)
    energy = sum(int.from_bytes(b[7:9], "little") for b in buckets)
    totals = life.command(0x48)[0]
    assert steps == int.from_bytes(totals[1:4], "big") == life.ring.truth()["today"]["steps"] > 0
    assert energy * 10 == int.from_bytes(totals[7:10], "big")
    assert old.command(0x48) == [frame(0x48)]
    assert old.ring.truth()["today"]["steps"] == steps


@pytest.mark.parametrize(
    ("model", "heard"),
    [("r02", ["ff", ""]), ("r09", ["ff01", "ff", ""]), ("r10", ["ff01"]), ("r12", ["ff01", "ff"])],
)
def test_forms_of_the_sleep_request(model: str, heard: list[str]) -> None:
    life = Life(model)
    forms = ("ff01", "ff", "")
    assert [f for f in forms if life.ask(message(0x27, bytes.fromhex(f)))] == heard


def test_naps_come_before_nights() -> None:
    kinds = [a[1] for a in Life("r12").ask(message(0x27, b"\xff\x01")) if a[0] == 0xBC]
    assert kinds == [0x3E, 0x27]


def test_a_night_is_final_some_time_after_it_ended() -> None:
    night = datetime(2025, 12, 11, 23, tzinfo=UTC)
    life = empty("r12", datetime(2025, 12, 12, 7, 5, tzinfo=UTC))
    life.ring.put_sleep(
        night.replace(tzinfo=None), [("light", 160), ("deep", 160), ("rem", 160)], nap=False
    )
    first = life.ring.truth()["last_night"]
    assert (first["final"], first["minutes"]) == (False, {"light": 160, "deep": 160})
    short = life.ask(message(0x27, b"\xff\x01"))
    life.pass_time(minutes=20)
    last = life.ring.truth()["last_night"]
    assert (last["final"], last["end"]) == (True, "2025-12-12T07:00:00+00:00")
    assert len(b"".join(life.ask(message(0x27, b"\xff\x01")))) == len(b"".join(short)) + 2


def test_it_records_on_by_its_settings_and_tells_so() -> None:
    life = Life("r12", NOW, ahead=timedelta(days=1))
    life.ring.linked()
    before = len(life.ring.truth()["readings"]["heart_rate"])
    assert frame(0x73, 1) in life.pass_time(minutes=20)
    assert len(life.ring.truth()["readings"]["heart_rate"]) == before + 4
    life.command(0x16, 2, 2, 5)
    life.pass_time(minutes=20)
    assert len(life.ring.truth()["readings"]["heart_rate"]) == before + 4


@pytest.mark.parametrize("state", [{"powered": False}, {"charging": True}, {"worn": False}])
def test_it_records_nothing_while_off_docked_or_not_worn(state: dict[str, bool]) -> None:
    life = Life("r12", NOW, ahead=timedelta(days=4))
    (attribute, value), *_ = state.items()
    setattr(life.ring, attribute, value)
    life.pass_time(days=3)
    setattr(life.ring, attribute, not value)
    life.pass_time(hours=1)
    starts = [r["start"] for r in life.ring.truth()["readings"]["heart_rate"]]
    gap = {s for s in starts if NOW.isoformat() < s < (NOW + timedelta(days=3)).isoformat()}
    assert not gap
    assert starts[-1] > (NOW + timedelta(days=3)).isoformat()


def _spot(life: Life, kind: int, seconds: float) -> list[bytes]:
    return life.command(0x69, kind, 0) + life.pass_time(seconds=seconds)


def test_spot_heart_rate_warms_up_and_falls_silent_on_the_r02() -> None:
    life = Life("r02")
    life.ring.live["heart_rate"] = 78
    frames = _spot(life, 1, 60)
    values = [f[3] for f in frames]
    assert values[:52] == [0] * 52
    assert values[52:] == [78] * 10
    assert frames[-1].hex() == "6901004e0000000000000000000000b8"


def test_spot_goes_on_until_stopped_and_one_more_frame_comes() -> None:
    life = Life("r12")
    life.ring.live["heart_rate"] = 88
    assert len(_spot(life, 1, 60)) == 121
    stopped = life.command(0x6A, 1, 0)
    assert stopped[0].hex() == "6a0158000000000000000000000000c3"
    assert [f[0] for f in stopped] == [0x6A, 0x69]
    assert life.pass_time(seconds=10) == []
    assert life.command(0x6A, 1, 0) == []
    minute = (22 * 60 + 55).to_bytes(2, "little")
    assert life.ask(message(0x28, b"\0")) == [message(0x28, b"\0" + minute + b"\x58")]


@pytest.mark.parametrize(("kind", "metric", "told"), [(3, "spo2", 97), (8, "stress", 0)])
def test_stop_tells_only_some_last_values(kind: int, metric: str, told: int) -> None:
    life = Life("r12")
    assert _spot(life, kind, 30)[-1][3] == life.ring.live[metric]
    assert life.command(0x6A, kind)[0][2] == told


def test_hrv_comes_once_after_a_minute() -> None:
    values = [f[3] for f in _spot(Life("r12"), 0x0A, 90)]
    assert [(n, v) for n, v in enumerate(values) if v] == [(122, 48)]


def test_a_ring_that_is_not_worn_says_so() -> None:
    life = Life("r12")
    life.ring.worn = False
    errors = [f[2] for f in _spot(life, 1, 10)]
    assert errors == [1] * 4 + [2] * 17


def test_other_answers_come_within_a_measurement() -> None:
    life = Life("r12")
    _spot(life, 3, 1)
    assert life.command(0x48)[0][0] == 0x48
    assert [f[0] for f in life.pass_time(seconds=1)] == [0x69, 0x69]


def test_a_lost_link_ends_a_measurement() -> None:
    life = Life("r12")
    _spot(life, 1, 1)
    life.ring.unlinked()
    assert life.pass_time(seconds=5) == []


def test_settings_are_kept() -> None:
    life = Life("r09")
    life.command(0x16, 2, 2, 30)
    life.command(0x2C, 2, 0)
    life.command(0x3A, bytes.fromhex("030200"))
    life.command(0x21, bytes.fromhex("02e02e00400d03a00f001e00e001"))
    assert life.command(0x16, 1)[0].hex().startswith("1601021e05")
    assert life.command(0x2C, 1) == [frame(0x2C, 1, 0)]
    assert life.command(0x3A, 3, 1) == [frame(0x3A, 3, 1, 0)]
    assert life.command(0x21, 1)[0][1:15].hex() == "01e02e00400d03a00f001e00e001"
    assert life.ring.truth()["goals"]["steps"] == 12_000


def test_temperature_needs_the_whole_record() -> None:
    life = Life("r09")
    life.command(0x3A, bytes.fromhex("030201"))
    assert not life.ring.truth()["settings"]["temperature"]
    life.command(0x3A, bytes.fromhex("0302011e050a00b9"))
    assert life.ring.truth()["settings"]["temperature"]


def test_finding_blinks() -> None:
    life = Life("r12")
    assert life.ask("5055aa0000000000000000000000004f")[0].hex()[:6] == "5055aa"
    assert life.ring.truth()["found"] == 1


def test_names_and_firmware_are_those_of_the_product() -> None:
    names = {key: ring.name for key, ring in _all().items()}
    assert names["r02"] == "R02_1234"
    assert names["r12"] == "COLMI R12_1234"
    assert b"COLMI R10_1234" in _all()["r10"].scan_response
    assert b"COLMI R10_1234" not in _all()["r10"].advertisement


def _all() -> dict[str, VirtualRing]:
    return {key: MODELS[key](address=ADDRESS, days=0) for key in COLMI}


def test_wearers_differ_and_dates_repeat() -> None:
    truths = [Life("r12", at, seed=1).ring.truth() for at in (NOW, NOW + timedelta(days=1))]
    shared = [{r["start"]: r["value"] for r in truth["readings"]["heart_rate"]} for truth in truths]
    assert len(common := shared[0].keys() & shared[1].keys()) > 1500
    assert all(shared[0][start] == shared[1][start] for start in common)
    other = Life("r12", seed=2).ring.truth()
    assert other["readings"] != truths[0]["readings"]


def test_crc_is_modbus() -> None:
    assert crc16(b"123456789") == 0x4B37


async def test_big_data_comes_in_pieces_of_the_mtu() -> None:
    radio = Radio()
    radio.add(MODELS["r02"](address=ADDRESS))
    link = await radio.connect(ADDRESS, "test")
    pieces: list[bytes] = []
    complete = asyncio.Event()

    def take(_: Characteristic, value: bytes) -> None:
        pieces.append(value)
        if len(b"".join(pieces)) == 6 + 7 * 49:
            complete.set()

    link.on_notification = take
    await link.subscribe(V2_NOTIFY)
    await link.write(V2_WRITE, message(0x2A, b"\xff"), response=False)
    await complete.wait()
    assert max(map(len, pieces)) == 20
    assert b"".join(pieces)[:4].hex() == "bc2a5701"
    radio.stop()


async def test_restart_drops_the_link_and_keeps_what_is_stored() -> None:
    radio = Radio()
    ring = MODELS["r12"](address=ADDRESS)
    radio.add(ring)
    link = await radio.connect(ADDRESS, "test")
    before = ring.truth()
    await link.write(V1_WRITE, frame(0x08), response=True)
    assert not link.is_connected
    assert ring.truth() == before | {"reboots": 1}
    radio.stop()
