"""Virtual rings of the first oximeter generation answer as captured ones did."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import sha256
import json
from typing import Any

import pytest

from ringsim.radio import Radio
from ringsim.rings.base import Characteristic
from ringsim.rings.oximeter import LEGACY_NOTIFY, LEGACY_WRITE, crc8, frame
from ringsim.rings.recording import Figures, Recording
from ringsim.rings.viatom import ACK, HARMFUL, VIATOM, Model, ViatomRing

from .life import Life as OneLife
from .oximeters import tracks, vectors

VECTORS = vectors("viatom")
NOW = datetime(2025, 12, 11, 14, 54, 15, tzinfo=UTC)
ADDRESS = "C1:BB:CC:DD:00:01"
READ_START, READ_CONTENT, READ_END, INFO, PING, SET, LIVE = 3, 4, 5, 0x14, 0x15, 0x16, 0x17


class Life(OneLife[ViatomRing]):
    """A ring, and what can be written to it."""

    def __init__(self, model: str | Model = "o2ring", at: datetime = NOW, **options: Any) -> None:
        chosen = VIATOM[model] if isinstance(model, str) else model
        super().__init__(partial(ViatomRing, chosen, address=ADDRESS, **options), at)

    def ask(self, request: bytes | str) -> str:
        """Write a frame in pieces of 20 bytes; return all that is answered."""
        data = bytes.fromhex(request) if isinstance(request, str) else request
        pieces = (data[at : at + 20] for at in range(0, len(data), 20))
        answers = [a for piece in pieces for a in self.ring.write(LEGACY_WRITE, piece)]
        assert {answer.uuid for answer in answers} <= {LEGACY_NOTIFY}
        return b"".join(answer.value for answer in answers).hex()

    def command(self, code: int, payload: bytes = b"", block: int = 0) -> bytes:
        """Return the payload of a good answer."""
        answer = bytes.fromhex(self.ask(frame(0xAA, code, block.to_bytes(2, "little"), payload)))
        assert answer[:3].hex() == "5500ff"
        assert answer[3:5] == (block if self.ring.echoes_blocks else 0).to_bytes(2, "little")
        assert len(answer) == 8 + int.from_bytes(answer[5:7], "little")
        assert crc8(answer[:-1]) == answer[-1]
        return answer[7:-1]

    def info(self) -> dict[str, str]:
        answer = self.command(INFO)
        assert len(answer) == 512
        return dict(json.loads(answer.rstrip(b"\0")))

    def change(self, **settings: str) -> None:
        assert self.command(SET, json.dumps(settings).encode()) == ACK

    def download(self, name: str) -> bytes:
        size = int.from_bytes(self.command(READ_START, name.encode() + b"\0"), "little")
        content = b""
        while len(content) < size:
            piece = self.command(READ_CONTENT, block=len(content) // self.ring.chunk)
            assert piece
            content += piece
        assert self.command(READ_END) == b""
        return content


def empty(model: str | Model = "o2ring", at: datetime = NOW, **options: Any) -> Life:
    life = Life(model, at, days=0, **options)
    life.ring.clear()
    return life


def _short(life: Life, name: str) -> Recording:
    shown = datetime.strptime(name, "%Y%m%d%H%M%S")  # noqa: DTZ007
    return life.ring.put(shown, tracks((97, 60, 0, 0)))


def _info(_: dict[str, Any]) -> Life:
    life = empty("sleepu")
    life.ring.serial, life.ring.battery = "20112B2627", 63
    life.ring.clock.set(datetime(2021, 7, 3, 16, 37, 13))  # noqa: DTZ001
    life.ring.charging, life.ring.worn = False, True
    # The third place of its memory is that of the recording under way.
    first, second, third = (
        _short(life, name) for name in ("20210703140536", "20210703144821", "20210703011235")
    )
    life.ring.slots[:] = [first, second, life.ring.recording, third]
    return life


def _live(model: str | Model = "o2ring", *, worn: bool = True) -> Callable[[dict[str, Any]], Life]:
    def prepare(wanted: dict[str, Any]) -> Life:
        life = empty(model)
        life.ring.charging = wanted["battery_state"] == "charging"
        if worn:
            life.ring.pinned |= {"spo2": wanted["spo2_pct"], "pulse": wanted["heart_rate_bpm"]}
            life.ring.pinned["perfusion"] = round(10 * (wanted["perfusion_index_pct"] or 0))
            life.ring.pinned["lead"] = wanted.get("lead_byte_raw", 1)
        life.ring.pinned["motion"] = wanted.get("motion_raw", 0)
        life.ring.battery, life.ring.steps = wanted["battery_pct"], wanted.get("steps_count", 0)
        if wave := wanted.get("wave"):
            life.ring.wave = bytes(wave)
        return life

    return prepare


def _any(_: dict[str, Any]) -> Life:
    return empty()


ANSWERED: dict[str, Callable[[dict[str, Any]], Life]] = {
    "info_seed_one_buffer": _info,
    "rt_param_seed_sleepu": _live("sleepu"),
    "rt_param_off_finger": _live(worn=False),
    "rt_param_worn_with_pi_and_lead": _live(),
    "rt_param_12_byte_variant": _live(replace(VIATOM["o2ring"], live_bytes=12)),
    "rt_wave_small": _live(),
    "ping_ack": _any,
    "para_sync_set_time": _any,
    "read_start_error": _any,
    "read_content_without_open_lying_length": _any,
}


@pytest.mark.parametrize("name", ANSWERED)
def test_answers(name: str) -> None:
    vector = VECTORS[name]
    life = ANSWERED[name](vector["decoded"])
    assert life.ask(vector["request_hex"]) == "".join(vector["response_hex"])
    assert life.ring.malformed == []


def _opened(life: Life) -> None:
    _short(life, "20240101223000")
    life.ring.chunk = 25
    life.command(READ_START, b"20240101223000\0")


def test_written_time_is_what_the_clock_shows() -> None:
    life = empty()
    life.ask(VECTORS["para_sync_set_time"]["request_hex"])
    assert life.info()["CurTIME"] == "2026-09-28,22:30:00"
    life.pass_time(minutes=1)
    assert life.ring.clock.read() == datetime(2026, 9, 28, 22, 31)  # noqa: DTZ001


@pytest.mark.parametrize("strength", [40, 100])
def test_motor_requests_set_the_motor_which_shows_itself(strength: int) -> None:
    life = empty()
    life.ask(VECTORS[f"para_sync_set_motor_{strength}"]["request_hex"])
    assert life.info()["CurMotor"] == str(strength)
    assert life.ring.truth()["vibrated"] == 1


def test_file_requests_read_a_file() -> None:
    life = empty()
    _opened(life)
    told = {
        name: life.ask(VECTORS[name]["request_hex"])
        for name in ("read_start_request", "read_content_block_0", "read_content_block_1")
    }
    content = life.ring.content(life.ring.files[0])
    assert told["read_start_request"] == frame(0x55, 0, bytes(2), bytes((45, 0, 0, 0))).hex()
    assert told["read_content_block_0"] == frame(0x55, 0, bytes(2), content[:25]).hex()
    assert told["read_content_block_1"] == frame(0x55, 0, b"\1\0", content[25:]).hex()
    assert life.ask(VECTORS["read_end_request"]["request_hex"]) == "5500ff0000000005"


@pytest.mark.parametrize("name", ["vld_v3_four_records", "vld_flags_motion_vs_hr"])
def test_files(name: str) -> None:
    wanted = VECTORS[name]["decoded"]
    summary = VECTORS["vld_v3_four_records"]["decoded"]
    flags = {"spo2_alarm": 0x80, "hr_alarm": 0x40, "motion_alarm": 0x20}
    rows = [
        (
            record["spo2_pct"] or 0xFF,
            record["heart_rate_bpm"] or 0xFF,
            record["motion_raw"],
            sum(bit for flag, bit in flags.items() if record[flag]),
        )
        for record in wanted["records"]
    ]
    figures = Figures(
        average=summary["avg_spo2_pct"],
        lowest=summary["min_spo2_pct"],
        drops_3=summary["drops_ge3_count"],
        drops_4=summary["drops_ge4_count"],
        seconds_below_90=summary["time_below90_s"],
        episodes_below_90=summary["events_below90_count"],
        score=round(summary["o2_score"] * 10),
    )
    life = empty()
    start = datetime.fromisoformat(wanted["start_local"])
    recording = life.ring.put(start, tracks(*rows), figures=figures)
    assert life.ring.content(recording).hex() == VECTORS[name]["response_hex"][0]


@pytest.mark.parametrize("name", [n for n, v in VECTORS.items() if v["kind"] == "crc8"])
def test_crc(name: str) -> None:
    checked = bytes.fromhex(VECTORS[name]["response_hex"][0])
    assert f"{crc8(checked):02x}" == VECTORS[name]["decoded"]["crc8_hex"]


def test_advertised_name_is_that_of_the_product() -> None:
    ring = empty("o2ring").ring
    assert ring.name == VECTORS["name_o2ring_0001"]["decoded"]["local_name"]
    assert ring.name.encode() in ring.advertisement
    assert bytes.fromhex("04ff4ef300") in ring.advertisement
    assert empty("sleepu").ring.name == "SleepU 0001"


def test_no_vector_is_left_out() -> None:
    elsewhere = {
        "info_seed_26_notifications",
        "para_sync_set_motor_40",
        "para_sync_set_motor_100",
        "read_start_request",
        "read_content_block_0",
        "read_content_block_1",
        "read_end_request",
        "name_o2ring_0001",
    }
    no_ring_says_so = {
        "download_device_always_answers_block_0": "its file is no recording",
        "name_o2_0106": "another product",
        "name_o2r_wave_12": "another product",
        "name_checkme": "another product",
        "file_list_bracketed": "brackets are of no capture",
        "resync_garbage_prefix": "what the air does to an answer",
    }
    by_kind = {name for name, v in VECTORS.items() if v["kind"] in ("crc8", "file")}
    assert VECTORS.keys() == ANSWERED.keys() | elsewhere | no_ring_says_so.keys() | by_kind


async def test_information_comes_in_26_notifications() -> None:
    vector = VECTORS["info_seed_26_notifications"]
    ring = _info({}).ring
    radio = Radio()
    radio.add(ring)
    link = await radio.connect(ADDRESS, "test")
    pieces: list[str] = []
    complete = asyncio.Event()

    def take(_: Characteristic, value: bytes) -> None:
        pieces.append(value.hex())
        if len(pieces) == len(vector["response_hex"]):
            complete.set()

    link.on_notification = take
    await link.subscribe(LEGACY_NOTIFY)
    await link.write(LEGACY_WRITE, bytes.fromhex(vector["request_hex"]), response=False)
    await complete.wait()
    assert pieces == vector["response_hex"]
    radio.stop()


@pytest.mark.parametrize("model", VIATOM)
def test_a_night_comes_whole_and_as_the_truth_says(model: str) -> None:
    life = Life(model, seed=4)
    truth = life.ring.truth()["recordings"]
    names = life.info()["FileList"].split(",")
    assert sorted(names) == ["", *(r["name"] for r in truth)]
    assert len(truth) == 4
    content = life.download(truth[-1]["name"])
    assert (len(content), sha256(content).hexdigest()) == (truth[-1]["size"], truth[-1]["sha256"])
    rows = [content[at : at + 5] for at in range(40, len(content), 5)]
    assert [None if row[0] == 0xFF else row[0] for row in rows] == truth[-1]["spo2"]
    pulses = [int.from_bytes(row[1:3], "little") for row in rows]
    assert [None if pulse == 0xFFFF else pulse for pulse in pulses] == truth[-1]["heart_rate"]
    assert min(value for value in truth[-1]["spo2"] if value) == content[18] < 90


def test_without_echo_every_block_says_it_is_the_first() -> None:
    life = Life()
    life.ring.echoes_blocks = False
    recording = life.ring.files[0]
    assert life.download(recording.name) == life.ring.content(recording)


def test_a_changed_sample_changes_file_and_truth() -> None:
    life = Life(days=2)
    recording = life.ring.files[0]
    before = life.download(recording.name)
    recording.tracks.spo2[100] = 71
    after = life.download(recording.name)
    assert (after[18], after[540]) == (71, 71)
    truth = life.ring.truth()["recordings"][0]
    assert truth["spo2"][100] == truth["figures"]["lowest"] == 71
    assert truth["sha256"] == sha256(after).hexdigest() != sha256(before).hexdigest()


def test_a_name_that_is_gone_is_refused_or_taken_for_the_last() -> None:
    life = Life()
    request = frame(0xAA, READ_START, bytes(2), b"20200101000000\0")
    refused = VECTORS["read_start_error"]["response_hex"][0]
    life.ring.mistakes_files = True
    assert life.ask(request) == refused
    last = life.download(life.ring.files[2].name)
    assert life.download("20200101000000") == last
    life.ring.mistakes_files = False
    assert life.ask(request) == refused


def test_an_open_file_is_closed_with_the_link() -> None:
    life = empty()
    _opened(life)
    life.ring.unlinked()
    lie = VECTORS["read_content_without_open_lying_length"]
    assert life.ask(lie["request_hex"]) == lie["response_hex"][0]


def test_a_recording_is_listed_when_its_countdown_is_over() -> None:
    life = empty()
    life.ring.worn = True
    life.pass_time(minutes=20)
    assert (life.info()["FileList"], life.info()["CurState"]) == ("", "2")
    life.ring.worn = False
    life.pass_time(seconds=9)
    assert (life.info()["FileList"], life.info()["CurState"]) == ("", "1")
    life.pass_time(seconds=1)
    assert life.info()["FileList"] == "20251211145415,"
    content = life.download("20251211145415")
    assert (content[0], int.from_bytes(content[13:15], "little")) == (3, 1212)
    known = [row != 0xFF for row in content[40::5]]
    assert len(known) == 303
    assert (known[:3], known[-4:]) == ([False, False, True], [True, False, False, False])


def test_settings_are_those_of_the_model() -> None:
    rings = {model: empty(model) for model in VIATOM}
    for life in rings.values():
        life.change(SetOxiThr="90", SetHRHighThr="140", SetLightStr="2")
    ring, sleeper = (rings[m].info() for m in ("o2ring", "sleepu"))
    assert (ring["CurOxiThr"], ring["HRHighThr"], ring["LightStr"]) == ("90", "140", "2")
    assert sleeper["CurOxiThr"] == "90"
    assert not {"HRHighThr", "LightStr", "OxiSwitch"} & sleeper.keys()
    for life in rings.values():
        assert life.ring.truth()["settings"].items() <= life.info().items()


@pytest.mark.parametrize(
    ("key", "text", "kept"),
    [
        ("CurOxiThr", "80", "80"),
        ("CurOxiThr", "79", "87"),
        ("CurOxiThr", "96", "90"),
        ("HRLowThr", "29", "50"),
        ("LightingMode", "3", "0"),
        ("OxiSwitch", "2", "1"),
        ("CurMotor", "-1", "100"),
    ],
)
def test_only_values_in_range_are_kept(key: str, text: str, kept: str) -> None:
    life = empty()
    life.change(**{f"Set{key.removeprefix('Cur')}": text})
    assert life.info()[key] == kept


def test_settings_that_are_no_text_are_passed_over() -> None:
    life = empty()
    before = life.ring.truth()
    assert life.command(SET, b'{"SetOxiThr":90}') == ACK
    assert life.command(SET, b'{"SetTIME":"2026-13-01,00:00:00"}') == ACK
    assert life.command(SET, b"[1]") == ACK
    assert life.command(SET, b"\xff") == ACK
    assert len(life.ring.malformed) == 4
    assert life.ring.truth() == before


def test_limits_are_those_when_the_recording_began() -> None:
    life = empty()
    life.change(SetHRLowThr="30", SetHRHighThr="31")
    life.ring.worn = True
    life.pass_time(minutes=1)
    life.change(SetHRHighThr="200")
    life.ring.worn = False
    life.pass_time(minutes=1)
    alarms = life.download("20251211145415")[44::5]
    assert list(alarms) == [0, 0, *[0x40] * 13, 0, 0, 0]


def _told(life: Life) -> tuple[int, int, int]:
    """SpO2, pulse, lead byte."""
    answer = life.command(LIVE)
    return answer[0], int.from_bytes(answer[1:3], "little"), answer[11]


@pytest.mark.parametrize(("model", "lead"), [("o2ring", 1), ("sleepu", 0)])
def test_worn_shows_in_the_values_and_on_some_in_the_lead_byte(model: str, lead: int) -> None:
    life = empty(model)
    assert _told(life) == (0xFF, 0xFFFF, 0)
    life.ring.worn = True
    assert _told(life) == (0, 0, lead)
    life.pass_time(seconds=10)
    live = life.ring.truth()["live"]
    assert _told(life) == (live["spo2"], live["heart_rate"], lead)
    assert 90 <= live["spo2"] <= 99
    life.ring.worn = False
    assert _told(life) == (0xFF, 0xFFFF, 0)
    assert life.ring.truth()["live"]["spo2"] is None


def test_live_values_change_once_a_second_and_are_those_recorded() -> None:
    life = empty()
    life.ring.worn = True
    told = []
    for _ in range(600):
        told.append(_told(life)[:2])
        life.pass_time(milliseconds=500)
        assert _told(life)[:2] == told[-1]
        life.pass_time(milliseconds=500)
    life.ring.worn = False
    life.pass_time(minutes=1)
    tracks = life.ring.files[0].tracks
    recorded = list(zip(tracks.spo2, tracks.pulse, strict=True))
    assert told[8::4] == recorded[2:150]
    assert len(set(told)) > 5


@pytest.mark.parametrize("code", sorted(HARMFUL))
def test_harmful_requests_are_kept_and_ignored(code: int) -> None:
    life = Life(days=1)
    before = life.ring.truth()
    request = frame(0xAA, code, bytes(2))
    assert life.ask(request) == ""
    assert life.ring.truth() == before | {"abuse": [request.hex()]}


def test_every_other_command_is_answered_or_refused() -> None:
    life = Life()
    for code in set(range(256)) - HARMFUL - {READ_CONTENT}:
        answer = bytes.fromhex(life.ask(frame(0xAA, code, bytes(2))))
        assert answer[:3].hex() in ("5500ff", "5501fe")
        assert crc8(answer[:-1]) == answer[-1]
    assert life.ask(frame(0xAA, 0xFF, bytes(2))) == frame(0x55, 1, bytes(2), b"\x0b\0\0\0").hex()


def test_bad_requests_get_no_answer_and_do_not_hide_the_next() -> None:
    life = Life()
    ping = frame(0xAA, PING, bytes(2))
    whole = "5500ff0000040000000000ea"
    assert life.ask(ping[:-1] + b"\x00") == ""
    assert life.ask(ping) == whole
    assert life.ask(b"\x00\xaa\x15" + ping) == whole
    assert life.ask(b"\xaa\x15\xea\x00\x00\xff\xff\x00" + ping) == whole
    assert life.ring.write(LEGACY_WRITE, ping + bytes(18)) == []
    assert life.ring.malformed
    life.ask(ping[:5])
    life.ring.linked()
    assert life.ask(ping) == whole


def test_faults_name_the_command_of_a_request_in_pieces() -> None:
    life = Life()
    request = frame(0xAA, SET, bytes(2), b'{"SetMotor":"100"}')
    life.ring.write(LEGACY_WRITE, request[:20])
    assert life.ring.opcode(request[:20]) == -1
    life.ring.write(LEGACY_WRITE, request[20:])
    assert life.ring.opcode(request[20:]) == SET


def test_it_lives_on_by_itself() -> None:
    life = Life("o2ring", NOW, days=0, ahead=timedelta(days=2))
    assert life.ring.truth()["recordings"] == []
    life.pass_time(days=2)
    nights = life.ring.truth()["recordings"]
    assert [n["name"][:8] for n in nights] in (["20251211", "20251212"], ["20251212", "20251213"])
    assert Life("o2ring", NOW + timedelta(days=2), days=2).ring.truth()["recordings"] == nights
