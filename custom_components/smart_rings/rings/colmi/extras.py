"""Frames of a Colmi ring that nothing here asks for; captures of other apps hold them (§11)."""

from dataclasses import dataclass


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
