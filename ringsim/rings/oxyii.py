"""Virtual O2Ring S rings and relatives (OxyII protocol, A5 frames), plain or with a session key."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import md5, sha256
from typing import Any, Unpack, override

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES128
from cryptography.hazmat.primitives.ciphers.modes import ECB
from cryptography.hazmat.primitives.padding import PKCS7

from .base import (
    NOTIFY,
    READ,
    WRITE,
    WRITE_NO_RESPONSE,
    Characteristic,
    Notification,
    Service,
    uuid16,
)
from .oximeter import (
    LEGACY_NOTIFY,
    LEGACY_SERVICE,
    LEGACY_WRITE,
    MANUFACTURER,
    Life,
    Oximeter,
    Request,
    frame,
    u16,
    u32,
)
from .recording import Limits, Recording

SERVICE, COMMAND, ANSWER = (f"e8fb000{n}-a14b-98f9-831b-4e2941d01248" for n in (1, 2, 3))
MARKER = 0xA5
SALT = md5(b"lepucloud", usedforsecurity=False).digest()
TRAILER_MAGIC = bytes.fromhex("48125ada")
TRAILER_SIZE = 48
HARMFUL = frozenset((0xE2, 0xE3, *range(0xE5, 0xE8), 0xEA, 0xEB, 0xEE, *range(0xF5, 0xF9), 0xFA))
"""Resets, firmware and factory data, file write and delete."""
AUTH, LIVE, LIVE_WAVE, VIBRATE = 0xFF, 0x02, 0x04, 0x83
SET_CONFIG, INFO, CLOSE, READ_FILE, LIST = 0x01, 0xE1, 0xF4, 0xF3, 0xF1
ENCRYPTED = frozenset((INFO, 0xE4, LIST, 0x06, 0xF2, READ_FILE, 0x00, *range(0x02, 0x06)))
"""Opcodes whose answers are encrypted in a session with a key; pushes are as well."""
GOOD = 1
NOT_FOUND, READ_FAILED, BAD_VALUE, NOT_DECRYPTED = 0xE0, 0xE1, 0xF1, 0xF3
BAD_FORMAT, NOT_SUPPORTED = 0xFC, 0xFD
PUSH_LIVE, PUSH_WAVE = 0x01, 0x02
WAVE_SIZE = 250
PREPARING = 120
"""Seconds on the finger until the run state is "measuring"."""
NO_KEY, KEY_CUT_SHORT, KEY = 0, 16, 20

type Handler = Callable[[bytes], bytes | None]


@dataclass(frozen=True, slots=True)
class Setting:
    """A field of SET_CONFIG: where GET_CONFIG has it, and what is taken."""

    name: str
    offset: int
    values: range | tuple[int, ...]
    shift: int = 0
    mask: int = 0xFF


SETTINGS = {
    1: Setting("spo2_switch", 0, range(4), mask=0x03),
    2: Setting("spo2_low", 1, range(80, 96)),
    3: Setting("pulse_switch", 0, range(4), shift=4, mask=0x30),
    4: Setting("pulse_low", 2, range(30, 71, 5)),
    5: Setting("pulse_high", 3, range(70, 201, 5)),
    6: Setting("motor", 4, range(0, 101, 20)),
    7: Setting("buzzer", 5, range(20, 101, 20)),
    8: Setting("display", 6, (0, 2)),
    9: Setting("brightness", 7, range(3)),
    10: Setting("interval", 8, (1, 4)),
}
FACTORY_CONFIG = bytes.fromhex("315832781414000201000003").ljust(40, b"\0")
UTC_OFFSET = 9


@dataclass(frozen=True, slots=True)
class Model:
    """How one product with one firmware differs from the others."""

    key: str
    product: str
    """Its name, with a place for four characters if it has that."""
    firmware: tuple[int, int, int, int]
    branch: str
    auth_answer: int = NO_KEY
    """Bytes of the answer to AUTH: none, no whole key, or one that it then uses."""
    info_needs_auth: bool = False
    live_gates_files: bool = False
    """Whether files are silent after a live poll, until the link ends."""
    opens_at_small_mtu: bool = True
    chunks_per_link: int | None = None
    """After so many pieces of files it is silent until the next connection; how many is a guess."""
    vibrates: bool = False
    service_uuids: tuple[str, ...] = ()
    manufacturer: bytes = MANUFACTURER


OXYII = {
    model.key: model
    for model in (
        Model("o2ring_s", "O2Ring S {}", (1, 0, 5, 0), "2D010001"),
        Model("o2ring_s_aes", "O2Ring S {}", (1, 13, 1, 0), "2D010001", auth_answer=KEY),
        Model(
            "s8_aw",
            "S8-AW {}",
            (1, 0, 5, 0),
            "2D010002",
            live_gates_files=True,
            opens_at_small_mtu=False,
            vibrates=True,
        ),
        Model(
            "shqo2pro",
            "SHQO2Pro",
            (1, 0, 5, 0),
            "2D010003",
            info_needs_auth=True,
            chunks_per_link=60,
            service_uuids=(uuid16(0x180D),),
        ),
        # Called like the first generation; what they answer beyond that is a guess. One tells what
        # its services speak, the legacy one its own frames and the other these.
        Model(
            "o2ring_2026",
            "O2Ring {}",
            (1, 13, 1, 0),
            "2D010001",
            auth_answer=KEY,
            manufacturer=MANUFACTURER + bytes.fromhex("1020"),
        ),
        Model("o2ring_untold", "O2Ring {}", (1, 13, 1, 0), "2D010001"),
    )
}


class Refused(Exception):
    """A request that fails, with its flag."""


class Session:
    """What a connection was told so far."""

    def __init__(self) -> None:
        """Know nothing."""
        self.authenticated = False
        self.key: bytes | None = None
        self.set_up = False
        """Whether pushes were switched, which opening a file waits for."""
        self.live = False
        """Whether live values were asked for."""
        self.pushes = 0
        self.chunks = 0


class OxyiiRing(Oximeter):
    """One ring with A5 frames. `config` holds its settings as GET_CONFIG tells them."""

    marker = MARKER
    command_uuid, answer_uuid = COMMAND, ANSWER
    states = ("seconds", "run", "sensor", "flags")
    low_battery = 10
    writing = timedelta(seconds=110)

    def __init__(self, model: Model, **life: Unpack[Life]) -> None:
        """Take the life of an `Oximeter`."""
        self.oxyii = model
        self.model = model.key
        self.firmware, self.hardware = ".".join(map(str, model.firmware)), "B"
        self.branch = model.branch
        self.config = bytearray(FACTORY_CONFIG)
        self.chunk = 512
        """Bytes of a file in one answer, before encryption."""
        self.wedges = True
        """Whether a recording leaves a file open, which silences files until it is closed."""
        self.shows_open_file = False
        """Whether the sensor byte tells of that."""
        self.unwritten: int | None = 0xFF
        """What stands where the trailer is to come; `None` leaves it out of the size."""
        self.session_key: bytes | None = None
        """The key it hands out; a new one each time if `None`."""
        self.wants_padded = False
        """Whether empty requests have to be encrypted in a session with a key."""
        self.pads_nothing = True
        """Whether its empty answers are encrypted there."""
        self.list_takes = 0.0
        """Seconds until the file list comes; 4.1 was measured."""
        self._open: bytes | None = None
        self._sessions = 0
        self._session = Session()
        super().__init__(
            model.product,
            manufacturer=model.manufacturer,
            service_uuids=model.service_uuids,
            **life,
        )
        offset = self.clock.offset.total_seconds() / 360
        self.config[UTC_OFFSET] = round(offset) & 0xFF
        self._open = None

    # What it holds

    @property
    @override
    def limits(self) -> Limits:
        return Limits(*self.config[1:4])

    @property
    @override
    def interval(self) -> int:
        return self.config[8]

    @property
    @override
    def told_settings(self) -> Mapping[str, Any]:
        return {s.name: (self.config[s.offset] & s.mask) >> s.shift for s in SETTINGS.values()}

    @override
    def content(self, recording: Recording) -> bytes:
        """Return it in format A."""
        body = _body(recording)
        figures, clock = recording.figures, recording.shown - datetime(1970, 1, 1)  # noqa: DTZ001
        count = len(recording.tracks.spo2)
        numbers = (figures.average, figures.lowest, figures.drops_3, figures.drops_4)
        return b"".join(
            (
                body,
                u32(sum(body)) + TRAILER_MAGIC,
                u32(int(clock.total_seconds())) + u32(count),
                bytes((recording.interval, 1, 3)).ljust(16, b"\0"),
                u16(figures.asleep) + bytes((*numbers, figures.percent_below_90)),
                u16(figures.seconds_below_90) + bytes((figures.episodes_below_90, figures.score)),
                u32(figures.steps) + bytes((figures.pulse,)),
            )
        )

    def written(self, recording: Recording) -> bytes:
        """Return the file as far as it is written: the trailer is last."""
        if self.is_final(recording):
            return self.content(recording)
        tail = b"" if self.unwritten is None else bytes((self.unwritten,)) * TRAILER_SIZE
        return _body(recording) + tail

    @override
    def _finish(self, at: datetime) -> None:
        if self.recording and self.wedges:
            self._open = b""
        super()._finish(at)

    @override
    def _die(self) -> None:
        super()._die()
        self._open = None

    @override
    def truth(self) -> dict[str, Any]:
        """Add `battery_voltage`, in V."""
        return super().truth() | {"battery_voltage": self.millivolts / 1000}

    # The air

    @property
    @override
    def services(self) -> tuple[Service, ...]:
        both = WRITE | WRITE_NO_RESPONSE
        return (
            Service(uuid16(0x180A), 0x10, (Characteristic(uuid16(0x2A29), 0x12, READ),)),
            # That of the first generation is there and mute.
            Service(
                LEGACY_SERVICE,
                0x20,
                (
                    Characteristic(LEGACY_NOTIFY, 0x22, NOTIFY),
                    Characteristic(LEGACY_WRITE, 0x25, both),
                ),
            ),
            Service(
                SERVICE,
                0x30,
                (Characteristic(COMMAND, 0x32, both), Characteristic(ANSWER, 0x34, NOTIFY)),
            ),
        )

    @override
    def linked(self) -> None:
        super().linked()
        self._session = Session()

    @override
    def unlinked(self) -> None:
        super().unlinked()
        self._session = Session()

    @override
    def write(self, uuid: str, data: bytes) -> list[Notification]:
        answers = super().write(uuid, data)
        late = self.list_takes if self._taken == LIST else 0.0
        return [Notification(answer.uuid, answer.value, late) for answer in answers]

    @override
    def answer(self, request: Request) -> Iterable[bytes]:
        sequence = request.middle[1]
        if request.code in HARMFUL or (request.code == CLOSE and self.worn):
            # Closing files while one is being written would end it.
            self.abuse.append(request.raw)
            return ()
        if request.code == AUTH:
            return self._authenticate(request.payload, sequence)
        try:
            handler = self._handlers().get(request.code, _unsupported)
            payload = self._decrypted(request)
            told = b"" if payload is None else handler(payload)
        except Refused as refused:
            return (frame(MARKER, request.code, bytes((refused.args[0], sequence))),)
        return () if told is None else (self._good(request.code, sequence, told),)

    def _handlers(self) -> Mapping[int, Handler]:
        handlers: dict[int, Handler] = {
            0x00: lambda _: bytes(self.config),
            SET_CONFIG: self._set_config,
            LIVE: lambda _: self._live(),
            0x03: lambda _: self._poll(self._wave()),
            LIVE_WAVE: lambda _: self._poll(self._live() + self._wave()),
            0x06: lambda _: b"\0",
            0x07: _no_such_file,
            0x08: _no_such_file,
            0x10: self._switch_pushes,
            0xC0: self._set_utc_time,
            INFO: self._info,
            0xE4: self._battery,
            0xEC: self._set_time,
            LIST: self._list,
            0xF2: self._open_file,
            READ_FILE: self._read_file,
            CLOSE: self._close,
        }
        return handlers | ({VIBRATE: self._vibrate} if self.oxyii.vibrates else {})

    # A session

    def _authenticate(self, payload: bytes, sequence: int) -> Iterable[bytes]:
        """Take either packing of the time: over the air it is not looked at."""
        if len(payload) != 16 or _salted(payload)[:8] != SALT[::2]:
            self.malformed.append(payload)
            return ()
        self._session.authenticated = True
        size = self.oxyii.auth_answer
        if not size:
            return ()
        self._sessions += 1
        own = sha256(f"{self.life} {self._sessions}".encode()).digest()[:16]
        key = self.session_key or own
        self._session.key = key if size == KEY else None
        told = _salted(bytes((1, len(key), 0, 0)) + key)[:size]
        return (frame(MARKER, AUTH, bytes((GOOD, sequence)), told),)

    def _decrypted(self, request: Request) -> bytes | None:
        """Return the payload in plain text, `None` where a wrong form is quietly passed over."""
        key, payload = self._session.key, request.payload
        if key is None or (not payload and not self.wants_padded):
            return payload
        try:
            return decrypt(key, payload)
        except ValueError:
            if request.code == SET_CONFIG:
                return None
            raise Refused(NOT_DECRYPTED) from None

    def _good(self, code: int, sequence: int, told: bytes) -> bytes:
        key = self._session.key
        if key and code in ENCRYPTED and (told or self.pads_nothing):
            told = encrypt(key, told)
        return frame(MARKER, code, bytes((GOOD, sequence)), told)

    # Now

    def _live(self) -> bytes:
        sensed = self.sensed()
        return b"".join(
            (
                u32(self.told("seconds", self.seconds)),
                bytes((self.told("run", self._run_state()), self.told("sensor", self._sensor()))),
                bytes((sensed["spo2"], sensed["perfusion"])) + u16(sensed["pulse"]),
                bytes((self.told("flags", 0xC6 | self.worn), sensed["motion"])),
                bytes((self.battery_state, self.battery)) + bytes(6),
            )
        )

    def _run_state(self) -> int:
        if self.worn:
            return 1 if self.seconds < PREPARING else 2
        return 3 if any(not self.is_final(r) for r in self.slots if r) else 0

    def _sensor(self) -> int:
        if self.shows_open_file and self._open is not None and not self.worn:
            return 3
        return int(self.worn)

    def _wave(self) -> bytes:
        first, wave = self.pulse_wave(WAVE_SIZE)
        return u32(first) + u16(len(wave)) + wave

    def _poll(self, told: bytes) -> bytes:
        self._session.live = True
        return told

    def _switch_pushes(self, payload: bytes) -> bytes:
        if len(payload) != 1:
            raise Refused(BAD_FORMAT)
        running, session = self._session.pushes, self._session
        session.set_up, session.pushes = True, payload[0]
        if session.pushes and not running:
            self.schedule(1.0, lambda: self._push(session))
        return b""

    def _push(self, session: Session) -> None:
        if session is not self._session or not session.pushes:
            return
        self.catch_up()
        session.live = True
        told = {0x11: (PUSH_LIVE, self._live), 0x12: (PUSH_WAVE, self._wave)}
        for code, (bit, tell) in told.items():
            if session.pushes & bit:
                payload = encrypt(session.key, tell()) if session.key else tell()
                self.emit(Notification(ANSWER, frame(MARKER, code, bytes((GOOD, 0)), payload)))
        self.schedule(1.0, lambda: self._push(session))

    def _info(self, _: bytes) -> bytes | None:
        if self.oxyii.info_needs_auth and not self._session.authenticated:
            return None
        shown = self.clock.read()
        told = b"".join(
            (
                self.hardware.encode() + bytes(self.oxyii.firmware[::-1]) + bytes((2, 0, 0, 0)),
                self.branch.encode() + bytes.fromhex("01 4008 5216 0100"),
                u16(shown.year) + bytes((shown.month, shown.day)),
                bytes((shown.hour, shown.minute, shown.second)),
                u16(2016) + bytes(4) + bytes((len(self.serial),)) + self.serial.encode(),
            )
        )
        return told.ljust(60, b"\0")

    def _battery(self, _: bytes) -> bytes:
        return bytes((self.battery_state, self.battery)) + u16(self.millivolts)

    @property
    def millivolts(self) -> int:
        """The battery's voltage, on a line through what was measured at 68 and 100 %."""
        return round(4342 - 11.875 * (100 - self.battery))

    def _vibrate(self, _: bytes) -> bytes:
        self.vibrated += 1
        return b""

    # Settings

    def _set_config(self, payload: bytes) -> bytes:
        if len(payload) != 8:
            raise Refused(BAD_FORMAT)
        setting, value = SETTINGS.get(payload[0]), int.from_bytes(payload[4:], "little")
        if setting is None or value not in setting.values:
            raise Refused(BAD_VALUE)
        rest = self.config[setting.offset] & ~setting.mask & 0xFF
        self.config[setting.offset] = rest | value << setting.shift
        return b""

    def _set_utc_time(self, payload: bytes) -> bytes:
        """Keep the offset beside the time, and make nothing of it."""
        if len(payload) != 8:
            raise Refused(BAD_FORMAT)
        self._set_time(payload[:7])
        self.config[UTC_OFFSET] = payload[7]
        return b""

    def _set_time(self, payload: bytes) -> bytes:
        if len(payload) != 7:
            raise Refused(BAD_FORMAT)
        try:
            shown = datetime(int.from_bytes(payload[:2], "little"), *payload[2:])  # noqa: DTZ001
        except ValueError:
            raise Refused(BAD_FORMAT) from None
        self.clock.set(shown)
        return b""

    # Files

    @property
    def _silent(self) -> bool:
        """Whether the list and opening a file get no answer."""
        gated = self._session.live and self.oxyii.live_gates_files
        return self.worn or gated or self._open is not None

    def _list(self, _: bytes) -> bytes | None:
        if self._silent:
            return None
        names = (recording.name.encode().ljust(16, b"\0") for recording in self.files)
        return bytes((len(self.files),)) + b"".join(names)

    def _open_file(self, payload: bytes) -> bytes | None:
        small = self.mtu < 64 and not self.oxyii.opens_at_small_mtu
        if self._silent or small or not self._session.set_up:
            return None
        if len(payload) != 20:
            raise Refused(BAD_FORMAT)
        recording = self.find(payload[:16].rstrip(b"\0").decode("ascii", "replace"))
        if recording is None or any(payload[16:]):
            raise Refused(NOT_FOUND)
        self._open = self.written(recording)
        return u32(len(self._open))

    def _read_file(self, payload: bytes) -> bytes | None:
        if len(payload) != 4:
            raise Refused(BAD_FORMAT)
        if not self._open:
            raise Refused(READ_FAILED)
        limit = self.oxyii.chunks_per_link
        if limit is not None and self._session.chunks >= limit:
            return None
        self._session.chunks += 1
        at = int.from_bytes(payload, "little")
        return self._open[at : at + self.chunk]

    def _close(self, _: bytes) -> bytes:
        self._open = None
        return b""


def _unsupported(_: bytes) -> bytes:
    raise Refused(NOT_SUPPORTED)


def _no_such_file(_: bytes) -> bytes:
    raise Refused(READ_FAILED)


def encrypt(key: bytes, plain: bytes) -> bytes:
    """AES-128, ECB, PKCS7."""
    padder, cipher = PKCS7(128).padder(), Cipher(AES128(key), ECB()).encryptor()  # noqa: S305
    return cipher.update(padder.update(plain) + padder.finalize()) + cipher.finalize()


def decrypt(key: bytes, sealed: bytes) -> bytes:
    """Undo `encrypt`. Raises `ValueError`."""
    unpadder, cipher = PKCS7(128).unpadder(), Cipher(AES128(key), ECB()).decryptor()  # noqa: S305
    padded = cipher.update(sealed) + cipher.finalize()
    return unpadder.update(padded) + unpadder.finalize()


def _salted(data: bytes) -> bytes:
    return bytes(byte ^ SALT[n % 16] for n, byte in enumerate(data))


def _body(recording: Recording) -> bytes:
    tracks = recording.tracks
    body = bytearray(3 * len(tracks.spo2))
    body[0::3], body[1::3] = tracks.spo2, tracks.pulse
    pairs = zip(tracks.motion, tracks.alarms, strict=True)
    body[2::3] = bytes(min(motion, 0x3F) | alarms & 0xC0 for motion, alarms in pairs)
    return bytes.fromhex("01030000000000000400") + body
