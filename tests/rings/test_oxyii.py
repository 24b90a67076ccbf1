"""The conversation with an O2Ring S: what is taken, when, and what is left alone."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from custom_components.smart_rings.rings.errors import (
    RingDisconnected,
    RingError,
    RingNotSupported,
    RingProtocolError,
    RingTimeout,
)
from custom_components.smart_rings.rings.models import (
    Capability,
    Metric,
    Recording,
    RecordingFormat,
    RingState,
    Setting,
    Value,
)
from custom_components.smart_rings.rings.oxyii import OxyIIRing, frames
from custom_components.smart_rings.rings.oxyii.frames import Command, Field
from tests.rings.fake_oximeter import LOCAL, NOW, Contacts, FakeOxyII, format_a, vld
from tests.virtual_time import virtual_time

NIGHT = "20261120230102"
START = datetime(2026, 11, 20, 22, 1, 2, tzinfo=UTC)
FILE = format_a(28_800, datetime.fromisoformat("2026-11-20T23:01:02"))
SHORT = format_a(600, datetime.fromisoformat("2026-11-20T23:01:02"))
KEY = bytes(range(16))
FILE_WORK = {Command.FILE_LIST, Command.READ_FILE_START, Command.READ_FILE_END}


@pytest.fixture(autouse=True)
async def time() -> AsyncIterator[None]:
    with virtual_time(asyncio.get_running_loop()):
        yield


@pytest.fixture
def fake() -> FakeOxyII:
    return FakeOxyII()


@pytest.fixture
def contacts(fake: FakeOxyII) -> Contacts:
    return Contacts(fake, "oxyii_o2ring_s")


def setting(key: str) -> Setting:
    return next(setting for setting in OxyIIRing.settings if setting.key == key)


async def test_who_it_is(contacts: Contacts) -> None:
    async with contacts.open() as ring:
        info = await ring.info()
    assert (info.firmware, info.hardware, info.serial) == ("1.0.5.0", "B 2D010001", "2632300541")


async def test_state_of_a_worn_ring(fake: FakeOxyII, contacts: Contacts) -> None:
    fake.wear(spo2=97, pulse=62, pi=25, motion=3)
    async with contacts.open() as ring:
        state: RingState = await ring.state()
    assert (state.battery, state.charging, state.voltage, state.worn) == (68, False, 3.962, True)
    assert {metric: sample.value for metric, sample in state.latest.items()} == {
        Metric.SPO2: 97,
        Metric.HEART_RATE: 62,
        Metric.PERFUSION_INDEX: 2.5,
        Metric.MOTION: 3,
    }


@pytest.mark.parametrize(("spo2", "pulse"), [(255, 65535), (127, 60), (0, 0), (97, 511), (49, 60)])
async def test_no_reading_is_no_value(
    fake: FakeOxyII, contacts: Contacts, spo2: int, pulse: int
) -> None:
    fake.wear(spo2, pulse)
    async with contacts.open() as ring:
        assert not (await ring.state()).latest


async def test_values_come_from_the_other_request_where_one_is_refused(
    fake: FakeOxyII, contacts: Contacts
) -> None:
    fake.wear()
    fake.refused = {Command.RT_PARAM: 0xFD}
    for _ in range(2):
        async with contacts.open() as ring:
            assert (await ring.state()).worn
    assert fake.asked.count(Command.RT_PARAM) == 1, "a refusal is remembered"


@pytest.mark.parametrize("mtu", [23, 247, 517])
async def test_night_over_a_link_cut_five_times(
    fake: FakeOxyII, contacts: Contacts, mtu: int
) -> None:
    fake.files[NIGHT] = FILE
    fake.mtu = mtu
    part = len(FILE) // (mtu - 3) // 6
    for _ in range(5):
        fake.cut = part + 30
        with pytest.raises(RingDisconnected):
            await contacts.contact()
        assert not contacts.records
    fake.cut = None
    await contacts.contact()
    wanted = Recording(START, timedelta(seconds=1), 28_800, RecordingFormat.OXYII, FILE)
    assert contacts.records == [wanted]
    assert fake.served < len(FILE) + 10 * 512, "what came is not asked for again"
    await contacts.contact()
    assert contacts.records == [wanted], "taken once"


async def test_link_that_gives_only_so_much(fake: FakeOxyII, contacts: Contacts) -> None:
    fake.files[NIGHT] = FILE
    fake.data_cap = 60
    for _ in range(3):
        assert not contacts.records
        await contacts.contact()
    assert [record.data for record in contacts.records] == [FILE]


async def test_progress_is_kept_when_the_reader_is_cancelled(
    fake: FakeOxyII, contacts: Contacts
) -> None:
    fake.files[NIGHT] = FILE
    async with contacts.open() as ring:
        batches = ring.history({})
        contacts.keep(await anext(batches))
        assert isinstance(batches, AsyncGenerator)
        await batches.aclose()
    assert fake.asked[-1] == Command.READ_FILE_END
    fake.served = 0
    await contacts.contact()
    assert [record.data for record in contacts.records] == [FILE]
    assert fake.served < len(FILE) - 16_000


@pytest.mark.parametrize("seed", range(3))
async def test_any_split_stray_frames_and_false_headers(
    fake: FakeOxyII, contacts: Contacts, seed: int
) -> None:
    """File data full of frames, pushes and late answers between the real ones."""
    random = Random(seed)
    night = bytearray(SHORT[:-48])
    inner = fake.frame(Command.READ_FILE_DATA, b"not the data", 9)
    for at in range(10, len(night) - 400, 300):
        night[at : at + len(inner)] = inner
        night[at + 30 : at + 37] = bytes((0xA5, 0xF3, 0x0C, 1, 9, 200, 0))
    trailer = bytearray(SHORT[-48:])
    trailer[:4] = sum(night).to_bytes(4, "little")
    fake.files[NIGHT] = bytes(night + trailer)

    def stray(request: bytes) -> Iterable[bytes]:
        yield fake.frame(0x11, bytes(20), 0)
        yield fake.frame(request[1], b"late", (request[4] - 2) % 255)

    fake.stray = stray

    def split(frame: bytes) -> Iterable[bytes]:
        while frame:
            size = random.randint(1, 60)
            yield frame[:size]
            frame = frame[size:]

    fake.split = split  # type: ignore[method-assign]
    async with contacts.open() as ring:
        await contacts.history(ring)
    assert [record.data for record in contacts.records] == [bytes(night + trailer)]


async def test_unfinished_file_waits_and_only_its_end_is_read_again(
    fake: FakeOxyII, contacts: Contacts
) -> None:
    fake.files[NIGHT] = SHORT[:-48] + b"\xff" * 48
    await contacts.contact()
    await contacts.contact()
    assert not contacts.records
    fake.files[NIGHT] = SHORT
    fake.served = 0
    await contacts.contact()
    assert [record.data for record in contacts.records] == [SHORT]
    assert fake.served == 48


async def test_file_that_grew_is_taken_whole(fake: FakeOxyII, contacts: Contacts) -> None:
    fake.files[NIGHT] = SHORT[:800]
    await contacts.contact()
    assert not contacts.records
    fake.files[NIGHT] = SHORT
    await contacts.contact()
    assert [record.data for record in contacts.records] == [SHORT]


async def test_file_that_ends_before_its_size(fake: FakeOxyII, contacts: Contacts) -> None:
    """In an encrypted session the size may count what the encryption adds."""
    fake.files[NIGHT] = SHORT
    payload = fake.payload

    def larger(opcode: int, request: bytes) -> bytes | None:
        reply = payload(opcode, request)
        if opcode == Command.READ_FILE_START and reply:
            return (len(SHORT) + 60).to_bytes(4, "little")
        return reply

    fake.payload = larger  # type: ignore[method-assign, assignment]
    await contacts.contact()
    assert [record.data for record in contacts.records] == [SHORT]


async def test_older_night_is_resumed_beside_one_that_waits(
    fake: FakeOxyII, contacts: Contacts
) -> None:
    fake.files = {NIGHT: SHORT, "20261121023000": FILE[:-48]}
    await contacts.contact()
    fake.served = 0
    await contacts.contact()
    assert [record.data for record in contacts.records] == [SHORT]
    assert fake.served < 512


async def test_file_in_tiny_pieces_or_far_too_large_is_not_read(
    fake: FakeOxyII, contacts: Contacts
) -> None:
    fake.files[NIGHT] = SHORT + bytes(300_000)
    await contacts.contact()
    assert Command.READ_FILE_DATA not in fake.asked
    fake.files[NIGHT] = SHORT
    fake._data = lambda offset: SHORT[offset : offset + 1]  # type: ignore[method-assign]
    await contacts.contact()
    assert fake.asked.count(Command.READ_FILE_DATA) == 1
    assert not contacts.records


async def test_file_of_no_known_format_is_given_up(fake: FakeOxyII, contacts: Contacts) -> None:
    fake.files[NIGHT] = b"\7" * 600
    for _ in range(5):
        await contacts.contact()
    assert fake.asked.count(Command.READ_FILE_START) == 3


async def test_names_that_are_no_date_are_left_alone(fake: FakeOxyII, contacts: Contacts) -> None:
    fake.files = {"20261399000000": SHORT, "../etc/passwd": SHORT, "00010101000000": SHORT}
    await contacts.contact()
    assert Command.READ_FILE_START not in fake.asked


async def test_recording_whose_time_is_not_certain_stays_on_the_ring(
    fake: FakeOxyII, contacts: Contacts
) -> None:
    fake.files["20270101000000"] = SHORT
    await contacts.contact()
    assert Command.READ_FILE_START not in fake.asked


async def test_damaged_file_is_given_up_at_last(fake: FakeOxyII, contacts: Contacts) -> None:
    damaged = bytearray(SHORT)
    damaged[100] ^= 1
    fake.files[NIGHT] = bytes(damaged)
    for _ in range(5):
        await contacts.contact()
    assert not contacts.records
    assert fake.asked.count(Command.READ_FILE_START) == 3


async def test_new_recordings_only_and_each_closed(fake: FakeOxyII, contacts: Contacts) -> None:
    fake.files = {NIGHT: SHORT}
    await contacts.contact()
    fake.files["20261121013000"] = format_a(60, datetime.fromisoformat("2026-11-21T01:30:00"))
    fake.files["20261121023000"] = format_a(60, datetime.fromisoformat("2026-11-21T02:30:00"))
    fake.asked.clear()
    await contacts.contact()
    assert [record.start.hour for record in contacts.records] == [22, 0, 1]
    files = [opcode for opcode in fake.asked if opcode in FILE_WORK]
    assert files == [0xF4, 0xF1, 0xF2, 0xF4, 0xF2, 0xF4]


async def test_file_that_is_gone_does_not_hold_up_the_next(
    fake: FakeOxyII, contacts: Contacts
) -> None:
    fake.files = {NIGHT: SHORT}
    fake.refused = {Command.READ_FILE_START: 0xE0}
    await contacts.contact()
    assert not contacts.records
    fake.refused = {}
    await contacts.contact()
    assert len(contacts.records) == 1


async def test_legacy_layout_is_taken_too(fake: FakeOxyII, contacts: Contacts) -> None:
    fake.files[NIGHT] = vld(100, datetime.fromisoformat("2026-11-20T23:01:02"))
    await contacts.contact()
    (recording,) = contacts.records
    assert (recording.format, recording.count) == (RecordingFormat.VLD, 100)


async def test_worn_ring_is_not_asked_for_files(fake: FakeOxyII, contacts: Contacts) -> None:
    fake.files[NIGHT] = SHORT
    fake.wear()
    await contacts.contact()
    assert not FILE_WORK & set(fake.asked)


async def test_no_files_after_live(fake: FakeOxyII, contacts: Contacts) -> None:
    fake.files[NIGHT] = SHORT
    async with contacts.open() as ring:
        await anext(ring.live())
        await contacts.history(ring)
    assert not FILE_WORK & set(fake.asked)
    await contacts.contact()
    assert len(contacts.records) == 1


async def test_file_left_open_shows_as_a_fault_and_is_closed(
    fake: FakeOxyII, contacts: Contacts
) -> None:
    fake.files[NIGHT] = SHORT
    fake.sensor = 3
    closed: list[int] = []

    def stray(request: bytes) -> Iterable[bytes]:
        if request[1] == Command.READ_FILE_END:
            fake.sensor = 0
            closed.append(1)
        return ()

    fake.stray = stray
    await contacts.contact()
    assert len(contacts.records) == 1


async def test_sensor_that_stays_at_fault_is_left_alone(
    fake: FakeOxyII, contacts: Contacts
) -> None:
    fake.files[NIGHT] = SHORT
    fake.sensor = 3
    await contacts.contact()
    assert fake.asked.count(Command.READ_FILE_END) == 1
    assert Command.FILE_LIST not in fake.asked


async def test_wedge_after_a_recording(fake: FakeOxyII, contacts: Contacts) -> None:
    """The list is silent until the file the ring left open is closed, the second time."""
    fake.files[NIGHT] = SHORT
    fake.mute = {Command.FILE_LIST}
    closes = 0

    def stray(request: bytes) -> Iterable[bytes]:
        nonlocal closes
        closes += request[1] == Command.READ_FILE_END
        if closes == 2:
            fake.mute = set()
        return ()

    fake.stray = stray
    await contacts.contact()
    assert len(contacts.records) == 1


async def test_silent_files_are_tried_without_asking_for_values(
    fake: FakeOxyII, contacts: Contacts
) -> None:
    """A strict ring gives no files on a connection that asked for values."""
    fake.files[NIGHT] = SHORT

    async def contact() -> bool:
        fake.asked.clear()
        fake.mute = set()
        try:
            async with contacts.open() as ring:
                await ring.state()
                if Command.RT_PARAM in fake.asked:
                    fake.mute = {Command.READ_FILE_START}
                await contacts.history(ring)
        except RingTimeout:
            return False
        return True

    assert not await contact()
    assert await contact()
    assert len(contacts.records) == 1
    assert not {Command.RT_PARAM, Command.RT_DATA} & set(fake.asked)


async def test_ring_whose_files_stay_silent_is_left_in_peace(
    fake: FakeOxyII, contacts: Contacts
) -> None:
    fake.mute = {Command.FILE_LIST}
    for _ in range(3):
        with pytest.raises(RingTimeout):
            await contacts.contact()
    fake.asked.clear()
    await contacts.contact()
    assert not FILE_WORK & set(fake.asked)


async def test_no_file_is_closed_of_a_ring_that_was_not_asked_whether_it_is_worn(
    fake: FakeOxyII, contacts: Contacts
) -> None:
    """It would end the recording under way."""
    fake.mute = {Command.FILE_LIST}
    with pytest.raises(RingTimeout):
        await contacts.contact()
    fake.wear()
    fake.asked.clear()
    with pytest.raises(RingTimeout):
        await contacts.contact()
    assert Command.READ_FILE_END not in fake.asked
    await contacts.contact()
    assert Command.READ_FILE_END not in fake.asked


@pytest.mark.parametrize("pads_empty", [False, True])
async def test_encrypted_session(fake: FakeOxyII, contacts: Contacts, pads_empty: bool) -> None:
    fake.key, fake.pads_empty = KEY, pads_empty
    fake.files[NIGHT] = SHORT
    async with contacts.open() as ring:
        assert (await ring.info()).serial == "2632300541"
        assert (await ring.state()).battery == 68
        await contacts.history(ring)
        assert await ring.change(setting("spo2_alarm_limit"), 90) == 90
    assert [record.data for record in contacts.records] == [SHORT]
    fake.asked.clear()
    async with contacts.open():
        pass
    assert fake.asked.count(Command.GET_INFO) == 1, "the form that worked is remembered"


async def test_answer_to_the_greeting_without_a_key(fake: FakeOxyII, contacts: Contacts) -> None:
    reply = bytes.fromhex("a5ff0001001000c3b7cf50daeffab6ecad919d4cda9f48f8")
    fake.stray = lambda request: [reply] if request[1] == Command.AUTH else ()
    async with contacts.open() as ring:
        assert (await ring.info()).serial == "2632300541"


async def test_band_is_not_greeted(fake: FakeOxyII) -> None:
    async with Contacts(fake, "oxyii_band_wu").open():
        assert Command.AUTH not in fake.asked
    assert fake.asked[0] == Command.AUTO_RT_SWITCH


async def test_clock_is_written_only_when_it_is_off(fake: FakeOxyII, contacts: Contacts) -> None:
    async with contacts.open() as ring:
        await contacts.history(ring)
        assert not ring.clock_due()
    fake.clock = LOCAL - timedelta(minutes=2)
    async with contacts.open() as ring:
        assert not ring.clock_due(), "not before what it wrote by it is read"
        await contacts.history(ring)
        assert ring.clock_due()
        await ring.set_time()
        assert not ring.clock_due()
    assert fake.clock == LOCAL
    assert fake.zone == 10


@pytest.mark.parametrize("shown", ["00000d28000000", "0f270c1f173b3b"], ids=["none", "9999"])
async def test_clock_that_is_no_date_is_set(
    fake: FakeOxyII, contacts: Contacts, shown: str
) -> None:
    fake._time = lambda: bytes.fromhex(shown)  # type: ignore[method-assign]
    async with contacts.open() as ring:
        await contacts.history(ring)
        assert ring.clock_due()


async def test_recording_after_a_clock_that_was_far_ahead_was_set_back(
    fake: FakeOxyII, contacts: Contacts
) -> None:
    """Fresh from the factory in China; the hours until then come twice on its clock."""
    fake.clock = LOCAL + timedelta(hours=7)
    async with contacts.open() as ring:
        await contacts.history(ring)
        assert ring.clock_due()
        await ring.set_time()
    contacts.now += timedelta(hours=9)
    fake.clock += timedelta(hours=9)
    began = LOCAL + timedelta(hours=2)
    fake.files[f"{began:%Y%m%d%H%M%S}"] = format_a(3600, began)
    await contacts.contact()
    assert [record.start for record in contacts.records] == [NOW + timedelta(hours=2)]


@pytest.mark.parametrize(("since_its_end", "certain"), [(10, True), (70, False)])
async def test_recording_around_which_someone_set_the_clock(
    fake: FakeOxyII, contacts: Contacts, since_its_end: int, *, certain: bool
) -> None:
    """By the clock of before it began an hour later; then it would not be over yet."""
    await contacts.contact()
    began = NOW + timedelta(hours=2)
    by_its_clock = LOCAL + timedelta(hours=3)
    fake.files[f"{by_its_clock:%Y%m%d%H%M%S}"] = format_a(1800, by_its_clock)
    contacts.now = began + timedelta(minutes=30 + since_its_end)
    fake.clock = by_its_clock + timedelta(minutes=30 + since_its_end)
    for _ in range(2):
        await contacts.contact()
    assert [record.start for record in contacts.records] == [began] * certain
    assert fake.asked.count(Command.READ_FILE_START) == 1


async def test_file_of_another_start_than_its_name_tells_is_not_taken(
    fake: FakeOxyII, contacts: Contacts
) -> None:
    fake.files["20261120210102"] = SHORT
    await contacts.contact()
    assert not contacts.records


async def test_recording_that_would_end_in_the_future_is_not_taken(
    fake: FakeOxyII, contacts: Contacts
) -> None:
    began = LOCAL - timedelta(minutes=9)
    fake.files[f"{began:%Y%m%d%H%M%S}"] = format_a(1200, began)
    await contacts.contact()
    assert not contacts.records


async def test_clock_is_not_set_back_before_what_it_wrote_is_read(
    fake: FakeOxyII, contacts: Contacts
) -> None:
    fake.clock = LOCAL + timedelta(hours=7)
    began = fake.clock - timedelta(hours=2)
    fake.files[f"{began:%Y%m%d%H%M%S}"] = format_a(3600, began)
    fake.data_cap = 10
    async with contacts.open() as ring:
        await contacts.history(ring)
        assert not ring.clock_due()
    fake.data_cap = None
    async with contacts.open() as ring:
        await contacts.history(ring)
        assert ring.clock_due()
    assert [record.start for record in contacts.records] == [NOW - timedelta(hours=2)]


async def test_clock_of_a_worn_ring_waits(fake: FakeOxyII, contacts: Contacts) -> None:
    fake.clock = LOCAL - timedelta(minutes=2)
    fake.wear()
    async with contacts.open() as ring:
        await ring.state()
        assert not ring.clock_due()


async def test_clock_without_a_zone(fake: FakeOxyII, contacts: Contacts) -> None:
    fake.refused = {Command.SET_UTC_TIME: 0xFD}
    fake.clock = datetime.fromisoformat("2020-01-01T00:00:00")
    async with contacts.open() as ring:
        await ring.set_time()
    assert fake.clock == LOCAL


async def test_recording_begun_by_a_wrong_clock_is_placed_by_the_difference(
    fake: FakeOxyII, contacts: Contacts
) -> None:
    """The ring lost its clock; its names say 2020."""
    fake.clock = datetime.fromisoformat("2020-01-01T09:30:00")
    fake.files["20200101000102"] = format_a(60, datetime.fromisoformat("2020-01-01T00:01:02"))
    await contacts.contact()
    (recording,) = contacts.records
    assert recording.start == datetime(2026, 11, 20, 22, 1, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    ("key", "value", "offset", "byte"),
    [
        ("spo2_alarm_limit", 92, 1, 92),
        ("spo2_alarm_vibration", False, 0, 0x30),
        ("pulse_alarm_vibration", False, 0, 0x21),
        ("pulse_alarm_low", 45, 2, 45),
        ("pulse_alarm_high", 150, 3, 150),
        ("vibration", 80, 4, 80),
        ("display", "on", 6, 2),
        ("brightness", "low", 7, 0),
        ("storage_interval", "1s", 8, 1),
    ],
)
async def test_setting_is_changed_and_nothing_else(
    fake: FakeOxyII, contacts: Contacts, key: str, value: Value, offset: int, byte: int
) -> None:
    before = bytes(fake.config)
    async with contacts.open() as ring:
        assert await ring.change(setting(key), value) == value
        assert (await ring.read_settings())[key] == value
    assert bytes(fake.config) == before[:offset] + bytes((byte,)) + before[offset + 1 :]


async def test_write_that_moves_something_else_is_an_error(
    fake: FakeOxyII, contacts: Contacts
) -> None:
    fake.spoilt = 3
    async with contacts.open() as ring:
        with pytest.raises(RingProtocolError):
            await ring.change(setting("spo2_alarm_limit"), 90)


async def test_setting_that_reads_back_as_nonsense_is_an_error(
    fake: FakeOxyII, contacts: Contacts
) -> None:
    fake._configure = lambda *_: fake.config.__setitem__(6, 77)  # type: ignore[method-assign]
    async with contacts.open() as ring:
        with pytest.raises(RingProtocolError):
            await ring.change(setting("display"), "on")


async def test_medical_variant_and_missing_buzzer_have_no_settings(
    fake: FakeOxyII, contacts: Contacts
) -> None:
    async with contacts.open() as ring:
        assert "buzzer" not in await ring.read_settings()
        with pytest.raises(RingNotSupported):
            await ring.change(setting("buzzer"), 20)
    fake.branch = b"2D010004"
    async with contacts.open() as ring:
        assert await ring.read_settings() == {}


async def test_vibrates_only_where_it_was_seen_to(fake: FakeOxyII, contacts: Contacts) -> None:
    async with contacts.open() as ring:
        with pytest.raises(RingNotSupported):
            await ring.find()
    fake.branch = b"2D010002"
    async with contacts.open() as ring:
        assert ring.can(Capability.FIND)
        await ring.find()
    assert fake.asked[-1] == Command.VIBRATE


async def test_another_ring_at_the_address_is_refused(fake: FakeOxyII, contacts: Contacts) -> None:
    async with contacts.open():
        pass
    fake.serial = b"9999999999"
    with pytest.raises(RingNotSupported):
        async with contacts.open():
            pass


async def test_garbage_for_a_serial_is_no_ring(fake: FakeOxyII, contacts: Contacts) -> None:
    fake.serial = b"\x00\xff\x13abcdefg"
    with pytest.raises(RingError):
        async with contacts.open():
            pass


async def test_live_becomes_unknown_when_the_finger_is_gone(
    fake: FakeOxyII, contacts: Contacts
) -> None:
    fake.wear()
    async with contacts.open() as ring:
        live = ring.live()
        assert (await anext(live)).worn
        fake.sensor, fake.spo2, fake.pulse = 0, 255, 65535
        state = await anext(live)
    assert state.worn is False
    assert not state.latest


async def test_nothing_but_the_allow_list_leaves(fake: FakeOxyII, contacts: Contacts) -> None:
    async with contacts.open() as ring:
        assert isinstance(ring, OxyIIRing)
        fake.asked.clear()
        fake.mute = set(range(256))
        for opcode in range(256):
            with suppress(RingNotSupported):
                await ring._channel.send(frames.encode(opcode, bytes((1, 0, 0, 0, 1, 0, 0, 0))))
    assert fake.asked == sorted(Command)


@pytest.mark.parametrize("opcode", [0xE2, 0xE3, 0xEE, 0xF5, 0xF8, 0xFA])
def test_what_erases_or_resets_has_no_name(opcode: int) -> None:
    assert opcode not in Command


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(frames.encode(Command.SET_CONFIG, bytes(8)), id="all fields at once"),
        pytest.param(frames.encode(Command.SET_CONFIG, b"\x0b" + bytes(7)), id="unknown field"),
        pytest.param(frames.encode(Command.SET_CONFIG, bytes(9)), id="all fields, longer"),
        pytest.param(frames.encode(Command.SET_CONFIG, b"\x06"), id="a field without a value"),
        pytest.param(frames.encode(Command.GET_INFO)[:-1] + b"\0", id="checksum"),
        pytest.param(bytes.fromhex("a5e1f0000100006b"), id="complement"),
        pytest.param(frames.encode(Command.GET_INFO)[:-1], id="cut"),
        pytest.param(frames.encode(Command.GET_INFO) + frames.encode(0xE3), id="two frames"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_frames_that_must_not_leave(data: bytes) -> None:
    assert not frames.may_send(data)
    assert frames.may_send(frames.encode(Command.SET_CONFIG, bytes((Field.MOTOR, *bytes(7)))))


@pytest.mark.parametrize(
    ("parse", "payload"),
    [
        (frames.parse_info, bytes(37)),
        (frames.parse_info, bytes(37) + b"\xff" + b"A" * 22),
        (frames.parse_battery, bytes((0, 101, 0, 0))),
        (frames.parse_battery, bytes(3)),
        (frames.parse_live, bytes(19)),
        (frames.parse_config, bytes(9)),
        (frames.parse_files, b""),
        (frames.parse_files, b"\4" + bytes(16)),
        (frames.parse_size, bytes(3)),
    ],
)
def test_payload_that_is_too_short_or_out_of_range_is_none(
    parse: Callable[[bytes], object], payload: bytes
) -> None:
    assert parse(payload) is None


def test_bytes_that_are_not_ours_are_left_as_they_came() -> None:
    for payload in (b"", b"plain", bytes(16), bytes(17)):
        assert frames.decrypt(KEY, payload) == payload
