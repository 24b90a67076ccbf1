"""How the vectors of the Viatom 0xAA family are read: kind → (encode, decode)."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
import json
from typing import Any

from custom_components.smart_rings.rings.errors import RingRefused
from custom_components.smart_rings.rings.oximeter.frames import payload_of
from custom_components.smart_rings.rings.recordings import parse
from custom_components.smart_rings.rings.viatom import frames
from custom_components.smart_rings.rings.viatom.frames import Command
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

PING = 0x15

INFO_KEYS = {
    "region": "Region",
    "model": "Model",
    "hardware_version": "HardwareVer",
    "software_version": "SoftwareVer",
    "bootloader_version": "BootloaderVer",
    "file_version": "FileVer",
    "protocol_version": "SPCPVer",
    "branch_code": "BranchCode",
}
INFO_NUMBERS = {
    "battery_pct": "CurBAT",
    "battery_state_raw": "CurBatState",
    "spo2_threshold_pct": "CurOxiThr",
    "motor_strength": "CurMotor",
    "step_target_count": "CurPedtar",
    "mode_raw": "CurMode",
    "state_raw": "CurState",
}


def request(wanted: Json, frame: bytes) -> bytes:
    match Command(frame[1]):
        case Command.PARA_SYNC:
            return frames.para_sync(json.loads(wanted["json"])).data
        case Command.READ_START:
            return frames.read_start(wanted["file_name"]).data
        case Command.READ_CONTENT:
            return frames.Blocks().read(wanted["block"]).data
        case _:
            return frames.read_end().data


def asked(wanted: Json, frame: bytes) -> bytes:
    """Encode the request that a reply was given to."""
    match frame[1]:
        case Command.INFO:
            return frames.info().data
        case Command.RT_PARAM:
            return frames.live().data
        case Command.RT_WAVE:
            return frames.live_of_wave().data
        case Command.PARA_SYNC:
            at = datetime.fromisoformat(wanted["set_time_local"])
            return frames.set_time(at).data
        case opcode:
            return frames.encode(opcode, frame[7:-1])


def response(replies: Sequence[bytes], wanted: Json) -> Json:
    (frame,) = frames_of(frames.framer(), replies)
    payload = frames.checked(frame)
    found: Json = envelope(frame)
    if "serial_number" in wanted:
        found |= info(payload)
    elif "wave" in wanted:
        wave = frames.parse_wave(payload)
        assert wave
        samples = list(payload[12 : 12 + int.from_bytes(payload[10:12], "little")])
        found |= live(asdict(wave)) | {"wave": samples, "wave_samples_count": len(samples)}
        found["sensor_state_raw"] = wave.lead_raw
    elif "spo2_pct" in wanted:
        values = frames.parse_live(payload)
        assert values
        found |= live(asdict(values))
        found["lead_byte_raw"] = values.lead_raw
    else:
        assert play(frames.para_sync({}).decode, [frame])
    if "json" in wanted:
        sent = asked(wanted, bytes((0xAA, Command.PARA_SYNC)))
        pieces = [sent[at : at + 20].hex() for at in range(0, len(sent), 20)]
        found |= {
            "json": payload_of(sent).decode(),
            "request_bytes": len(sent),
            "write_fragments_20_bytes": pieces,
            "set_time_local": wanted["set_time_local"],
        }
    return told(found, wanted)


def envelope(frame: bytes) -> Json:
    payload = payload_of(frame)
    return {
        "status_raw": frame[1],
        "block": int.from_bytes(frame[3:5], "little"),
        "payload_bytes": len(payload),
        "payload_hex": payload.hex(),
        "crc8_hex": f"{frame[-1]:02x}",
    }


def info(payload: bytes) -> Json:
    said = frames.parse_info(payload)
    assert said
    text = payload.rstrip(b"\0")
    numbers = {name: int(said.values[key].rstrip("%")) for name, key in INFO_NUMBERS.items()}
    return live(
        {name: said.values[key] for name, key in INFO_KEYS.items()}
        | numbers
        | {
            "serial_number": said.serial,
            "device_clock_local": said.clock,
            "file_list": said.files,
            "json_bytes": len(text),
            "padding_bytes": len(payload) - len(text),
        }
    )


def error(replies: Sequence[bytes], wanted: Json) -> Json:
    found = frames_of(frames.framer(), replies)
    if wanted.get("valid_frames_count") == 0:
        return told(
            {
                "valid_frames_count": len(found),
                "status_raw": replies[0][1],
                "declared_payload_bytes": int.from_bytes(replies[0][5:7], "little"),
                "actual_bytes_after_header": len(replies[0]) - 7,
            },
            wanted,
        )
    try:
        play(frames.read_start("20240101223000").decode, found)
    except RingRefused as refused:
        return told({"status_raw": found[0][1], "error_code": refused.code}, wanted)
    raise AssertionError("not an error")


def reassembly(replies: Sequence[bytes], wanted: Json) -> Json:
    found = frames_of(frames.framer(), replies)
    assert len(found) == wanted.get("valid_frames_count", 1)
    told_of: Json = envelope(found[0]) | {"valid_frames_count": len(found)}
    if "serial_number" in wanted:
        told_of |= info(frames.checked(found[0]))
        told_of["notifications_count"] = len(replies)
        told_of["notification_bytes"] = max(map(len, replies))
    return told(told_of, wanted)


def exchange(replies: Sequence[bytes], wanted: Json) -> Json:
    """Play a download as the ring class does: open, blocks until all is there, close."""
    name = payload_of(bytes.fromhex(wanted["requests_hex"][0])).rstrip(b"\0").decode()
    blocks = frames.Blocks()
    answers = iter(replies)
    sent: list[bytes] = []

    def talk(request: Any) -> Any:
        sent.append(request.data)
        return play(request.decode, frames_of(frames.framer(), [next(answers)]))

    size = talk(frames.read_start(name))
    data = b""
    while len(data) < size:
        data += talk(blocks.read(len(sent) - 1))
    talk(frames.read_end())
    found = {
        "requests_hex": [request.hex() for request in sent],
        "file_size_bytes": size,
        "file_hex": data[:size].hex(),
    }
    return told(found, wanted)


def payload(replies: Sequence[bytes], wanted: Json) -> Json:
    return told({"file_list": frames.parse_files(json.loads(replies[0]))}, wanted)


def file(replies: Sequence[bytes], wanted: Json) -> Json:
    stored = parse(replies[0])
    assert stored.summary
    found = asdict(stored.summary) | {
        "file_version": stored.version,
        "mode_raw": stored.mode,
        "start_local": stored.start,
        "declared_size_bytes": int.from_bytes(replies[0][9:13], "little"),
        "records_count": len(stored),
        "interval_s": stored.interval_s,
        "records": records(stored, wanted["records"]),
    }
    return told(found, wanted)


KINDS = {
    "crc8": Kind(None, checksum),
    "request": Kind(request),
    "response": Kind(asked, response),
    "error_response": Kind(asked, error),
    "reassembly": Kind(asked, reassembly),
    "exchange": Kind(asked, exchange),
    "payload": Kind(None, payload),
    "file": Kind(None, file),
    "advertisement": Kind(None, advertisement),
}
