"""How the vectors of the Colmi family are read: kind → (encode, decode)."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, replace
from datetime import UTC, date, datetime
from typing import Any, NamedTuple

from custom_components.smart_rings.rings.colmi import frames, settings
from custom_components.smart_rings.rings.colmi.frames import BigData, Command, Reading
from custom_components.smart_rings.rings.colmi.ring import MEASUREMENTS, STAGES
from custom_components.smart_rings.rings.colmi.settings import FIELDS, Register
from custom_components.smart_rings.rings.errors import RingRefused
from custom_components.smart_rings.rings.link import Decoder
from custom_components.smart_rings.rings.models import Capability, SettingKind, Value
from tests.rings import colmi_extras as extras

type Json = dict[str, Any]
type Encode = Callable[[Json, bytes], bytes]
"""(decoded, the wanted request, for what `decoded` does not tell) → request."""
type Decode = Callable[[Sequence[bytes], Json], Json]
"""(notifications, decoded, for what the bytes do not tell) → decoded."""


class Kind(NamedTuple):
    """Both directions of a kind."""

    encode: Encode | None
    decode: Decode | None = None


READINGS = {r.name.lower(): r for r in Reading}
VALUE_KEYS = {"heart_rate": "heart_rate_bpm", "spo2": "spo2_percent"}
TOGGLES = {able.value: register for able, register in settings.TOGGLES.items()}


def play[T](
    decode: Callable[[], Decoder[T]], notifications: Iterable[bytes], big: bool = False
) -> T:
    """Send notifications through framing and decoder, as a link does."""
    framer = frames.V2Framer() if big else frames.V1Framer()
    decoder = decode()
    next(decoder)
    for notification in notifications:
        for frame in framer.feed(notification):
            try:
                decoder.send(frame)
            except StopIteration as stop:
                value: T = stop.value
                return value
    raise AssertionError("the reply is not complete")


def only(notifications: Sequence[bytes], big: bool = False) -> bytes:
    """Return the one frame there is."""
    framer = frames.V2Framer() if big else frames.V1Framer()
    (frame,) = [f for n in notifications for f in framer.feed(n)]
    return frame


def iso(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date) else value


def plain(value: Any) -> Json:
    """Return a dataclass as the vectors write it."""
    return {key: iso(field) for key, field in asdict(value).items()}


def set_time(wanted: Json, _: bytes) -> bytes:
    return frames.set_time(datetime.fromisoformat(wanted["ring_clock"])).data


def set_time_reply(replies: Sequence[bytes], wanted: Json) -> Json:
    length, said = replies
    return {
        "ring_clock": wanted["ring_clock"],
        "max_big_data_chunk_bytes": only([length])[1],
        "capabilities": capabilities([said], wanted),
    }


def capabilities(replies: Sequence[bytes], _: Json) -> Json:
    able = play(frames.single(frames.parse_capabilities), replies)
    ours = {c.value: c in able for c in frames.CAPABILITY_BITS}
    ours["new_sleep_protocol"] = ours.pop(Capability.SLEEP)
    return ours | extras.other_capabilities(only(replies))


def unused(opcode: int) -> bytes:
    """A request that is known and never sent: well-formed, and refused."""
    body = bytes((opcode,)).ljust(frames.FRAME_SIZE - 1, b"\0")
    assert not frames.may_send(body)
    return body + bytes((frames.checksum(body),))


def simple_request(wanted: Json, _: bytes) -> bytes:
    return {
        "battery": frames.BATTERY.data,
        "blink": unused(extras.BLINK),
        "find_device": frames.FIND,
    }[wanted["command"]]


def realtime_request(wanted: Json, request: bytes) -> bytes:
    reading = READINGS[wanted["reading_type"]]
    if wanted["action"] == "stop":
        return frames.stop(reading)
    return frames.encode(Command.MEASURE, reading, request[2])


def measure_request(_: Json, request: bytes) -> bytes:
    measurement = next(m for m in MEASUREMENTS.values() if m.reading == request[1])
    return frames.measure(measurement).data


def notify(replies: Sequence[bytes], _: Json) -> Json:
    frame = only(replies)
    event = extras.EVENTS[frame[1]]
    fields: Json = {}
    match event:
        case "battery":
            assert frame[1] == frames.Push.BATTERY
            fields = plain(frames.parse_battery(frame))
        case "live_activity":
            assert frame[1] == frames.Push.LIVE_ACTIVITY
            fields = plain(frames.parse_totals(frame))
        case "new_stress":
            fields = {"stress": frame[2]}
        case "new_hrv":
            fields = {"hrv_ms": frame[2]}
        case "gesture":
            fields = {"gesture": extras.GESTURES[frame[2]]}
    return {"event": event, **fields}


def error(replies: Sequence[bytes], _: Json) -> Json:
    frame = only(replies)
    try:
        play(frames.single(frames.parse_battery), replies)
    except RingRefused as refused:
        return {
            "command": frames.answered(frame),
            "error": True,
            "unsupported": refused.code == "unsupported",
        }
    raise AssertionError("not an error")


def held(register: Register, replies: Sequence[bytes]) -> Json | None:
    """Return what a register holds as the settings show it; `None` for an acknowledgement."""
    try:
        raw = play(register.read().decode, replies)
    except AssertionError:
        return None
    shown = {f.name: f.get(raw) for f in FIELDS if f.register is register and f.codes}
    return dict(raw) | shown


def write(register: Register, wanted: Json) -> bytes:
    codes = {f.name: f.codes for f in FIELDS if f.register is register and f.codes}
    values = {name: codes[name][v] if name in codes else v for name, v in wanted.items()}
    return register.write({name: values[name] for name in register.fields}).data


def log_settings(replies: Sequence[bytes], _: Json) -> Json:
    found = held(settings.HEART_RATE, replies)
    return {"write_ack": found is None} | (found or {})


def toggle(replies: Sequence[bytes], wanted: Json) -> Json:
    found = held(TOGGLES[wanted["feature"]], replies)
    return {"feature": wanted["feature"], "write_ack": found is None} | (found or {})


def toggle_write(replies: Sequence[bytes], wanted: Json) -> Json:
    register = TOGGLES[wanted["feature"]]
    assert held(register, replies) is None
    ack = only(replies)
    assert ack[1 + len(register.prefix)] == register.writing
    return {"feature": wanted["feature"], "enabled": ack[2 + len(register.prefix)] == 1}


def time_of_day(value: Value | None) -> int:
    """Return the minutes since midnight."""
    hour, minute = map(int, str(value).split(":"))
    return hour * 60 + minute


def display(replies: Sequence[bytes], _: Json) -> Json:
    found = held(settings.DISPLAY, replies)
    assert found
    minutes = {
        f"{field.name}_minute_of_day": time_of_day(field.get(found))
        for field in FIELDS
        if field.setting.kind is SettingKind.TIME
    }
    return {name: found[name] for name in ("enabled", "wearing_hand", "brightness_level")} | minutes


def entry(found: frames.ActivityEntry) -> Json:
    return plain(found) | {"start_minute_of_day": found.quarter_hour_index * 15}


def activity(replies: Sequence[bytes], _: Json) -> Json:
    entries = play(frames.activity(), replies)
    if not entries:
        return {"no_data": True}
    return {
        "no_data": False,
        "new_calorie_protocol": replies[0][3] == 1,
        "entries": [entry(e) for e in entries],
        "total_steps": sum(e.steps for e in entries),
    }


def activity_frames(replies: Sequence[bytes], _: Json) -> Json:
    """Frames without a header, listed as they came."""
    found = play(frames.activity(), replies)
    order = [frame[4] for frame in replies]
    rows = []
    for e in sorted(found, key=lambda e: order.index(e.quarter_hour_index)):
        frame = replies[order.index(e.quarter_hour_index)]
        row = entry(e)
        row["calories_raw"] = row.pop("calories_cal") // 10
        rows.append(row | {"packet_index": frame[5], "packet_total": frame[6]})
    return {"entries": rows, "total_steps": sum(e.steps for e in found)}


def slot_rows(replies: Sequence[bytes], days: frames.Days, key: str) -> Json:
    """A log of one day; its header stands in the first frame, for the decoder only."""
    if not days:
        return {"no_data": True}
    ((_, readings),) = days.items()
    return {
        "no_data": False,
        "packet_count": replies[0][2],
        "interval_min": replies[0][3],
        "readings": [{"minute_of_day": minute, key: value} for minute, value in readings],
    }


def heart_rate(replies: Sequence[bytes], _: Json) -> Json:
    rows = slot_rows(replies, play(frames.day_log(0, 4), replies), "heart_rate_bpm")
    if rows["no_data"]:
        return rows
    echo = int.from_bytes(replies[1][2:6], "little")
    day = datetime.fromtimestamp(echo, UTC).date()
    assert frames.echo_of(day) <= echo
    return rows | {"echo_timestamp_s": echo, "date": day.isoformat()}


def heart_rate_request(wanted: Json, request: bytes) -> bytes:
    second = wanted.get("echo_timestamp_s", wanted.get("timestamp_s"))
    return frames.heart_rate_log(second or int.from_bytes(request[1:5], "little")).data


def half_hours(command: Command, key: str) -> Kind:
    def encode(_: Json, request: bytes) -> bytes:
        return frames.slot_log(command, request[1]).data

    def decode(replies: Sequence[bytes], wanted: Json) -> Json:
        day = wanted.get("day_offset", 0)
        rows = slot_rows(replies, play(frames.slot_log(command, day).decode, replies), key)
        return rows if rows["no_data"] else rows | {"day_offset": day}

    return Kind(encode, decode)


def half_hours_partial(replies: Sequence[bytes], wanted: Json) -> Json:
    """The first frames only: the rest is filled up with empty ones."""
    rest = (bytes((frames.Command.HRV_LOG, index)).ljust(15, b"\0") for index in (2, 3, 4))
    whole = [*replies, *(body + bytes((frames.checksum(body),)) for body in rest)]
    decode = half_hours(Command.HRV_LOG, "hrv_ms").decode
    assert decode
    return decode(whole, wanted)


def big_request(wanted: Json, _: bytes) -> bytes:
    return frames.encode_big(BigData(wanted["data_id"]), bytes.fromhex(wanted["payload_hex"]))


def spo2(replies: Sequence[bytes], _: Json) -> Json:
    payload = frames.payload_of(only(replies, big=True))
    days = play(frames.SPO2_LOG.decode, replies, big=True)
    return {
        "days": [
            {
                "days_ago": day,
                "readings": [
                    {
                        "hour_of_day": minute // 60,
                        "spo2_low_percent": low,
                        "spo2_high_percent": extras.spo2_high(payload, n, minute // 60),
                    }
                    for minute, low in readings
                ],
            }
            for n, (day, readings) in enumerate(days.items())
        ]
    }


def session(found: frames.Session) -> Json:
    return {
        "days_ago": found.days_ago,
        "start_minute_of_day": found.start_minute_of_day,
        "end_minute_of_day": found.end_minute_of_day,
        "starts_previous_day": found.starts_previous_day,
        "stages": [{"stage": STAGES[s].value, "duration_min": m} for s, m in found.stages],
        "total_stage_min": sum(m for _, m in found.stages),
    }


def sleep(replies: Sequence[bytes], _: Json) -> Json:
    return {"sessions": [session(s) for s in play(frames.sleeps, replies, big=True).nights]}


def nap(replies: Sequence[bytes], _: Json) -> Json:
    empty_night = bytes.fromhex("bc270100bf4000")
    return {
        "sessions": [
            session(s) for s in play(frames.sleeps, [*replies, empty_night], big=True).naps
        ]
    }


def big_empty(replies: Sequence[bytes], _: Json) -> Json:
    message = only(replies, big=True)
    return {"data_id": message[1], "empty": not frames.payload_of(message)}


def sleep_request(_: Json, request: bytes) -> bytes:
    return frames.sleep_log(request[frames.V2_HEADER :]).data


def manual(replies: Sequence[bytes], _: Json) -> Json:
    ((day, readings),) = play(frames.MANUAL_HEART_RATE_LOG.decode, replies, big=True).items()
    return {
        "days_ago": day,
        "readings": [{"minute_of_day": m, "heart_rate_bpm": v} for m, v in readings],
    }


def temperature(replies: Sequence[bytes], _: Json) -> Json:
    message = only(replies, big=True)
    days = frames.parse_temperature(frames.payload_of(message))
    return {
        "days": [
            {
                "days_ago": day,
                "interval_min": message[frames.V2_HEADER + 1],
                "readings": [{"minute_of_day": m, "temperature_celsius": v} for m, v in readings],
            }
            for day, readings in days.items()
        ]
    }


def realtime(replies: Sequence[bytes], _: Json) -> Json:
    code, failure, value = frames.parse_reading(only(replies))
    reading = Reading(code).name.lower()
    state = "error" if failure else "reading" if value else "warming_up"
    found: Json = {"reading_type": reading, "error_code": failure, "state": state}
    return found | ({VALUE_KEYS[reading]: value} if state == "reading" else {})


def realtime_sequence(replies: Sequence[bytes], wanted: Json) -> Json:
    reading = wanted["reading_type"]
    measurement = next(m for m in MEASUREMENTS.values() if m.metric == reading)
    values = play(frames.measured(replace(measurement, values=len(replies))), replies)
    return {"reading_type": reading, VALUE_KEYS[reading]: list(values)}


def stop_request(wanted: Json, request: bytes) -> bytes:
    """The vendor's app tells the last value; we cancel."""
    reading = READINGS[wanted["reading_type"]]
    assert frames.stop(reading)[:2] == request[:2]
    return frames.encode(Command.MEASURE_STOP, reading, request[2])


def stop_reply(replies: Sequence[bytes], _: Json) -> Json:
    frame = only(replies)
    return {"reading_type": Reading(frame[1]).name.lower(), "final_value": frame[2]}


def interleaved(replies: Sequence[bytes], _: Json) -> Json:
    """Only the frame that answers the request reaches its decoder."""
    counts = Counter(f"{frames.answered(frame):#04x}" for frame in replies)
    (answer,) = [frame for frame in replies if frames.answered(frame) == Command.TODAY]
    return {"frames_by_command": dict(counts), "today_totals": totals([answer], {})}


def totals(replies: Sequence[bytes], _: Json) -> Json:
    found = plain(play(frames.single(frames.parse_totals), replies))
    return found | extras.other_totals(only(replies))


def not_ours(_: Json, request: bytes) -> bytes:
    """A request that may not be sent: its frame is well-formed, and is refused."""
    assert not frames.may_send(request)
    return request[:-1] + bytes((frames.checksum(request[:-1]),))


def sport(replies: Sequence[bytes], wanted: Json) -> Json:
    (answer,) = [frame for frame in replies if frame[0] == 0x77]
    stamp = extras.parse_sport_start(answer)
    found = {"action": "start" if stamp else "stop", "sport_type": wanted["sport_type"]}
    return found | ({"ack_timestamp_s": stamp} if stamp else {})


def checksum_invalid(replies: Sequence[bytes], _: Json) -> Json:
    (frame,) = replies
    framer = frames.V1Framer()
    found = list(framer.feed(frame))
    assert framer.dropped["checksum"] == 1
    return {"valid": bool(found), "expected_checksum": frames.checksum(frame[:-1])}


def parsed(parse: Callable[[bytes], Any]) -> Decode:
    return lambda replies, _: plain(parse(only(replies)))


def read(parse: Callable[[bytes], Any]) -> Decode:
    """Decode a reply as the link does."""
    return lambda replies, _: plain(play(frames.single(parse), replies))


def always(data: bytes) -> Encode:
    return lambda _wanted, _request: data


KINDS: dict[str, Kind] = {
    "set_time_request": Kind(set_time),
    "set_time_exchange": Kind(set_time, set_time_reply),
    "capabilities": Kind(None, capabilities),
    "packet_length": Kind(None, lambda r, _: {"max_big_data_chunk_bytes": only(r)[1]}),
    "request": Kind(simple_request),
    "realtime_request": Kind(realtime_request),
    "steps_request": Kind(lambda wanted, _: frames.activity_log(wanted["day_offset"]).data),
    "hr_log_request": Kind(heart_rate_request),
    "big_data_request": Kind(big_request),
    "hr_log_settings": Kind(always(settings.HEART_RATE.read().data), log_settings),
    "hr_log_settings_write": Kind(
        lambda w, _: write(settings.HEART_RATE, w),
        lambda r, w: w | {"reply": log_settings(r, w)},
    ),
    "toggle": Kind(lambda w, _: TOGGLES[w["feature"]].read().data, toggle),
    "toggle_write": Kind(lambda w, _: write(TOGGLES[w["feature"]], w), toggle_write),
    "battery": Kind(always(frames.BATTERY.data), read(frames.parse_battery)),
    "notify": Kind(None, notify),
    "device_support": Kind(always(unused(extras.SUPPORT)), parsed(extras.parse_support)),
    "display_settings": Kind(always(settings.DISPLAY.read().data), display),
    "error": Kind(None, error),
    "goals": Kind(always(settings.GOALS.read().data), lambda r, _: held(settings.GOALS, r) or {}),
    "today_totals": Kind(always(frames.TODAY.data), totals),
    "steps_history": Kind(always(frames.activity_log(0).data), activity),
    "steps_frames": Kind(None, activity_frames),
    "hr_log": Kind(heart_rate_request, heart_rate),
    "stress_history": half_hours(Command.STRESS_LOG, "stress"),
    "hrv_history": half_hours(Command.HRV_LOG, "hrv_ms"),
    "hrv_history_partial": Kind(None, half_hours_partial),
    "spo2_history": Kind(always(frames.SPO2_LOG.data), spo2),
    "sleep_history": Kind(sleep_request, sleep),
    "nap_history": Kind(None, nap),
    "big_data_empty": Kind(
        lambda _, request: frames.encode_big(BigData(request[1]), request[frames.V2_HEADER :]),
        big_empty,
    ),
    "manual_hr_history": Kind(always(frames.MANUAL_HEART_RATE_LOG.data), manual),
    "temperature_history": Kind(None, temperature),
    "realtime": Kind(lambda _, r: frames.encode(Command.MEASURE, r[1], r[2]), realtime),
    "realtime_sequence": Kind(measure_request, realtime_sequence),
    "realtime_stop_reply": Kind(stop_request, stop_reply),
    "interleaved_stream": Kind(always(frames.TODAY.data), interleaved),
    "phone_sport": Kind(not_ours, sport),
    "message_push": Kind(not_ours, lambda r, _: {"configured": extras.parse_message_push(only(r))}),
    "raw_ppg": Kind(None, parsed(extras.parse_ppg)),
    "raw_spo2": Kind(None, parsed(extras.parse_spo2_light)),
    "raw_accel_12bit": Kind(None, parsed(extras.parse_acceleration_bluex)),
    "raw_accel_16bit": Kind(None, parsed(extras.parse_acceleration_realtek)),
    "checksum": Kind(
        None, lambda r, _: {"checksum": frames.checksum(r[0][:-1]), "sum": sum(r[0][:-1])}
    ),
    "checksum_invalid": Kind(None, checksum_invalid),
}
