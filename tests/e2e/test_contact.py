"""A ring's connection in the browser: why nothing comes, live values, leaving it to a phone."""

from collections.abc import AsyncGenerator
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from homeassistant.util import slugify
from playwright.async_api import Locator, Page, ViewportSize, expect
import pytest
import pytest_asyncio

from demo import check
from demo.home_assistant import HomeAssistant
from demo.simulator import Simulator

from .browser import VIEWPORT, open_device, row, shown
from .conftest import CARL, TIME_ZONE, session

# Home Assistant tries for 25 seconds, and may be busy with a sync before.
ANSWERED_MS = 60_000
# A few live intervals, and to connect.
MEASURED_MS = 45_000
ASK_BATTERY = 0x03
PICTURE: ViewportSize = {"width": 1000, "height": 760}


@session
async def added(world: tuple[HomeAssistant, Simulator]) -> None:
    home, _ = world
    await check.add(home, [CARL])
    await check.until_known(home, CARL, "last_sync")


@pytest_asyncio.fixture(loop_scope="session")
async def device(
    home: HomeAssistant, simulator: Simulator, added: None, page: Page
) -> AsyncGenerator[Page]:
    """The page of a ring with which nothing is wrong, nor is afterwards."""
    await open_device(page, home, CARL)
    yield page
    await simulator.ask("faults", ring=CARL)
    await simulator.ask("occupy", proxy=simulator.proxy, others=0)
    await simulator.ask("come_back", ring=CARL)


def contact(page: Page) -> Locator:
    return row(page, "Contact")


async def sync(page: Page) -> None:
    """Press *Sync now*."""
    await row(page, "Sync now").get_by_role("button").click()


async def turn(page: Page, name: str, *, on: bool) -> None:
    """Click a switch and wait until it has changed."""
    await row(page, name).locator("ha-entity-toggle").click()
    switch = row(page, name).get_by_role("switch")
    await expect(switch).to_be_checked(checked=on, timeout=MEASURED_MS)


async def open_window(page: Page, name: str) -> Locator:
    """Open the window of an entity."""
    # A click on the row of a switch may hit the switch.
    await row(page, name).get_by_text(name, exact=True).click()
    return page.locator("ha-more-info-dialog")


async def attribute(page: Page, entity: str, name: str) -> Locator:
    """Open the details of an entity and return the line of an attribute."""
    window = await open_window(page, entity)
    await window.get_by_role("button", name="Menu").click()
    await page.get_by_role("menuitem", name="Details").click()
    return window.locator("ha-list-item-value", has_text=name)


async def ends(home: HomeAssistant, simulator: Simulator, switch: str) -> str:
    """Return the time of day at which a switch will turn itself off."""
    states = await home.states()
    until = states[f"switch.{slugify(f'{simulator.rings[CARL]} {switch}')}"]["attributes"]["until"]
    return f"{datetime.fromisoformat(until).astimezone(ZoneInfo(TIME_ZONE)):%H:%M}"


async def close_window(page: Page) -> None:
    await page.keyboard.press("Escape")
    await expect(page.locator("ha-more-info-dialog ha-dialog")).to_have_count(0)


async def keep_picture(page: Page, path: Path) -> None:
    """Take a screenshot of the upper part of the page, less the traces of the mouse."""
    await page.set_viewport_size(PICTURE)
    await page.screenshot(path=path, animations="disabled")
    await page.set_viewport_size(VIEWPORT)


async def test_a_ring_that_wants_a_bond(device: Page, simulator: Simulator) -> None:
    await expect(contact(device)).to_contain_text("OK")
    await simulator.ask("faults", ring=CARL, att_error=5)
    await sync(device)
    await expect(contact(device)).to_contain_text("Needs pairing or key", timeout=ANSWERED_MS)
    detail = await attribute(device, "Contact", "Detail")
    await expect(detail).to_contain_text("Insufficient authentication")

    await device.goto("/config/repairs")
    issue = device.get_by_text(f"{simulator.rings[CARL]} does not trust Home Assistant")
    await issue.click()
    window = device.locator("dialog-data-entry-flow")
    await expect(window).to_contain_text("remove it from the Bluetooth settings")
    await window.get_by_role("button", name="Submit").click()
    await expect(window).to_contain_text("It still does not work")
    await simulator.ask("faults", ring=CARL)
    await window.get_by_role("button", name="Submit").click()
    await expect(window).to_contain_text("repaired", timeout=ANSWERED_MS)
    await window.get_by_role("button", name="Close").click()
    await expect(issue).to_have_count(0)


@pytest.mark.parametrize(
    ("faults", "reason", "told"),
    [
        ({"ignore": [ASK_BATTERY]}, "Not answering", "No reply to 0300"),
        ({"refuse_connections": -1}, "Does not connect", "slots=3/3"),
    ],
    ids=["silent", "refuses"],
)
async def test_a_ring_that_is_near_but_does_not_talk(
    device: Page, simulator: Simulator, faults: dict[str, Any], reason: str, told: str
) -> None:
    await simulator.ask("faults", ring=CARL, **faults)
    await sync(device)
    await expect(contact(device)).to_contain_text(reason, timeout=ANSWERED_MS)
    await expect(await attribute(device, "Contact", "Detail")).to_contain_text(told)
    await close_window(device)


async def test_others_hold_all_connections(
    device: Page, simulator: Simulator, images: Path
) -> None:
    await simulator.ask("occupy", proxy=simulator.proxy, others=3)
    await sync(device)
    await expect(contact(device)).to_contain_text("No free connection", timeout=ANSWERED_MS)
    detail = await attribute(device, "Contact", "Detail")
    await expect(detail).to_contain_text("slots=0/3")
    await close_window(device)
    await open_window(device, "Contact")
    await expect(device.locator("ha-more-info-logbook")).to_contain_text("No free connection")
    await keep_picture(device, images / "contact.png")
    await close_window(device)


async def test_left_to_its_phone_app(
    device: Page, home: HomeAssistant, simulator: Simulator, images: Path
) -> None:
    await sync(device)
    await expect(contact(device)).to_contain_text("OK", timeout=ANSWERED_MS)
    names = ("Heart rate", "Blood oxygen", "Steps today", "Battery")
    before = [await shown(device, name) for name in names]
    await turn(device, "Leave to phone app", on=True)
    await expect(contact(device)).to_contain_text("Left to phone app")
    await simulator.ask("clear_log")
    await sync(device)
    refusal = f"{simulator.rings[CARL]} is left to its phone app until"
    await expect(device.locator("ha-toast")).to_contain_text(refusal)
    assert [await shown(device, name) for name in names] == before
    await keep_picture(device, images / "hand_over.png")
    until = await attribute(device, "Leave to phone app", "Until")
    await expect(until).to_contain_text(await ends(home, simulator, "Leave to phone app"))
    await close_window(device)
    assert await simulator.ask("counters", ring=CARL) == {}

    await turn(device, "Leave to phone app", on=False)
    await expect(contact(device)).to_contain_text("OK")
    await sync(device)
    await simulator.ask("wait_packets", ring=CARL, count=1)


async def test_live_values(
    device: Page, home: HomeAssistant, simulator: Simulator, images: Path
) -> None:
    heart_rate = row(device, "Heart rate")
    await turn(device, "Live values", on=True)
    for value in (91, 104):
        await simulator.ask("set", ring=CARL, path="live.heart_rate", value=value)
        await expect(heart_rate).to_contain_text(f"{value} bpm", timeout=MEASURED_MS)
    await keep_picture(device, images / "live.png")
    until = await attribute(device, "Live values", "Until")
    await expect(until).to_contain_text(await ends(home, simulator, "Live values"))
    await close_window(device)

    await turn(device, "Live values", on=False)
    (told,) = [ring for ring in await simulator.ask("rings") if ring["address"] == CARL]
    assert not told["connected"]
    await turn(device, "Live values", on=True)
    await expect(heart_rate).to_contain_text("104 bpm", timeout=MEASURED_MS)
    await simulator.ask("leave", ring=CARL)
    await expect(heart_rate).to_contain_text("Unknown", timeout=MEASURED_MS)
    await turn(device, "Live values", on=False)


async def test_out_of_range(device: Page, home: HomeAssistant, simulator: Simulator) -> None:
    await simulator.ask("leave", ring=CARL)
    await home.stop()
    # Without it the ring would be missed three minutes after it was heard last.
    (home.folder / ".storage/bluetooth.remote_scanners").unlink()
    await home.start()
    await open_device(device, home, CARL)
    await expect(contact(device)).to_contain_text("Not heard")
    detail = await attribute(device, "Contact", "Detail")
    await expect(detail).to_contain_text("never seen by any scanner")
    await close_window(device)
    await simulator.ask("come_back", ring=CARL)
    await expect(contact(device)).to_contain_text("OK", timeout=ANSWERED_MS)
