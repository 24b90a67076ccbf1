"""The conversation with an oximeter of the first generation."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
import json

import pytest

from custom_components.smart_rings.rings.errors import (
    RingDisconnected,
    RingNotSupported,
    RingProtocolError,
    RingTimeout,
)
from custom_components.smart_rings.rings.models import (
    Capability,
    Metric,
    Recording,
    RecordingFormat,
    Setting,
    Value,
)
from custom_components.smart_rings.rings.viatom import ViatomRing, frames
from custom_components.smart_rings.rings.viatom.frames import Command
from tests.rings.fake_oximeter import LOCAL, Contacts, FakeLegacy, vld
from tests.virtual_time import virtual_time

NIGHT = "20261120230102"
START = datetime(2026, 11, 20, 22, 1, 2, tzinfo=UTC)
FILE = vld(2000, datetime.fromisoformat("2026-11-20T23:01:02"))
FILE_WORK = {Command.READ_START, Command.READ_CONTENT, Command.READ_END}


@pytest.fixture(autouse=True)
async def time() -> AsyncIterator[None]:
    with virtual_time(asyncio.get_running_loop()):
        yield


@pytest.fixture
def fake() -> FakeLegacy:
    return FakeLegacy()


@pytest.fixture
def contacts(fake: FakeLegacy) -> Contacts:
    return Contacts(fake, "viatom_o2ring")


def setting(key: str) -> Setting:
    return next(setting for setting in ViatomRing.settings if setting.key == key)


async def test_who_it_is(contacts: Contacts) -> None:
    async with contacts.open() as ring:
        info = await ring.info()
    assert (info.firmware, info.hardware, info.serial) == ("1.2.0", "1652 AA", "20112B2627")


async def test_answer_behind_a_false_header_is_found(fake: FakeLegacy, contacts: Contacts) -> None:
    fake.stray = lambda _: [bytes((0x55, 0, 0xFF, 0, 0, 0, 4))]
    async with contacts.open() as ring:
        assert (await ring.info()).serial == "20112B2627"
    assert fake.asked == [Command.INFO]


async def test_motion_and_perfusion_exist_where_they_were_seen(
    fake: FakeLegacy, contacts: Contacts
) -> None:
    fake.wear(pi=0, motion=255)
    async with contacts.open() as ring:
        await ring.state()
        assert not ring.can(Capability.PERFUSION_INDEX)
        assert not ring.can(Capability.MOTION)
        fake.wear()
        await ring.state()
        assert ring.can(Capability.PERFUSION_INDEX, Capability.MOTION, Capability.WORN)


async def test_state(fake: FakeLegacy, contacts: Contacts) -> None:
    fake.wear(spo2=97, pulse=84, pi=12, motion=4)
    async with contacts.open() as ring:
        state = await ring.state()
    assert (state.battery, state.charging, state.worn) == (80, False, True)
    assert {metric: sample.value for metric, sample in state.latest.items()} == {
        Metric.SPO2: 97,
        Metric.HEART_RATE: 84,
        Metric.PERFUSION_INDEX: 1.2,
        Metric.MOTION: 4,
    }


@pytest.mark.parametrize(
    ("model", "spo2", "lead", "worn"),
    [
        pytest.param("viatom_sleep_u", 97, 0, True, id="says off on a finger"),
        pytest.param("viatom_sleep_u", 255, 1, False, id="says on without one"),
        pytest.param("viatom_kids_o2", 0, 1, True, id="still searching"),
        pytest.param("viatom_baby_o2", 255, 2, False, id="off"),
        pytest.param("viatom_kids_o2", 97, 0, True, id="values count more"),
    ],
)
async def test_worn(fake: FakeLegacy, model: str, spo2: int, lead: int, worn: bool) -> None:
    fake.wear(spo2)
    fake.lead = lead
    async with Contacts(fake, model).open() as ring:
        state = await ring.state()
    assert state.worn is worn
    assert bool(state.latest) is (spo2 == 97)


@pytest.mark.parametrize("echoes", [True, False])
@pytest.mark.parametrize(("mtu", "chunk"), [(23, 512), (247, 300), (517, 1024)])
async def test_night(
    fake: FakeLegacy, contacts: Contacts, echoes: bool, mtu: int, chunk: int
) -> None:
    fake.echoes, fake.mtu, fake.chunk = echoes, mtu, chunk
    fake.files[NIGHT] = FILE
    await contacts.contact()
    wanted = Recording(START, timedelta(seconds=4), 2000, RecordingFormat.VLD, FILE)
    assert contacts.records == [wanted]
    assert fake.asked[-1] == Command.READ_END


async def test_lost_link_begins_the_file_anew(fake: FakeLegacy, contacts: Contacts) -> None:
    fake.files[NIGHT] = FILE
    fake.cut = 30
    with pytest.raises(RingDisconnected):
        await contacts.contact()
    fake.cut = None
    await contacts.contact()
    assert [record.data for record in contacts.records] == [FILE]


async def test_lost_block_is_asked_again_where_numbers_are_echoed(
    fake: FakeLegacy, contacts: Contacts
) -> None:
    fake.files[NIGHT] = FILE
    fake.lost_blocks = {3}
    await contacts.contact()
    assert [record.data for record in contacts.records] == [FILE]


async def test_lost_block_ends_the_download_where_they_are_not(
    fake: FakeLegacy, contacts: Contacts
) -> None:
    """A late answer to the first request would be taken for the next block."""
    fake.echoes = False
    fake.files[NIGHT] = FILE
    fake.lost_blocks = {3}
    with pytest.raises(RingTimeout):
        await contacts.contact()
    assert fake.asked.count(Command.READ_CONTENT) == 4
    assert fake.asked[-1] == Command.READ_END
    await contacts.contact()
    assert [record.data for record in contacts.records] == [FILE]


async def test_late_block_is_not_taken_for_the_next(fake: FakeLegacy, contacts: Contacts) -> None:
    fake.files[NIGHT] = FILE

    def stray(request: bytes) -> Iterable[bytes]:
        block = int.from_bytes(request[3:5], "little")
        if request[1] == Command.READ_CONTENT and block > 1:
            yield fake.frame(b"late", block=block - 1)

    fake.stray = stray
    await contacts.contact()
    assert [record.data for record in contacts.records] == [FILE]


@pytest.mark.parametrize("echoes", [True, False])
async def test_first_block_that_comes_twice(
    fake: FakeLegacy, contacts: Contacts, *, echoes: bool
) -> None:
    """Its number is 0, which a ring that echoes none says of all."""
    fake.echoes, fake.chunk = echoes, 6000
    fake.files[NIGHT] = FILE

    def stray(request: bytes) -> Iterable[bytes]:
        if request[1] == Command.READ_CONTENT and request[3]:
            yield fake.frame(FILE[:6000])

    fake.stray = stray
    await contacts.contact()
    assert [record.data for record in contacts.records] == [FILE]


async def test_file_data_full_of_frames(fake: FakeLegacy, contacts: Contacts) -> None:
    night = bytearray(FILE)
    for at in range(100, len(night) - 100, 137):
        inner = fake.frame(b"not the data")
        night[at : at + len(inner)] = inner
        night[at + 40 : at + 47] = bytes((0x55, 0, 0xFF, 0, 0, 50, 0))
    fake.files[NIGHT] = bytes(night)
    fake.mtu = 23
    await contacts.contact()
    assert [record.data for record in contacts.records] == [bytes(night)]


async def test_file_of_another_night_is_refused_and_given_up(
    fake: FakeLegacy, contacts: Contacts
) -> None:
    """A name that was just evicted is answered with the file opened last."""
    fake.files[NIGHT] = FILE
    fake.instead = vld(50, datetime.fromisoformat("2026-11-19T23:00:00"))
    for _ in range(5):
        await contacts.contact()
    assert not contacts.records
    assert fake.asked.count(Command.READ_START) == 3


async def test_refused_size_closes_the_file(fake: FakeLegacy, contacts: Contacts) -> None:
    fake.files[NIGHT] = FILE
    fake.instead = b""
    await contacts.contact()
    assert not contacts.records
    assert fake.asked[-1] == Command.READ_END


async def test_size_is_looked_at_once_more_and_then_never(
    fake: FakeLegacy, contacts: Contacts
) -> None:
    fake.files[NIGHT] = FILE[:5040]
    await contacts.contact()
    fake.files[NIGHT] = FILE
    await contacts.contact()
    assert [record.count for record in contacts.records] == [1000, 2000]
    await contacts.contact()
    fake.asked.clear()
    await contacts.contact()
    assert not FILE_WORK & set(fake.asked)
    assert len(contacts.records) == 2


async def test_worn_ring_is_not_asked_for_files(fake: FakeLegacy, contacts: Contacts) -> None:
    fake.files[NIGHT] = FILE
    fake.wear()
    await contacts.contact()
    assert not FILE_WORK & set(fake.asked)


async def test_reply_that_lies_about_its_length(fake: FakeLegacy, contacts: Contacts) -> None:
    lie = bytes.fromhex(
        "5501fe00000000080000830500008d050000970500000000000000000000000000000000000009090000a105000000f9"
    )
    fake.files[NIGHT] = FILE
    answer = fake.answer
    fake.answer = (  # type: ignore[method-assign]
        lambda request: [lie] if request[1] == Command.READ_CONTENT else answer(request)
    )
    with pytest.raises(RingTimeout):
        await contacts.contact()
    fake.answer = answer  # type: ignore[method-assign]
    await contacts.contact()
    assert [record.data for record in contacts.records] == [FILE]


@pytest.mark.parametrize(
    "files", ["", ",", "[]", "[20261120230102]", "20261120230102,", "x,20261120230102"]
)
def test_file_lists(files: str) -> None:
    assert frames.parse_files({"FileList": files}) == ((NIGHT,) if NIGHT in files else ())


@pytest.mark.parametrize(
    "payload",
    [b"", b"{", b"[]", b'"SN"', b"{}", b'{"SN":""}', b'{"SN":"../x"}', b"\xff" * 512, b"[" * 8000],
)
def test_info_that_is_none(payload: bytes) -> None:
    assert frames.parse_info(payload) is None


async def test_clock_is_written_only_when_it_is_off(fake: FakeLegacy, contacts: Contacts) -> None:
    async with contacts.open() as ring:
        await contacts.history(ring)
        assert not ring.clock_due()
    fake.clock = LOCAL + timedelta(seconds=40)
    async with contacts.open() as ring:
        assert not ring.clock_due(), "not before what it wrote by it is read"
        await contacts.history(ring)
        assert ring.clock_due()
        await ring.set_time()
        assert not ring.clock_due()
    assert fake.clock == LOCAL


async def test_recording_of_summer_time_is_placed_by_the_clock_that_was_read(
    fake: FakeLegacy, contacts: Contacts
) -> None:
    """Nobody told the ring that summer time ended."""
    fake.clock = LOCAL + timedelta(hours=1)
    fake.files[NIGHT] = FILE
    await contacts.contact()
    assert contacts.records[0].start == START - timedelta(hours=1)


@pytest.mark.parametrize(
    ("model", "found"),
    [
        (
            "viatom_o2ring",
            {"spo2_alarm_vibration": True, "spo2_alarm_limit": 88, "vibration": 60},
        ),
        ("viatom_wear_o2", {"spo2_alarm_sound": False, "spo2_alarm_limit": 88, "vibration": 60}),
        (
            "viatom_o2_max",
            {
                "spo2_alarm_vibration": True,
                "spo2_alarm_sound": False,
                "spo2_alarm_limit": 88,
                "vibration": 60,
            },
        ),
        ("viatom_kids_o2", {"spo2_alarm_vibration": True, "spo2_alarm_limit": 88}),
    ],
)
async def test_settings_are_those_of_the_keys_it_has(
    fake: FakeLegacy, model: str, found: dict[str, Value]
) -> None:
    async with Contacts(fake, model).open() as ring:
        assert await ring.read_settings() == found


@pytest.mark.parametrize(
    ("key", "value", "info", "raw"),
    [
        ("spo2_alarm_limit", 92, "CurOxiThr", "92"),
        ("spo2_alarm_vibration", False, "OxiSwitch", "2"),
        ("vibration", 100, "CurMotor", "100"),
        ("pulse_alarm_low", 45, "HRLowThr", "45"),
        ("display", "on", "LightingMode", "2"),
        ("brightness", "medium", "LightStr", "1"),
        ("buzzer", 40, "CurBuzzer", "40"),
        ("steps_goal", 8000, "CurPedtar", "8000"),
        ("motion_alarm_limit", 200, "MtThr", "200"),
    ],
)
async def test_setting_is_changed(
    fake: FakeLegacy, key: str, value: Value, info: str, raw: str
) -> None:
    fake.values |= {"OxiSwitch": "3", "HRLowThr": "50", "LightingMode": "0", "LightStr": "2"}
    fake.values |= {"CurBuzzer": "20", "CurPedtar": "99999", "MtThr": "10"}
    before = dict(fake.values)
    async with Contacts(fake, "viatom_o2_max").open() as ring:
        assert await ring.change(setting(key), value) == value
    assert fake.values == before | {info: raw}


async def test_setting_with_its_unit(fake: FakeLegacy, contacts: Contacts) -> None:
    fake.values["CurMotor"] = "60%"
    async with contacts.open() as ring:
        assert (await ring.read_settings())["vibration"] == 60
        assert await ring.change(setting("vibration"), 40) == 40


async def test_setting_that_reads_back_as_nonsense_is_an_error(
    fake: FakeLegacy, contacts: Contacts
) -> None:
    info = fake.info
    fake.info = lambda: info() | {"CurMotor": "?"} if 0x16 in fake.asked else info()  # type: ignore[method-assign]
    async with contacts.open() as ring:
        with pytest.raises(RingProtocolError):
            await ring.change(setting("vibration"), 40)


@pytest.mark.parametrize("shown", ["9999-12-31,23:59:59", "1999-12-31,23:59:59", "x"])
def test_info_of_an_absurd_clock_and_version(shown: str) -> None:
    said = frames.parse_info(
        json.dumps({"SN": "1", "CurTIME": shown, "SoftwareVer": "9" * 7000}).encode()
    )
    assert said
    assert said.clock is None
    assert said.firmware == "9" * 32


async def test_fine_vibration(fake: FakeLegacy) -> None:
    fake.values["CurMotor"] = "10"
    async with Contacts(fake, "viatom_oxylink").open() as ring:
        assert (await ring.read_settings())["vibration_level"] == "low"
        assert await ring.change(setting("vibration_level"), "very_high") == "very_high"
    assert fake.values["CurMotor"] == "35"


async def test_settings_that_are_not_there(fake: FakeLegacy, contacts: Contacts) -> None:
    async with contacts.open() as ring:
        with pytest.raises(RingNotSupported):
            await ring.change(setting("buzzer"), 40)
    fake.branch = "24010007"
    async with contacts.open() as ring:
        assert await ring.read_settings() == {}
    assert Command.PARA_SYNC not in fake.asked


async def test_model_that_is_read_by_its_waveform(fake: FakeLegacy) -> None:
    wave = bytes((97, 72, 0, 85, 1, 6, 1, 0, 0, 0, 3, 0, 10, 20, 30))
    fake.stray = lambda request: [fake.frame(wave)] if request[1] == Command.RT_WAVE else ()
    async with Contacts(fake, "viatom_oxyfit").open() as ring:
        state = await ring.state()
    assert (state.worn, state.charging, state.latest[Metric.SPO2].value) == (True, True, 97)


async def test_live(fake: FakeLegacy, contacts: Contacts) -> None:
    fake.wear()
    async with contacts.open() as ring:
        live = ring.live()
        assert (await anext(live)).latest[Metric.HEART_RATE].value == 60
        fake.wear(spo2=255, pulse=65535)
        state = await anext(live)
        assert state.worn is False
        assert not state.latest
        fake.client.drop()
        with pytest.raises(RingDisconnected):
            await anext(live)


async def test_nothing_but_the_allow_list_leaves(fake: FakeLegacy, contacts: Contacts) -> None:
    async with contacts.open() as ring:
        assert isinstance(ring, ViatomRing)
        fake.asked.clear()
        fake.mute = set(range(256))
        for command in range(256):
            with suppress(RingNotSupported):
                await ring._channel.send(frames.encode(command))
    assert fake.asked == sorted(Command)


@pytest.mark.parametrize("command", [0x00, 0x0A, 0x18, 0x19, 0x1A, 0xFF])
def test_what_erases_or_flashes_has_no_name(command: int) -> None:
    assert command not in Command


@pytest.mark.parametrize(
    ("parse", "payload"),
    [
        (frames.parse_live, bytes(11)),
        (frames.parse_live, bytes(14)),
        (frames.parse_wave, bytes(12)),
        (frames.parse_size, bytes(3)),
        (frames.parse_size, bytes(20)),
    ],
)
def test_payload_of_another_length_is_none(
    parse: Callable[[bytes], object], payload: bytes
) -> None:
    assert parse(payload) is None
