"""The virtual rings' process, and its control port."""

import asyncio
from asyncio.subprocess import PIPE, Process
import json
import sys
from typing import Any, Self

from . import process

HOST = "127.0.0.1"
START_TIMEOUT = 60
ANSWER_TIMEOUT = 30


class Simulator:
    """`python -m ringsim` with its first proxy on `port`.

    Args:
        time_zone: the wearers' IANA time zone.
        options: further options of its command line.
    """

    def __init__(self, time_zone: str, *options: str) -> None:
        self.port = process.free_port()
        self._control_port = process.free_port()
        self._options = ("--tz", time_zone, *options)
        self._process: Process
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter

    async def __aenter__(self) -> Self:
        ports = ("--port", str(self.port), "--control-port", str(self._control_port))
        self._process = await process.start(
            *(sys.executable, "-m", "ringsim", "--host", HOST, *ports, *self._options),
            stdout=PIPE,
        )
        try:
            await self._until_ready()
        except BaseException:
            await process.kill(self._process)
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()
        await process.stop(self._process)

    async def call(self, command: str, **arguments: Any) -> Any:
        """Send a command to the control port and return its answer.

        Raises:
            RuntimeError: it was refused.
        """
        self._writer.write(json.dumps({"command": command, **arguments}).encode() + b"\n")
        async with asyncio.timeout(ANSWER_TIMEOUT):
            answer = json.loads(await self._reader.readline())
        if "error" in answer:
            raise RuntimeError(f"ringsim refused {command}: {answer['error']}")
        return answer["result"]

    async def _until_ready(self) -> None:
        async with asyncio.timeout(START_TIMEOUT):
            if not (self._process.stdout and await self._process.stdout.readline()):
                raise RuntimeError("ringsim ended by itself")
            self._reader, self._writer = await asyncio.open_connection(
                HOST, self._control_port, limit=1 << 24
            )
