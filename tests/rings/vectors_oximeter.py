"""What reading the vectors of both oximeter families takes."""

from collections.abc import Callable, Iterable, Sequence
from datetime import date
from typing import Any, NamedTuple

from custom_components.smart_rings.rings import Advertisement, recognise
from custom_components.smart_rings.rings.link import Decoder
from custom_components.smart_rings.rings.oximeter.frames import MarkedFramer, crc8
from custom_components.smart_rings.rings.recordings import (
    INVALID_ALARM,
    MOTION_ALARM,
    PULSE_ALARM,
    SPO2_ALARM,
    Stored,
)

type Json = dict[str, Any]
type Encode = Callable[[Json, bytes], bytes]
type Decode = Callable[[Sequence[bytes], Json], Json]

# Of a vector, what explains it to a reader and stands in no byte.
PROSE = {
    *("note", "meaning", "expected_behaviour", "covers", "ok"),
    *("crc8_of_header_only_hex", "crc8_over_everything_ok", "crc8_over_declared_frame_ok"),
}
BATTERY_STATES = ("normal", "charging", "full", "low")


class Kind(NamedTuple):
    """Both directions of a kind."""

    encode: Encode | None
    decode: Decode | None = None


def told(found: Json, wanted: Json) -> Json:
    """Return of what was found all that is wanted; what is missing is an error."""
    return {key: wanted[key] if key in PROSE else _plain(found[key]) for key in wanted}


def _plain(value: Any) -> Any:
    if isinstance(value, date):
        return value.isoformat()
    return list(value) if isinstance(value, tuple) else value


def frames_of(framer: MarkedFramer, notifications: Iterable[bytes]) -> list[bytes]:
    """Return all frames, those held back behind an unfinished one included."""
    found = [frame for data in notifications for frame in framer.feed(data)]
    return [*found, *framer.rest()]


def play[T](decode: Callable[[], Decoder[T]], frames: Iterable[bytes]) -> T:
    """Send frames through a decoder, as a link does."""
    decoder = decode()
    next(decoder)
    for frame in frames:
        try:
            decoder.send(frame)
        except StopIteration as stop:
            value: T = stop.value
            return value
    raise AssertionError("the reply is not complete")


def checksum(replies: Sequence[bytes], wanted: Json) -> Json:
    return told({"crc8_hex": f"{crc8(replies[0]):02x}"}, wanted)


def live(found: Json) -> Json:
    return found | {"battery_state": BATTERY_STATES[found["battery_state_raw"]]}


def records(stored: Stored, wanted: Sequence[Json]) -> list[Json]:
    """Return the samples one by one, with as many flags as the vector tells."""
    flags = {
        "spo2_alarm": SPO2_ALARM,
        "hr_alarm": PULSE_ALARM,
        "motion_alarm": MOTION_ALARM,
        "invalid_flag": INVALID_ALARM,
    }
    columns = zip(stored.spo2, stored.pulse, stored.motion, stored.alarms, strict=True)
    return [
        {
            "spo2_pct": spo2 or None,
            "heart_rate_bpm": pulse or None,
            "motion_raw": motion,
            **{name: bool(alarms & bit) for name, bit in flags.items() if name in wanted[0]},
        }
        for spo2, pulse, motion, alarms in columns
    ]


def advertisement(_: Sequence[bytes], wanted: Json) -> Json:
    companies = {}
    if company := wanted.get("manufacturer_id_hex"):
        companies[int(company, 16)] = bytes.fromhex(wanted.get("manufacturer_payload_hex", ""))
    seen = Advertisement(wanted["local_name"], manufacturer_data=companies)
    model = recognise(seen)
    rule = model.rule_for(seen) if model else None
    families = {"viatom": "legacy", "oxyii": "oxyii"}
    found = {
        "local_name": seen.name,
        "manufacturer_id_hex": wanted.get("manufacturer_id_hex"),
        "manufacturer_payload_hex": wanted.get("manufacturer_payload_hex"),
        "family": families[model.key.split("_")[0]] if model else None,
        "model": model.name if model else None,
        "connect_for_files": rule is not None and not rule.busy,
        "mode": "recording" if rule and rule.busy else None,
    }
    return told(found, wanted)
