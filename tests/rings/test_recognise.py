"""Recorded advertisements: each is exactly one model, look-alikes are none."""

import json
from pathlib import Path
from typing import Any

import pytest

from custom_components.smart_rings.rings import MODELS, Advertisement, family_of, recognise
from custom_components.smart_rings.rings.viatom import ViatomRing

RECORDED = json.loads((Path(__file__).parent / "advertisements.json").read_text("utf-8"))


def advertisement(recorded: dict[str, Any]) -> Advertisement:
    return Advertisement(
        recorded["name"],
        frozenset(recorded.get("service_uuids", ())),
        {int(k): bytes.fromhex(v) for k, v in recorded.get("manufacturer_data", {}).items()},
    )


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda r: f"{r['name']}-{r['model']}")
def test_recorded_advertisement(recorded: dict[str, Any]) -> None:
    heard = advertisement(recorded)
    model = recognise(heard)
    assert (model and model.key) == recorded["model"]
    families = {family_of(m) for m in MODELS.values() if m.rule_for(heard)}
    assert len(families - {ViatomRing}) <= 1, "only the two of one vendor share names"


def test_every_model_was_recorded() -> None:
    assert set(MODELS) == {r["model"] for r in RECORDED} - {None}
