"""A real Home Assistant with virtual rings: what scripts/demo and tests/e2e drive."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
import tempfile

from .home_assistant import HomeAssistant
from .simulator import Simulator


@asynccontextmanager
async def home_with_rings(
    time_zone: str, *options: str
) -> AsyncGenerator[tuple[HomeAssistant, Simulator]]:
    """Yield a fresh home with a proxy that hears the virtual rings; nothing of it remains.

    Args:
        time_zone: where home and wearers are.
        options: command-line options of the simulator.
    """
    with tempfile.TemporaryDirectory(prefix="smart-rings-") as folder:
        async with (
            Simulator(time_zone, *options) as simulator,
            HomeAssistant(Path(folder) / "config", time_zone) as home,
        ):
            await home.add_bluetooth_proxy(simulator.port)
            yield home, simulator
