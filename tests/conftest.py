"""What the tests of the integration share: Home Assistant with a proxy among virtual rings."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
import logging
from pathlib import Path
from queue import Empty
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock, patch

from freezegun.api import FrozenDateTimeFactory
from habluetooth.usage import install_multiple_bleak_catcher
from homeassistant.components.recorder import core
from homeassistant.core import HomeAssistant
from homeassistant.setup import async_setup_component
import pytest

from tests import bleak_backend  # noqa: F401 - takes bleak's own client
from tests.virtual_time import Followed, virtual_time, waiting_for

# As the Bluetooth integration does when it starts: in tests our modules are imported before that.
install_multiple_bleak_catcher()

from tests.air import Air  # noqa: E402

NOW = datetime(2026, 11, 18, 14, 0, tzinfo=UTC)


@pytest.fixture
def hass_config_dir(tmp_path: Path) -> str:
    """A configuration folder of each test's own."""
    (tmp_path / ".storage").mkdir()
    return str(tmp_path)


@pytest.fixture
def now() -> datetime:
    """When a test begins."""
    return NOW


@pytest.fixture
async def passing(
    freezer: FrozenDateTimeFactory, now: datetime
) -> AsyncIterator[FrozenDateTimeFactory]:
    """Wall clock, loop and Bluetooth agree on a time that passes at once."""
    loop = asyncio.get_running_loop()
    # Debug mode formats a traceback for every timer: half of the time of these tests.
    loop.set_debug(False)
    freezer.move_to(now)
    with (
        virtual_time(loop, lambda seconds: freezer.move_to(now + timedelta(seconds=seconds))),
        patch("habluetooth.base_scanner.monotonic_time_coarse", loop.time),
        patch("habluetooth.manager.monotonic_time_coarse", loop.time),
    ):
        yield freezer


@pytest.fixture
async def air(
    passing: FrozenDateTimeFactory,
    hass: HomeAssistant,
    enable_custom_integrations: None,
    mock_bleak_scanner_start: MagicMock,
) -> AsyncIterator[Air]:
    """Home Assistant in Amsterdam, with one proxy and no ring yet."""
    await hass.config.async_set_time_zone("Europe/Amsterdam")
    assert await async_setup_component(hass, "bluetooth", {})
    air = Air(hass)
    yield air
    air.stop()


@pytest.fixture
async def followed(passing: FrozenDateTimeFactory) -> AsyncIterator[None]:
    """Let no time pass while the recorder is at work, nor before it is."""
    logging.getLogger("sqlalchemy.engine").setLevel(logging.WARNING)
    queues: list[Followed[Any]] = []

    def queue() -> Followed[Any]:
        queues.append(Followed())
        return queues[-1]

    def busy() -> bool:
        return not queues or queues[-1].unfinished_tasks > 0

    with (
        patch.object(core, "queue", SimpleNamespace(SimpleQueue=queue, Empty=Empty)),
        waiting_for(asyncio.get_running_loop(), busy),
    ):
        yield
