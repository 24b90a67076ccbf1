"""Virtual oximeter rings of the first generation (AA frames, 20-byte notifications)."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
import json
from typing import Any, Unpack, override

from .base import NOTIFY, READ, WRITE, WRITE_NO_RESPONSE, Characteristic, Service, uuid16
from .oximeter import (
    LEGACY_NOTIFY,
    LEGACY_SERVICE,
    LEGACY_WRITE,
    LOW,
    NORMAL,
    Life,
    Oximeter,
    Request,
    crc8,
    frame,
    u16,
    u32,
)
from .recording import Limits, Recording

HARMFUL = frozenset((*range(0x03), *range(0x0A, 0x10), 0x18, 0x19, 0x1A))
"""File write, firmware and language update, factory reset, flash lock, factory burn."""
ANSWER = 0x55
OK, FAILED = 0, 1
NO_FILE, UNKNOWN_COMMAND = 0x09, 0x0B
ACK = bytes(4)
INFO_SIZE = 512
CLOCK = "%Y-%m-%d,%H:%M:%S"
STALE = bytes.fromhex(
    "080000830500008d050000970500000000000000000000000000000000000009090000a105000000"
)
"""What lies behind the header of an answer that says it is empty."""
SETTINGS = {
    "SetOxiThr": ("CurOxiThr", range(80, 96)),
    "SetMotor": ("CurMotor", range(101)),
    "SetPedtar": ("CurPedtar", range(100_000)),
    "SetOxiSwitch": ("OxiSwitch", range(2)),
    "SetHRSwitch": ("HRSwitch", range(2)),
    "SetHRLowThr": ("HRLowThr", range(30, 251)),
    "SetHRHighThr": ("HRHighThr", range(30, 251)),
    "SetLightingMode": ("LightingMode", range(3)),
    "SetLightStr": ("LightStr", range(3)),
}
"""What is written → its key in INFO, and what is taken."""

type Handler = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class Model:
    """How one product with one firmware differs from the others."""

    key: str
    product: str
    """Its name, with a place for four characters."""
    number: str
    software: str
    branch: str
    settings: Mapping[str, str] = field(default_factory=dict)
    """INFO key → factory setting; keys it does not have can't be set."""
    live_bytes: int = 13
    tells_perfusion: bool = True
    tells_lead: bool = True
    """Whether the lead byte follows the finger; else it is 0 for ever."""


_FIRST = {"CurOxiThr": "87", "CurMotor": "100", "CurPedtar": "99999"}
VIATOM = {
    model.key: model
    for model in (
        Model(
            "o2ring",
            "O2Ring {}",
            "1652",
            "1.13.0",
            "21040000",
            _FIRST
            | {
                "OxiSwitch": "1",
                "HRSwitch": "0",
                "HRLowThr": "50",
                "HRHighThr": "120",
                "LightingMode": "0",
                "LightStr": "1",
            },
        ),
        Model(
            "sleepu",
            "SleepU {}",
            "1654",
            "1.2.0",
            "21070000",
            _FIRST,
            tells_perfusion=False,
            tells_lead=False,
        ),
    )
}


class Refused(Exception):
    """A request that fails, with its code."""


class ViatomRing(Oximeter):
    """One ring of the first generation."""

    marker = 0xAA
    command_uuid, answer_uuid = LEGACY_WRITE, LEGACY_NOTIFY
    states = ("lead",)
    mtu = 23
    low_battery = 20
    writing = timedelta()

    def __init__(self, model: Model, **life: Unpack[Life]) -> None:
        """Take the life of an `Oximeter`."""
        self.viatom = model
        self.model = model.key
        self.firmware, self.hardware, self.branch = model.software, "AA", model.branch
        self.settings = dict(model.settings)
        """INFO key → value, as text."""
        self.steps = 0
        self.chunk = 512
        """Bytes of a file in one answer."""
        self.echoes_blocks = True
        """Whether answers tell which block they hold; else they tell 0."""
        self.mistakes_files = False
        """Whether a name that is not there opens the file opened last."""
        self._open: bytes | None = None
        self._opened_last: Recording | None = None
        super().__init__(model.product, tells_perfusion=model.tells_perfusion, **life)

    @property
    @override
    def limits(self) -> Limits:
        return Limits(
            int(self.settings["CurOxiThr"]),
            int(self.settings.get("HRLowThr", 0)),
            int(self.settings.get("HRHighThr", 0xFF)),
        )

    @property
    @override
    def interval(self) -> int:
        return 4

    @property
    @override
    def told_settings(self) -> Mapping[str, Any]:
        return self.settings

    @override
    def content(self, recording: Recording) -> bytes:
        """Return it in version 3 of the file."""
        tracks, figures, shown = recording.tracks, recording.figures, recording.shown
        count = len(tracks.spo2)
        rows = bytearray(5 * count)
        rows[0::5], rows[1::5] = tracks.spo2, tracks.pulse
        rows[2::5] = bytes(0xFF * (value == 0xFF) for value in tracks.pulse)
        rows[3::5], rows[4::5] = tracks.motion, tracks.alarms
        clock = bytes((shown.month, shown.day, shown.hour, shown.minute, shown.second))
        numbers = (figures.average, figures.lowest, figures.drops_3, figures.drops_4)
        head = b"".join(
            (
                bytes((3, 0)) + u16(shown.year) + clock,
                u32(40 + len(rows)) + u16(recording.duration) + u16(figures.asleep),
                bytes((*numbers, figures.percent_below_90)) + u16(figures.seconds_below_90),
                bytes((figures.episodes_below_90, figures.score)) + u32(figures.steps),
                bytes((figures.pulse,)),
            )
        )
        return head.ljust(40, b"\0") + rows

    # The air

    @property
    @override
    def services(self) -> tuple[Service, ...]:
        return (
            Service(uuid16(0x180A), 0x10, (Characteristic(uuid16(0x2A29), 0x12, READ),)),
            Service(uuid16(0xFE59), 0x18, ()),
            Service(
                LEGACY_SERVICE,
                0x20,
                (
                    Characteristic(LEGACY_NOTIFY, 0x22, NOTIFY),
                    Characteristic(LEGACY_WRITE, 0x25, WRITE | WRITE_NO_RESPONSE),
                ),
            ),
        )

    @override
    def unlinked(self) -> None:
        super().unlinked()
        self._open = None

    @override
    def answer(self, request: Request) -> Iterable[bytes]:
        if request.code in HARMFUL:
            self.abuse.append(request.raw)
            return ()
        if request.code == 0x04:
            return (self._read_content(int.from_bytes(request.middle, "little")),)
        handlers: dict[int, Handler] = {
            0x03: self._read_start,
            0x05: self._read_end,
            0x14: self._info,
            0x15: lambda _: ACK,
            0x16: self._set,
            0x17: self._live,
            0x1B: self._wave,
        }
        try:
            told = handlers.get(request.code, _unknown)(request.payload)
        except Refused as refused:
            return (frame(ANSWER, FAILED, bytes(2), u32(refused.args[0])),)
        return (frame(ANSWER, OK, bytes(2), told),)

    def _info(self, _: bytes) -> bytes:
        first = [key for key in self.settings if key.startswith("Cur")]
        later = [key for key in self.settings if key not in first]
        info = {
            "Region": "CE",
            "Model": self.viatom.number,
            "HardwareVer": self.hardware,
            "SoftwareVer": self.firmware,
            "BootloaderVer": "0.1.0.0",
            "FileVer": "3",
            "SPCPVer": "1.4",
            "SN": self.serial,
            "CurTIME": self.clock.read().strftime(CLOCK),
            "CurBAT": f"{self.battery}%",
            "CurBatState": str(NORMAL if self.battery_state == LOW else self.battery_state),
            **{key: self.settings[key] for key in first},
            "CurMode": "0",
            "CurState": "2" if self.worn else "1",
            **{key: self.settings[key] for key in later},
            "BranchCode": self.branch,
            "FileList": "".join(f"{recording.name}," for recording in self.files),
        }
        return json.dumps(info, separators=(",", ":")).encode().ljust(INFO_SIZE, b"\0")

    def _live(self, _: bytes) -> bytes:
        sensed = self.sensed()
        told = b"".join(
            (
                bytes((sensed["spo2"],)) + u16(sensed["pulse"]) + u32(self.steps),
                bytes((self.battery, self.battery_state, sensed["motion"])),
                bytes((sensed["perfusion"], self._lead(), 0)),
            )
        )
        return told[: self.viatom.live_bytes]

    def _lead(self) -> int:
        return self.told("lead", int(self.viatom.tells_lead and self.worn))

    def _wave(self, payload: bytes) -> bytes:
        sensed = self.sensed()
        _, wave = self.pulse_wave(125)
        if payload == b"\x01":
            wave = wave[::2] if self.wave is None else wave
        told = bytes((sensed["spo2"],)) + u16(sensed["pulse"])
        told += bytes((self.battery, self.battery_state, sensed["perfusion"], self._lead()))
        return told + bytes(3) + u16(len(wave)) + wave

    # Settings

    def _set(self, payload: bytes) -> bytes:
        """Take what it knows, silently passing over the rest."""
        try:
            wanted = json.loads(payload)
        except ValueError:
            wanted = None
        if not isinstance(wanted, dict):
            self.malformed.append(payload)
            return ACK
        for key, value in wanted.items():
            if not isinstance(value, str):
                self.malformed.append(payload)
            elif key == "SetTIME":
                self._set_clock(value)
            else:
                self._change(key, value)
        return ACK

    def _set_clock(self, text: str) -> None:
        try:
            self.clock.set(datetime.strptime(text, CLOCK))  # noqa: DTZ007 - it knows no zone
        except ValueError:
            self.malformed.append(text.encode())

    def _change(self, key: str, text: str) -> None:
        own, values = SETTINGS.get(key, ("", range(0)))
        if own not in self.settings or not text.isdecimal():
            return
        value = int(text)
        if own == "CurOxiThr" and value >= values.stop:
            value = 90
        if value in values:
            self.settings[own] = str(value)
        # The motor shows how strong it is now.
        self.vibrated += own == "CurMotor"

    # Files

    def _read_start(self, payload: bytes) -> bytes:
        name = payload.rstrip(b"\0").decode("ascii", "replace")
        recording = self.find(name)
        if recording is None and self.mistakes_files:
            recording = self._opened_last
        if recording is None:
            raise Refused(NO_FILE)
        self._opened_last, self._open = recording, self.content(recording)
        return u32(len(self._open))

    def _read_content(self, block: int) -> bytes:
        if self._open is None:
            lie = frame(ANSWER, FAILED, bytes(2))[:-1] + STALE
            return lie + bytes((crc8(lie),))
        at = block * self.chunk
        middle = u16(block if self.echoes_blocks else 0)
        return frame(ANSWER, OK, middle, self._open[at : at + self.chunk])

    def _read_end(self, _: bytes) -> bytes:
        self._open = None
        return b""


def _unknown(_: bytes) -> bytes:
    raise Refused(UNKNOWN_COMMAND)
