"""Chromium on Home Assistant's pages."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
import shutil

from playwright.async_api import Page, async_playwright

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
_WAIT_MS = 30_000


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
            viewport={"width": 1280, "height": 900},
            locale="en-GB",
            timezone_id=time_zone,
        )
        context.set_default_timeout(_WAIT_MS)
        page = await context.new_page()
        await page.goto("/")
        await page.locator("input[name=username]").fill(USER)
        await page.locator("input[name=password]").fill(PASSWORD)
        await page.keyboard.press("Enter")
        await page.locator("ha-sidebar").wait_for()
        yield page
        await browser.close()
