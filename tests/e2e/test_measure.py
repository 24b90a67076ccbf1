"""A measurement on request, in the browser."""

from pathlib import Path

from homeassistant.util import slugify
from playwright.async_api import Page, expect

from demo import check
from demo.home_assistant import HomeAssistant
from demo.simulator import Simulator

from .browser import open_device, row
from .conftest import BEN

# A heart rate takes half a minute, and its ring may be busy with a sync before.
MEASURED_MS = 90_000


async def test_measured_value_or_refusal_is_shown(
    home: HomeAssistant, simulator: Simulator, synced: object, page: Page, images: Path
) -> None:
    await home.websocket.call(
        "config/entity_registry/update",
        entity_id=f"binary_sensor.{slugify(simulator.rings[BEN])}_measuring",
        disabled_by=None,
    )
    # Home Assistant loads the entry again half a minute later, which would end a measurement.
    await check.until_known(home, BEN, "measuring")
    await simulator.ask("set", ring=BEN, path="live.heart_rate", value=118)
    await open_device(page, home, BEN)
    button = row(page, "Measure heart rate").get_by_role("button")
    measuring = row(page, "Measuring")
    await expect(measuring).to_contain_text("Not running")

    await button.click()
    await expect(measuring).to_contain_text("Running")
    await expect(row(page, "Heart rate")).to_contain_text("118 bpm", timeout=MEASURED_MS)
    await expect(measuring).to_contain_text("Not running")

    await simulator.ask("set", ring=BEN, path="worn", value=False)
    await button.click()
    refusal = f"{simulator.rings[BEN]} is not worn, or has no contact with the skin."
    await expect(page.locator("ha-toast")).to_contain_text(refusal, timeout=MEASURED_MS)
    await expect(measuring).to_contain_text("Not running")
    await expect(row(page, "Heart rate")).to_contain_text("118 bpm")
    await page.screenshot(path=images / "measurement.png")
    await simulator.ask("set", ring=BEN, path="worn", value=True)
