"""One Home Assistant process, one simulator and one browser for all tests of this folder."""

from collections.abc import AsyncGenerator, Iterator
import os
from pathlib import Path

from playwright.async_api import Page
import pytest
import pytest_asyncio

from demo import home_with_rings
from demo.home_assistant import HomeAssistant, complaints
from demo.simulator import Simulator

from .browser import find_chromium, logged_in

# A zone with an offset, so that a mistaken one shows.
TIME_ZONE = "Europe/Amsterdam"

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
    async with home_with_rings(TIME_ZONE) as (home, simulator):
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
async def page(world: tuple[HomeAssistant, Simulator], chromium: str) -> AsyncGenerator[Page]:
    async with logged_in(world[0], chromium, TIME_ZONE) as page:
        yield page


@pytest.fixture
def images(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The folder of screenshots."""
    folder: Path | None = request.config.getoption("--images")
    return folder or tmp_path
