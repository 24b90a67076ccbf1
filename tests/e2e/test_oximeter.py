"""An oximeter in the browser: what it recorded in a night, and what it tells when taken off."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
import re
from statistics import fmean

from homeassistant.util import slugify
from playwright.async_api import Page, expect
import pytest

from demo import check
from demo.home_assistant import HomeAssistant, Json
from demo.simulator import Simulator

from .browser import add_discovered, open_device, plotted, row, shown
from .conftest import OXIMETER, WORN_OXIMETER

FIVE_MINUTES = timedelta(minutes=5)
# What a sensor's window shows is a day, and its edge moves on while we look.
SHOWN = timedelta(hours=23)
# A worn ring is asked every 100 s, and then tells of four nights.
TOLD_MS = 300_000
FORMATS = {
    "Blood oxygen": ("spo2", "{:.0f}%"),
    "Heart rate": ("heart_rate", "{:.0f} bpm"),
    "Last recording lowest SpO2": ("recording_spo2_min", "{:.0f}%"),
    "Last recording mean SpO2": ("recording_spo2_mean", "{:.1f}%"),
    "Last recording ODI (3 %)": ("recording_odi_3", "{:.1f} /h"),
    "Last recording mean pulse": ("recording_pulse_mean", "{:.0f} bpm"),
    "Battery": ("battery", "{:.0f}%"),
}
HOURS = {"h": 1, "m": 1 / 60}


async def last_recording(simulator: Simulator, address: str) -> Json:
    recording = check.last_recording(await simulator.ask("truth", ring=address))
    assert recording
    return recording


async def told(home: HomeAssistant, simulator: Simulator, address: str, recording: Json) -> Json:
    """Return what was told of a recording; its start is as exact as the ring's clock is read."""
    states = await home.states()
    event: Json = states[f"event.{slugify(simulator.rings[address])}_events"]["attributes"]
    start, real = (datetime.fromisoformat(said["start"]) for said in (event, recording))
    assert abs(start - real) <= check.CLOCK_READ
    return event


def curve(recording: Json, start: datetime, metric: str) -> dict[datetime, tuple[float, float]]:
    """Return lowest and mean of each five minutes of a recording."""
    values = dict[datetime, list[int]]()
    for number, value in enumerate(recording[metric]):
        at = start + timedelta(seconds=number * recording["interval"])
        if value is not None:
            values.setdefault(
                at - (at - datetime.min.replace(tzinfo=UTC)) % FIVE_MINUTES, []
            ).append(value)
    return {at: (min(some), fmean(some)) for at, some in values.items()}


async def assert_shown(home: HomeAssistant, simulator: Simulator, page: Page, address: str) -> None:
    """Compare an open device page with what the simulator holds."""
    before = await check.Snapshot.take(simulator, address)
    rows = await check.compare(home, simulator, address, before)
    truth = {line.entity: str(line.truth) for line in rows}
    for name, (key, form) in FORMATS.items():
        value = "Unknown" if truth[key] == "unknown" else form.format(float(truth[key]))
        assert await shown(page, name) == value, name
    assert await shown(page, "Worn") == {"on": "Worn", "off": "Not worn"}[truth["worn"]]
    duration = await shown(page, "Last recording duration")
    if truth["recording_duration"] == "unknown":
        assert duration == "Unknown"
    else:
        hours = sum(
            int(number) * HOURS[unit] for number, unit in re.findall(r"(\d+)([hm])", duration)
        )
        assert hours == pytest.approx(float(truth["recording_duration"]), abs=1 / 60)


async def test_added_in_the_browser_it_shows_its_last_night(
    home: HomeAssistant, simulator: Simulator, synced: datetime, page: Page, images: Path
) -> None:
    await open_device(page, home, OXIMETER)
    await expect(row(page, "Last sync")).to_contain_text("ago")
    await assert_shown(home, simulator, page, OXIMETER)
    assert await shown(page, "Charging") == "Charging"
    assert await shown(page, "Contact") == "OK"
    await expect(row(page, "Events")).to_contain_text("New recording")
    held = await simulator.ask("truth", ring=OXIMETER)
    about = page.locator("ha-device-info-card")
    await expect(about).to_contain_text(f"Firmware: {held['firmware']}")
    await expect(about).to_contain_text(f"Serial number: {held['serial']}")
    await page.screenshot(path=images / "oximeter_device.png")


async def test_night_shows_in_the_windows_of_the_sensors(
    home: HomeAssistant, simulator: Simulator, recorded: datetime, page: Page, images: Path
) -> None:
    recording = await last_recording(simulator, OXIMETER)
    event = await told(home, simulator, OXIMETER, recording)
    start = datetime.fromisoformat(event["start"])
    window = page.locator("ha-more-info-dialog")
    for name, metric in (("Heart rate", "heart_rate"), ("Blood oxygen", "spo2")):
        truth = curve(recording, start, metric)
        visible = {at for at in truth if at > recorded - SHOWN}
        await open_device(page, home, OXIMETER)
        await row(page, name).click()
        series = await plotted(window)
        sensor = f"sensor.{slugify(simulator.rings[OXIMETER])}_{slugify(name)}"
        lowest, mean = series[f"{sensor}-min"], series[f"{sensor}-mean"]
        drawn = {at: (lowest[at], mean[at]) for at in visible & lowest.keys()}
        assert drawn == {at: truth[at] for at in visible} != {}
    await page.set_viewport_size({"width": 1000, "height": 660})
    await page.screenshot(path=images / "oximeter_night.png")


async def test_taken_off_it_tells_what_it_recorded(
    home: HomeAssistant, simulator: Simulator, page: Page
) -> None:
    # In the smallest packets each of its nights takes half a minute.
    await simulator.ask("set", ring=WORN_OXIMETER, path="mtu", value=247)
    await check.hold_still(simulator, WORN_OXIMETER)
    await add_discovered(page, simulator.rings[WORN_OXIMETER])
    await check.until_known(home, WORN_OXIMETER, "last_sync")
    await open_device(page, home, WORN_OXIMETER)
    await assert_shown(home, simulator, page, WORN_OXIMETER)
    assert await shown(page, "Last recording duration") == "Unknown"

    for track in check.STILL:
        await simulator.ask("set", ring=WORN_OXIMETER, path=f"pinned.{track}", value=None)
    await simulator.ask("set", ring=WORN_OXIMETER, path="worn", value=False)
    await expect(row(page, "Events")).to_contain_text("New recording", timeout=TOLD_MS)
    await assert_shown(home, simulator, page, WORN_OXIMETER)
    recording = await last_recording(simulator, WORN_OXIMETER)
    event = await told(home, simulator, WORN_OXIMETER, recording)
    assert event["duration"] == recording["duration"] / 60
