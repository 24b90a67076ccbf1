"""What both families of virtual oximeter rings share: nights, frames and habits."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import partial
from math import pi, sin
from random import Random
from typing import Any, Required, TypedDict, override

from ..generate import NIGHT_SECONDS, NO_SIGNAL, Sleep, generate, oximetry
from .base import Notification, VirtualRing, utcnow
from .recording import (
    COUNTDOWN,
    SEARCHING,
    Figures,
    Limits,
    Recording,
    Tracks,
    known_pulse,
    known_spo2,
)

MANUFACTURER = bytes.fromhex("4ef300")
"""Manufacturer data of all the vendor's products."""
LEGACY_SERVICE = "14839ac4-7d7e-415c-9a42-167340cf2339"
LEGACY_WRITE = "8b00ace7-eb0b-49b0-bbe9-9aee0a26e1a3"
LEGACY_NOTIFY = "0734594a-a8e7-4b1a-a6b1-cd5243059a57"

SLOTS = 4
LARGEST_REQUEST = 2048
SENSED = {"spo2": 0xFF, "pulse": 0xFFFF, "motion": 0, "perfusion": 0}
"""What it tells off the finger."""
NORMAL, CHARGING, FULL, LOW = range(4)
WAVE_RATE = 125
WORN_SINCE, OFF_SINCE = timedelta(hours=1), timedelta(minutes=5)
"""How long it has been worn, or not, that is told to be."""
BEAT_MARK = 156


def crc8(data: bytes) -> int:
    """CRC-8 with polynomial 07 (SMBus)."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1 ^ (0x07 if crc & 0x80 else 0)) & 0xFF
    return crc


def frame(marker: int, code: int, middle: bytes, payload: bytes = b"") -> bytes:
    """Return a frame; `middle` is what the families put between code and length, two bytes."""
    body = bytes((marker, code, code ^ 0xFF)) + middle + u16(len(payload)) + payload
    return body + bytes((crc8(body),))


def u16(value: int) -> bytes:
    """Two bytes, the lowest first."""
    return value.to_bytes(2, "little")


def u32(value: int) -> bytes:
    """Four bytes, the lowest first."""
    return value.to_bytes(4, "little")


@dataclass(frozen=True, slots=True)
class Request:
    """A frame that came whole."""

    code: int
    middle: bytes
    payload: bytes
    raw: bytes


class Life(TypedDict, total=False):
    """How a ring's life is told to any of them; see `Oximeter`."""

    address: Required[str]
    now: Callable[[], datetime]
    seed: int
    days: int
    zone: tzinfo
    ahead: timedelta
    worn: bool | None


class Oximeter(VirtualRing):
    """A ring that records whenever it is worn, and is off the air when it has nothing to do.

    `slots` holds its recordings as they lie in its memory, the one being written included.
    """

    marker: int
    command_uuid: str
    answer_uuid: str
    states: tuple[str, ...]
    """What else it tells at any moment."""
    low_battery: int
    firmware: str
    hardware: str
    branch: str
    writing: timedelta
    """From the end of a recording until its file is whole."""

    def __init__(
        self,
        product: str,
        *,
        address: str,
        now: Callable[[], datetime] = utcnow,
        seed: int = 0,
        days: int = 7,
        zone: tzinfo = UTC,
        ahead: timedelta = timedelta(),
        worn: bool | None = None,
        manufacturer: bytes = MANUFACTURER,
        service_uuids: Iterable[str] = (),
        tells_perfusion: bool = True,
    ) -> None:
        """Wear it in the nights of `days` until now, with the right clock, and of `ahead`.

        `product` is the name with a place for four characters. Not worn, it lies on its charger:
        by day, or whatever the hour where `worn` says how it is now.
        """
        suffix = address.replace(":", "")[-4:].upper()
        super().__init__(
            address,
            product.format(suffix),
            now=now,
            manufacturer=manufacturer,
            service_uuids=service_uuids,
        )
        self.life = f"{seed} {address}"
        rng = Random(self.life)
        self.battery = rng.randint(35, 95)
        self.serial = f"{rng.randrange(10**10):010}"
        self.pinned: dict[str, int | None] = dict.fromkeys((*SENSED, *self.states))
        """What it tells now in place of what it would, where that is a number."""
        self.wave: bytes | None = None
        """The pulse wave it tells in place of a computed one."""
        self.tells_perfusion = tells_perfusion
        self.vibrated = 0
        self.malformed: list[bytes] = []
        """What was no valid request; it does not answer that."""
        self.stays_awake = timedelta(seconds=120)
        """Not worn and not charging: how long it stays on the air."""
        self.slots: list[Recording | None] = [None] * SLOTS
        self.recording: Recording | None = None
        self.worn = False
        self._since = self._awake_until = now()
        self._wave_told = 0
        self._linked = False
        self._buffer = b""
        self._taken = -1
        self._live_nights(zone, days, ahead, worn=worn)

    def _live_nights(self, zone: tzinfo, days: int, ahead: timedelta, *, worn: bool | None) -> None:
        """Be worn in all nights until now, and know those to come."""
        moment = self.now()
        self.clock.offset = moment.astimezone(zone).utcoffset() or timedelta()
        # The wearer's phone kept the clock right over all these days, whatever the season.
        self._shown: Callable[[datetime], datetime] = partial(_wall_clock, zone)
        lived = generate(moment - timedelta(days=days), moment + ahead, zone=zone, seed=self.life)
        nights = [event for event in lived if isinstance(event, Sleep) and not event.nap]
        changes = [(at, at == n.start) for n in nights for at in (n.start, n.end)]
        if worn is not None:
            since = moment - (WORN_SINCE if worn else OFF_SINCE)
            before = [change for change in changes if change[0] < since]
            changes = [*before, (since, worn), *(c for c in changes if c[0] > moment)]
        self._future = changes[::-1]
        self.catch_up()
        self._shown = self.clock.read
        self.charging = not self.worn

    # What it holds

    @property
    @abstractmethod
    def limits(self) -> Limits:
        """Where alarms begin, by its settings."""

    @property
    @abstractmethod
    def interval(self) -> int:
        """Seconds between the samples of the next recording."""

    @abstractmethod
    def content(self, recording: Recording) -> bytes:
        """Return the file of a recording, whole."""

    def put(
        self,
        shown: datetime,
        tracks: Tracks,
        *,
        figures: Figures | None = None,
        interval: int | None = None,
    ) -> Recording:
        """Store a whole recording that began when the ring's clock showed this."""
        start = shown.replace(tzinfo=UTC) - self.clock.offset
        recording = Recording(start, shown, interval or self.interval, self.limits, self.life, [])
        recording.tracks, recording.pinned_figures = tracks, figures
        recording.end = start + timedelta(seconds=recording.duration)
        recording.final = min(recording.end, self.now())
        self._store(recording)
        return recording

    def clear(self) -> None:
        """Forget all recordings, those to come included."""
        self.slots[:] = [None] * SLOTS
        self.recording = None
        self._future.clear()

    @property
    def files(self) -> list[Recording]:
        """What it lists, in the order of its memory: the newest may be anywhere."""
        self.catch_up()
        return [r for r in self.slots if r is not None and r.end is not None]

    def find(self, name: str) -> Recording | None:
        """Return the recording with a name."""
        return next((recording for recording in self.files if recording.name == name), None)

    def is_final(self, recording: Recording) -> bool:
        """Return whether its file has all of its bytes."""
        return recording.final is not None and recording.final <= self.now()

    def _store(self, recording: Recording) -> None:
        """Put it into the first empty slot, or in the place of the oldest."""
        age = {n: r.start.timestamp() if r else 0.0 for n, r in enumerate(self.slots)}
        self.slots[min(age, key=lambda n: age[n])] = recording

    # How it lives

    @override
    def __setattr__(self, name: str, value: object) -> None:
        """Whoever wears, charges or switches it changes what it does from now on."""
        if name not in ("worn", "charging", "powered") or not hasattr(self, "_future"):
            super().__setattr__(name, value)
            return
        self.catch_up()
        if name == "worn":
            self._wear(self.now(), worn=bool(value))
            return
        if name == "charging" and value and self.worn:
            self._wear(self.now(), worn=False)
        if name == "powered" and not value:
            self._die()
        super().__setattr__(name, value)
        self._stay_awake(self.now())

    def catch_up(self) -> None:
        """Do all that is due: put it on, take it off, end a recording."""
        now = self.now()
        while True:
            ends = self.recording.ends if self.recording else None
            changes = self._future[-1][0] if self._future else None
            at = min((t for t in (ends, changes) if t is not None), default=None)
            if at is None or at > now:
                return
            if at == ends:
                self._finish(at)
            else:
                self._wear(at, worn=self._future.pop()[1])

    def _wear(self, at: datetime, *, worn: bool) -> None:
        if worn == self.worn or not self.powered:
            return
        super().__setattr__("worn", worn)
        if worn:
            super().__setattr__("charging", False)
            if self.recording:
                self.recording.worn.append((at, None))
            else:
                self._begin(at)
        else:
            self._stay_awake(at + COUNTDOWN)
            if self.recording:
                self.recording.worn[-1] = (self.recording.worn[-1][0], at)

    def _begin(self, at: datetime) -> None:
        shown = self._shown(at)
        # It samples when its clock ticks.
        tick = timedelta(microseconds=shown.microsecond)
        start, shown = at - tick, shown - tick
        self.recording = Recording(
            start, shown, self.interval, self.limits, self.life, worn=[(start, None)]
        )
        self._since, self._wave_told = start, 0
        self._store(self.recording)

    def _finish(self, at: datetime) -> None:
        recording, self.recording = self.recording, None
        if recording:
            recording.end, recording.final = at, at + self.writing

    def _die(self) -> None:
        """Lose power: no countdown, and what is written is whole at once."""
        recording = self.recording
        self._wear(self.now(), worn=False)
        self._finish(self.now())
        if recording:
            recording.final = self.now()

    def _stay_awake(self, at: datetime) -> None:
        self._awake_until = at + self.stays_awake

    @property
    @override
    def awake(self) -> bool:
        """A full ring on the charger goes to sleep as well; a link keeps it up."""
        self.catch_up()
        busy = self.worn or self._linked or (self.charging and self.battery < 100)
        return self.powered and (busy or self.now() < self._awake_until)

    @override
    def linked(self) -> None:
        """Each connection restarts the timer that switches it off, and so does its end."""
        self._linked = True
        self._buffer = b""
        self._stay_awake(self.now())

    @override
    def unlinked(self) -> None:
        self._linked = False
        self._stay_awake(self.now())

    # What it measures

    @property
    def battery_state(self) -> int:
        """Whether it charges, is full or low."""
        if self.charging:
            return FULL if self.battery == 100 else CHARGING
        return LOW if self.battery <= self.low_battery else NORMAL

    @property
    def seconds(self) -> int:
        """How long it has been recording."""
        return int((self.now() - self._since).total_seconds()) if self.recording else 0

    def sensed(self) -> dict[str, int]:
        """What it measures in this second, or its marks for nothing; pinned values win.

        spo2 in %, pulse in bpm, motion, perfusion in 0.1 %.
        """
        values = dict(SENSED)
        second = int((self.now() - self._since).total_seconds())
        if self.worn and self._on_finger() < SEARCHING:
            values |= {"spo2": 0, "pulse": 0}
        elif self.worn:
            signal, at = oximetry(f"{self.life} {self._since.isoformat()}"), second % NIGHT_SECONDS
            values["motion"] = signal.motion[at]
            if signal.spo2[at] != NO_SIGNAL:
                values["spo2"], values["pulse"] = signal.spo2[at], signal.pulse[at]
                values["perfusion"] = signal.perfusion[at] if self.tells_perfusion else 0
        return {key: self.told(key, value) for key, value in values.items()}

    def told(self, key: str, value: int) -> int:
        """Return this, unless something else is pinned."""
        pinned = self.pinned[key]
        return value if pinned is None else pinned

    def _on_finger(self) -> float:
        """Seconds since it was last put on."""
        on = self.recording.worn[-1][0] if self.recording else self._since
        return (self.now() - on).total_seconds()

    def pulse_wave(self, most: int) -> tuple[int, bytes]:
        """Return the wave since it was last asked for: number of the first sample, and samples."""
        if self.wave is not None:
            return 0, self.wave
        last = int((self.now() - self._since).total_seconds() * WAVE_RATE)
        first, self._wave_told = max(self._wave_told, last - most), last
        if not (self.worn and (pulse := known_pulse(self.sensed()["pulse"]))):
            return first, b""
        period = 60 * WAVE_RATE // pulse
        height = (128 + round(50 * sin(2 * pi * n / period)) for n in range(first, last))
        marked = enumerate(height, first)
        return first, bytes(
            BEAT_MARK if n % period == 0 else h - (h == BEAT_MARK) for n, h in marked
        )

    @override
    def truth(self) -> dict[str, Any]:
        """Return what there is to know; instants are UTC, ISO 8601; no reading is null.

        `battery`, `charging`, `worn`; `live` {spo2 %, heart_rate bpm, motion, perfusion_index %};
        `recordings` [{name, start, interval s, duration s, final, size and sha256 of the whole
        file, spo2, heart_rate and motion (one per interval), figures}], oldest first, without the
        one being written; `settings`, `vibrated`, `abuse`.
        """
        self.catch_up()
        sensed = self.sensed()
        spo2, pulse = known_spo2(sensed["spo2"]), known_pulse(sensed["pulse"])
        motion, perfusion = sensed["motion"], sensed["perfusion"]
        whole = spo2 is not None and pulse is not None
        return {
            "model": self.model,
            "name": self.name,
            "address": self.address,
            "serial": self.serial,
            "firmware": self.firmware,
            "hardware": self.hardware,
            "branch": self.branch,
            "battery": self.battery,
            "charging": self.charging,
            "worn": self.worn,
            "live": {
                "spo2": spo2 if whole else None,
                "heart_rate": pulse if whole else None,
                "motion": None if motion == 0xFF else motion,
                "perfusion_index": None if perfusion in (0, 0xFF) else perfusion / 10,
            },
            "recordings": [
                recording.truth(self.content(recording), final=self.is_final(recording))
                for recording in sorted(self.files, key=lambda r: r.start)
            ],
            "settings": dict(self.told_settings),
            "vibrated": self.vibrated,
            "abuse": [data.hex() for data in self.abuse],
        }

    @property
    @abstractmethod
    def told_settings(self) -> Mapping[str, Any]:
        """Its settings, by their names in the protocol."""

    # The air

    @override
    def read(self, uuid: str) -> bytes:
        return b"Viatom"

    @override
    def opcode(self, data: bytes) -> int:
        """Requests come in pieces; the last piece is about the whole."""
        return self._taken

    @override
    def write(self, uuid: str, data: bytes) -> list[Notification]:
        self.catch_up()
        self._taken = -1
        if uuid != self.command_uuid:
            return []
        return [
            Notification(self.answer_uuid, answer)
            for request in self._requests(data)
            for answer in self.answer(request)
        ]

    @abstractmethod
    def answer(self, request: Request) -> Iterable[bytes]:
        """Answer a request, in frames."""

    def _requests(self, data: bytes) -> Iterator[Request]:
        """Take a piece and return what is whole now."""
        if len(data) > self.mtu - 3:
            self.malformed.append(data)
            return
        self._buffer += data
        while len(self._buffer) >= 8:
            head, size = self._buffer[:7], int.from_bytes(self._buffer[5:7], "little")
            raw = self._buffer[: 8 + size]
            if head[0] == self.marker and head[1] ^ head[2] == 0xFF and size <= LARGEST_REQUEST:
                if len(raw) < 8 + size:
                    return
                if crc8(raw[:-1]) == raw[-1]:
                    self._buffer = self._buffer[len(raw) :]
                    self._taken = head[1]
                    yield Request(head[1], head[3:5], raw[7:-1], raw)
                    continue
            after = self._buffer.find(self.marker, 1)
            dropped = after if after > 0 else len(self._buffer)
            self.malformed.append(self._buffer[:dropped])
            self._buffer = self._buffer[dropped:]


def _wall_clock(zone: tzinfo, at: datetime) -> datetime:
    return at.astimezone(zone).replace(tzinfo=None)
