"""A backup Home Assistant takes in the middle of a sync restores an archive that is whole."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
import shutil

from homeassistant.components.backup.const import DATA_MANAGER
from homeassistant.core import HomeAssistant
from homeassistant.setup import async_setup_component

from custom_components.smart_rings import backup
from custom_components.smart_rings.archive import Archive
from custom_components.smart_rings.const import DATA_ARCHIVE, DOMAIN
from custom_components.smart_rings.rings.models import Batch, Metric, Sample

RING = "AA:BB:CC:00:11:22"


def day(number: int) -> Batch:
    start = datetime(2026, 11, 1, tzinfo=UTC) + timedelta(days=number)
    samples = [Sample(Metric.HEART_RATE, start + timedelta(minutes=i), 60) for i in range(99)]
    return Batch(samples, {"day": number})


async def test_the_manager_copies_all_that_was_written_while_writing_goes_on(
    hass: HomeAssistant, enable_custom_integrations: None, tmp_path: Path
) -> None:
    folder = tmp_path / "config"
    folder.mkdir()
    archive = hass.data[DATA_ARCHIVE] = await Archive.open(folder / "smart_rings.db")
    hass.config.components.add(DOMAIN)
    assert await async_setup_component(hass, "backup", {})
    await hass.async_block_till_done()
    manager = hass.data[DATA_MANAGER]

    for number in range(3):
        await archive.commit(RING, day(number))
    await manager.async_pre_backup_actions()
    copy = tmp_path / "restored"
    copy.mkdir()
    for name in ("smart_rings.db", "smart_rings.db-wal"):  # without what the backup leaves out
        await archive.commit(RING, day(3))
        await hass.async_add_executor_job(shutil.copy, folder / name, copy)
        await archive.commit(RING, day(4))
    await manager.async_post_backup_actions()

    restored = await Archive.open(copy / "smart_rings.db")
    assert restored.set_aside is None
    assert await restored.cursor(RING) == {"day": 3}
    assert await restored.content_hash(RING) == await archive.content_hash(RING)
    await restored.close()
    await archive.close()


async def test_a_backup_without_an_archive_goes_on(hass: HomeAssistant) -> None:
    await backup.async_pre_backup(hass)
    await backup.async_post_backup(hass)
