"""OxyII 0xA5 family: the conversation. Sections refer to docs/protocols/oxyii.md."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import override

from ..errors import RingNotSupported, RingProtocolError, RingRefused, RingTimeout
from ..models import Capability, RingInfo, RingState, Setting, SettingKind, Value
from ..oximeter.frames import CHARGING
from ..oximeter.products import FINE_VIBRATION, READ_ONLY, SPEAKS_OXYII, models
from ..oximeter.ring import (
    BRIGHTNESS,
    BRIGHTNESSES,
    BUZZER,
    DISPLAY,
    PLAIN,
    PULSE_HIGH,
    PULSE_LOW,
    PULSE_SOUND,
    PULSE_VIBRATION,
    SETTINGS,
    SPO2_LIMIT,
    SPO2_SOUND,
    SPO2_VIBRATION,
    VIBRATION,
    Code,
    OximeterRing,
    numbered,
)
from ..recognise import Model, Rule
from . import frames
from .frames import Ask, Command, Field, SensorLive

WRITE = "e8fb0002-a14b-98f9-831b-4e2941d01248"
NOTIFY = "e8fb0003-a14b-98f9-831b-4e2941d01248"

# A ring that hands out no key needs a moment to be done with the greeting (§6).
AFTER_AUTH = 0.2
# So many connections in a row may find the files silent before the ring is left in peace (§10.1).
SILENT_CONNECTIONS = 3

# The company of the name a ring of older firmware has while it records (§1.2).
RECORDING_COMPANY = 0x036F


def _model(key: str, maker: str, name: str, *rules: Rule) -> Model:
    return Model(f"oxyii_{key}", maker, name, (Rule(name=f"{name}*"), *rules))


# First match wins, so that the longer of two names that begin alike comes first (§1.1).
MODELS = (
    _model("o2rmed_s", "Wellue", "O2RMed S"),
    _model("o2ring_sf", "Wellue", "O2Ring SF"),
    _model("o2ring_sp", "Wellue", "O2Ring SP"),
    _model("o2ring_sc", "Wellue", "O2Ring SC"),
    _model(
        "o2ring_s",
        "Wellue",
        "O2Ring S",
        Rule(name="T8520_####", company=RECORDING_COMPANY, busy=True),
    ),
    _model("s8_aw", "Viatom", "S8-AW"),
    _model("band_wu", "Viatom", "Band-WU"),
    _model("shqo2pro", "SleepHQ", "SHQO2Pro"),
    _model("o2mp", "Viatom", "O2MP"),
    *models("oxyii", SPEAKS_OXYII),
)

# The vendor does not greet these (§1.1), and they alone have a buzzer (§12).
BAND = "band_wu"
SOUNDS = frozenset({SPO2_SOUND, PULSE_SOUND, BUZZER})
# The one firmware that was felt to vibrate on command (§4).
VIBRATES = "2D010002"

NO_FINGER, ON_FINGER, UNPLUGGED = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Row:
    """A setting: the field it is written by, and the byte and bit it is read back from (§8.4)."""

    key: str
    field: Field
    offset: int
    code: Code = PLAIN
    shift: int = 0


STORAGE_INTERVALS = {"1s": 1, "4s": 4}
DISPLAYS = {"standard": 0, "on": 2}

ROWS = (
    Row(SPO2_VIBRATION, Field.SPO2_SWITCH, 0, Code(bit=0)),
    Row(SPO2_SOUND, Field.SPO2_SWITCH, 0, Code(bit=1)),
    Row(PULSE_VIBRATION, Field.PULSE_SWITCH, 0, Code(bit=0), shift=4),
    Row(PULSE_SOUND, Field.PULSE_SWITCH, 0, Code(bit=1), shift=4),
    Row(SPO2_LIMIT, Field.SPO2_LOW, 1),
    Row(PULSE_LOW, Field.PULSE_LOW, 2),
    Row(PULSE_HIGH, Field.PULSE_HIGH, 3),
    Row(VIBRATION, Field.MOTOR, 4),
    Row(BUZZER, Field.BUZZER, 5),
    Row(DISPLAY, Field.DISPLAY, 6, Code(DISPLAYS)),
    Row(BRIGHTNESS, Field.BRIGHTNESS, 7, Code(numbered(BRIGHTNESSES))),
    Row("storage_interval", Field.INTERVAL, 8, Code(STORAGE_INTERVALS)),
)


class OxyIIRing(OximeterRing):
    """An O2Ring S or a relative: numbered requests, encrypted where the ring hands out a key."""

    models = MODELS
    settings = (
        *SETTINGS,
        Setting(DISPLAY, SettingKind.SELECT, options=tuple(DISPLAYS)),
        Setting("storage_interval", SettingKind.SELECT, options=tuple(STORAGE_INTERVALS)),
    )
    resumes = True
    # Twice what the longest recording has (§10.2).
    largest = 216_000

    @override
    async def open(self) -> None:
        await super().open()
        notes = self.memory.notes
        self._session = frames.Session(pads_empty=notes.get("pads_empty", False))
        self._silent: int = notes.pop("silent", 0)
        self._sensor: int | None = None
        await self._subscribe(WRITE, NOTIFY, frames.framer(), frames.answered, frames.may_send)
        if self.model.product != BAND:
            await self._greet()
        with suppress(RingTimeout, RingRefused):
            await self._ask(frames.pushes_off())
        said = await self._identify()
        self._branch = said.branch_code
        hardware = f"{said.hardware_version} {said.branch_code}"
        self._know(RingInfo(said.firmware_version, hardware, said.serial_number))
        self._read_clock(said.device_clock_local)
        if self._branch == VIBRATES:
            self.memory.capabilities |= {Capability.FIND}

    @override
    async def state(self) -> RingState:
        battery = await self.attempt(
            self._channel, self._session.request(frames.battery()), "battery"
        )
        state = RingState()
        # A ring that kept silent on its files may do so for having been asked for values (§6).
        if self._silent != 1:
            state = self._state_of(await self._sample())
        if battery:
            self.memory.capabilities |= {Capability.VOLTAGE}
            state = replace(
                state,
                battery=battery.battery_pct,
                charging=battery.battery_state_raw == CHARGING,
                voltage=battery.battery_mv / 1000,
            )
        return state

    @override
    async def find(self) -> None:
        if not self.can(Capability.FIND):
            raise RingNotSupported("find")
        await self._ask(frames.vibrate())

    @override
    async def read_settings(self) -> Mapping[str, Value]:
        if self._branch in READ_ONLY:
            return {}
        config = await self.attempt(self._channel, self._session.request(frames.config()), "config")
        return self._settings_of(config) if config else {}

    @override
    async def change(self, setting: Setting, value: Value) -> Value:
        row = next((row for row in ROWS if row.key == setting.key), None)
        before = await self._ask(frames.config())
        if row is None or setting.key not in self._settings_of(before):
            raise RingNotSupported(setting.key)
        raw = before.raw[row.offset] >> row.shift
        if row.code.bit is not None:
            raw &= 0b11
        await self._ask(frames.set_config(row.field, row.code.change(raw, value)))
        after = await self._ask(frames.config())
        if _without(before.raw, row.offset) != _without(after.raw, row.offset):
            raise RingProtocolError(f"Writing {row.key} changed something else, too")
        return self._read_back(self._settings_of(after), setting)

    def _settings_of(self, config: frames.Config) -> dict[str, Value]:
        """Return the settings this model has."""
        found: dict[str, Value] = {}
        missing = set() if self.model.product == BAND else set(SOUNDS)
        if self.model.product in FINE_VIBRATION:
            missing.add(VIBRATION)
        for row in ROWS:
            value = row.code.read(config.raw[row.offset] >> row.shift)
            if value is not None and row.key not in missing:
                found[row.key] = value
        return found

    async def _ask[T](self, ask: Ask[T]) -> T:
        return await self._channel.request(self._session.request(ask))

    async def _greet(self) -> None:
        """Say hello; newer firmware answers with the key of an encrypted session (§5.2)."""
        with suppress(RingTimeout, RingRefused):
            self._session.key = frames.parse_key(await self._ask(frames.auth(self.clock.now())))
        await asyncio.sleep(AFTER_AUTH)

    async def _identify(self) -> frames.Info:
        """Ask who the ring is, and find out how it wants empty requests encrypted (§5.3)."""
        try:
            return await self._ask(frames.info())
        except RingTimeout, RingRefused:
            if not self._session.key:
                raise
        self._session.pads_empty = not self._session.pads_empty
        said = await self._ask(frames.info())
        self.memory.notes["pads_empty"] = self._session.pads_empty
        return said

    @override
    async def _sample(self) -> SensorLive:
        request = self._session.request(frames.live())
        live = await self.attempt(self._channel, request, "rt_param")
        if live is None:
            live = await self._ask(frames.live(Command.RT_DATA))
        self._sensor = live.sensor_state_raw
        known = {NO_FINGER: False, ON_FINGER: True, UNPLUGGED: False}
        self._worn = known.get(self._sensor, True if live.valid else None)
        return live

    @override
    async def _files_readable(self) -> bool:
        if self._streamed:
            self.dropped["recording: waits for a new connection"] += 1
            return False
        if self._silent >= SILENT_CONNECTIONS:
            return False
        if self._sensor is None and self._silent != 1:
            await self._sample()
        if self._sensor is not None and self._worn is None:
            # A file that was left open shows itself as a fault of the sensor (§7.1).
            await self._free()
            await self._sample()
            return self._worn is False
        return not self._worn

    @override
    async def _list(self) -> list[str]:
        # After a recording the list is silent until its file was closed, sometimes twice (§10.1).
        # That would end the recording of a ring which is worn, and may be where nobody asked (§6).
        closable = self._worn is False
        for _ in range(2 if closable else 1):
            if closable:
                await self._free()
            with suppress(RingTimeout):
                return list(await self._ask(frames.file_list()))
        raise self._silence("The file list is silent")

    @override
    async def _open_file(self, name: str) -> int:
        try:
            return await self._ask(frames.read_start(name))
        except RingTimeout as err:
            raise self._silence("A file is silent; the link's MTU may be too small") from err

    @override
    async def _read_block(self, offset: int) -> bytes:
        return await self._ask(frames.read_data(offset))

    @override
    async def _close_file(self) -> None:
        await self._ask(frames.read_end())

    @override
    async def _write_clock(self, ring_time: datetime) -> None:
        try:
            await self._ask(frames.set_utc_time(ring_time, self.clock.target().offset))
        except RingRefused:
            await self._ask(frames.set_time(ring_time))

    async def _free(self) -> None:
        with suppress(RingTimeout, RingRefused):
            await self._close_file()

    def _silence(self, message: str) -> RingTimeout:
        """Remember for the next connection that the files kept silent."""
        self.memory.notes["silent"] = self._silent + 1
        return RingTimeout(message)


def _without(config: bytes, offset: int) -> bytes:
    return config[:offset] + config[offset + 1 :]
