"""A ring's first days with Home Assistant, in the order a person lives through them."""

import asyncio
from datetime import datetime
from pathlib import Path

from playwright.async_api import Page, expect

from demo import check
from demo.home_assistant import HomeAssistant, Json
from demo.simulator import Simulator

from .browser import add_discovered, open_device, row, shown

RING = "C0:DE:00:00:00:01"
OTHER_RING = "C0:DE:00:00:00:03"
SOON = 60


async def until(home: HomeAssistant, address: str, key: str, *, unlike: str) -> Json:
    """Return an entity's state as soon as it is another one."""
    async with (
        asyncio.timeout(SOON),
        home.websocket.subscribe("subscribe_events", event_type="state_changed") as changes,
    ):
        while True:
            state = (await check.shown(home, address)).get(key)
            if state and state["state"] not in {*check.UNKNOWN, unlike}:
                return state
            await changes.get()


async def wrong(
    home: HomeAssistant, simulator: Simulator, address: str, before: check.Snapshot
) -> dict[str, check.Row]:
    """Return the entities that don't show what the simulator holds."""
    rows = await check.compare(home, simulator, address, before)
    return {line.entity: line for line in rows if not line.right}


async def test_found_and_added_in_the_browser(
    home: HomeAssistant, simulator: Simulator, page: Page, images: Path
) -> None:
    before = await check.Snapshot.take(simulator, RING)
    await add_discovered(page, simulator.rings[RING])
    await until(home, RING, "last_sync", unlike="")
    await open_device(page, home, RING)
    await expect(row(page, "Last sync")).to_contain_text("ago")
    await page.screenshot(path=images / "device_page.png")

    rows = await check.compare(home, simulator, RING, before)
    truth = {line.entity: line.truth for line in rows}
    assert await shown(page, "Heart rate") == f"{truth['heart_rate']} bpm"
    assert await shown(page, "Blood oxygen") == f"{truth['spo2']}%"
    assert await shown(page, "Stress") == truth["stress"]
    assert await shown(page, "Battery") == f"{truth['battery']}%"
    assert await shown(page, "Charging") == "Not charging"
    assert await shown(page, "In range") == "Near"
    held = await simulator.ask("truth", ring=RING)
    about = page.locator("ha-device-info-card")
    await expect(about).to_contain_text(f"Firmware: {held['firmware']}")
    await expect(about).to_contain_text(f"Hardware: {held['hardware']}")


async def test_proxy_dies_in_the_middle_of_a_sync(
    home: HomeAssistant, simulator: Simulator
) -> None:
    # The first ring leaves meanwhile, for the next test.
    await simulator.ask("leave", ring=RING)
    await check.add(home, [OTHER_RING])
    await simulator.ask("wait_packets", ring=OTHER_RING, count=20)
    await simulator.ask("stop_proxy", proxy=simulator.proxy)
    assert (await check.shown(home, OTHER_RING))["last_sync"]["state"] == "unknown"
    await simulator.ask("start_proxy", proxy=simulator.proxy)

    await simulator.ask("wait_packets", ring=OTHER_RING, count=1)
    before = await check.Snapshot.take(simulator, OTHER_RING)
    await until(home, OTHER_RING, "last_sync", unlike="")
    assert await wrong(home, simulator, OTHER_RING, before) == {}


async def test_returning_ring_is_synced_at_once(home: HomeAssistant, simulator: Simulator) -> None:
    gone = await check.shown(home, RING)
    battery = int(gone["battery"]["state"])
    await simulator.ask("set", ring=RING, path="battery", value=battery - 5)
    before = await check.Snapshot.take(simulator, RING)
    assert {"battery", "in_range"} <= set(await wrong(home, simulator, RING, before))

    await simulator.ask("come_back", ring=RING)
    await until(home, RING, "last_sync", unlike=gone["last_sync"]["state"])
    assert await wrong(home, simulator, RING, before) == {}


async def test_last_values_return_after_a_restart_without_the_ring(
    home: HomeAssistant, simulator: Simulator, page: Page
) -> None:
    before = await check.shown(home, RING)
    truth = await simulator.ask("truth", ring=RING)
    await simulator.ask("leave", ring=RING)
    await home.stop()
    await simulator.ask("clear_log")
    await home.start()

    after = await check.shown(home, RING)
    for key in ("battery", "charging", "heart_rate", "last_sync"):
        assert after[key]["state"] == before[key]["state"], key
    measured = datetime.fromisoformat(after["heart_rate"]["attributes"]["measured_at"])
    assert measured == datetime.fromisoformat(truth["heart_rate"]["at"])
    assert await simulator.ask("counters", ring=RING) == {}
    await open_device(page, home, RING)
    assert await shown(page, "Heart rate") == f"{before['heart_rate']['state']} bpm"
    await expect(row(page, "Last sync")).to_contain_text("ago")
