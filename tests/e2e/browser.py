"""Chromium on Home Assistant's pages."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
import shutil

from playwright.async_api import Locator, Page, ViewportSize, async_playwright, expect

from demo.home_assistant import PASSWORD, USER, HomeAssistant

_PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
# Nothing but the page under test is talked to.
_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
VIEWPORT: ViewportSize = {"width": 1280, "height": 1900}
_WAIT_MS = 30_000
# A graph is drawn some frames after it is there, and holds its legend as series without data.
_DRAWN_SERIES = """
async graph => {
  const drawn = () => (graph.chart?.getOption()?.series ?? []).filter(each => each.data?.length);
  while (!drawn().length) await new Promise(requestAnimationFrame);
  return drawn().map(each => [each.id, each.data.map(point => [point[0], point[1]])]);
}
"""


def find_chromium() -> str | None:
    """Return the path of this machine's Chromium."""
    return next(filter(None, map(shutil.which, _PROGRAMS)), None)


@asynccontextmanager
async def logged_in(home: HomeAssistant, chromium: str, time_zone: str) -> AsyncGenerator[Page]:
    """Yield a page of a new browser after logging in."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=_ARGUMENTS)
        context = await browser.new_context(
            base_url=home.url,
            viewport=VIEWPORT,
            locale="en-GB",
            timezone_id=time_zone,
            reduced_motion="reduce",
        )
        context.set_default_timeout(_WAIT_MS)
        expect.set_options(timeout=_WAIT_MS)
        page = await context.new_page()
        await page.goto("/")
        await page.locator("input[name=username]").fill(USER)
        await page.locator("input[name=password]").fill(PASSWORD)
        await page.keyboard.press("Enter")
        await page.locator("ha-sidebar").wait_for()
        yield page
        await browser.close()


async def add_discovered(page: Page, name: str) -> None:
    """Add a discovered device on the integrations' page and finish the dialogue."""
    await page.goto("/config/integrations/dashboard")
    card = page.locator("ha-config-flow-card", has_text=name)
    await card.get_by_role("button", name="Add").click()
    dialog = page.locator("dialog-data-entry-flow")
    await dialog.get_by_role("button", name="Submit").click()
    await dialog.get_by_role("button", name="finish").click()


async def open_device(page: Page, home: HomeAssistant, address: str) -> None:
    """Open a ring's device page and wait for its entities."""
    devices = await home.websocket.call("config/device_registry/list")
    (found,) = (d["id"] for d in devices if ["bluetooth", address] in d["connections"])
    await page.goto(f"/config/devices/device/{found}")
    rows = page.locator("hui-generic-entity-row")
    await rows.first.wait_for()
    # Icons come from a database of the browser, after all else.
    await expect(rows.filter(has_not=page.locator("ha-svg-icon"))).to_have_count(0)


def row(page: Page, name: str) -> Locator:
    """Return an entity's row on a device page."""
    label = page.get_by_text(name, exact=True)
    return page.locator("ha-device-entities-card hui-generic-entity-row").filter(has=label)


async def shown(page: Page, name: str) -> str:
    """Return what an entity's row says beside its name."""
    # The name is in a shadow tree, the state is not.
    return await row(page, name).inner_text()


async def plotted(card: Locator) -> dict[str, dict[datetime, float]]:
    """Return what the graph of a card or window draws: series → instant → value."""
    graph = card.locator("ha-chart-base")
    # One out of sight is not drawn.
    await graph.scroll_into_view_if_needed()
    async with asyncio.timeout(_WAIT_MS / 1000):
        series = await graph.evaluate(_DRAWN_SERIES)
    return {
        name: {datetime.fromtimestamp(at / 1000, UTC): value for at, value in points}
        for name, points in series
    }
