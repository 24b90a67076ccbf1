"""How the vectors of the OxyII 0xA5 family are read: kind → (encode, decode)."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from hashlib import md5

import pytest

from custom_components.smart_rings.rings.errors import RingRefused
from custom_components.smart_rings.rings.oximeter.frames import payload_of
from custom_components.smart_rings.rings.oxyii import frames
from custom_components.smart_rings.rings.oxyii.frames import Ask, Command, Field, Session
from custom_components.smart_rings.rings.recordings import parse, parse_trailer
from tests.rings import oxyii_extras as extras
from tests.rings.vectors_oximeter import (
    Json,
    Kind,
    advertisement,
    checksum,
    frames_of,
    live,
    play,
    records,
    told,
)

SHIFTED = "(ts>>0,1,2,3)&0xff"
RUN_STATES = ("preparing", "preparation", "measuring", "finished")
SENSOR_STATES = ("finger_off", "finger_on", "unplugged", "fault")
ASKS: dict[Command, Ask[object]] = {
    ask.command: ask
    for ask in (
        frames.info(),
        frames.battery(),
        frames.config(),
        frames.file_list(),
        frames.pushes_off(),
        frames.live(Command.RT_DATA),
        frames.read_end(),
    )
}


def request(wanted: Json, frame: bytes) -> bytes:
    """Encode a request from what the vector tells; its sequence stands only in the bytes."""
    match Command(frame[1]):
        case Command.READ_FILE_START:
            ask: Ask[object] = frames.read_start(wanted["file_name"])
        case Command.READ_FILE_DATA:
            ask = frames.read_data(wanted.get("offset_bytes", 0))
        case Command.SET_UTC_TIME:
            at = datetime.fromisoformat(wanted["time_local"])
            ask = frames.set_utc_time(at, timedelta(hours=wanted["utc_offset_h"]))
        case Command.SET_TIME:
            ask = frames.set_time(datetime.fromisoformat(wanted["time_local"]))
        case Command.SET_CONFIG:
            field = Field(wanted["field_raw"])
            assert field.name == wanted["field"]
            ask = frames.set_config(
                field, wanted["value_pct" if "value_pct" in wanted else "value"]
            )
        case command:
            ask = ASKS[command]
            if "opcode_hex" in wanted:
                assert command == int(wanted["opcode_hex"], 16)
                assert ask.payload.hex() == wanted.get("payload_hex", "")
    return frames.encode(ask.command, ask.payload, frame[4])


def asked(wanted: Json, frame: bytes) -> bytes:
    """Encode the request that a reply was given to."""
    if frame[1] in (extras.RT_PPG, Command.SET_CONFIG):
        return frames.encode(frame[1], frame[7:-1], frame[4])
    return request({key: wanted[key] for key in ("offset_bytes",) if key in wanted}, frame)


def response(replies: Sequence[bytes], wanted: Json) -> Json:
    (frame,) = frames_of(frames.framer(), replies)
    payload = frames.checked(frame)
    found: Json = {"flag_raw": frame[3], "seq": frame[4]}
    match frame[1]:
        case Command.RT_DATA:
            values = frames.parse_live(payload)
            assert values
            offset, wave = extras.parse_wave(payload)
            found = live(asdict(values)) | {
                "run_status": RUN_STATES[values.run_status_raw],
                "sensor_state": SENSOR_STATES[values.sensor_state_raw],
                "wave_offset_samples": offset,
                "wave_samples_count": len(wave),
                "wave": list(wave),
                "wave_marker_indexes": [n for n, v in enumerate(wave) if v == extras.BEAT],
                "wave_interpolated": extras.without_marks(wave),
            }
        case extras.RT_PPG:
            ppg, trailing = extras.parse_ppg(payload)
            found |= {
                "records": [asdict(record) for record in ppg],
                "records_count": len(ppg),
                "trailing_bytes": trailing,
            }
        case Command.FILE_LIST:
            found["file_list"] = frames.parse_files(payload)
        case Command.GET_BATTERY:
            battery = frames.parse_battery(payload)
            assert battery
            found |= live(asdict(battery))
        case command:
            ask = ASKS[Command(command)]
            found |= asdict(ask.parse(payload))  # type: ignore[call-overload]
    return told(found, wanted)


def error(replies: Sequence[bytes], wanted: Json) -> Json:
    found = frames_of(frames.framer(), replies)
    with pytest.raises(RingRefused) as refused:
        play(Session().request(frames.set_config(Field.MOTOR, 60)).decode, found)
    flag = refused.value.code
    assert isinstance(flag, int)
    return told({"opcode_hex": f"{found[0][1]:02x}", "flag_hex": f"{flag:02x}"}, wanted)


def reassembly(replies: Sequence[bytes], wanted: Json) -> Json:
    found = frames_of(frames.framer(), replies)
    assert len(found) == wanted.get("valid_frames_count", 1)
    payload = payload_of(found[0])
    seen: Json = {
        "valid_frames_count": len(found),
        "opcode_hex": f"{found[0][1]:02x}",
        "seq": found[0][4],
        "payload_bytes": len(payload),
        "payload_sum": sum(payload),
        "payload_md5_hex": md5(payload, usedforsecurity=False).hexdigest(),
        "frame_bytes": len(found[0]),
        "notifications_count": len(replies),
    }
    if "serial_number" in wanted:
        info = frames.parse_info(payload)
        assert info
        seen["serial_number"] = info.serial_number
    return told(seen, wanted)


def auth_request(wanted: Json, frame: bytes) -> bytes:
    if "session_key_hex" in wanted:
        session = Session()
        session.key = bytes.fromhex(wanted["session_key_hex"])
        plain = bytes.fromhex(wanted["plaintext_payload_hex"])
        data = session.request(Ask(Command(frame[1]), bytes, plain)).data
        assert payload_of(data).hex() == wanted["ciphertext_payload_hex"]
        assert frames.decrypt(session.key, payload_of(data)) == plain
        return data
    at = datetime.fromtimestamp(wanted["unix_time_s"], UTC)
    shifted = wanted["time_packing"] == SHIFTED
    payload = frames.auth_payload(at, wanted["serial_prefix"], shifted=shifted)
    key = bytes(a ^ b for a, b in zip(payload, frames.SALT, strict=True))
    assert key.hex() == wanted["key_hex"]
    assert payload.hex() == wanted["payload_hex"]
    assert frames.SALT.hex() == wanted.get("md5_lepucloud_hex", frames.SALT.hex())
    return frames.encode(Command.AUTH, payload)


def auth_reply(replies: Sequence[bytes], wanted: Json) -> Json:
    (frame,) = frames_of(frames.framer(), replies)
    key = frames.parse_key(frames.checked(frame))
    return told(
        {"session_key_hex": key.hex() if key else None, "encrypted_session": key is not None},
        wanted,
    )


def file(replies: Sequence[bytes], wanted: Json) -> Json:
    stored = parse(replies[0])
    found: Json = {
        "finalised": stored.finished,
        "file_version": stored.version,
        "file_type": replies[0][1],
        "device_model": stored.mode,
        "records_count": len(stored),
        "records": records(stored, wanted["records"]),
        "summary": stored.summary,
    }
    if stored.summary:
        found |= asdict(stored.summary) | {
            "checksum_ok": stored.intact,
            "start_local": stored.start,
            "sample_count": len(stored),
            "interval_s": stored.interval_s,
            "channel_type": replies[0][-48 + 17],
            "bytes_per_sample": replies[0][-48 + 18],
            "asleep_raw": stored.summary.asleep_s,
        }
    return told(found, wanted)


def trailer(replies: Sequence[bytes], wanted: Json) -> Json:
    summary, count = parse_trailer(replies[0])
    found = asdict(summary) | {"sample_count": count, "file_bytes": 10 + 3 * count + 48}
    return told(found, wanted)


KINDS = {
    "crc8": Kind(None, checksum),
    "request": Kind(request),
    "response": Kind(asked, response),
    "error_response": Kind(asked, error),
    "reassembly": Kind(asked, reassembly),
    "auth": Kind(auth_request, auth_reply),
    "file": Kind(None, file),
    "file_trailer": Kind(None, trailer),
    "advertisement": Kind(None, advertisement),
}
