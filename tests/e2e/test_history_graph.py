"""What a ring recorded before Home Assistant knew it is in the sensor's own graph."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import fmean
from typing import Literal
from zoneinfo import ZoneInfo

from homeassistant.util import slugify
from playwright.async_api import Page, expect
import pytest

from demo.home_assistant import HomeAssistant
from demo.simulator import Simulator

from .browser import open_device, plotted, row
from .conftest import ANNA, TIME_ZONE

HOUR = timedelta(hours=1)
WIDTHS = {"hour": HOUR, "5minute": timedelta(minutes=5)}
# What a sensor's window shows is a day, and its edge moves on while we look.
SHOWN = 23 * HOUR

type Period = Literal["hour", "5minute"]
type Rows = dict[datetime, tuple[float, float, float]]
"""Start of a period → lowest, mean and highest value."""


def night(recorded: datetime) -> set[datetime]:
    """Return the starts of the hours between midnight and six within the last day."""
    last = recorded.replace(minute=0, second=0, microsecond=0) - HOUR
    hours = (last - number * HOUR for number in range(SHOWN // HOUR))
    return {hour for hour in hours if hour.astimezone(ZoneInfo(TIME_ZONE)).hour < 6}


def whole_hour(at: datetime) -> datetime:
    return at.replace(minute=0)


async def held(simulator: Simulator, metric: str, period: Period, hours: set[datetime]) -> Rows:
    """Return what the ring's wearer really had in these hours."""
    readings = (await simulator.ask("truth", ring=ANNA))["readings"][metric]
    values: dict[datetime, list[float]] = {}
    for reading in readings:
        at = datetime.fromisoformat(reading["start"])
        if whole_hour(at) in hours:
            start = at - (at - whole_hour(at)) % WIDTHS[period]
            values.setdefault(start, []).append(reading["value"])
    return {at: (min(some), fmean(some), max(some)) for at, some in values.items()}


async def rows(
    home: HomeAssistant, statistic_id: str, period: Period, hours: set[datetime]
) -> Rows:
    """Return what the recorder has of these hours."""
    answer = await home.websocket.call(
        "recorder/statistics_during_period",
        start_time=min(hours).isoformat(),
        end_time=(max(hours) + HOUR).isoformat(),
        statistic_ids=[statistic_id],
        period=period,
        types=["min", "mean", "max"],
    )
    found = {datetime.fromtimestamp(r["start"] / 1000, UTC): r for r in answer[statistic_id]}
    return {
        at: (r["min"], r["mean"], r["max"]) for at, r in found.items() if whole_hour(at) in hours
    }


@pytest.mark.parametrize("period", WIDTHS)
@pytest.mark.parametrize("metric", ["heart_rate", "stress"])
async def test_statistics_of_the_night_are_what_was_measured(
    home: HomeAssistant, simulator: Simulator, recorded: datetime, metric: str, period: Period
) -> None:
    hours = night(recorded)
    statistic_id = f"sensor.{slugify(simulator.rings[ANNA])}_{metric}"
    truth = await held(simulator, metric, period, hours)
    assert len(truth) >= len(hours) > 0
    found = await rows(home, statistic_id, period, hours)
    assert found.keys() == truth.keys()
    assert [found[at] for at in truth] == [pytest.approx(values) for values in truth.values()]


async def test_night_shows_in_the_window_of_the_sensor(
    home: HomeAssistant, simulator: Simulator, recorded: datetime, page: Page, images: Path
) -> None:
    hours = night(recorded)
    truth = await held(simulator, "heart_rate", "5minute", hours)
    await open_device(page, home, ANNA)
    await row(page, "Heart rate").click()
    window = page.locator("ha-more-info-dialog")
    series = await plotted(window)
    sensor = f"sensor.{slugify(simulator.rings[ANNA])}_heart_rate"
    drawn = series[f"{sensor}-mean"]
    assert {at: value for at, value in drawn.items() if whole_hour(at) in hours} == {
        at: mean for at, (_, mean, _) in truth.items()
    }
    await expect(window).to_contain_text("bpm")
    await page.set_viewport_size({"width": 1000, "height": 660})
    await page.screenshot(path=images / "heart_rate_graph.png")
