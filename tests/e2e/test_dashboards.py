"""The dashboards of the docs, in the browser."""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from homeassistant.util import slugify
from playwright.async_api import Page, expect
import pytest
import yaml

from demo import check
from demo.home_assistant import REPOSITORY, HomeAssistant, Json
from demo.simulator import Simulator

from .browser import plotted
from .conftest import ANNA, BEN, TIME_ZONE

FOLDER = REPOSITORY / "docs/dashboards"
STATISTICS = {ANNA: "aa_bb_cc_dd_79_b5", BEN: "aa_bb_cc_dd_ee_ff"}
ZONE = ZoneInfo(TIME_ZONE)
ASLEEP = ("light", "deep", "rem")

type Bars = dict[datetime, float]
"""Local midnight → value of that day."""


def adapted(name: str, simulator: Simulator, owners: dict[str, str]) -> Json:
    """Return a dashboard's view with the names replaced, as its README says."""
    text = (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
    for owner, address in owners.items():
        text = text.replace(owner, slugify(simulator.rings[address]))
        text = text.replace(STATISTICS[address], slugify(address))
    view: Json = yaml.safe_load(text)
    return view


def day_of(at: str) -> datetime:
    return datetime.combine(datetime.fromisoformat(at).astimezone(ZONE), time(), ZONE)


def over(sleeps: Iterable[Json], until: datetime) -> list[Json]:
    """Return the sleeps that a ring had worked out by then."""
    final = until - timedelta(hours=1)
    return [sleep for sleep in sleeps if datetime.fromisoformat(sleep["end"]) < final]


def nights(truth: Json, until: datetime) -> Bars:
    """Return the hours asleep of each night."""
    return {
        day_of(night["end"]): sum(night["minutes"].get(stage, 0) for stage in ASLEEP) / 60
        for night in over(truth["sleeps"], until)
    }


def steps(truth: Json, until: datetime) -> Bars:
    """Return the steps of each day that was over by then."""
    days: Counter[datetime] = Counter()
    for hour in truth["readings"]["steps"]:
        days[day_of(hour["start"])] += hour["value"]
    return {day: total for day, total in days.items() if day < day_of(until.isoformat())}


def woken_today(truth: Json, until: datetime) -> list[str]:
    """Return the times of waking up today."""
    ends = [sleep["end"] for sleep in over([*truth["sleeps"], *truth["naps"]], until)]
    today = day_of(datetime.now(ZONE).isoformat())
    return [
        f"{datetime.fromisoformat(e).astimezone(ZONE):%H:%M}" for e in ends if day_of(e) == today
    ]


async def open_dashboard(page: Page, home: HomeAssistant, name: str, view: Json) -> None:
    url = name.replace("_", "-")
    await home.websocket.call(
        "lovelace/dashboards/create", url_path=url, title=view["title"], mode="storage"
    )
    await home.websocket.call("lovelace/config/save", url_path=url, config={"views": [view]})
    await page.goto(f"/{url}/{view['path']}")


def cards(view: Json, kind: str) -> list[Json]:
    found: list[dict[str, Any]] = [card for part in view["sections"] for card in part["cards"]]
    return [card for card in found if card["type"] == kind]


@pytest.mark.parametrize(
    ("name", "owners", "height"),
    [("one_ring", {"my_ring": ANNA}, 1060), ("two_people", {"anna": ANNA, "ben": BEN}, 1100)],
)
async def test_every_card_shows_what_was_recorded(
    home: HomeAssistant,
    simulator: Simulator,
    recorded: datetime,
    page: Page,
    images: Path,
    name: str,
    owners: dict[str, str],
    height: int,
) -> None:
    view = adapted(name, simulator, owners)
    await page.set_viewport_size({"width": 1600, "height": height})
    await open_dashboard(page, home, name, view)
    graphs = page.locator("hui-statistics-graph-card")
    await expect(graphs.locator("ha-chart-base")).to_have_count(
        len(cards(view, "statistics-graph"))
    )
    await expect(page.locator("ha-tile-info")).to_have_count(len(cards(view, "tile")))
    await expect(page.locator("hui-error-card, hui-warning")).to_have_count(0)

    drawn: dict[str, Bars] = {}
    for graph in await graphs.all():
        drawn |= await plotted(graph)
    for address in owners.values():
        truth = await simulator.ask("truth", ring=address)
        series = f"{check.DOMAIN}:{slugify(address)}"
        assert nights(truth, recorded).items() <= drawn[f"{series}_sleep-max"].items()
        assert steps(truth, recorded).items() <= drawn[f"{series}_steps-change"].items()
        battery = page.locator("ha-tile-info", has_text="Battery")
        await expect(battery.filter(has_text=f"{truth['battery']}%")).to_have_count(1)
        for end in woken_today(truth, recorded):
            await expect(page.locator("hui-calendar-card")).to_contain_text(end)
    await page.screenshot(path=images / f"dashboard_{name.partition('_')[0]}.png")
