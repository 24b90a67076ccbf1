"""Actions give what was recorded, and do what they say to it and to nothing else."""

import asyncio
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock
from zipfile import ZipFile

from homeassistant.auth.models import User
from homeassistant.components.recorder.core import Recorder
from homeassistant.components.recorder.statistics import statistics_during_period
from homeassistant.const import CONF_ADDRESS, CONF_MODEL, STATE_UNKNOWN
from homeassistant.core import Context, HomeAssistant
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError, Unauthorized
from homeassistant.helpers import device_registry as dr
from homeassistant.util import dt as dt_util
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.smart_rings.archive import Archive
from custom_components.smart_rings.const import DATA_ARCHIVE, DOMAIN
from custom_components.smart_rings.rings.models import Batch, Metric, Sample
from ringsim.rings.colmi import ColmiRing
from tests.air import ADDRESS, OTHER, Air, oximeter, virtual

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
WEEK_AGO = "2026-11-11 00:00:00"


async def call(hass: HomeAssistant, name: str, *, response: bool = False, **data: Any) -> Any:
    return await hass.services.async_call(
        DOMAIN, name, data, blocking=True, return_response=response
    )


async def readings(air: Air, metric: Metric, ring: str, **data: Any) -> list[dict[str, Any]]:
    answer = await call(air.hass, "get_readings", response=True, ring=ring, metrics=metric, **data)
    return answer["readings"][metric]["values"]  # type: ignore[no-any-return]


def when(text: str) -> datetime:
    return datetime.fromisoformat(text)


async def added(air: Air, ring: ColmiRing | None = None) -> tuple[ColmiRing, MockConfigEntry]:
    ring = ring or virtual("r12")
    return ring, await air.add(ring)


async def test_readings_are_those_of_the_ring(air: Air) -> None:
    ring, entry = await added(air)
    truth = [(when(r["start"]), r["value"]) for r in ring.truth()["readings"]["heart_rate"]]
    values = await readings(air, Metric.HEART_RATE, entry.entry_id, start_time=WEEK_AGO)
    assert [(when(value["start"]), value["value"]) for value in values] == truth
    assert values[-1]["start"].endswith("+01:00")


async def test_a_range_begins_with_its_start_and_ends_before_its_end(air: Air) -> None:
    _, entry = await added(air)
    values = await readings(air, Metric.HEART_RATE, entry.entry_id, start_time=WEEK_AGO)
    part = await readings(
        air,
        Metric.HEART_RATE,
        entry.entry_id,
        start_time=values[3]["start"],
        end_time=values[7]["start"],
    )
    assert part == values[3:7]


async def test_all_metrics_with_their_units(air: Air) -> None:
    _, entry = await added(air)
    answer = await call(
        air.hass, "get_readings", response=True, ring=entry.entry_id, start_time=WEEK_AGO
    )
    assert answer["readings"].keys() == set(Metric)
    assert answer["readings"]["spo2"]["unit"] == "%"
    assert "end" in answer["readings"]["steps"]["values"][0]


@pytest.mark.parametrize(
    ("period", "width"), [("5minute", timedelta(minutes=5)), ("hour", HOUR), ("day", DAY)]
)
async def test_readings_per_period(air: Air, period: str, width: timedelta) -> None:
    _, entry = await added(air)
    periods: dict[datetime, list[float]] = {}
    for sample in await air.archive.samples(ADDRESS, Metric.HEART_RATE):
        local = dt_util.as_local(sample.start)
        midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
        periods.setdefault(local - (local - midnight) % width, []).append(sample.value)
    values = await readings(
        air, Metric.HEART_RATE, entry.entry_id, start_time=WEEK_AGO, period=period
    )
    assert [when(value["start"]) for value in values] == list(periods)
    for value, expected in zip(values, periods.values(), strict=True):
        assert (value["min"], value["max"]) == (min(expected), max(expected))
        assert value["mean"] == pytest.approx(sum(expected) / len(expected))


async def test_a_day_is_the_wearers_whatever_its_length(air: Air) -> None:
    """Steps of every hour of the days around the clock's change, in a zone off by half an hour."""
    _, entry = await added(air)
    await air.hass.config.async_set_time_zone("Australia/Lord_Howe")
    first, end = dt_util.as_utc(datetime(2026, 10, 3)), dt_util.as_utc(datetime(2026, 10, 6))  # noqa: DTZ001
    quarter = timedelta(minutes=15)
    count = (end - first) // quarter
    samples = [Sample(Metric.STEPS, first + n * quarter, 1, quarter) for n in range(count)]
    await air.archive.commit(ADDRESS, Batch(samples, {}))
    days = await readings(
        air,
        Metric.STEPS,
        entry.entry_id,
        start_time=first,
        end_time=end,
        period="day",
    )
    assert [(day["start"][:10], day["sum"]) for day in days] == [
        ("2026-10-03", 96),
        ("2026-10-04", 94),
        ("2026-10-05", 96),
    ]


async def test_sleeps_with_their_stages(air: Air) -> None:
    ring, entry = await added(air)
    answer = await call(
        air.hass, "get_sleep", response=True, ring=entry.entry_id, start_time=WEEK_AGO
    )
    truth = ring.truth()
    nights = [sleep for sleep in answer["sleeps"] if not sleep["nap"]]
    assert [when(night["start"]) for night in nights] == [
        when(sleep["start"]) for sleep in truth["sleeps"]
    ]
    assert len(answer["sleeps"]) == len(nights) + len(truth["naps"])
    last = nights[-1]
    assert last["minutes"]["rem_sleep"] == truth["last_night"]["minutes"]["rem"]
    assert [stage["stage"] for stage in last["stages"]] == [
        stage for stage, _ in truth["last_night"]["stages"]
    ]
    assert last["stages"][-1]["end"] == last["end"]


async def test_a_ring_is_named_by_its_device_too(air: Air) -> None:
    _, entry = await added(air)
    (device,) = dr.async_entries_for_config_entry(dr.async_get(air.hass), entry.entry_id)
    by_device = await readings(air, Metric.HEART_RATE, device.id, start_time=WEEK_AGO)
    assert by_device == await readings(air, Metric.HEART_RATE, entry.entry_id, start_time=WEEK_AGO)


async def test_only_loaded_rings_are_rings(air: Air) -> None:
    _, entry = await added(air)
    other = MockConfigEntry(domain="other")
    other.add_to_hass(air.hass)
    await air.hass.config_entries.async_unload(entry.entry_id)
    for ring in ("nonsense", other.entry_id, entry.entry_id):
        with pytest.raises(ServiceValidationError):
            await call(air.hass, "get_sleep", response=True, ring=ring, start_time=WEEK_AGO)


async def test_a_range_that_ends_before_it_begins(air: Air) -> None:
    _, entry = await added(air)
    with pytest.raises(ServiceValidationError, match="is not after"):
        await call(
            air.hass, "delete_history", ring=entry.entry_id, start_time=WEEK_AGO, end_time=WEEK_AGO
        )


@pytest.fixture
def folder(air: Air, tmp_path: Path) -> Path:
    """A folder Home Assistant may write to."""
    allowed = tmp_path / "exports"
    allowed.mkdir()
    air.hass.config.allowlist_external_dirs.add(str(allowed))
    return allowed


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("packed", [False, True])
async def test_export(air: Air, folder: Path, *, packed: bool) -> None:
    ring = virtual("r12")
    entry = air.entry(ring)
    air.hass.config_entries.async_update_entry(entry, title="=1+1 ../../Ånna")
    await air.heard(ring)
    await air.hass.config_entries.async_setup(entry.entry_id)
    await air.settle()
    answer = await call(
        air.hass,
        "export",
        response=True,
        ring=entry.entry_id,
        metrics=["heart_rate", "temperature", "sleep"],
        folder=str(folder),
        zip=packed,
    )
    name = "1_1_anna_aa_bb_cc_dd_79_b5"
    expected = [f"{name}.zip"] if packed else [f"{name}_heart_rate.csv", f"{name}_sleep.csv"]
    assert answer["files"] == [str(folder / file) for file in expected]
    assert files(folder) == sorted(expected)


async def test_export_and_readings_of_an_oximeter(air: Air, folder: Path) -> None:
    ring = oximeter("o2ring")
    entry = await air.add(ring)
    await air.passes(minutes=5)
    await call(air.hass, "export", ring=entry.entry_id, folder=str(folder))
    held = {ring.content(recording) for recording in ring.files}
    written = [folder / name for name in files(folder)]
    assert {path.read_bytes() for path in written if path.suffix == ".vld"} == held
    assert sum("_recording_" in path.name for path in written) == 2 * len(held) == 8

    night = ring.truth()["recordings"][-1]
    values = await readings(air, Metric.SPO2, entry.entry_id, start_time=night["start"])
    start, step = when(night["start"]), timedelta(seconds=night["interval"])
    assert [(when(value["start"]), value["value"]) for value in values] == [
        (start + number * step, value) for number, value in enumerate(night["spo2"]) if value
    ]
    (day, *more) = await readings(
        air, Metric.SPO2, entry.entry_id, start_time=night["start"], period="day"
    )
    lows = [value for value in night["spo2"] if value]
    assert min(bucket["min"] for bucket in (day, *more)) == min(lows)


async def test_export_of_what_was_chosen(air: Air, folder: Path) -> None:
    ring = oximeter("o2ring")
    entry = await air.add(ring)
    await air.passes(minutes=5)
    chosen: dict[str, Any] = {"ring": entry.entry_id, "folder": str(folder)}
    await call(air.hass, "export", **chosen, metrics=["steps"])
    assert files(folder) == []
    await call(air.hass, "export", **chosen, metrics=["recordings"], zip=True)
    (packed,) = files(folder)
    with ZipFile(folder / packed) as written:
        assert len(written.namelist()) == 2 * len(ring.files)


async def test_export_of_a_time_without_records_writes_nothing(air: Air, folder: Path) -> None:
    _, entry = await added(air)
    answer = await call(
        air.hass,
        "export",
        response=True,
        ring=entry.entry_id,
        folder=str(folder),
        end_time="2020-01-01 00:00:00",
    )
    assert answer["files"] == files(folder) == []


async def test_export_only_where_it_is_allowed(air: Air, folder: Path) -> None:
    _, entry = await added(air)
    (folder / "link").symlink_to(folder.parent)
    for wrong in (folder.parent, folder / "missing", folder / "link", folder / "..", Path()):
        with pytest.raises(ServiceValidationError, match="may write to"):
            await call(air.hass, "export", ring=entry.entry_id, folder=str(wrong))
    assert files(folder) == ["link"]


async def test_export_tells_why_it_failed(air: Air, folder: Path) -> None:
    _, entry = await added(air)
    prefix = f"colmi_r12_79b5_{ADDRESS.replace(':', '_').lower()}"
    (folder / f"{prefix}_sleep.csv").mkdir()
    with pytest.raises(HomeAssistantError, match="could be written"):
        await call(air.hass, "export", ring=entry.entry_id, folder=str(folder))


async def test_importing_again_reads_all_and_changes_nothing(air: Air) -> None:
    ring, entry = await added(air)
    first = len(air.sent(ring))
    await air.press(ring, "sync")
    before, asked = await air.archive.content_hash(ADDRESS), len(air.sent(ring))
    await call(air.hass, "import_history", ring=entry.entry_id)
    assert len(air.sent(ring)) - asked > first * 0.7
    assert await air.archive.content_hash(ADDRESS) == before


async def test_importing_needs_the_ring(air: Air) -> None:
    ring, entry = await added(air)
    await air.leave(ring)
    with pytest.raises(HomeAssistantError, match="not heard"):
        await call(air.hass, "import_history", ring=entry.entry_id)


async def test_importing_in_vain_brings_nothing_back(air: Air) -> None:
    ring, entry = await added(air)
    await call(air.hass, "delete_history", ring=entry.entry_id)
    deleted = dt_util.utcnow()
    await air.leave(ring)
    with pytest.raises(HomeAssistantError):
        await call(air.hass, "import_history", ring=entry.entry_id)
    await air.come_back(ring)
    await air.passes(minutes=6)
    assert not await readings(
        air, Metric.HEART_RATE, entry.entry_id, start_time=WEEK_AGO, end_time=deleted
    )


async def test_importing_during_a_sync_reads_all(air: Air) -> None:
    ring, entry = await added(air)
    before = await readings(air, Metric.HEART_RATE, entry.entry_id, start_time=WEEK_AGO)
    await call(air.hass, "delete_history", ring=entry.entry_id)
    ring.faults.delay = 0.2
    await air.contacted(ring)
    await asyncio.sleep(2)
    await call(air.hass, "import_history", ring=entry.entry_id)
    after = await readings(air, Metric.HEART_RATE, entry.entry_id, start_time=WEEK_AGO)
    assert after[: len(before)] == before


async def test_deleting_leaves_nothing_to_be_seen(air: Air) -> None:
    ring, entry = await added(air)
    other = virtual("r12", OTHER)
    await added(air, other)
    untouched = await air.archive.content_hash(OTHER)
    assert air.value(ring, "heart_rate") != STATE_UNKNOWN
    await call(air.hass, "delete_history", ring=entry.entry_id)
    assert air.value(ring, "heart_rate") == STATE_UNKNOWN
    assert air.value(ring, "last_night_sleep") == STATE_UNKNOWN
    assert not await readings(air, Metric.HEART_RATE, entry.entry_id, start_time=WEEK_AGO)
    assert await air.archive.content_hash(OTHER) == untouched


async def test_what_was_deleted_comes_back_only_on_request(air: Air) -> None:
    ring, entry = await added(air)
    night = ring.truth()["last_night"]
    await call(
        air.hass,
        "delete_history",
        ring=entry.entry_id,
        start_time=night["start"],
        end_time=night["end"],
    )
    await air.passes(hours=3)
    assert air.value(ring, "woke_up") == STATE_UNKNOWN
    await call(air.hass, "import_history", ring=entry.entry_id)
    assert air.value(ring, "woke_up") != STATE_UNKNOWN


async def test_deleting_a_part_keeps_the_newest_value(air: Air) -> None:
    ring, entry = await added(air)
    value = air.value(ring, "heart_rate")
    await call(
        air.hass,
        "delete_history",
        ring=entry.entry_id,
        end_time=dt_util.utcnow() - DAY,
    )
    assert air.value(ring, "heart_rate") == value
    left = await readings(air, Metric.HEART_RATE, entry.entry_id, start_time=WEEK_AGO)
    assert when(left[0]["start"]) >= dt_util.utcnow() - DAY


async def test_only_an_administrator_deletes(air: Air, hass_read_only_user: User) -> None:
    _, entry = await added(air)
    before = await air.archive.content_hash(ADDRESS)
    with pytest.raises(Unauthorized):
        await air.hass.services.async_call(
            DOMAIN,
            "delete_history",
            {"ring": entry.entry_id},
            blocking=True,
            context=Context(user_id=hass_read_only_user.id),
        )
    assert await air.archive.content_hash(ADDRESS) == before


async def test_statistics_follow(
    recorder_mock: Recorder,
    hass: HomeAssistant,
    enable_custom_integrations: None,
    mock_bleak_scanner_start: MagicMock,
) -> None:
    """Of a ring that is away."""
    before = await Archive.open(Path(hass.config.path(".storage", f"{DOMAIN}.db")))
    await before.remember(ADDRESS, {"memory": {}})
    await before.close()
    entry = MockConfigEntry(
        domain=DOMAIN, unique_id=ADDRESS, data={CONF_ADDRESS: ADDRESS, CONF_MODEL: "colmi_r12"}
    )
    entry.add_to_hass(hass)
    assert await hass.config_entries.async_setup(entry.entry_id)
    archive = hass.data[DATA_ARCHIVE]
    hour = dt_util.utcnow().replace(minute=0, second=0, microsecond=0) - DAY
    await archive.add(ADDRESS, [Sample(Metric.STEPS, hour, 250, HOUR)])

    async def sums() -> list[float | None]:
        found = await recorder_mock.async_add_executor_job(
            statistics_during_period, hass, hour - DAY, None, None, "hour", None, {"sum"}
        )
        return [row["sum"] for rows in found.values() for row in rows]

    await call(hass, "import_history", ring=entry.entry_id, source="archive")
    assert await sums() == [250]
    await call(hass, "import_history", ring=entry.entry_id, source="archive")
    assert await sums() == [250]
    await call(hass, "delete_history", ring=entry.entry_id)
    assert await sums() == []


async def test_measure_returns_what_the_ring_measured(air: Air) -> None:
    ring, entry = await added(air)
    ring.live["spo2"] = 94
    answer = await call(air.hass, "measure", response=True, ring=entry.entry_id, metric="spo2")
    assert (answer["metric"], answer["value"], answer["unit"]) == ("spo2", 94, "%")
    assert dt_util.utcnow() - when(answer["measured_at"]) < timedelta(minutes=1)
    values = await readings(air, Metric.SPO2, entry.entry_id, start_time=WEEK_AGO)
    assert values[-1] == {"start": answer["measured_at"], "value": 94}


@pytest.mark.parametrize(
    ("attribute", "value", "key"), [("worn", False, "not_worn"), ("charging", True, "charging")]
)
async def test_measure_is_refused_in_words(air: Air, attribute: str, value: bool, key: str) -> None:
    ring, entry = await added(air)
    setattr(ring, attribute, value)
    with pytest.raises(HomeAssistantError) as caught:
        await call(air.hass, "measure", ring=entry.entry_id, metric="heart_rate")
    assert caught.value.translation_key == key


async def test_measure_what_the_ring_can_not(air: Air) -> None:
    _, entry = await added(air, virtual("r02"))
    with pytest.raises(ServiceValidationError, match="does not measure") as caught:
        await call(air.hass, "measure", ring=entry.entry_id, metric="hrv")
    assert caught.value.translation_key == "cannot_measure"
