"""One Home Assistant process, one simulator and one browser for all tests of this folder."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from datetime import UTC, datetime, timedelta
import os
from pathlib import Path

from homeassistant.util import slugify
from playwright.async_api import Page
import pytest
import pytest_asyncio

from demo import check, home_with_rings
from demo.home_assistant import HomeAssistant, complaints
from demo.simulator import Simulator
from ringsim.__main__ import DEFAULT_RINGS

from .browser import VIEWPORT, add_discovered, find_chromium, logged_in

# A zone with an offset, so that a mistaken one shows.
TIME_ZONE = "Europe/Amsterdam"
ANNA, BEN = WEARERS = "C0:DE:00:00:00:04", "C0:DE:00:00:00:02"
"""Rings of the tests that look at what was recorded."""
MODELS = (*DEFAULT_RINGS, "r09")
CARL = f"C0:DE:00:00:00:{len(MODELS):02X}"
"""A ring of which nobody looks at what was recorded."""
OXIMETER, WORN_OXIMETER = "C0:DE:00:00:00:06", "C0:DE:00:00:00:05"
OWN_SERIES = {
    **dict.fromkeys(WEARERS, ("heart_rate", "blood_oxygen", "stress", "heart_rate_variability")),
    OXIMETER: ("heart_rate", "blood_oxygen"),
}
EXTERNAL_SERIES = {
    **dict.fromkeys(WEARERS, ("steps", "distance", "energy", "sleep", "deep_sleep", "rem_sleep")),
    OXIMETER: ("recording_duration", "recording_spo2_min", "recording_odi_3"),
}
# The recorder writes statistics every five minutes, and we after it.
RECORDER_TIMEOUT = 400

session = pytest_asyncio.fixture(scope="session", loop_scope="session")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--images", type=Path, help="keep screenshots in this folder")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        item.add_marker(pytest.mark.e2e)
        # Before the mark that pytest-asyncio has given it.
        item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)
        # A contact that failed is not repeated within five minutes.
        item.add_marker(pytest.mark.timeout(600))


@pytest.fixture(scope="session")
def chromium() -> str:
    found = find_chromium()
    if found is None and "CI" not in os.environ:
        pytest.skip("no Chromium on this machine")
    assert found, "no Chromium on this machine"
    return found


@session
async def world(chromium: str) -> AsyncGenerator[tuple[HomeAssistant, Simulator]]:
    rings = (option for model in MODELS for option in ("--ring", model))
    async with home_with_rings(TIME_ZONE, *rings) as (home, simulator):
        yield home, simulator
        await home.stop()
        assert complaints(home.log) == []


@pytest.fixture
def home(world: tuple[HomeAssistant, Simulator]) -> Iterator[HomeAssistant]:
    yield world[0]
    assert complaints(world[0].log) == []


@pytest.fixture
def simulator(world: tuple[HomeAssistant, Simulator]) -> Simulator:
    return world[1]


@session
async def window(world: tuple[HomeAssistant, Simulator], chromium: str) -> AsyncGenerator[Page]:
    async with logged_in(world[0], chromium, TIME_ZONE) as page:
        yield page


@pytest_asyncio.fixture(loop_scope="session")
async def page(window: Page) -> Page:
    """The browser's page, in a size that a test may change."""
    await window.set_viewport_size(VIEWPORT)
    return window


@pytest.fixture
def images(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The folder of screenshots."""
    folder: Path | None = request.config.getoption("--images")
    return folder or tmp_path


@session
async def synced(world: tuple[HomeAssistant, Simulator], window: Page) -> datetime:
    """Until when Home Assistant has all that the wearers' rings and the oximeter held."""
    before = datetime.now(UTC)
    home, simulator = world
    await add_discovered(window, simulator.rings[OXIMETER])
    await check.add(home, WEARERS)
    for address in (OXIMETER, *WEARERS):
        await check.until_known(home, address, "last_sync")
    return before


@session
async def recorded(world: tuple[HomeAssistant, Simulator], synced: datetime) -> datetime:
    """Until when the recorder's statistics have it."""
    home, simulator = world
    async with asyncio.timeout(RECORDER_TIMEOUT):
        async with home.websocket.subscribe(
            "subscribe_events", event_type="recorder_5min_statistics_generated"
        ) as runs:
            await runs.get()
        await _until_written(home, simulator)
    return synced


async def _until_written(home: HomeAssistant, simulator: Simulator) -> None:
    """Return when the rows of the days before are there; nobody announces them."""
    own = {
        f"sensor.{slugify(simulator.rings[address])}_{name}"
        for address, names in OWN_SERIES.items()
        for name in names
    }
    external = set()
    for address, names in EXTERNAL_SERIES.items():
        held = await simulator.ask("truth", ring=address)
        key = slugify(held.get("serial", address))
        external |= {f"{check.DOMAIN}:{key}_{name}" for name in names}
    yesterday = datetime.now(UTC) - timedelta(days=1)
    found: set[str] = set()
    while found != own | external:
        await asyncio.sleep(0.5)
        found = set(
            await home.websocket.call(
                "recorder/statistics_during_period",
                start_time=(yesterday - timedelta(days=7)).isoformat(),
                end_time=yesterday.isoformat(),
                statistic_ids=sorted(own | external),
                period="hour",
            )
        )
