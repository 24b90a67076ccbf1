"""The virtual rings' process."""

from asyncio import timeout
from asyncio.subprocess import PIPE, Process
import json
import sys
from typing import Any, Self

from ringsim.control import ask

from . import process

START_TIMEOUT = 60
# Longer than Home Assistant leaves a ring in peace that didn't answer, for those who wait for it.
ANSWER_TIMEOUT = 400


class Simulator:
    """`python -m ringsim` on free ports.

    Attributes:
        port: where its first proxy listens.
        proxy: that proxy's name.
        rings: address → name of each ring.
    """

    port: int
    proxy: str
    rings: dict[str, str]

    def __init__(self, time_zone: str, *options: str) -> None:
        self._options = ("--tz", time_zone, *options)
        self._process: Process
        self._control: int

    async def __aenter__(self) -> Self:
        self._process = await process.start(
            *(sys.executable, "-m", "ringsim", "--port", "0", *self._options), stdout=PIPE
        )
        try:
            await self._until_ready()
        except BaseException:
            await process.kill(self._process)
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await process.stop(self._process)

    async def ask(self, do: str, **arguments: Any) -> Any:
        """Ask its control port; `ringsim/control.py` says for what."""
        async with timeout(ANSWER_TIMEOUT):
            return await ask(self._control, do, **arguments)

    async def _until_ready(self) -> None:
        async with timeout(START_TIMEOUT):
            line = await self._process.stdout.readline() if self._process.stdout else b""
        if not line:
            raise RuntimeError("ringsim ended by itself")
        ready = json.loads(line)
        self._control = ready["control"]
        self.port, self.proxy = (ready["proxies"][0][key] for key in ("port", "name"))
        self.rings = {ring["address"]: ring["name"] for ring in ready["rings"]}
