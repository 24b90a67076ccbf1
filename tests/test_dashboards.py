"""The dashboards of the docs show what there is."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from homeassistant.helpers import entity_registry as er
from homeassistant.util import slugify
import pytest
import yaml

from custom_components.smart_rings.const import DOMAIN
from custom_components.smart_rings.rings.models import METRICS
from custom_components.smart_rings.sleep import NIGHT_FIGURES
from tests.air import ADDRESS, OTHER, Air, virtual

FOLDER = Path(__file__).parent.parent / "docs/dashboards"
CORE_CARDS = {"calendar", "grid", "heading", "statistics-graph", "tile"}
NAMES = {"one_ring": ["My ring"], "two_people": ["Anna", "Ben"]}
EXTERNAL = {metric for metric, info in METRICS.items() if info.counter} | set(NIGHT_FIGURES)


def cards(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for child in [*node.get("sections", []), *node.get("cards", [])]:
        yield child
        yield from cards(child)


def shown(card: dict[str, Any]) -> list[str]:
    rows = [*card.get("entities", []), *([card["entity"]] if "entity" in card else [])]
    return [row if isinstance(row, str) else row["entity"] for row in rows]


def test_every_dashboard_is_tried() -> None:
    assert {path.stem for path in FOLDER.glob("*.yaml")} == NAMES.keys()


@pytest.mark.parametrize("name", NAMES)
async def test_cards_show_what_there_is_and_is_on(air: Air, name: str) -> None:
    view = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())
    rings = [virtual("r09", address) for address in (ADDRESS, OTHER)[: len(NAMES[name])]]
    for ring, title in zip(rings, NAMES[name], strict=True):
        entry = air.entry(ring)
        air.hass.config_entries.async_update_entry(entry, title=title)
        await air.heard(ring)
        await air.hass.config_entries.async_setup(entry.entry_id)
        await air.settle()
    there = {
        entity.entity_id: entity
        for entity in er.async_get(air.hass).entities.values()
        if not entity.disabled
    }
    series = {f"{DOMAIN}:{slugify(ring.address)}_{name}" for ring in rings for name in EXTERNAL}
    seen = list(cards(view))
    assert {card["type"] for card in seen} <= CORE_CARDS
    for card in seen:
        graph = card["type"] == "statistics-graph"
        for entity_id in shown(card):
            assert entity_id in (there.keys() | series if graph else there.keys())
            if graph and entity_id in there:
                assert "state_class" in (there[entity_id].capabilities or {}), entity_id
