"""What a person may set in a Colmi ring, as data. Sections refer to docs/protocols/colmi.md."""

from collections.abc import Mapping
from dataclasses import dataclass

from ..link import Request
from ..models import Capability, Setting, SettingKind, Value
from .frames import Command, ask, unsigned

type Held = Mapping[str, int]
"""What a register holds, by field, as the ring's numbers."""


@dataclass(frozen=True, slots=True, eq=False)
class Register:
    """A record of settings that is read and written as a whole: its fields and their bytes.

    `tail` is written after them. What they hold follows `prefix` and the code for reading.
    """

    command: Command
    fields: Mapping[str, int]
    prefix: bytes = b""
    tail: bytes = b""
    reading: int = 1
    writing: int = 2

    def read(self) -> Request[Held]:
        """Ask for it; the acknowledgement of a write looks alike and says nothing (§6.5)."""
        head = bytes((self.command, *self.prefix, self.reading))
        return ask(
            lambda frame: self._parse(frame[len(head) :]) if frame.startswith(head) else None,
            self.command,
            *head[1:],
        )

    def write(self, held: Held) -> Request[bool]:
        """Write it; what the ring made of it has to be read."""
        values = b"".join(held[name].to_bytes(n, "little") for name, n in self.fields.items())
        payload = (*self.prefix, self.writing, *values, *self.tail)
        return ask(lambda _: True, self.command, *payload)

    def _parse(self, data: bytes) -> Held:
        held, at = dict[str, int](), 0
        for name, size in self.fields.items():
            held[name] = unsigned(data, at, size)
            at += size
        return held


@dataclass(frozen=True, slots=True)
class Field:
    """A setting, the field it is kept in, and how: as a time, by codes, or in the ring's unit."""

    setting: Setting
    register: Register
    name: str
    codes: Mapping[Value, int] | None = None
    factor: int = 1

    def get(self, held: Held) -> Value | None:
        """Return the setting; None where the ring's number means nothing known."""
        raw = held[self.name]
        if self.setting.kind is SettingKind.TIME:
            minute, hour = divmod(raw, 0x100)
            return f"{hour:02}:{minute:02}" if hour < 24 and minute < 60 else None
        if self.codes is None:
            return raw / self.factor
        # A switch is on by one code and off by any other (§6.4).
        off = False if self.setting.kind is SettingKind.SWITCH else None
        return next((value for value, code in self.codes.items() if code == raw), off)

    def put(self, held: Held, value: Value) -> Held:
        """Return what the register is to hold."""
        if self.setting.kind is SettingKind.TIME:
            hour, minute = map(int, str(value).split(":"))
            return {**held, self.name: minute << 8 | hour}
        raw = self.codes[value] if self.codes else round(float(value) * self.factor)
        return {**held, self.name: raw}


ON: Mapping[Value, int] = {True: 1, False: 0}
ON_OR_TWO: Mapping[Value, int] = {True: 1, False: 2}

TOGGLES = {
    Capability.SPO2: Register(Command.AUTO_SPO2, {"enabled": 1}),
    Capability.STRESS: Register(Command.AUTO_STRESS, {"enabled": 1}),
    Capability.HRV: Register(Command.AUTO_HRV, {"enabled": 1}),
    # Newer firmware wants all of the record, or measures nothing (§6.4).
    Capability.TEMPERATURE: Register(
        Command.AUTO_TEMPERATURE, {"enabled": 1}, b"\x03", bytes((30, 5, 10, 0, 0xB9))
    ),
}
"""Whether a metric is recorded by itself."""
HEART_RATE = Register(Command.HEART_RATE_SETTINGS, {"enabled": 1, "interval_min": 1})
GOALS = Register(
    Command.GOALS,
    {"steps": 3, "calories_cal": 3, "distance_m": 3, "sport_min": 2, "sleep_min": 2},
)
DISPLAY = Register(
    Command.DISPLAY,
    {
        "enabled": 1,
        "wearing_hand": 1,
        "brightness_level": 1,
        "brightness_max": 1,
        "all_day": 1,
        "start": 2,
        "end": 2,
    },
    reading=3,
    writing=4,
)


def _number(key: str, low: int, high: int, step: int, unit: str) -> Setting:
    return Setting(key, SettingKind.NUMBER, low, high, step, unit=unit)


def _switch(key: str, able: Capability | None = None) -> Setting:
    return Setting(key, SettingKind.SWITCH, capability=able)


def _time(key: str, able: Capability) -> Setting:
    return Setting(key, SettingKind.TIME, capability=able)


def _toggle(key: str, able: Capability) -> Field:
    return Field(_switch(key, able), TOGGLES[able], "enabled", ON)


HAND = Setting(
    "wearing_hand", SettingKind.SELECT, options=("left", "right"), capability=Capability.DISPLAY
)
ALL_DAY = _switch("display_all_day", Capability.DISPLAY)
"""Or between two times (§6.9)."""
BRIGHTNESS = Setting("brightness", SettingKind.NUMBER, 1, 5, capability=Capability.DISPLAY)

FIELDS = (
    Field(_switch("heart_rate_logging"), HEART_RATE, "enabled", ON_OR_TWO),
    Field(_number("heart_rate_interval", 5, 60, 5, "min"), HEART_RATE, "interval_min"),
    _toggle("spo2_logging", Capability.SPO2),
    _toggle("stress_logging", Capability.STRESS),
    _toggle("hrv_logging", Capability.HRV),
    _toggle("temperature_logging", Capability.TEMPERATURE),
    Field(_number("steps_goal", 100, 50_000, 100, "steps"), GOALS, "steps"),
    Field(_number("distance_goal", 100, 50_000, 100, "m"), GOALS, "distance_m"),
    Field(_number("energy_goal", 10, 5000, 10, "kcal"), GOALS, "calories_cal", factor=1000),
    Field(_switch("display", Capability.DISPLAY), DISPLAY, "enabled", ON_OR_TWO),
    Field(HAND, DISPLAY, "wearing_hand", {"left": 1, "right": 2}),
    Field(BRIGHTNESS, DISPLAY, "brightness_level"),
    Field(ALL_DAY, DISPLAY, "all_day", {True: 2, False: 1}),
    Field(_time("display_start", Capability.DISPLAY), DISPLAY, "start"),
    Field(_time("display_end", Capability.DISPLAY), DISPLAY, "end"),
)
