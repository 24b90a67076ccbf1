"""OxyII 0xA5 family: bytes ↔ dataclasses. No I/O. Sections refer to docs/protocols/oxyii.md."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum
from hashlib import md5

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

from ..errors import RingRefused
from ..link import Decoder, Request
from ..oximeter.frames import (
    Live,
    MarkedFramer,
    allows,
    calendar,
    motion,
    name_time,
    payload_of,
    percent,
    perfusion_index,
    pulse,
    spo2,
    word,
)
from ..oximeter.frames import encode as encode_frame

MARKER = 0xA5
MAX_PAYLOAD = 2048
GOOD = 1
AES_BLOCK = 16
# The vendor's salt (§5.1); a constant of the protocol, not a protection.
SALT = md5(b"lepucloud", usedforsecurity=False).digest()


class Command(IntEnum):
    """Every opcode that may be sent; those that erase, flash or reset are not here (§4)."""

    GET_CONFIG = 0x00
    SET_CONFIG = 0x01
    RT_PARAM = 0x02
    RT_DATA = 0x04
    AUTO_RT_SWITCH = 0x10
    VIBRATE = 0x83
    SET_UTC_TIME = 0xC0
    GET_INFO = 0xE1
    GET_BATTERY = 0xE4
    SET_TIME = 0xEC
    FILE_LIST = 0xF1
    READ_FILE_START = 0xF2
    READ_FILE_DATA = 0xF3
    READ_FILE_END = 0xF4
    AUTH = 0xFF


class Field(IntEnum):
    """What SET_CONFIG can write; 0 would write all of it (§8.4)."""

    SPO2_SWITCH = 1
    SPO2_LOW = 2
    PULSE_SWITCH = 3
    PULSE_LOW = 4
    PULSE_HIGH = 5
    MOTOR = 6
    BUZZER = 7
    DISPLAY = 8
    BRIGHTNESS = 9
    INTERVAL = 10


REASONS = {
    0xE0: "file not found",
    0xE1: "read failed",
    0xE2: "read failed",
    0xE3: "write failed",
    0xF1: "file list failed or parameter illegal",
    0xF2: "permission denied",
    0xF3: "decryption failed",
    0xFB: "busy",
    0xFC: "format error",
    0xFD: "not supported",
    0xFF: "general error",
}


def framer() -> MarkedFramer:
    """Return what reassembles replies."""
    return MarkedFramer(MARKER, MAX_PAYLOAD)


def encode(command: int, payload: bytes = b"", seq: int = 0) -> bytes:
    """Build a request frame."""
    return encode_frame(MARKER, command, seq << 8, payload)


def may_send(data: bytes) -> bool:
    """Whether these bytes are a request that can't harm the ring."""
    if not allows(data, MARKER, frozenset(Command)):
        return False
    if data[1] != Command.SET_CONFIG:
        return True
    # Field 0 overwrites the whole configuration; in an encrypted session it can't be seen here.
    payload = payload_of(data)
    return len(payload) == AES_BLOCK or (len(payload) == 8 and payload[0] in Field)


@dataclass(frozen=True, slots=True)
class Info:
    """Who the ring is (§8.1)."""

    hardware_version: str
    firmware_version: str
    bootloader_version: str
    branch_code: str
    file_version: int
    project_id_hex: str
    device_type_hex: str
    protocol_version: str
    device_clock_local: datetime | None
    max_frame_bytes: int
    serial_number: str


@dataclass(frozen=True, slots=True)
class Battery:
    """The battery (§8.2)."""

    battery_state_raw: int
    battery_pct: int
    battery_mv: int


@dataclass(frozen=True, slots=True)
class SensorLive(Live):
    """Live values with what only this family has (§7.1)."""

    duration_s: int
    run_status_raw: int
    sensor_state_raw: int
    flag_raw: int


@dataclass(frozen=True, slots=True)
class Config:
    """The verified part of the 40 bytes of settings (§8.3), and all of them."""

    raw: bytes
    spo2_vibrate: bool
    spo2_sound: bool
    hr_vibrate: bool
    hr_sound: bool
    spo2_low_pct: int
    hr_low_bpm: int
    hr_high_bpm: int
    motor_strength: int
    buzzer_level: int
    display_mode_raw: int
    brightness_raw: int
    storage_interval_s: int
    utc_offset_h: float


def parse_info(payload: bytes) -> Info | None:
    """Read GET_INFO; with the wrong key or none it is noise, which a serial shows."""
    if len(payload) < 38:
        return None
    serial = payload[38 : 38 + payload[37]].decode("ascii", "replace")
    if not (serial.isascii() and serial.isalnum() and len(serial) == payload[37] <= 22):
        return None
    return Info(
        hardware_version=_text(payload[0:1]),
        firmware_version=_version(payload[1:5]),
        bootloader_version=_version(payload[5:9]),
        branch_code=_text(payload[9:17]),
        file_version=payload[17],
        project_id_hex=payload[18:20].hex(),
        device_type_hex=f"{word(payload, 20):04x}",
        protocol_version=f"{payload[22]}.{payload[23]}",
        device_clock_local=calendar(payload[24:31]),
        max_frame_bytes=word(payload, 31),
        serial_number=serial,
    )


def parse_battery(payload: bytes) -> Battery | None:
    """Read GET_BATTERY."""
    if len(payload) < 4 or payload[1] > 100:
        return None
    return Battery(payload[0], payload[1], word(payload, 2))


def parse_live(payload: bytes) -> SensorLive | None:
    """Read the 20 bytes of values that RT_PARAM is and RT_DATA begins with."""
    if len(payload) < 20:
        return None
    return SensorLive(
        spo2_pct=spo2(payload[6]),
        heart_rate_bpm=pulse(word(payload, 8)),
        perfusion_index_pct=perfusion_index(payload[7]),
        motion_raw=motion(payload[11]),
        battery_pct=percent(payload[13]),
        battery_state_raw=payload[12],
        duration_s=word(payload, 0, 4),
        run_status_raw=payload[4],
        sensor_state_raw=payload[5],
        flag_raw=payload[10],
    )


def parse_config(payload: bytes) -> Config | None:
    """Read GET_CONFIG."""
    if len(payload) < 10:
        return None
    switches = payload[0]
    return Config(
        raw=payload,
        spo2_vibrate=bool(switches & 0x01),
        spo2_sound=bool(switches & 0x02),
        hr_vibrate=bool(switches & 0x10),
        hr_sound=bool(switches & 0x20),
        spo2_low_pct=payload[1],
        hr_low_bpm=payload[2],
        hr_high_bpm=payload[3],
        motor_strength=payload[4],
        buzzer_level=payload[5],
        display_mode_raw=payload[6],
        brightness_raw=payload[7],
        storage_interval_s=payload[8],
        utc_offset_h=int.from_bytes(payload[9:10], signed=True) / 10,
    )


def parse_files(payload: bytes) -> tuple[str, ...] | None:
    """Read the names of the file list; what is no name is left out."""
    if not payload or len(payload) < 1 + 16 * payload[0]:
        return None
    slots = (payload[at : at + 16] for at in range(1, 1 + 16 * payload[0], 16))
    names = (slot.rstrip(b"\0").decode("ascii", "replace") for slot in slots)
    return tuple(name for name in names if name_time(name))


def parse_size(payload: bytes) -> int | None:
    """Read the size of the opened file; further bytes are unknown."""
    return word(payload, 0, 4) if len(payload) >= 4 else None


def auth_payload(at: datetime, serial_prefix: str = "0000", *, shifted: bool = True) -> bytes:
    """Build the greeting (§5.1); rings accept both ways its time is packed."""
    seconds = int(at.timestamp())
    packed = bytes(seconds >> shift & 0xFF for shift in (range(4) if shifted else range(0, 32, 8)))
    return _salted(SALT[::2] + serial_prefix.encode("ascii") + packed)


def parse_key(payload: bytes) -> bytes | None:
    """Read the session key from the answer to the greeting; older rings hand out none (§5.2)."""
    plain = _salted(payload)
    if len(plain) < 20 or plain[0] != 1 or plain[1] != AES_BLOCK:
        return None
    return plain[4:20]


@dataclass(frozen=True, slots=True)
class Ask[T]:
    """A request before it is numbered and encrypted."""

    command: Command
    parse: Callable[[bytes], T | None]
    payload: bytes = b""
    first: float = 3.0
    repeat: bool = True
    plain: bool = False


class Session:
    """What a connection agrees on: the sequence, and a key where the ring hands one out (§5.3)."""

    def __init__(self, *, pads_empty: bool = False) -> None:
        """Begin in plain text. `pads_empty`: empty requests are sent as a block of padding."""
        self.pads_empty = pads_empty
        self.key: bytes | None = None
        self._seq = 0
        self._echoes = False

    def request[T](self, ask: Ask[T]) -> Request[T]:
        """Number and encrypt a request."""
        self._seq = self._seq % 254 + 1
        seq = self._seq
        payload = ask.payload
        if self.key and not ask.plain and (payload or self.pads_empty):
            payload = encrypt(self.key, payload)
        return Request(
            encode(ask.command, payload, seq),
            frozenset({ask.command}),
            lambda: self._decode(ask, seq),
            first=ask.first,
            repeat=ask.repeat,
        )

    def _decode[T](self, ask: Ask[T], seq: int) -> Decoder[T]:
        reason = None
        while True:
            frame = yield reason
            if frame[4] == seq:
                self._echoes = True
            elif self._echoes:
                reason = "sequence"
                continue
            payload = checked(frame)
            if self.key and not ask.plain:
                payload = decrypt(self.key, payload)
            value = ask.parse(payload)
            if value is not None:
                return value
            reason = "content"


def answered(frame: bytes) -> int:
    """Which opcode a frame answers."""
    return frame[1]


def checked(frame: bytes) -> bytes:
    """Return the payload of a reply. Raises `RingRefused` with the flag (§3)."""
    flag = frame[3]
    if flag != GOOD:
        raise RingRefused(f"{frame[1]:02x}: {REASONS.get(flag, f'flag {flag:02x}')}", flag)
    return payload_of(frame)


def encrypt(key: bytes, payload: bytes) -> bytes:
    """Encrypt a payload with AES-128-ECB and PKCS7 padding."""
    padder = PKCS7(AES_BLOCK * 8).padder()
    encryptor = _cipher(key).encryptor()
    padded = padder.update(payload) + padder.finalize()
    return encryptor.update(padded) + encryptor.finalize()


def decrypt(key: bytes, payload: bytes) -> bytes:
    """Decrypt a payload; what can't be one of ours came in plain text."""
    if not payload or len(payload) % AES_BLOCK:
        return payload
    decryptor = _cipher(key).decryptor()
    unpadder = PKCS7(AES_BLOCK * 8).unpadder()
    try:
        padded = decryptor.update(payload) + decryptor.finalize()
        return unpadder.update(padded) + unpadder.finalize()
    except ValueError:
        return payload


def auth(at: datetime) -> Ask[bytes]:
    """Greet the ring; gives the raw answer, which most firmwares don't send."""
    return Ask(Command.AUTH, bytes, auth_payload(at), first=1, repeat=False, plain=True)


def pushes_off() -> Ask[bool]:
    """Turn unasked frames off; before that, files are refused silently (§6)."""
    return Ask(Command.AUTO_RT_SWITCH, _done, b"\0")


def info() -> Ask[Info]:
    """Ask who the ring is."""
    return Ask(Command.GET_INFO, parse_info)


def battery() -> Ask[Battery]:
    """Ask for the battery."""
    return Ask(Command.GET_BATTERY, parse_battery)


def live(command: Command = Command.RT_PARAM) -> Ask[SensorLive]:
    """Ask for the values of now; firmwares that refuse RT_PARAM know RT_DATA."""
    return Ask(command, parse_live, first=2.5)


def config() -> Ask[Config]:
    """Ask for the settings."""
    return Ask(Command.GET_CONFIG, parse_config)


def set_config(field: Field, value: int) -> Ask[bool]:
    """Write one setting."""
    payload = field.to_bytes(4, "little") + value.to_bytes(4, "little")
    return Ask(Command.SET_CONFIG, _done, payload)


def set_utc_time(ring_time: datetime, offset: timedelta) -> Ask[bool]:
    """Set the clock to local time, and tell it the zone's offset (§9)."""
    tenths = round(offset / timedelta(hours=0.1))
    return Ask(Command.SET_UTC_TIME, _done, _time(ring_time) + tenths.to_bytes(1, signed=True))


def set_time(ring_time: datetime) -> Ask[bool]:
    """Set the clock of a firmware that knows no zone."""
    return Ask(Command.SET_TIME, _done, _time(ring_time))


def vibrate() -> Ask[bool]:
    """Let the ring vibrate for a second."""
    return Ask(Command.VIBRATE, _done, repeat=False)


def file_list() -> Ask[tuple[str, ...]]:
    """Ask for the stored files; an answer took 4.1 s once (§3)."""
    return Ask(Command.FILE_LIST, parse_files, first=10, repeat=False)


def read_start(name: str) -> Ask[int]:
    """Open an oximetry file; gives its size."""
    payload = name.encode("ascii").ljust(16, b"\0") + bytes(4)
    return Ask(Command.READ_FILE_START, parse_size, payload, first=5, repeat=False)


def read_data(offset: int) -> Ask[bytes]:
    """Ask for the next bytes of the open file."""
    return Ask(Command.READ_FILE_DATA, bytes, offset.to_bytes(4, "little"), first=8)


def read_end() -> Ask[bool]:
    """Close the open file; also frees the file list after a recording (§10.1)."""
    return Ask(Command.READ_FILE_END, _done, repeat=False)


def _done(_: bytes) -> bool:
    return True


def _cipher(key: bytes) -> Cipher[modes.ECB]:
    return Cipher(algorithms.AES128(key), modes.ECB())  # noqa: S305 - the ring's choice


def _salted(data: bytes) -> bytes:
    return bytes(byte ^ SALT[n % len(SALT)] for n, byte in enumerate(data))


def _time(at: datetime) -> bytes:
    fields = (at.month, at.day, at.hour, at.minute, at.second)
    return at.year.to_bytes(2, "little") + bytes(fields)


def _text(data: bytes) -> str:
    return "".join(char for char in data.decode("ascii", "ignore") if char.isprintable())


def _version(data: bytes) -> str:
    return ".".join(map(str, reversed(data)))
