"""Child processes that never outlive us."""

import asyncio
from asyncio.subprocess import Process
import contextlib
import os
import signal
import socket
from typing import IO


def free_port() -> int:
    """Return a port of the loopback interface that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


async def start(*command: str, stdout: IO[bytes] | int, stderr: IO[bytes] | None = None) -> Process:
    """Start a child in a group of its own, so that Ctrl-C reaches us alone."""
    return await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=stdout, stderr=stderr, process_group=0
    )


async def stop(process: Process, *, patience: float = 30) -> None:
    """Ask a child to end as Ctrl-C would; kill it and its children when it does not."""
    if process.returncode is None:
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), patience)
    await kill(process)


async def kill(process: Process) -> None:
    """End a child and its children at once."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
