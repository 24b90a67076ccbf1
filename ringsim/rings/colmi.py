"""Virtual Colmi rings (QRing protocol): every answer is computed from their memory and clock."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import partial
from random import Random
from typing import Any, override

from ..generate import ACTIVITY, AWAKE, DEEP, LIGHT, REM, Event, Reading, Sleep, generate, walked
from .base import (
    NOTIFY,
    READ,
    WRITE,
    WRITE_NO_RESPONSE,
    Characteristic,
    Notification,
    Service,
    VirtualRing,
    utcnow,
    uuid16,
)

V1_SERVICE = "6e40fff0-b5a3-f393-e0a9-e50e24dcca9e"
V1_WRITE = "6e400002-b5a3-f393-e0a9-e50e24dcca9e"
V1_NOTIFY = "6e400003-b5a3-f393-e0a9-e50e24dcca9e"
V2_SERVICE = "de5bf728-d711-4e47-af26-65e3012a5dc7"
V2_WRITE = "de5bf72a-d711-4e47-af26-65e3012a5dc7"
V2_NOTIFY = "de5bf729-d711-4e47-af26-65e3012a5dc7"
SYSTEM_ID, SERIAL, FIRMWARE, HARDWARE = (uuid16(n) for n in (0x2A23, 0x2A25, 0x2A26, 0x2A27))

HARMFUL = frozenset((0x0F, 0x20, 0x2E, 0x35, 0xBF, 0xC0, 0xC6, 0xC7, 0xC9, 0xCA, 0xFF))
"""Update mode, factory modes, memory access, factory reset, display paint."""
HARMFUL_BIG = frozenset((*range(0x01, 0x06), *range(0x31, 0x36), 0x47))
"""Firmware and file transfer, and the request that starts an endless stream."""

KEPT_DAYS = 7
SLOT = {"heart_rate": 5, "stress": 30, "hrv": 30, "spo2": 60, "temperature": 30}
"""Minutes of a slot of the memory; activity is kept in quarters."""
STAGES = {LIGHT: 2, DEEP: 3, REM: 4, AWAKE: 5}
TOGGLES = {0x2C: "spo2", 0x36: "stress", 0x38: "hrv"}
HANDS = {"left": 1, "right": 2}
GOALS = {"steps": 3, "energy": 3, "distance": 3, "sport": 2, "sleep": 2}
"""Widths of the fields of a goals record, in bytes; energy is in small calories."""
SLEEP_TWO, SLEEP_ONE, SLEEP_EMPTY = 2, 1, 0
NEWS = {"heart_rate": 0x01, "spo2": 0x03, "steps": 0x04, "hrv": 0x2B, "stress": 0x2C}
"""Metric → event that is pushed when a connected ring has recorded it."""
REBOOT_SECONDS = 5.0
WATCH_SECONDS = 30.0
POWER_LOSS = datetime(2000, 1, 1)  # noqa: DTZ001 - a ring's clock knows no zone

type Handler = Callable[[bytes], Iterable[bytes]]


def frame(*parts: int | bytes) -> bytes:
    """Return a V1 frame of these bytes: padded to 15, and their sum."""
    body = b"".join(bytes((p,)) if isinstance(p, int) else p for p in parts).ljust(15, b"\0")
    return body + bytes((sum(body) & 0xFF,))


def crc16(data: bytes) -> int:
    """CRC-16/MODBUS."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return crc


def message(kind: int, payload: bytes) -> bytes:
    """Return a V2 message."""
    head = bytes((0xBC, kind)) + len(payload).to_bytes(2, "little")
    return head + crc16(payload).to_bytes(2, "little") + payload


def bcd(value: int) -> int:
    """Write two decimal digits as hexadecimal ones."""
    return value // 10 << 4 | value % 10


@dataclass(frozen=True, slots=True)
class Model:
    """How one product with one firmware differs from the others."""

    key: str
    name: str
    firmware: str
    hardware: str
    capabilities: bytes
    """Bytes 1-14 of the reply to set-time."""
    support: bytes | None
    """Bytes 1-14 of the reply to 3C; `None` refuses it."""
    metrics: frozenset[str]
    """What it records besides activity."""
    sleep_forms: frozenset[int] = frozenset()
    """Lengths of the sleep requests it hears; none without V2."""
    interval: int = 30
    """Minutes between heart rates, as it left the factory."""
    refused: frozenset[int] = frozenset((0x1E, 0x44))
    silent: frozenset[int] = frozenset((0x05, 0x14, 0x72))
    mtu: int = 247
    chunk: int = 0xF4
    settings_tail: int = 5
    """Byte 4 of the heart-rate settings; 0 on old firmware."""
    values_until_silence: int | None = None
    name_in_scan_response: bool = False
    manual: bool = True
    """Whether it tells manual readings (BC 28)."""
    naps: bool = True
    """Whether naps precede the nights (BC 3E)."""
    totals: bool = True
    """Whether 48 counts; on others it stays empty."""
    spo2_high_first: bool = False

    @property
    def big_data(self) -> bool:
        """Whether it has the V2 service."""
        return bool(self.sleep_forms)


_VITAL = frozenset(("heart_rate", "stress"))
COLMI = {
    model.key: model
    for model in (
        Model(
            "r02",
            "R02",
            "R02_3.00.17_240903",
            "R02_V3.0",
            bytes.fromhex("0001002200000000010030010010"),
            None,
            _VITAL | {"spo2"},
            frozenset((SLEEP_ONE, SLEEP_EMPTY)),
            refused=frozenset((0x38, 0x3A, 0x3C)),
            silent=frozenset((0x05, 0x14, 0x39, 0x72)),
            mtu=23,
            chunk=0xF1,
            settings_tail=0,
            values_until_silence=10,
            manual=False,
            naps=False,
            totals=False,
        ),
        Model(
            "r08",
            "R08",
            "RT08_3.10.46_250621",
            "RT08_V3.1",
            bytes.fromhex("0100000200000000010020000030"),
            bytes.fromhex("002faf2e00000000000000000000"),
            _VITAL | {"hrv"},
            silent=frozenset((0x05, 0x14, 0x50, 0x72)),
        ),
        Model(
            "r09",
            "R09",
            "RT09_3.10.22_260420",
            "RT09_V3.1",
            bytes.fromhex("0100000200000000010020010030"),
            bytes.fromhex("0009000000000000000000000000"),
            _VITAL | {"spo2", "hrv", "temperature"},
            frozenset((SLEEP_TWO, SLEEP_ONE, SLEEP_EMPTY)),
            spo2_high_first=True,
        ),
        Model(
            "r10",
            "COLMI R10",
            "RT03CR_1.00.02_260319",
            "",
            bytes.fromhex("0000000200000000010020010030"),
            bytes.fromhex("0008000000000000000000000000"),
            _VITAL | {"spo2", "hrv"},
            frozenset((SLEEP_TWO,)),
            interval=10,
            name_in_scan_response=True,
        ),
        Model(
            "r12",
            "COLMI R12",
            "RT11CR_1.00.08_250514",
            "",
            bytes.fromhex("0000000200000000010020010030"),
            bytes.fromhex("008c270028800000000000000000"),
            _VITAL | {"spo2", "hrv"},
            frozenset((SLEEP_TWO, SLEEP_ONE)),
            interval=5,
            silent=frozenset((0x14, 0x72)),
            spo2_high_first=True,
        ),
    )
}


@dataclass(frozen=True, slots=True)
class SpotKind:
    """A measurement on demand: seconds to its first value, between frames, and frames with one."""

    metric: str
    first: float
    period: float = 0.5
    once: bool = False


SPOTS = {
    0x01: SpotKind("heart_rate", 26),
    0x03: SpotKind("spo2", 26),
    0x06: SpotKind("heart_rate", 17, 1.0),
    0x08: SpotKind("stress", 26),
    0x0A: SpotKind("hrv", 61, once=True),
}


@dataclass(slots=True, eq=False)
class Spot:
    """A running measurement."""

    code: int
    kind: SpotKind
    elapsed: float = 0.0
    frames: int = 0
    values: list[int] = field(default_factory=list)


class ColmiRing(VirtualRing):
    """One ring, and what its wearer did.

    `store` maps metric → start of the slot by the ring's clock → reading; `sleeps` maps the
    start by the ring's clock → sleep. Both may be changed at will: the answers follow.
    """

    def __init__(
        self,
        model: Model,
        *,
        address: str,
        now: Callable[[], datetime] = utcnow,
        seed: int = 0,
        days: int = 7,
        zone: tzinfo = UTC,
        ahead: timedelta = timedelta(),
    ) -> None:
        """Wear it for `days` until now, with the right clock, and `ahead` into the future."""
        super().__init__(
            address,
            f"{model.name}_{address.replace(':', '')[-4:].upper()}",
            now=now,
            name_in_scan_response=model.name_in_scan_response,
        )
        self.colmi = model
        self.model = model.key
        self.mtu = model.mtu
        life = f"{seed} {address}"
        self.battery = Random(life).randint(35, 95)
        self.heart_rate_log = True
        self.heart_rate_interval = model.interval
        self.enabled = dict.fromkeys((*TOGGLES.values(), "temperature"), True)
        self.goals = {"steps": 8000, "energy": 300_000, "distance": 5000, "sport": 0, "sleep": 480}
        self.live = {"heart_rate": 72, "spo2": 97, "stress": 35, "hrv": 48}
        """What a measurement on demand finds."""
        self.spot_pace = 1.0
        """Factor of the time a measurement on demand takes."""
        self.finalised_after = timedelta(minutes=20)
        """How long after waking up the last third of a night is missing."""
        self.forgets_time = False
        """Whether its clock begins anew when it is powered again."""
        self.fahrenheit = False
        self.found = self.blinked = self.reboots = 0
        self.malformed: list[bytes] = []
        """Requests with a wrong length, checksum or date; it does not answer them."""
        self.store: dict[str, dict[datetime, Reading]] = {}
        self.sleeps: dict[datetime, Sleep] = {}
        self._spot: Spot | None = None
        self.display: dict[str, Any] = {
            "on": True,
            "hand": "left",
            "brightness": 2,
            "all_day": False,
            "start": "22:00",
            "end": "23:00",
        }
        moment = now()
        self.clock.offset = moment.astimezone(zone).utcoffset() or timedelta()
        events = generate(moment - timedelta(days=days), moment + ahead, zone=zone, seed=life)
        self._future: list[Event] = events[::-1]
        # The wearer's phone kept the clock right over all these days, whatever the season.
        self._record(lambda at: at.astimezone(zone).replace(tzinfo=None))

    # What it holds

    def put(self, metric: str, shown: datetime, value: float, high: float | None = None) -> None:
        """Store a reading where the ring's clock shows or showed this."""
        start = shown.replace(tzinfo=UTC) - self.clock.offset
        self.store.setdefault(metric, {})[shown] = Reading(metric, start, value, high)

    def put_sleep(self, shown: datetime, stages: list[tuple[str, int]], *, nap: bool) -> None:
        """Store a sleep that began when the ring's clock showed this."""
        self.sleeps[shown] = Sleep(shown.replace(tzinfo=UTC) - self.clock.offset, stages, nap)

    def clear(self) -> None:
        """Forget all records, those to come included."""
        self.store.clear()
        self.sleeps.clear()
        self._future.clear()

    @override
    def __setattr__(self, name: str, value: object) -> None:
        """What was lived so far is recorded as things stood; news of the battery are pushed."""
        living = hasattr(self, "_future")
        if living and name in ("powered", "worn", "charging"):
            self.catch_up()
        super().__setattr__(name, value)
        if living and name == "powered" and value and self.forgets_time:
            self.clock.set(POWER_LOSS)
        if living and name in ("battery", "charging"):
            self.push(0x0C, bytes((self.battery, self.charging)))

    def catch_up(self) -> None:
        """Record what has happened since, and tell whoever is connected."""
        for metric, reading in self._record(self._shown).items():
            if event := NEWS.get(metric):
                told = bytes((int(reading.value),)) if event in (0x2B, 0x2C) else b""
                self.push(event, told)

    def _shown(self, at: datetime) -> datetime:
        """Half a minute hides the seconds that a clock set to whole seconds is behind."""
        return self.clock.read(at + timedelta(seconds=30))

    def _record(self, shown_at: Callable[[datetime], datetime]) -> dict[str, Reading]:
        """Store all that is due; return the last of each metric."""
        new: dict[str, Reading] = {}
        now = self.now()
        while self._future and self._future[-1].due <= now:
            event = self._future.pop()
            shown = shown_at(event.start).replace(second=0, microsecond=0)
            # What began before it lost its time has none.
            if not self.powered or self.charging or not self.worn or shown < POWER_LOSS:
                continue
            if isinstance(event, Sleep):
                if self.colmi.big_data and (self.colmi.naps or not event.nap):
                    self.sleeps[shown] = event
            elif self._records(event.metric, shown):
                shown -= timedelta(minutes=shown.minute % SLOT.get(event.metric, 15))
                self.store.setdefault(event.metric, {})[shown] = event
                new[event.metric] = event
        return new

    def _records(self, metric: str, shown: datetime) -> bool:
        if metric == "heart_rate":
            minute = shown.hour * 60 + shown.minute
            return self.heart_rate_log and minute // 5 * 5 % self.heart_rate_interval == 0
        return metric in ACTIVITY or (metric in self.colmi.metrics and self.enabled[metric])

    @property
    def today(self) -> date:
        """The day its clock shows."""
        return self.clock.read().date()

    def _day(self, days_ago: int) -> date | None:
        """The date so many days ago, if it still has it."""
        if 0 <= days_ago < KEPT_DAYS and self.today.toordinal() > days_ago:
            return self.today - timedelta(days=days_ago)
        return None

    def _on(self, metric: str, day: date | None) -> dict[datetime, Reading]:
        """Return the readings of one of its days."""
        return {k: r for k, r in self.store.get(metric, {}).items() if k.date() == day}

    def _slots(self, metric: str, day: date | None, minutes: int) -> list[Reading | None]:
        """Return a day as slots, empty when nothing is stored."""
        if not (readings := self._on(metric, day)):
            return []
        slots: list[Reading | None] = [None] * (1440 // minutes)
        for shown, reading in readings.items():
            slots[(shown.hour * 60 + shown.minute) // minutes] = reading
        return slots

    def _hours(self, day: date | None) -> dict[int, dict[str, Reading]]:
        """Return activity per hour of a day: metric → sum, from the start of the hour on."""
        hours: dict[int, dict[str, Reading]] = {}
        for metric in ACTIVITY:
            for shown, quarter in sorted(self._on(metric, day).items()):
                start = quarter.start - timedelta(minutes=shown.minute)
                hour = hours.setdefault(shown.hour, {})
                total = hour.setdefault(metric, Reading(metric, start, 0))
                total.value = round(total.value + quarter.value, 3)
        return dict(sorted(hours.items()))

    def _totals(self) -> dict[str, float]:
        """Return today's activity."""
        quarters = {metric: self._on(metric, self.today).values() for metric in ACTIVITY}
        return {m: round(sum(q.value for q in values), 3) for m, values in quarters.items()}

    def _sleeps(self, *, nap: bool) -> list[tuple[int, datetime, datetime, Sleep]]:
        """Return what it shows: days since waking up, start and end by its clock, the sleep."""
        shown = []
        for start, sleep in sorted(self.sleeps.items()):
            if sleep.nap != nap or sleep.due > self.now():
                continue
            seen = self._as_far_as_known(sleep)
            end = start + seen.duration
            if self._day(days_ago := (self.today - end.date()).days):
                shown.append((days_ago, start, end, seen))
        return shown

    def _final(self, sleep: Sleep) -> bool:
        return sleep.nap or sleep.end + self.finalised_after <= self.now()

    def _as_far_as_known(self, sleep: Sleep) -> Sleep:
        """Return a night just over without its last third; it is worked out later."""
        if self._final(sleep):
            return sleep
        return Sleep(sleep.start, sleep.stages[: max(1, len(sleep.stages) * 2 // 3)])

    @override
    def truth(self) -> dict[str, Any]:
        """Return what there is to know, in bpm, %, ms, °C, m, kcal; instants are UTC, ISO 8601.

        `battery`, `charging`; `heart_rate` {value, at} (the latest logged) or null; `today`
        {date, steps, distance, energy, active} of the clock's day; `last_night` (a sleep or
        null); `readings` {metric: [{start, value}]} (steps, distance and energy per hour; SpO2
        also `high`); `sleeps` and `naps` [{start, end, stages, minutes {stage: sum}, final}];
        `latest` {metric: {value, at}}; `settings`, `goals`, `display` (null without one), `found`,
        `reboots`, `abuse`.
        """
        self.catch_up()
        readings = {m: self._readings(m) for m in sorted(self.store) if m not in ACTIVITY}
        hours = [hour for ago in range(KEPT_DAYS - 1, -1, -1) for hour in self._kept_hours(ago)]
        newest = {m: max(f, key=lambda r: r["start"]) for m, f in readings.items() if f}
        latest = {m: {"value": r["value"], "at": r["start"]} for m, r in newest.items()}
        # Active minutes are told for the whole day only.
        readings |= {m: [_plain(h[m]) for h in hours if m in h] for m in ACTIVITY[:3]}
        sleeps, naps = (self._nights(nap=nap) for nap in (False, True))
        return {
            "model": self.model,
            "name": self.name,
            "address": self.address,
            "firmware": self.colmi.firmware,
            "hardware": self.colmi.hardware,
            "metrics": sorted(self.colmi.metrics),
            "battery": self.battery,
            "charging": self.charging,
            "heart_rate": latest.get("heart_rate"),
            "latest": latest,
            "today": {"date": self.today.isoformat()} | self._totals(),
            "last_night": sleeps[-1] if sleeps else None,
            "readings": readings,
            "sleeps": sleeps,
            "naps": naps,
            "settings": {
                "heart_rate_log": self.heart_rate_log,
                "heart_rate_interval": self.heart_rate_interval,
                **{m: on for m, on in self.enabled.items() if m in self.colmi.metrics},
            },
            "display": None if 0x05 in self.colmi.silent else dict(self.display),
            "goals": dict(self.goals),
            "found": self.found,
            "reboots": self.reboots,
            "abuse": [data.hex() for data in self.abuse],
        }

    def _kept_hours(self, days_ago: int) -> Iterable[dict[str, Reading]]:
        return self._hours(day).values() if (day := self._day(days_ago)) else ()

    def _readings(self, metric: str) -> list[dict[str, Any]]:
        """Return what it still has of a metric, in the order of its clock."""
        kept = {self._day(ago) for ago in range(KEPT_DAYS)}
        return [_plain(r) for k, r in sorted(self.store[metric].items()) if k.date() in kept]

    def _nights(self, *, nap: bool) -> list[dict[str, Any]]:
        nights = []
        for _, shown, _, sleep in self._sleeps(nap=nap):
            minutes: dict[str, int] = {}
            for stage, duration in sleep.stages:
                minutes[stage] = minutes.get(stage, 0) + duration
            nights.append(
                {
                    "start": sleep.start.isoformat(),
                    "end": sleep.end.isoformat(),
                    "minutes": minutes,
                    "stages": [list(stage) for stage in sleep.stages],
                    "final": self._final(self.sleeps[shown]),
                }
            )
        return nights

    # The air

    @property
    @override
    def services(self) -> tuple[Service, ...]:
        both = WRITE | WRITE_NO_RESPONSE
        info = (SYSTEM_ID, SERIAL, FIRMWARE, HARDWARE)
        table = [
            Service(
                uuid16(0x180A),
                0x10,
                tuple(Characteristic(uuid, 0x12 + 2 * n, READ) for n, uuid in enumerate(info)),
            ),
            Service(
                V1_SERVICE,
                0x20,
                (Characteristic(V1_WRITE, 0x22, both), Characteristic(V1_NOTIFY, 0x24, NOTIFY)),
            ),
        ]
        if self.colmi.big_data:
            table.append(
                Service(
                    V2_SERVICE,
                    0x30,
                    (Characteristic(V2_WRITE, 0x32, both), Characteristic(V2_NOTIFY, 0x34, NOTIFY)),
                )
            )
        return tuple(table)

    @override
    def read(self, uuid: str) -> bytes:
        address = bytes.fromhex(self.address.replace(":", ""))[::-1]
        return {
            SYSTEM_ID: address[:3] + b"\0\0" + address[3:],
            FIRMWARE: self.colmi.firmware.encode(),
            HARDWARE: self.colmi.hardware.encode(),
        }.get(uuid, b"")

    @override
    def write(self, uuid: str, data: bytes) -> list[Notification]:
        self.catch_up()
        if uuid == V1_WRITE:
            return [Notification(V1_NOTIFY, answer) for answer in self._command(data)]
        if uuid == V2_WRITE and self.colmi.big_data:
            size = self.colmi.chunk
            return [
                Notification(V2_NOTIFY, answer[at : at + size])
                for answer in self._big_request(data)
                for at in range(0, len(answer), size)
            ]
        return []

    @override
    def linked(self) -> None:
        self.catch_up()
        self.schedule(WATCH_SECONDS, self.linked)

    @override
    def unlinked(self) -> None:
        self._spot = None

    def push(self, event: int, payload: bytes = b"") -> None:
        """Say something unasked: a 73 frame."""
        self.emit(Notification(V1_NOTIFY, frame(0x73, event, payload)))

    def walk(self, steps: int) -> None:
        """Walk in this quarter, and push the new totals."""
        self.catch_up()
        shown = self.clock.read().replace(second=0, microsecond=0)
        shown -= timedelta(minutes=shown.minute % 15)
        for share in walked(self.now(), steps):
            before = self.store.get(share.metric, {}).get(shown)
            self.put(share.metric, shown, round((before.value if before else 0) + share.value, 3))
        self.push(0x12, b"".join(n.to_bytes(3, "big") for n in self._totals_on_air()))

    def gesture(self, code: int) -> None:
        """Feel a finger: 1 swipe up, 2 swipe down, 3 tap, 4 long press."""
        self.push(0x2D, bytes((code,)))

    def _totals_on_air(self) -> tuple[int, int, int]:
        totals = self._totals()
        return int(totals["steps"]), round(totals["energy"] * 1000), int(totals["distance"])

    # Commands of 16 bytes (V1)

    def _command(self, data: bytes) -> Iterable[bytes]:
        if len(data) != 16 or sum(data[:15]) & 0xFF != data[15]:
            self.malformed.append(data)
            return ()
        code, body = data[0], data[1:15]
        if code in HARMFUL or (code == 0x08 and body[0] != 0):
            self.abuse.append(data)
            return ()
        if code in self.colmi.silent:
            return ()
        handler = None if code in self.colmi.refused else self._handlers().get(code)
        return handler(body) if handler else (frame(code | 0x80, 0xEE),)

    def _handlers(self) -> Mapping[int, Handler]:
        toggles = {code: partial(self._toggle, code, metric) for code, metric in TOGGLES.items()}
        handlers: dict[int, Handler] = {
            0x01: self._set_time,
            0x03: lambda _: (frame(0x03, self.battery, self.charging),),
            0x04: lambda _: (frame(0x04),),
            0x05: self._display_settings,
            0x08: self._restart,
            0x0A: lambda body: (frame(0x0A, body[0]),),
            0x10: self._blink,
            0x15: self._heart_rates,
            0x16: self._heart_rate_settings,
            0x19: self._temperature_unit,
            0x1E: self._old_live,
            0x21: self._goals,
            0x37: partial(self._half_hours, 0x37, "stress"),
            0x39: partial(self._half_hours, 0x39, "hrv"),
            0x3A: self._temperature_toggle,
            0x3C: lambda _: (frame(0x3C, self.colmi.support or b""),),
            0x43: self._activity,
            0x44: lambda _: (frame(0x44, 0xFF),),
            0x48: self._today,
            0x50: self._find,
            0x61: lambda _: (frame(0x61, 0xFF, 0xFF),),
            0x69: self._start,
            0x6A: self._stop,
        }
        return handlers | toggles

    def _set_time(self, body: bytes) -> Iterable[bytes]:
        try:
            year, *rest = (int(f"{byte:x}") for byte in body[:6])
            shown = datetime(2000 + year, *rest)  # type: ignore[arg-type] # noqa: DTZ001
        except ValueError:
            self.malformed.append(body)
            return ()
        self.clock.set(shown)
        return frame(0x2F, self.colmi.chunk), frame(0x01, self.colmi.capabilities)

    def _restart(self, _: bytes) -> Iterable[bytes]:
        self.reboots += 1
        self.reboot(REBOOT_SECONDS)
        return ()

    def _find(self, body: bytes) -> Iterable[bytes]:
        self.found += body[:2] == b"\x55\xaa"
        return (frame(0x50, body),)

    def _blink(self, _: bytes) -> Iterable[bytes]:
        self.blinked += 1
        return (frame(0x10),)

    def _today(self, _: bytes) -> Iterable[bytes]:
        if not self.colmi.totals:
            return (frame(0x48),)
        steps, energy, distance = (n.to_bytes(3, "big") for n in self._totals_on_air())
        minutes = int(self._totals()["active"]).to_bytes(2, "big")
        return (frame(0x48, steps, bytes(3), energy, distance, minutes),)

    def _heart_rates(self, body: bytes) -> Iterator[bytes]:
        day = datetime.fromtimestamp(int.from_bytes(body[:4], "little"), UTC).date()
        kept = self._day((self.today - day).days)
        if not (slots := self._slots("heart_rate", kept, 5)):
            yield frame(0x15, 0xFF)
            return
        values = bytes(int(reading.value) if reading else 0 for reading in slots)
        yield frame(0x15, 0, 24, 5)
        yield frame(0x15, 1, body[:4], values[:9])
        for index in range(2, 24):
            yield frame(0x15, index, values[13 * index - 17 : 13 * index - 4])

    def _half_hours(self, code: int, metric: str, body: bytes) -> Iterator[bytes]:
        if not (slots := self._slots(metric, self._day(body[0]), 30)):
            yield frame(code, 0xFF)
            return
        values = bytes(int(reading.value) if reading else 0 for reading in slots)
        yield frame(code, 0, 5, 30)
        yield frame(code, 1, body[0], values[:12])
        for index in (2, 3, 4):
            yield frame(code, index, values[13 * index - 14 : 13 * index - 1])

    def _activity(self, body: bytes) -> Iterator[bytes]:
        day = self._day(body[0])
        hours = {h: a for h, a in self._hours(day).items() if body[2] <= h * 4 <= body[3]}
        if not hours or day is None:
            yield frame(0x43, 0xFF)
            return
        tens = body[4] == 1
        date_bytes = bytes((bcd(day.year - 2000), bcd(day.month), bcd(day.day)))
        yield frame(0x43, 0xF0, len(hours), tens)
        for index, (hour, sums) in enumerate(hours.items()):
            counts = {metric: reading.value for metric, reading in sums.items()}
            energy = counts.get("energy", 0) * (100 if tens else 1000)
            amounts = (energy, counts.get("steps", 0), counts.get("distance", 0))
            fields = (min(round(a), 0xFFFF).to_bytes(2, "little") for a in amounts)
            yield frame(0x43, date_bytes, hour * 4, index, len(hours), *fields)

    # Settings

    def _heart_rate_settings(self, body: bytes) -> Iterable[bytes]:
        if body[0] == 2:
            self.heart_rate_log = body[1] == 1
            # Other intervals have no slot to live in.
            if body[2] and body[2] % 5 == 0:
                self.heart_rate_interval = body[2]
            return (frame(0x16, 2, body[1]),)
        flag = 1 if self.heart_rate_log else 2
        return (frame(0x16, 1, flag, self.heart_rate_interval, self.colmi.settings_tail),)

    def _toggle(self, code: int, metric: str, body: bytes) -> Iterable[bytes]:
        if body[0] == 2:
            self.enabled[metric] = body[1] == 1
            return (frame(code, 2, body[1]),)
        return (frame(code, 1, self.enabled[metric]),)

    def _temperature_toggle(self, body: bytes) -> Iterable[bytes]:
        if body[1] == 2:
            # A short record is acknowledged, and nothing is measured.
            self.enabled["temperature"] = body[2] == 1 and body[3] != 0
            return (frame(0x3A, 3, 2, body[2]),)
        on = "temperature" in self.colmi.metrics and self.enabled["temperature"]
        return (frame(0x3A, 3, 1, on),)

    def _temperature_unit(self, body: bytes) -> Iterable[bytes]:
        if body[0] == 2:
            self.fahrenheit = body[2] == 2
        return (frame(0x19, body[0], 1, 2 if self.fahrenheit else 1),)

    def _goals(self, body: bytes) -> Iterable[bytes]:
        if body[0] == 2:
            at = 1
            for goal, width in GOALS.items():
                self.goals[goal] = int.from_bytes(body[at : at + width], "little")
                at += width
        record = (self.goals[goal].to_bytes(width, "little") for goal, width in GOALS.items())
        return (frame(0x21, body[0], *record),)

    def _display_settings(self, body: bytes) -> Iterable[bytes]:
        if body[0] == 4:
            hand = next((name for name, code in HANDS.items() if code == body[2]), "left")
            start, end = ("{:02}:{:02}".format(*body[at : at + 2]) for at in (6, 8))
            self.display = {"on": body[1] == 1, "hand": hand, "brightness": body[3]}
            self.display |= {"all_day": body[5] == 2, "start": start, "end": end}
        on, hand, brightness, all_day, *window = self.display.values()
        times = bytes(int(part) for at in window for part in at.split(":"))
        record = bytes((1 if on else 2, HANDS[hand], brightness, 5, 2 if all_day else 1))
        return (frame(0x05, body[0], record, times),)

    # Measurements on demand

    def _start(self, body: bytes) -> Iterable[bytes]:
        code, action = body[:2]
        if action in (2, 4):
            self._spot = None
            return ()
        return self._begin(code, SPOTS.get(code, SpotKind("", 26)))

    def _old_live(self, body: bytes) -> Iterable[bytes]:
        """1 begins, 2 ends; 3 only keeps it alive."""
        if body[0] == 2:
            self._spot = None
        if body[0] != 1:
            return ()
        return self._begin(0x1E, SPOTS[0x06])

    def _begin(self, code: int, kind: SpotKind) -> Iterable[bytes]:
        self._spot = spot = Spot(code, kind)
        self.schedule(kind.period * self.spot_pace, lambda: self._tick(spot))
        return (self._spot_frame(spot),)

    def _tick(self, spot: Spot) -> None:
        if self._spot is not spot or self._fell_silent(spot):
            return
        spot.elapsed += spot.kind.period
        self.emit(Notification(V1_NOTIFY, self._spot_frame(spot)))
        self.schedule(spot.kind.period * self.spot_pace, lambda: self._tick(spot))

    def _fell_silent(self, spot: Spot) -> bool:
        limit = 1 if spot.kind.once else self.colmi.values_until_silence
        return spot.code != 0x06 and limit is not None and len(spot.values) >= limit

    def _spot_frame(self, spot: Spot) -> bytes:
        spot.frames += 1
        error = 0
        if not self.worn or self.charging:
            # First "worn incorrectly", later "no contact".
            error = 1 if spot.frames <= 4 else 2
        value, extra = 0, b""
        known = spot.kind.metric in self.colmi.metrics
        if known and not error and spot.elapsed >= spot.kind.first:
            value = self.live[spot.kind.metric]
            spot.values.append(value)
        if spot.code == 0x1E:
            return frame(0x1E, value)
        if value and spot.kind.metric == "spo2":
            extra = b"\x01"
        if value and self.model == "r12" and spot.code == 0x01:
            extra = bytes(2) + round(60_000 / value).to_bytes(2, "little")
        return frame(0x69, spot.code, error, value, extra)

    def _stop(self, body: bytes) -> Iterable[bytes]:
        spot, self._spot = self._spot, None
        if spot is None or spot.code != body[0]:
            return ()
        last = spot.values[-1] if spot.values else 0
        told = last if spot.kind.metric in ("heart_rate", "spo2") else 0
        if last and spot.kind.metric == "heart_rate" and self.colmi.manual:
            self.put("manual", self.clock.read().replace(second=0, microsecond=0), last)
        # One more value is on its way when a ring is told to stop.
        return frame(0x6A, spot.code, told), self._spot_frame(spot)

    # Messages of any length (V2)

    def _big_request(self, data: bytes) -> Iterable[bytes]:
        if len(data) < 6 or data[0] != 0xBC or data != message(data[1], data[6:]):
            self.malformed.append(data)
            return ()
        kind, payload = data[1], data[6:]
        if kind in HARMFUL_BIG:
            self.abuse.append(data)
            return ()
        answers: dict[int, Handler] = {
            0x25: self._temperatures,
            0x27: self._sleep,
            0x28: self._manual,
            0x2A: self._spo2,
        }
        return answers[kind](payload) if kind in answers else ()

    def _sleep(self, payload: bytes) -> Iterator[bytes]:
        if len(payload) not in self.colmi.sleep_forms:
            return
        only_today = payload[:1] == b"\0"
        if len(payload) == SLEEP_TWO and (naps := self._sessions(nap=True, today=only_today)):
            yield message(0x3E, naps)
        yield message(0x27, self._sessions(nap=False, today=only_today) or b"\0")

    def _sessions(self, *, nap: bool, today: bool) -> bytes:
        records = [
            _session(days_ago, start, end, sleep.stages)
            for days_ago, start, end, sleep in self._sleeps(nap=nap)
            if not (today and days_ago)
        ]
        return bytes((len(records),)) + b"".join(records) if records else b""

    def _spo2(self, payload: bytes) -> Iterable[bytes]:
        wanted = payload[0] if payload else 0xFF
        blocks = b""
        for days_ago in range(KEPT_DAYS - 1, -1, -1):
            slots = self._slots("spo2", self._day(days_ago), 60)
            if not slots or wanted not in (0xFF, days_ago):
                continue
            pairs = ((int(r.value), int(r.high or r.value)) if r else (0, 0) for r in slots)
            order = -1 if self.colmi.spo2_high_first else 1
            blocks += bytes((days_ago,)) + b"".join(bytes(pair[::order]) for pair in pairs)
        return (message(0x2A, blocks or b"\0"),)

    def _temperatures(self, payload: bytes) -> Iterable[bytes]:
        if "temperature" not in self.colmi.metrics:
            return ()
        blocks = b""
        for days_ago in range(min(payload[0] if payload else 0, KEPT_DAYS - 1), -1, -1):
            if slots := self._slots("temperature", self._day(days_ago), 30):
                raw = (round((r.value - 20) * 10) if r else 0 for r in slots)
                blocks += bytes((days_ago, 30, *raw))
        return (message(0x25, blocks or b"\0"),)

    def _manual(self, payload: bytes) -> Iterable[bytes]:
        if not self.colmi.manual:
            return ()
        days_ago = payload[0] if payload else 0
        triples = b"".join(
            (shown.hour * 60 + shown.minute).to_bytes(2, "little") + bytes((int(reading.value),))
            for shown, reading in sorted(self._on("manual", self._day(days_ago)).items())
        )
        return (message(0x28, bytes((days_ago,)) + triples),)


def _session(
    days_ago: int, start: datetime, end: datetime, stages: Iterable[tuple[str, int]]
) -> bytes:
    """One sleep: its day, its length, its ends in minutes of their days, its stages."""
    body = b"".join((t.hour * 60 + t.minute).to_bytes(2, "little") for t in (start, end))
    for stage, minutes in stages:
        body += bytes((STAGES[stage], minutes))
    return bytes((days_ago, len(body))) + body


def _plain(reading: Reading) -> dict[str, Any]:
    high = {} if reading.high is None else {"high": reading.high}
    return {"start": reading.start.isoformat(), "value": reading.value} | high
