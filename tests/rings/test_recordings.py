"""Stored files become columns; what is no file is refused."""

from datetime import UTC, datetime, timedelta

import pytest

from custom_components.smart_rings.rings.errors import RingProtocolError
from custom_components.smart_rings.rings.models import Recording, RecordingFormat
from custom_components.smart_rings.rings.recordings import decode, parse
from tests.rings.fake_oximeter import format_a, vld

START = datetime.fromisoformat("2026-11-20T23:01:02")


def with_rows(data: bytes, rows: bytes, duration: int) -> bytes:
    """Return a .vld file with other rows."""
    return data[:13] + duration.to_bytes(2, "little") + data[15:40] + rows


def test_kept_recording_is_decoded() -> None:
    data = format_a(100, START, interval=4)
    recording = Recording(
        START.replace(tzinfo=UTC), timedelta(seconds=4), 100, RecordingFormat.OXYII, data
    )
    stored = decode(recording)
    assert recording.end - recording.start == timedelta(seconds=400)
    assert stored.start == START
    assert stored.spo2 == data[10:310:3]
    assert stored.pulse == data[11:310:3]
    assert stored.summary
    assert stored.summary.o2_score == 9.3
    assert stored.summary.duration_s == 400


@pytest.mark.parametrize("value", [0, 49, 101, 127, 255])
def test_marks_of_no_spo2(value: int) -> None:
    stored = parse(with_rows(vld(1, START), bytes((value, 60, 0, 0, 0)), 4))
    assert stored.spo2 == b"\0"
    assert stored.pulse == b"\x3c"


@pytest.mark.parametrize("value", [0, 19, 251, 255, 256 + 60, 511, 65535])
def test_marks_of_no_pulse(value: int) -> None:
    row = bytes((97, *value.to_bytes(2, "little"), 0, 0))
    assert parse(with_rows(vld(1, START), row, 4)).pulse == b"\0"


def test_samples_stored_twice_are_merged() -> None:
    single = vld(50, START)
    rows = b"".join(single[at : at + 5] * 2 for at in range(40, len(single), 5))
    doubled = parse(with_rows(single, rows, 200))
    assert doubled.interval_s == 4
    assert doubled.spo2 == parse(single).spo2
    assert doubled.pulse == parse(single).pulse


def test_true_two_seconds_stay() -> None:
    data = vld(50, START)
    stored = parse(b"\5" + with_rows(data, data[40:], 100)[1:])
    assert (stored.interval_s, len(stored)) == (2, 50)


@pytest.mark.parametrize(
    ("count", "seconds", "interval"),
    [(7200, 28_800, 4), (7190, 28_800, 4), (18_000, 72_000 % 65_536, 4), (10, 0, 4), (0, 40, 4)],
)
def test_interval_from_duration(count: int, seconds: int, interval: int) -> None:
    stored = parse(with_rows(vld(1, START), bytes((97, 60, 0, 0, 0)) * count, seconds))
    assert (stored.interval_s, len(stored)) == (interval, count)


def test_incomplete_last_row_is_left_out() -> None:
    assert len(parse(vld(10, START) + b"\x61\x3c")) == 10


def test_file_without_trailer_is_not_finished() -> None:
    for end in (-48, -47, -1):
        assert not parse(format_a(50, START)[:end]).finished


def test_checksum_of_the_file() -> None:
    data = bytearray(format_a(50, START))
    assert parse(bytes(data)).intact
    data[20] ^= 4
    assert not parse(bytes(data)).intact


def test_two_byte_records() -> None:
    body = bytes((1, 3, 0, 0, 0, 0, 0, 0, 4, 0)) + bytes((97, 60)) * 5
    trailer = sum(body).to_bytes(4, "little") + bytes.fromhex("48125ada") + bytes(4)
    trailer += b"\5\0\0\0" + bytes((1, 0, 0)) + bytes(29)
    stored = parse(body + trailer)
    assert (stored.spo2, stored.pulse, stored.motion) == (b"\x61" * 5, b"\x3c" * 5, bytes(5))


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\x03" * 20, id="too short"),
        pytest.param(b"\x07\0" + bytes(60), id="unknown version"),
        pytest.param(format_a(50, START)[:40] + format_a(50, START)[43:], id="a record lost"),
        pytest.param(format_a(50, START, interval=255), id="a sample every 255 seconds"),
    ],
)
def test_what_is_no_file(data: bytes) -> None:
    with pytest.raises(RingProtocolError):
        parse(data)


def test_figures_that_can_not_be_are_none() -> None:
    for data, at in ((bytearray(format_a(50, START)), -48 + 34), (bytearray(vld(50, START)), 17)):
        data[at : at + 2] = b"\xff\x30"
        data[at + 4] = 101
        data[at + 8] = 101
        data[at + 13] = 255
        summary = parse(bytes(data)).summary
        assert summary
        assert summary.avg_spo2_pct is None
        assert summary.min_spo2_pct is None
        assert summary.pct_time_below90 is None
        assert summary.o2_score is None
        assert summary.avg_heart_rate_bpm is None


def test_header_without_a_date_has_no_start() -> None:
    assert parse(vld(1, START)[:4] + b"\x0d" + vld(1, START)[5:]).start is None
