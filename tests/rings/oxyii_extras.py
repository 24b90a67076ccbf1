"""Frames of the 0xA5 family that nothing here asks for; captures of other apps hold them."""

from collections.abc import Sequence
from dataclasses import dataclass

from custom_components.smart_rings.rings.oximeter.frames import word

RT_PPG = 0x05
# An inserted beat mark, no amplitude (docs/protocols/oxyii.md §7.2).
BEAT = 156
PPG_RECORD = 9


@dataclass(frozen=True, slots=True)
class Ppg:
    """Light of two optical channels, in counts, and motion."""

    channel_a_raw: int
    channel_b_raw: int
    motion_raw: int


def parse_wave(payload: bytes) -> tuple[int, bytes]:
    """Read the wave behind the 20 bytes of RT_DATA: offset of the first sample, samples."""
    return word(payload, 20, 4), payload[26 : 26 + word(payload, 24)]


def without_marks(wave: Sequence[int]) -> list[int]:
    """Put the mean of its neighbours in the place of each beat mark."""
    cleaned = list(wave)
    for at in range(1, len(cleaned) - 1):
        if cleaned[at] == BEAT:
            cleaned[at] = (cleaned[at - 1] + cleaned[at + 1]) // 2
    return cleaned


def parse_ppg(payload: bytes) -> tuple[tuple[Ppg, ...], int]:
    """Read RT_PPG: the records, and how many unexplained bytes follow them (§7.3)."""
    count = min(word(payload, 0), (len(payload) - 2) // PPG_RECORD)
    end = 2 + count * PPG_RECORD
    records = (payload[at : at + PPG_RECORD] for at in range(2, end, PPG_RECORD))
    return tuple(
        Ppg(
            int.from_bytes(record[0:4], "little", signed=True),
            int.from_bytes(record[4:8], "little", signed=True),
            record[8],
        )
        for record in records
    ), len(payload) - end
