"""The files oximeters store: bytes ↔ columns of samples, and the ring's own figures.

`vld` is docs/protocols/viatom.md §9, `oxyii` is format A of docs/protocols/oxyii.md §10.2.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from .errors import RingProtocolError
from .models import Metric, Recording, RecordingFormat, plausible

# Bits of `Stored.alarms`; format A has the first two at the same place.
SPO2_ALARM, PULSE_ALARM, MOTION_ALARM, INVALID_ALARM = 0x80, 0x40, 0x20, 0x10

MAGIC = bytes.fromhex("48125ada")
HEADER, TRAILER = 10, 48
VLD_HEADER, VLD_RECORD = 40, 5
VLD_VERSIONS = frozenset({3, 5})
# Seconds between two samples that rings are known to keep.
INTERVALS = (1, 2, 4)

RECORDED = (Metric.SPO2, Metric.HEART_RATE)
"""The metrics whose readings a recording holds."""

_KEEP_SPO2 = bytes(value if plausible(Metric.SPO2, value) else 0 for value in range(256))
_KEEP_PULSE = bytes(value if plausible(Metric.HEART_RATE, value) else 0 for value in range(256))
_MOTION = bytes(value & 0x3F for value in range(256))
_ALARMS = bytes(value & 0xC0 for value in range(256))


@dataclass(frozen=True, slots=True)
class Summary:
    """What the ring itself says of a recording; `None` where it says nothing."""

    duration_s: int | None
    asleep_s: int | None
    avg_spo2_pct: int | None
    min_spo2_pct: int | None
    drops_ge3_count: int
    drops_ge4_count: int
    pct_time_below90: int | None
    time_below90_s: int
    events_below90_count: int
    o2_score: float | None
    steps_count: int
    avg_heart_rate_bpm: int | None


@dataclass(frozen=True, slots=True)
class Stored:
    """A stored file: equally long columns, one byte per sample, 0 is no reading.

    `start` is the ring's own clock. A file that is not `finished` still grows.
    """

    format: RecordingFormat
    version: int
    mode: int
    """vld: 0 sleep, 1 monitor; oxyii: the ring model."""
    start: datetime | None
    interval_s: int
    spo2: bytes
    pulse: bytes
    motion: bytes
    alarms: bytes
    summary: Summary | None
    finished: bool
    intact: bool = True
    """Whether the file's own checksum, where it has one, fits."""

    def __len__(self) -> int:
        """How many samples there are."""
        return len(self.spo2)

    def column(self, metric: Metric) -> bytes:
        """Return what was recorded of one of the `RECORDED` metrics."""
        return {Metric.SPO2: self.spo2, Metric.HEART_RATE: self.pulse}[metric]


def decode(recording: Recording) -> Stored:
    """Read a recording that was kept."""
    return parse(recording.data)


def parse(data: bytes) -> Stored:
    """Read a stored file of either format. Raises `RingProtocolError` for anything else."""
    if len(data) >= HEADER and data[:2] == b"\x01\x03":
        return _parse_oxyii(data)
    if len(data) >= VLD_HEADER and data[0] in VLD_VERSIONS:
        return _parse_vld(data)
    raise RingProtocolError(f"Unknown file format {data[:2].hex()}")


def parse_trailer(data: bytes) -> tuple[Summary, int]:
    """Read the 48 bytes a finished file of format A ends with: figures and sample count."""
    count = _u(data, 12, 4)
    figures = Summary(
        duration_s=count * data[16] or None,
        asleep_s=_u(data, 32, 2),
        avg_spo2_pct=_KEEP_SPO2[data[34]] or None,
        min_spo2_pct=_KEEP_SPO2[data[35]] or None,
        drops_ge3_count=data[36],
        drops_ge4_count=data[37],
        pct_time_below90=_percent(data[38]),
        time_below90_s=_u(data, 39, 2),
        events_below90_count=data[41],
        o2_score=_score(data[42]),
        steps_count=_u(data, 43, 4),
        avg_heart_rate_bpm=_KEEP_PULSE[data[47]] or None,
    )
    return figures, count


def _parse_oxyii(data: bytes) -> Stored:
    trailer = data[-TRAILER:]
    finished = len(data) >= HEADER + TRAILER and trailer[4:8] == MAGIC
    body, start, interval, width, summary = data[HEADER:], None, 1, 3, None
    intact = False
    if finished:
        body = data[HEADER:-TRAILER]
        summary, count = parse_trailer(trailer)
        start = datetime.fromtimestamp(_u(trailer, 8, 4), UTC).replace(tzinfo=None)
        interval = trailer[16] or 1
        width = trailer[18] if trailer[18] in (2, 3) else 3 if trailer[17] else 2
        intact = _u(trailer, 0, 4) == sum(data[:-TRAILER]) & 0xFFFF_FFFF
        if interval not in INTERVALS:
            raise RingProtocolError(f"A sample every {interval} s")
        if len(body) != count * width:
            raise RingProtocolError(f"{len(body)} bytes hold {count} samples of {width}")
    body = body[: len(body) // width * width]
    third = body[2::width] if width == 3 else bytes(len(body) // width)
    return Stored(
        RecordingFormat.OXYII,
        data[0],
        _u(data, 8, 2),
        start,
        interval,
        body[0::width].translate(_KEEP_SPO2),
        body[1::width].translate(_KEEP_PULSE),
        third.translate(_MOTION),
        third.translate(_ALARMS),
        summary,
        finished,
        intact,
    )


def _parse_vld(data: bytes) -> Stored:
    end = VLD_HEADER + (len(data) - VLD_HEADER) // VLD_RECORD * VLD_RECORD
    body = data[VLD_HEADER:end]
    duration, count = _u(data, 13, 2), len(body) // VLD_RECORD
    interval = _vld_interval(duration, count)
    # Some version 3 files hold every sample twice (§9).
    if data[0] == 3 and interval == 2 and count % 2 == 0 and _doubled(body):
        body = _every_other(body)
        interval = 4
    return Stored(
        RecordingFormat.VLD,
        data[0],
        data[1],
        _vld_start(data),
        interval,
        body[0::VLD_RECORD].translate(_KEEP_SPO2),
        _low_bytes(body[1::VLD_RECORD], body[2::VLD_RECORD]).translate(_KEEP_PULSE),
        body[3::VLD_RECORD],
        body[4::VLD_RECORD],
        Summary(
            duration_s=duration,
            asleep_s=_u(data, 15, 2) or None,
            avg_spo2_pct=_KEEP_SPO2[data[17]] or None,
            min_spo2_pct=_KEEP_SPO2[data[18]] or None,
            drops_ge3_count=data[19],
            drops_ge4_count=data[20],
            pct_time_below90=_percent(data[21]),
            time_below90_s=_u(data, 22, 2),
            events_below90_count=data[24],
            o2_score=_score(data[25]),
            steps_count=_u(data, 26, 4),
            avg_heart_rate_bpm=_KEEP_PULSE[data[30]] or None,
        ),
        finished=True,
    )


def _vld_start(data: bytes) -> datetime | None:
    try:
        return datetime(_u(data, 2, 2), *data[4:9])  # noqa: DTZ001 - a ring's clock is naive
    except TypeError, ValueError:
        return None


def _vld_interval(duration: int, count: int) -> int:
    """Return the known interval nearest to what the header says; 4 s where it can't be."""
    if not count or not duration:
        return 4
    # 16 bits of seconds wrap after 18 hours.
    if duration < count:
        duration += 1 << 16
    return min(INTERVALS, key=lambda interval: abs(interval - duration / count))


def _doubled(body: bytes) -> bool:
    return all(
        body[column :: 2 * VLD_RECORD] == body[column + VLD_RECORD :: 2 * VLD_RECORD]
        for column in range(VLD_RECORD)
    )


def _every_other(body: bytes) -> bytes:
    kept = bytearray(len(body) // 2)
    for column in range(VLD_RECORD):
        kept[column::VLD_RECORD] = body[column :: 2 * VLD_RECORD]
    return bytes(kept)


def _low_bytes(low: bytes, high: bytes) -> bytes:
    """Return the low bytes, 0 where the high one says the value is none."""
    if not any(high):
        return low
    return bytes(0 if above else value for value, above in zip(low, high, strict=True))


def _score(value: int) -> float | None:
    """Return an O2 score, which is 10 at best; 255 is none."""
    return value / 10 if value <= 100 else None


def _percent(value: int) -> int | None:
    return value if value <= 100 else None


def _u(data: bytes, at: int, size: int) -> int:
    return int.from_bytes(data[at : at + size], "little")
