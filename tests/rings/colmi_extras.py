"""What is known of the Colmi protocol and not used: captures of other apps hold it."""

from dataclasses import dataclass

BLINK, SUPPORT = 0x10, 0x3C
EVENTS = {
    0x01: "new_heart_rate",
    0x03: "new_spo2",
    0x04: "new_steps",
    0x05: "new_temperature",
    0x0C: "battery",
    0x12: "live_activity",
    0x2B: "new_hrv",
    0x2C: "new_stress",
    0x2D: "gesture",
}
GESTURES = {1: "swipe_up", 2: "swipe_down", 3: "tap", 4: "long_press"}


def other_capabilities(frame: bytes) -> dict[str, bool | int]:
    """The reply to set-time (§6.1)."""
    return {
        "blood_pressure": bool(frame[4] & 0x04),
        "weather": bool(frame[4] & 0x20),
        "screen_width_px": int.from_bytes(frame[5:7], "little"),
        "screen_height_px": int.from_bytes(frame[7:9], "little"),
        "manual_heart_rate": bool(frame[12] & 0x01),
        "blood_sugar": bool(frame[12] & 0x80),
        "max_contacts": frame[13] * 10 or 20,
    }


def other_totals(frame: bytes) -> dict[str, int]:
    """0x48 (§6.12)."""
    return {
        "running_steps": int.from_bytes(frame[4:7], "big"),
        "duration_min": int.from_bytes(frame[13:15], "big"),
    }


def spo2_high(payload: bytes, block: int, hour: int) -> int:
    """Of an hour's two values the higher one (§9.2)."""
    at = 49 * block + 1 + 2 * hour
    return max(payload[at : at + 2])


@dataclass(frozen=True, slots=True)
class Support:
    """What the 0x3C bits say (§6.13)."""

    touch: bool
    ble_pair: bool
    gesture: bool
    interval_temperature: bool


def parse_support(frame: bytes) -> Support:
    """0x3C."""
    return Support(
        touch=bool(frame[2] & 0x01),
        ble_pair=bool(frame[2] & 0x08),
        gesture=bool(frame[2] & 0x80),
        interval_temperature=bool(frame[9] & 0x80),
    )


@dataclass(frozen=True, slots=True)
class Ppg:
    """Raw light of the pulse sensor, in counts."""

    ppg_raw: int
    ppg_max_raw: int
    ppg_min_raw: int
    ppg_diff_raw: int


@dataclass(frozen=True, slots=True)
class Spo2Light:
    """Raw light of the SpO2 sensor, in counts."""

    spo2_raw: int
    spo2_max_raw: int
    spo2_min_raw: int
    spo2_diff_raw: int


@dataclass(frozen=True, slots=True)
class Acceleration:
    """Raw acceleration in counts: 512 (BlueX) or 8192 (Realtek) per g."""

    x_raw: int
    y_raw: int
    z_raw: int


def parse_ppg(frame: bytes) -> Ppg:
    """0xA1 02: four big-endian words."""
    return Ppg(*(int.from_bytes(frame[at : at + 2], "big") for at in (2, 4, 6, 8)))


def parse_spo2_light(frame: bytes) -> Spo2Light:
    """0xA1 01."""
    return Spo2Light(int.from_bytes(frame[2:4], "big"), frame[5], frame[7], frame[9])


def parse_acceleration_bluex(frame: bytes) -> Acceleration:
    """0xA1 03 of BlueX rings: 12-bit signed, low nibble second, axes Y, Z, X."""
    y, z, x = (_signed(frame[at] << 4 | frame[at + 1] & 0x0F, 12) for at in (2, 4, 6))
    return Acceleration(x, y, z)


def parse_acceleration_realtek(frame: bytes) -> Acceleration:
    """0xA1 03 of Realtek rings: 16-bit signed, axes X, Y, Z."""
    return Acceleration(*(_signed(frame[at] << 8 | frame[at + 1], 16) for at in (2, 4, 6)))


def parse_sport_start(frame: bytes) -> int | None:
    """0x77: the ring's timestamp of a workout that was started; it counts as if in UTC+8."""
    return int.from_bytes(frame[3:7], "little") if frame[1] == 1 else None


def parse_message_push(frame: bytes) -> bool:
    """0x61: whether message routing is configured."""
    return frame[1:3] != b"\xff\xff"


def _signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> (bits - 1) else value
