"""Virtual O2Ring S rings and relatives answer as captured ones did."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import sha256
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from ringsim.radio import Radio
from ringsim.rings.base import Characteristic
from ringsim.rings.oximeter import LEGACY_WRITE, crc8, frame
from ringsim.rings.oxyii import (
    ANSWER,
    COMMAND,
    HARMFUL,
    KEY_CUT_SHORT,
    OXYII,
    Model,
    OxyiiRing,
    decrypt,
    encrypt,
)
from ringsim.rings.recording import Figures, Recording, Tracks

from .life import Life as OneLife
from .oximeters import tracks, vectors

VECTORS = vectors("oxyii")
NOW = datetime(2025, 12, 11, 14, 54, 15, tzinfo=UTC)
ADDRESS = "C1:BB:CC:DD:05:41"
SESSION_KEY = bytes.fromhex("00112233445566778899aabbccddeeff")
AUTH = VECTORS["auth_bit_shift_serial_prefix"]["request_hex"]
CONFIG, SET_CONFIG, LIVE, LIVE_WAVE, PUSH, VIBRATE, SET_TIME = 0, 1, 2, 4, 0x10, 0x83, 0xC0
INFO, BATTERY, LIST, OPEN, READ, CLOSE = 0xE1, 0xE4, 0xF1, 0xF2, 0xF3, 0xF4
TRAILER = 48


class Life(OneLife[OxyiiRing]):
    """A ring, and what can be written to it."""

    def __init__(self, model: str | Model = "o2ring_s", at: datetime = NOW, **options: Any) -> None:
        chosen = OXYII[model] if isinstance(model, str) else model
        super().__init__(partial(OxyiiRing, chosen, address=ADDRESS, **options), at)

    def ask(self, request: bytes | str) -> str:
        """Write a frame; return all that is answered."""
        data = bytes.fromhex(request) if isinstance(request, str) else request
        answers = self.ring.write(COMMAND, data)
        assert {answer.uuid for answer in answers} <= {ANSWER}
        return b"".join(answer.value for answer in answers).hex()

    def answer(self, code: int, payload: bytes = b"") -> tuple[int, bytes] | None:
        """Return flag and payload of an answer."""
        if not (answer := bytes.fromhex(self.ask(frame(0xA5, code, b"\0\x2a", payload)))):
            return None
        assert (answer[:3], answer[4]) == (bytes((0xA5, code, code ^ 0xFF)), 0x2A)
        assert len(answer) == 8 + int.from_bytes(answer[5:7], "little")
        assert crc8(answer[:-1]) == answer[-1]
        return answer[3], answer[7:-1]

    def command(self, code: int, payload: bytes = b"") -> bytes:
        """Return the payload of a good answer."""
        answer = self.answer(code, payload)
        assert answer
        assert answer[0] == 1
        return answer[1]

    def connect(self) -> None:
        """Begin anew, up to where files may be asked for."""
        self.ring.unlinked()
        self.ring.linked()
        self.ask(AUTH)
        assert self.command(PUSH, b"\0") == b""

    def names(self) -> list[str]:
        listed = self.command(LIST)
        assert len(listed) == 1 + 16 * listed[0]
        return [listed[at : at + 16].rstrip(b"\0").decode() for at in range(1, len(listed), 16)]

    def open(self, name: str) -> int:
        return int.from_bytes(self.command(OPEN, _opening(name)), "little")

    def piece(self, at: int) -> bytes:
        return self.command(READ, at.to_bytes(4, "little"))

    def download(self, name: str) -> bytes:
        size, content = self.open(name), b""
        while len(content) < size:
            content += self.piece(len(content))
        assert self.piece(size) == b""
        assert self.command(CLOSE) == b""
        return content


def _opening(name: str) -> bytes:
    return name.encode().ljust(20, b"\0")


def empty(model: str | Model = "o2ring_s", at: datetime = NOW, **options: Any) -> Life:
    life = Life(model, at, days=0, **options)
    life.ring.clear()
    return life


def _put(life: Life, name: str) -> Recording:
    shown = datetime.strptime(name, "%Y%m%d%H%M%S")  # noqa: DTZ007
    return life.ring.put(shown, tracks((97, 60, 0, 0), (96, 61, 5, 0)))


def _taken_off(model: str | Model = "o2ring_s", **options: Any) -> Life:
    """Return a ring that was worn for ten minutes and whose countdown is just over."""
    life = empty(model, **options)
    life.ring.worn = True
    life.pass_time(minutes=10)
    life.ring.worn = False
    life.pass_time(seconds=10)
    life.connect()
    return life


def _info(_: dict[str, Any]) -> Life:
    life = empty()
    life.ring.serial = "2632300541"
    life.ring.clock.set(datetime(2026, 9, 28, 22, 15, 7))  # noqa: DTZ001
    return life


def _battery(wanted: dict[str, Any]) -> Life:
    life = empty()
    life.ring.charging, life.ring.battery = True, wanted["battery_pct"]
    return life


def _config(_: dict[str, Any]) -> Life:
    life = empty(zone=ZoneInfo("Africa/Cairo"))
    life.command(SET_CONFIG, b"\x0a\0\0\0\x04\0\0\0")
    return life


def _list(wanted: dict[str, Any]) -> Life:
    life = empty()
    for name in wanted["file_list"]:
        _put(life, name)
    return life


def _live(wanted: dict[str, Any]) -> Life:
    life = empty()
    life.ring.worn = True
    life.pass_time(seconds=wanted["duration_s"])
    life.ring.pinned |= {
        "spo2": wanted["spo2_pct"],
        "pulse": wanted["heart_rate_bpm"],
        "perfusion": round(10 * wanted["perfusion_index_pct"]),
        "motion": wanted["motion_raw"],
        "flags": wanted.get("flag_raw", 0),
    }
    life.ring.battery, life.ring.wave = wanted["battery_pct"], bytes(wanted["wave"])
    return life


def _live_on_charger(wanted: dict[str, Any]) -> Life:
    """A charging ring on a finger, which no real one is."""
    life = _live(wanted)
    life.ring.charging = True
    life.ring.pinned |= {"run": wanted["run_status_raw"], "sensor": wanted["sensor_state_raw"]}
    return life


def _any(_: dict[str, Any]) -> Life:
    return empty()


ANSWERED: dict[str, Callable[[dict[str, Any]], Life]] = {
    "get_info_o2ring_s": _info,
    "battery_charging": _battery,
    "config_khromov": _config,
    "file_list_two": _list,
    "file_list_empty": _list,
    "rt_data_worn_real": _live,
    "rt_data_charging_with_wave_marker": _live_on_charger,
    "error_flag_format": _any,
}


@pytest.mark.parametrize("name", ANSWERED)
def test_answers(name: str) -> None:
    vector = VECTORS[name]
    life = ANSWERED[name](vector["decoded"])
    assert life.ask(vector["request_hex"]) == "".join(vector["response_hex"])
    assert life.ring.malformed == []


TAKEN = {
    "request_get_info": "a5e11e0100",
    "request_get_info_seq_1": "a5e11e0101",
    "request_get_battery": "a5e41b0100",
    "request_get_config": "a500ff0100",
    "request_file_list": "a5f10e0100",
    "request_auto_rt_off": "a510ef0100",
    "request_rt_data": "a504fb0100",
    "request_read_end": "a5f40b0100",
}
"""Requests without more to them → how the good answer begins."""


@pytest.mark.parametrize("name", TAKEN)
def test_requests_are_taken(name: str) -> None:
    assert empty().ask(VECTORS[name]["request_hex"]).startswith(TAKEN[name])


@pytest.mark.parametrize("name", ["request_set_utc_time_plus_2h", "request_set_time_without_zone"])
def test_written_time_is_what_the_clock_shows(name: str) -> None:
    life = empty()
    life.ask(VECTORS[name]["request_hex"])
    shown = datetime.fromisoformat(VECTORS[name]["decoded"]["time_local"])
    assert life.ring.clock.read() == shown
    assert life.command(INFO)[24:31] == bytes((0xEA, 0x07, 9, 28, 22, 15, 7))
    assert life.command(CONFIG)[9] == 10 * VECTORS[name]["decoded"].get("utc_offset_h", 0)


@pytest.mark.parametrize("name", ["set_config_spo2_low_90", "set_config_motor_60"])
def test_settings_requests_move_their_byte_only(name: str) -> None:
    life = empty()
    before = life.command(CONFIG)
    life.ask(VECTORS[name]["request_hex"])
    moved = {at: new for at, new in enumerate(life.command(CONFIG)) if new != before[at]}
    assert moved == ({1: 90} if "spo2" in name else {4: 60})


def test_file_requests_read_a_file() -> None:
    life = empty()
    recording = _put(life, VECTORS["request_read_file_start"]["decoded"]["file_name"])
    content = life.ring.content(recording)
    requests = ("request_read_file_start", "request_read_file_data_offset_2048")
    start, data = (VECTORS[name]["request_hex"] for name in requests)
    life.connect()
    assert life.ask(start) == frame(0xA5, OPEN, b"\1\0", len(content).to_bytes(4, "little")).hex()
    assert life.ask(data) == frame(0xA5, READ, b"\1\0").hex()
    recording.tracks = tracks(*[(95, 50, 1, 0)] * 700)
    life.command(CLOSE)
    life.ask(start)
    content = life.ring.content(recording)
    assert life.ask(data) == frame(0xA5, READ, b"\1\0", content[2048:]).hex()


def _figures(wanted: dict[str, Any]) -> Figures:
    return Figures(
        asleep=wanted.get("asleep_raw", 0),
        average=wanted["avg_spo2_pct"],
        lowest=wanted["min_spo2_pct"],
        drops_3=wanted["drops_ge3_count"],
        drops_4=wanted["drops_ge4_count"],
        percent_below_90=wanted.get("pct_time_below90", 0),
        seconds_below_90=wanted["time_below90_s"],
        episodes_below_90=wanted["events_below90_count"],
        score=round(wanted["o2_score"] * 10),
        pulse=wanted["avg_heart_rate_bpm"],
    )


def _rows(records: Iterable[dict[str, Any]]) -> Tracks:
    return tracks(
        *(
            (
                record["spo2_pct"] or 0xFF,
                record["heart_rate_bpm"] or 0xFF,
                record["motion_raw"],
                0x80 * record["spo2_alarm"] | 0x40 * record["hr_alarm"],
            )
            for record in records
        )
    )


def test_whole_file() -> None:
    vector = VECTORS["format_a_four_samples"]
    wanted = vector["decoded"]
    life = empty()
    recording = life.ring.put(
        datetime.fromisoformat(wanted["start_local"]),
        _rows(wanted["records"]),
        figures=_figures(wanted),
        interval=wanted["interval_s"],
    )
    assert life.ring.content(recording).hex() == vector["response_hex"][0]


def test_unfinished_file() -> None:
    vector = VECTORS["format_a_unfinalised"]
    life = empty()
    life.ring.unwritten = None
    recording = life.ring.put(
        datetime(2026, 9, 27),  # noqa: DTZ001
        _rows(vector["decoded"]["records"]),
    )
    recording.final = NOW + timedelta(minutes=1)
    assert life.ring.written(recording).hex() == vector["response_hex"][0]


def test_trailer_of_a_long_night() -> None:
    vector = VECTORS["format_a_trailer_long_night"]
    wanted = vector["decoded"]
    rows = tracks(*[(96, 50, 0, 0)] * wanted["sample_count"])
    recording = empty().ring.put(datetime(2026, 9, 27), rows, figures=_figures(wanted))  # noqa: DTZ001
    content = empty().ring.content(recording)
    trailer, known = content[-TRAILER:].hex(), vector["response_hex"][0]
    assert len(content) == wanted["file_bytes"]
    # Sum, start and the form of the samples are zero in the vector.
    assert trailer[8:16] + trailer[24:32] + trailer[64:] == known[8:16] + known[24:32] + known[64:]


@pytest.mark.parametrize(
    "name", ["auth_u32_le", "auth_bit_shift_serial_prefix", "auth_bit_shift_default_serial"]
)
@pytest.mark.parametrize("model", ["shqo2pro", "o2ring_s_aes"])
def test_both_packings_of_the_time_authenticate(model: str, name: str) -> None:
    life = empty(model)
    life.ring.linked()
    assert (life.answer(INFO) is None) is (model == "shqo2pro")
    assert bool(life.ask(VECTORS[name]["request_hex"])) is (model == "o2ring_s_aes")
    assert len(life.command(INFO)) == (60 if model == "shqo2pro" else 64)


def test_another_authentication_is_passed_over() -> None:
    life = empty("o2ring_s_aes")
    assert life.ask(frame(0xA5, 0xFF, bytes(2), bytes(16))) == ""
    assert life.ask(frame(0xA5, 0xFF, bytes(2), bytes(15))) == ""
    assert len(life.command(INFO)) == 60


def _secret(model: str | Model = "o2ring_s_aes", **options: Any) -> Life:
    life = empty(model, **options)
    life.ring.session_key = SESSION_KEY
    return life


def test_a_key_is_handed_out_and_used() -> None:
    life = _secret()
    plain = life.command(BATTERY)
    assert life.ask(AUTH) == VECTORS["auth_reply_with_session_key"]["response_hex"][0]
    pushes = VECTORS["aes_auto_rt_off_request"]
    assert life.ask(pushes["request_hex"]) == "a510ef01010000" + _crc("a510ef01010000")
    assert life.command(BATTERY) == encrypt(SESSION_KEY, plain) != plain
    assert encrypt(SESSION_KEY, b"\0").hex() == pushes["decoded"]["ciphertext_payload_hex"]
    life.ring.unlinked()
    life.ring.linked()
    assert life.command(BATTERY) == plain


def _crc(text: str) -> str:
    return f"{crc8(bytes.fromhex(text)):02x}"


def test_a_key_cut_short_changes_nothing() -> None:
    life = _secret(replace(OXYII["o2ring_s_aes"], auth_answer=KEY_CUT_SHORT))
    assert life.ask(AUTH) == VECTORS["auth_reply_16_bytes_is_not_a_key"]["response_hex"][0]
    assert len(life.command(INFO)) == 60


def test_each_session_has_its_own_key() -> None:
    life = empty("o2ring_s_aes")
    assert len({life.ask(AUTH), life.ask(AUTH)}) == 2


def test_a_plain_setting_is_acknowledged_and_lost_in_a_session_with_a_key() -> None:
    life = _secret()
    request = b"\x02\0\0\0\x5a\0\0\0"
    life.ask(AUTH)
    assert life.command(SET_CONFIG, request) == b""
    assert life.ring.truth()["settings"]["spo2_low"] == 88
    assert life.command(SET_CONFIG, encrypt(SESSION_KEY, request)) == b""
    assert life.ring.truth()["settings"]["spo2_low"] == 90
    assert life.answer(OPEN, _opening("20260928221507")) == (0xF3, b"")


def test_empty_requests_may_have_to_be_encrypted() -> None:
    life = _secret()
    life.ring.wants_padded = True
    life.ask(AUTH)
    assert life.answer(INFO) == (0xF3, b"")
    padded = life.command(INFO, encrypt(SESSION_KEY, b""))
    assert decrypt(SESSION_KEY, padded)[38:48].decode() == life.ring.serial


@pytest.mark.parametrize("pads", [True, False])
def test_files_come_encrypted(*, pads: bool) -> None:
    life = Life("o2ring_s_aes", days=1)
    life.ring.session_key, life.ring.pads_nothing = SESSION_KEY, pads
    life.ring.linked()
    life.ask(AUTH)
    life.command(PUSH, encrypt(SESSION_KEY, b"\0"))
    (recording,) = life.ring.files
    opened = life.command(OPEN, encrypt(SESSION_KEY, _opening(recording.name)))
    size, content = int.from_bytes(decrypt(SESSION_KEY, opened), "little"), b""
    while piece := life.command(READ, encrypt(SESSION_KEY, len(content).to_bytes(4, "little"))):
        if not (plain := decrypt(SESSION_KEY, piece)):
            break
        content += plain
    assert content == life.ring.content(recording)
    assert len(content) == size
    assert bool(piece) is pads


def test_advertised_name_is_that_of_the_product() -> None:
    names = {model: empty(model).ring for model in OXYII}
    for model, vector in (("o2ring_s", "name_o2ring_s_0541"), ("shqo2pro", "name_shqo2pro")):
        assert names[model].name == VECTORS[vector]["decoded"]["local_name"]
        assert bytes.fromhex("04ff4ef300") in names[model].advertisement
    assert names["s8_aw"].name == "S8-AW 0541"
    assert b"\x0d\x18" in names["shqo2pro"].advertisement
    assert b"\x0d\x18" not in names["o2ring_s"].advertisement
    assert names["o2ring_2026"].name == names["o2ring_untold"].name == "O2Ring 0541"
    assert bytes.fromhex("06ff4ef3001020") in names["o2ring_2026"].advertisement


def test_no_vector_is_left_out() -> None:
    elsewhere = {
        "request_set_utc_time_plus_2h",
        "request_set_time_without_zone",
        "set_config_spo2_low_90",
        "set_config_motor_60",
        "request_read_file_start",
        "request_read_file_data_offset_2048",
        "format_a_four_samples",
        "format_a_unfinalised",
        "format_a_trailer_long_night",
        "aes_auto_rt_off_request",
        "name_o2ring_s_0541",
        "name_s8_aw_2100",
        "name_shqo2pro",
        "crc8_fixture",
    } | {name for name, vector in VECTORS.items() if vector["kind"] == "auth"}
    no_ring_says_so = {
        "resync_past_garbage_and_bad_crc": "what the air does to an answer",
        "resync_absurd_length": "what the air does to an answer",
        "file_data_512_in_244_byte_notifications": "its content is no recording",
        "rt_ppg_signed_channels": "optical channels have no use here",
        "rt_ppg_two_trailing_bytes": "optical channels have no use here",
        "name_t8520_e85a": "told of by one source only",
        "name_o2rmed_s_0001": "another product",
    }
    assert VECTORS.keys() == (ANSWERED.keys() | TAKEN.keys() | elsewhere | no_ring_says_so.keys())


def test_crc() -> None:
    vector = VECTORS["crc8_fixture"]
    assert _crc(vector["response_hex"][0]) == vector["decoded"]["crc8_hex"]


async def test_pieces_of_files_come_in_notifications_of_the_mtu() -> None:
    ring = Life(days=1).ring
    radio = Radio()
    radio.add(ring)
    link = await radio.connect(ADDRESS, "test")
    sizes: list[int] = []
    complete = asyncio.Event()

    def take(_: Characteristic, value: bytes) -> None:
        sizes.append(len(value))
        if sum(sizes) >= 8 + 12 + 520:
            complete.set()

    link.on_notification = take
    await link.subscribe(ANSWER)
    (recording,) = ring.files
    requests = ((PUSH, b"\0"), (OPEN, _opening(recording.name)), (READ, bytes(4)))
    for code, payload in requests:
        await link.write(COMMAND, frame(0xA5, code, bytes(2), payload), response=False)
    await complete.wait()
    assert sizes == [8, 12, 244, 244, 32]
    radio.stop()


@pytest.mark.parametrize("model", OXYII)
def test_a_night_is_as_the_truth_says(model: str) -> None:
    life = Life(replace(OXYII[model], auth_answer=0, chunks_per_link=None), seed=4)
    life.connect()
    truth = life.ring.truth()["recordings"]
    assert sorted(life.names()) == [r["name"] for r in truth]
    assert len(truth) == 4
    content = life.download(truth[-1]["name"])
    assert (len(content), sha256(content).hexdigest()) == (truth[-1]["size"], truth[-1]["sha256"])
    samples, trailer = content[10:-TRAILER], content[-TRAILER:]
    for offset, metric in enumerate(("spo2", "heart_rate")):
        told = [None if value == 0xFF else value for value in samples[offset::3]]
        assert told == truth[-1][metric]
    assert [value & 0x3F for value in samples[2::3]] == truth[-1]["motion"]
    assert int.from_bytes(trailer[:4], "little") == sum(content[:-TRAILER])
    assert trailer[4:8].hex() == "48125ada"
    start = datetime.fromtimestamp(int.from_bytes(trailer[8:12], "little"), UTC)
    assert start.isoformat() == truth[-1]["start"]
    assert trailer[35] == truth[-1]["figures"]["lowest"] == min(v for v in samples[::3]) < 90
    assert truth[-1]["figures"]["drops_3"] >= truth[-1]["figures"]["drops_4"] > 0


def test_recordings_are_named_by_the_wearers_clock_and_true_in_utc() -> None:
    life = Life(zone=ZoneInfo("Asia/Kathmandu"), days=1)
    (recording,) = life.ring.truth()["recordings"]
    shown = datetime.strptime(recording["name"], "%Y%m%d%H%M%S")  # noqa: DTZ007
    assert shown.replace(tzinfo=UTC) - datetime.fromisoformat(recording["start"]) == timedelta(
        hours=5, minutes=45
    )


def test_a_recording_silences_files_until_they_are_closed() -> None:
    life = _taken_off()
    assert life.answer(LIST) is None
    life.connect()
    assert life.answer(LIST) is None
    assert life.answer(OPEN, _opening("20251211145415")) is None
    assert life.command(CLOSE) == b""
    assert life.names() == ["20251211145415"]


@pytest.mark.parametrize("remedy", ["power", "wedges"])
def test_power_ends_that_as_well(remedy: str) -> None:
    life = empty()
    life.ring.wedges = remedy == "power"
    life.ring.worn = True
    life.pass_time(minutes=10)
    life.ring.worn = False
    life.pass_time(minutes=1)
    if remedy == "power":
        life.ring.powered = False
        life.ring.powered = True
    assert life.names() == ["20251211145415"]


def test_an_open_file_may_show_in_the_sensor_byte() -> None:
    life = _taken_off()
    assert life.command(LIVE)[5] == 0
    life.ring.shows_open_file = True
    assert life.command(LIVE)[5] == 3
    life.command(CLOSE)
    assert life.command(LIVE)[5] == 0


@pytest.mark.parametrize("filler", [0xFF, 0x00, None])
def test_a_file_is_whole_two_minutes_after_removal(filler: int | None) -> None:
    life = _taken_off()
    life.ring.unwritten = filler
    life.command(CLOSE)
    early = life.download("20251211145415")
    assert life.ring.truth()["recordings"][0]["final"] is False
    life.pass_time(seconds=109)
    assert life.download("20251211145415") == early
    life.pass_time(seconds=1)
    whole = life.download("20251211145415")
    assert life.ring.truth()["recordings"][0]["final"] is True
    assert life.ring.truth()["recordings"][0]["sha256"] == sha256(whole).hexdigest()
    assert len(whole) == 10 + 3 * 610 + TRAILER
    missing = b"" if filler is None else bytes((filler,)) * TRAILER
    assert early == whole[:-TRAILER] + missing


def test_worn_rings_are_silent_about_files_and_must_not_be_asked_to_close_them() -> None:
    life = Life(days=1)
    life.ring.worn = True
    life.connect()
    assert life.answer(LIST) is None
    assert life.answer(OPEN, _opening(life.ring.files[0].name)) is None
    assert life.ring.abuse == []
    assert life.answer(CLOSE) is None
    assert [request[1] for request in life.ring.abuse] == [CLOSE]


def test_files_open_one_at_a_time_and_after_pushes_were_switched() -> None:
    life = Life(days=2)
    first, second = (_opening(r.name) for r in life.ring.files)
    life.ring.linked()
    assert life.answer(OPEN, first) is None
    life.command(PUSH, b"\0")
    life.command(OPEN, first)
    assert life.answer(OPEN, second) is None
    life.connect()
    assert life.answer(LIST) is None
    life.command(CLOSE)
    assert life.command(OPEN, second)


@pytest.mark.parametrize(("model", "gated"), [("s8_aw", True), ("o2ring_s", False)])
@pytest.mark.parametrize("code", [0x03, LIVE_WAVE])
def test_live_values_gate_files_on_some(model: str, code: int, *, gated: bool) -> None:
    life = Life(model, days=1)
    life.connect()
    life.command(LIVE)
    assert life.answer(LIST) is not None
    life.command(code)
    assert (life.answer(LIST) is None) is gated
    life.connect()
    assert life.answer(LIST) is not None


@pytest.mark.parametrize(("model", "silent"), [("s8_aw", True), ("o2ring_s", False)])
def test_files_don_t_open_at_a_small_mtu_on_some(model: str, *, silent: bool) -> None:
    life = Life(model, days=1)
    life.ring.mtu = 23
    request = frame(0xA5, OPEN, bytes(2), _opening(life.ring.files[0].name))
    for piece in (AUTH, frame(0xA5, PUSH, bytes(2), b"\0").hex(), request.hex()):
        told = "".join(life.ask(piece[at : at + 40]) for at in range(0, len(piece), 40))
    assert (told == "") is silent


def test_a_link_carries_only_so_many_pieces_and_the_next_goes_on() -> None:
    life = Life("shqo2pro", days=1)
    (recording,) = life.ring.files
    content, links = b"", 0
    while len(content) < len(life.ring.content(recording)):
        links += 1
        life.connect()
        life.command(CLOSE)
        life.open(recording.name)
        pieces = 0
        while answer := life.answer(READ, len(content).to_bytes(4, "little")):
            content, pieces = content + answer[1], pieces + 1
            if not answer[1]:
                break
        assert pieces <= 60
    assert content == life.ring.content(recording)
    assert links > 1


@pytest.mark.parametrize(
    ("code", "payload", "flag"),
    [
        (OPEN, _opening("20200101000000"), 0xE0),
        (OPEN, b"20200101000000", 0xFC),
        (READ, bytes(4), 0xE1),
        (READ, bytes(3), 0xFC),
        (0x07, b"", 0xE1),
        (PUSH, b"", 0xFC),
        (SET_TIME, bytes.fromhex("ea070d1c160f0714"), 0xFC),
        (SET_TIME, b"", 0xFC),
        (0xEC, b"", 0xFC),
        (SET_CONFIG, bytes.fromhex("0200000060000000"), 0xF1),
        (SET_CONFIG, bytes.fromhex("0b00000001000000"), 0xF1),
        (SET_CONFIG, bytes.fromhex("0a00000002000000"), 0xF1),
        (VIBRATE, b"", 0xFD),
        (0x77, b"", 0xFD),
    ],
)
def test_refusals(code: int, payload: bytes, flag: int) -> None:
    life = empty()
    life.connect()
    before = life.ring.truth()
    assert life.answer(code, payload) == (flag, b"")
    assert life.ring.truth() == before


def test_switches_are_written_low_and_the_pulse_reads_back_high() -> None:
    life = empty()
    assert life.command(CONFIG)[0] == 0x31
    life.command(SET_CONFIG, bytes.fromhex("0100000002000000"))
    assert life.command(CONFIG)[0] == 0x32
    life.command(SET_CONFIG, bytes.fromhex("0300000001000000"))
    assert life.command(CONFIG)[0] == 0x12
    settings = life.ring.truth()["settings"]
    assert (settings["spo2_switch"], settings["pulse_switch"]) == (2, 1)


def test_the_interval_counts_from_the_next_recording_on() -> None:
    life = empty()
    life.ring.worn = True
    life.command(SET_CONFIG, bytes.fromhex("0a00000004000000"))
    life.pass_time(minutes=2)
    life.ring.worn = False
    life.pass_time(minutes=2)
    life.ring.worn = True
    life.pass_time(minutes=2)
    life.ring.worn = False
    life.pass_time(minutes=3)
    recordings = life.ring.truth()["recordings"]
    assert [(r["interval"], len(r["spo2"])) for r in recordings] == [(1, 130), (4, 33)]
    assert [life.ring.content(r)[-32] for r in life.ring.files] == [1, 4]


def _told(life: Life) -> tuple[int, int, int, int, int]:
    """Seconds, run state, sensor, SpO2, pulse."""
    answer = life.command(LIVE)
    assert len(answer) == 20
    seconds, pulse = (int.from_bytes(answer[a:b], "little") for a, b in ((0, 4), (8, 10)))
    return seconds, answer[4], answer[5], answer[6], pulse


def test_live_values_follow_a_night() -> None:
    life = empty()
    assert _told(life) == (0, 0, 0, 0xFF, 0xFFFF)
    life.ring.worn = True
    assert _told(life) == (0, 1, 1, 0, 0)
    life.pass_time(minutes=3)
    live = life.ring.truth()["live"]
    assert _told(life) == (180, 2, 1, live["spo2"], live["heart_rate"])
    assert 90 <= live["spo2"] <= 99
    life.ring.worn = False
    assert _told(life) == (180, 3, 0, 0xFF, 0xFFFF)
    life.pass_time(seconds=119)
    assert _told(life)[:3] == (0, 3, 0)
    life.pass_time(seconds=1)
    assert _told(life)[:3] == (0, 0, 0)


def test_pushes_come_once_a_second_by_their_mask() -> None:
    life = empty()
    life.ring.worn = True
    life.ring.linked()
    life.command(PUSH, b"\x01")
    frames = life.pass_time(seconds=5)
    assert [f[:4].hex() for f in frames] == ["a511ee01"] * 5
    assert [int.from_bytes(f[7:11], "little") for f in frames] == [1, 2, 3, 4, 5]
    life.command(PUSH, b"\x03")
    assert [f[1] for f in life.pass_time(seconds=2)] == [0x11, 0x12] * 2
    life.command(PUSH, b"\0")
    assert life.pass_time(seconds=5) == []
    life.command(PUSH, b"\x01")
    life.ring.unlinked()
    assert life.pass_time(seconds=5) == []


def test_pushes_are_encrypted_too() -> None:
    life = _secret()
    life.ring.linked()
    life.ask(AUTH)
    life.command(PUSH, encrypt(SESSION_KEY, b"\x01"))
    (pushed,) = life.pass_time(seconds=1)
    assert decrypt(SESSION_KEY, pushed[7:-1])[12:14] == bytes((1, life.ring.battery))


def test_the_wave_goes_on_where_it_was_asked_for_and_loses_what_is_too_old() -> None:
    life = empty()
    life.ring.worn = True
    life.pass_time(seconds=20)
    waves = []
    for pause in (0, 1, 2, 4):
        life.pass_time(seconds=pause)
        answer = life.command(0x03)
        waves.append((int.from_bytes(answer[:4], "little"), len(answer) - 6))
        assert int.from_bytes(answer[4:6], "little") == len(answer) - 6
    assert waves == [(2250, 250), (2500, 125), (2625, 250), (3125, 250)]
    # One mark per beat.
    rate = life.ring.truth()["live"]["heart_rate"]
    assert abs(answer[6:].count(156) - 2 * rate / 60) <= 1


@pytest.mark.parametrize(("model", "buzzes"), [("s8_aw", True), ("o2ring_s", False)])
def test_vibration_where_the_branch_has_it(model: str, *, buzzes: bool) -> None:
    life = empty(model)
    life.answer(VIBRATE)
    assert life.ring.truth()["vibrated"] == buzzes


@pytest.mark.parametrize(
    ("state", "told"),
    [
        ({"charging": True, "battery": 100}, 2),
        ({"charging": True, "battery": 99}, 1),
        ({"charging": False, "battery": 11}, 0),
        ({"charging": False, "battery": 10}, 3),
    ],
)
def test_battery_states(state: dict[str, int], told: int) -> None:
    life = empty()
    for attribute, value in state.items():
        setattr(life.ring, attribute, value)
    assert life.command(BATTERY)[:2] == bytes((told, state["battery"]))
    assert life.command(LIVE)[12:14] == bytes((told, state["battery"]))
    volts = int.from_bytes(life.command(BATTERY)[2:], "little") / 1000
    assert volts == life.ring.truth()["battery_voltage"]


@pytest.mark.parametrize("code", sorted(HARMFUL))
@pytest.mark.parametrize("model", ["o2ring_s", "o2ring_s_aes"])
def test_harmful_requests_are_kept_and_ignored(model: str, code: int) -> None:
    life = Life(model, days=1)
    life.ask(AUTH)
    before = life.ring.truth()
    request = frame(0xA5, code, bytes(2))
    assert life.ask(request) == ""
    assert life.ring.truth() == before | {"abuse": [request.hex()]}


def test_every_other_command_is_answered_or_refused() -> None:
    life = Life()
    life.connect()
    for code in set(range(256)) - HARMFUL - {0xFF}:
        flag, payload = life.answer(code) or (None, b"")
        assert flag == 1 or (flag in {0xE0, 0xE1, 0xFC, 0xFD} and payload == b"")


def test_the_service_of_the_first_generation_is_there_and_mute() -> None:
    life = empty()
    uuids = {c.uuid for service in life.ring.services for c in service.characteristics}
    assert {LEGACY_WRITE, COMMAND, ANSWER} <= uuids
    assert life.ring.write(LEGACY_WRITE, frame(0xAA, 0x14, bytes(2))) == []
    assert life.ring.write(LEGACY_WRITE, frame(0xA5, INFO, bytes(2))) == []


def test_the_list_may_take_its_time() -> None:
    life = empty()
    life.ring.list_takes = 4.1
    request = bytes.fromhex(VECTORS["request_file_list"]["request_hex"])
    (answer,) = life.ring.write(COMMAND, request)
    assert answer.delay == 4.1
    (answer,) = life.ring.write(COMMAND, bytes.fromhex(VECTORS["request_get_info"]["request_hex"]))
    assert answer.delay == 0
