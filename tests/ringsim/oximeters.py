"""What tests of both oximeter families share."""

import json
from pathlib import Path
from typing import Any

from ringsim.rings.recording import Tracks

FOLDER = Path(__file__).parents[1] / "rings" / "vectors"


def vectors(family: str) -> dict[str, dict[str, Any]]:
    """Return name → vector of a family."""
    found = json.loads((FOLDER / f"{family}.json").read_text("utf-8"))
    return {vector["name"]: vector for vector in found}


def tracks(*rows: tuple[int, int, int, int]) -> Tracks:
    """Return samples of SpO2, pulse, movement and alarms."""
    return Tracks(*(bytearray(column) for column in zip(*rows, strict=True)))
