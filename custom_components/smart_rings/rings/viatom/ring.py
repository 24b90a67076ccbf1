"""Viatom 0xAA family: the conversation. Sections refer to docs/protocols/viatom.md."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import override

from ..errors import RingNotSupported
from ..models import RingInfo, RingState, Setting, SettingKind, Value
from ..oximeter.products import ANYTHING, FINE_VIBRATION, READ_ONLY, models
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
from . import frames
from .frames import LegacyLive

WRITE = "8b00ace7-eb0b-49b0-bbe9-9aee0a26e1a3"
NOTIFY = "0734594a-a8e7-4b1a-a6b1-cd5243059a57"

MODELS = models("viatom", ANYTHING, otherwise="oxyii")

# Their lead byte may say "off" on a finger (§6).
LEAD_LIES = frozenset(
    {
        *("o2ring", "o2ring_f", "o2ring_re", "sleep_u", "oxy_u", "oxy_u_se"),
        *("oxy_ring", "o2s", "o2_intg", "o2r_wave"),
    }
)
# The vendor reads these by their waveform (§7.1).
READ_BY_WAVE = frozenset({"oxyfit", "o2s", "o2_intg", "o2r_wave", "o2ring_re"})
# What their alarm switches move: bit 0 vibrates, bit 1 sounds (§7.3).
SOUND_ONLY = frozenset({"wear_o2", "oxylink", "oxyfit"})
BOTH = frozenset({"o2_max"})
OXYLINK_PLUS = frozenset({"25010003", "25010004"})

DISPLAYS = ("standard", "off", "on")
VIBRATION_LEVEL = "vibration_level"
VIBRATION_LEVELS = {"very_low": 5, "low": 10, "medium": 17, "high": 22, "very_high": 35}


@dataclass(frozen=True, slots=True)
class Key:
    """A setting as INFO names it; it is written as "Set" and that name without "Cur"."""

    key: str
    info: str
    code: Code = PLAIN

    @property
    def write(self) -> str:
        """Return the key of PARA_SYNC."""
        return "Set" + self.info.removeprefix("Cur")

    def raw(self, said: frames.Info) -> int | None:
        """Return the number INFO says, `None` where it says none."""
        text = said.values.get(self.info, "").removesuffix("%")
        return int(text) if text.isascii() and text.isdigit() and len(text) < 6 else None


KEYS = (
    Key(SPO2_VIBRATION, "OxiSwitch", Code(bit=0)),
    Key(SPO2_SOUND, "OxiSwitch", Code(bit=1)),
    Key(SPO2_LIMIT, "CurOxiThr"),
    Key(PULSE_VIBRATION, "HRSwitch", Code(bit=0)),
    Key(PULSE_SOUND, "HRSwitch", Code(bit=1)),
    Key(PULSE_LOW, "HRLowThr"),
    Key(PULSE_HIGH, "HRHighThr"),
    Key(VIBRATION, "CurMotor"),
    Key(VIBRATION_LEVEL, "CurMotor", Code(VIBRATION_LEVELS)),
    Key(BUZZER, "CurBuzzer"),
    Key("steps_goal", "CurPedtar"),
    Key(DISPLAY, "LightingMode", Code(numbered(DISPLAYS))),
    Key(BRIGHTNESS, "LightStr", Code(numbered(BRIGHTNESSES))),
    Key("spo2_alarm", "SpO2SW", Code(bit=0)),
    Key("motion_alarm", "MtSW", Code(bit=0)),
    Key("motion_alarm_limit", "MtThr"),
    Key("signal_alarm", "IvSW", Code(bit=0)),
    Key("signal_alarm_delay", "IvThr"),
)


class ViatomRing(OximeterRing):
    """An oximeter of the first generation: one request at a time, replies without an address."""

    models = MODELS
    settings = (
        *SETTINGS,
        Setting(VIBRATION_LEVEL, SettingKind.SELECT, options=tuple(VIBRATION_LEVELS)),
        Setting("steps_goal", SettingKind.NUMBER, 0, 99_999, unit="steps"),
        Setting(DISPLAY, SettingKind.SELECT, options=DISPLAYS),
        Setting("spo2_alarm", SettingKind.SWITCH),
        Setting("motion_alarm", SettingKind.SWITCH),
        Setting("motion_alarm_limit", SettingKind.NUMBER, 0, 255),
        Setting("signal_alarm", SettingKind.SWITCH),
        Setting("signal_alarm_delay", SettingKind.NUMBER, 30, 300, 30, unit="s"),
    )

    @override
    async def open(self) -> None:
        await super().open()
        await self._subscribe(WRITE, NOTIFY, frames.framer(), frames.answered, frames.may_send)
        self._blocks = frames.Blocks()
        said = await self._ask_info()
        self._know(RingInfo(said.firmware, said.hardware, said.serial))
        self._read_clock(said.clock)

    @override
    async def state(self) -> RingState:
        return self._state_of(await self._sample())

    @override
    async def read_settings(self) -> Mapping[str, Value]:
        return self._settings_of(await self._ask_info())

    @override
    async def change(self, setting: Setting, value: Value) -> Value:
        key = next((key for key in KEYS if key.key == setting.key), None)
        before = await self._ask_info()
        if key is None or setting.key not in self._settings_of(before):
            raise RingNotSupported(setting.key)
        raw = key.code.change(key.raw(before) or 0, value)
        await self._channel.request(frames.para_sync({key.write: str(raw)}))
        return self._read_back(self._settings_of(await self._ask_info()), setting)

    def _settings_of(self, said: frames.Info) -> dict[str, Value]:
        """Return the settings whose key this unit has, as it has them."""
        if said.branch in READ_ONLY:
            return {}
        missing = self._missing(said.branch)
        found: dict[str, Value] = {}
        for key in KEYS:
            raw = None if key.key in missing else key.raw(said)
            if raw is not None and (value := key.code.read(raw)) is not None:
                found[key.key] = value
        return found

    def _missing(self, branch: str) -> set[str]:
        """Return the settings that share a key with those this model really has."""
        product = self.model.product
        missing = {VIBRATION if product in FINE_VIBRATION else VIBRATION_LEVEL}
        sounds = product in SOUND_ONLY and branch not in OXYLINK_PLUS
        if product not in BOTH:
            missing |= {SPO2_VIBRATION, PULSE_VIBRATION} if sounds else {SPO2_SOUND, PULSE_SOUND}
        return missing

    async def _ask_info(self) -> frames.Info:
        self._info = await self._channel.request(frames.info())
        return self._info

    @override
    async def _sample(self) -> LegacyLive:
        by_wave = self.model.product in READ_BY_WAVE
        live = await self._channel.request(frames.live_of_wave() if by_wave else frames.live())
        lead = self.model.product not in LEAD_LIES and bool(live.lead_raw & 1)
        self._worn = live.valid or lead
        return live

    @override
    async def _files_readable(self) -> bool:
        if self._worn is None:
            await self._sample()
        return not self._worn

    @override
    async def _list(self) -> list[str]:
        # The list of `open` may be minutes old, and a name in it given to another file (§8.3).
        return list((await self._ask_info()).files)

    @override
    async def _open_file(self, name: str) -> int:
        self._block = 0
        return await self._channel.request(frames.read_start(name))

    @override
    async def _read_block(self, offset: int) -> bytes:
        block = await self._channel.request(self._blocks.read(self._block))
        self._block += 1
        return block

    @override
    async def _close_file(self) -> None:
        await self._channel.request(frames.read_end())

    @override
    async def _write_clock(self, ring_time: datetime) -> None:
        await self._channel.request(frames.set_time(ring_time))
