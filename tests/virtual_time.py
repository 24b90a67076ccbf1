"""A loop whose clock jumps to the next timer when there is nothing else to do."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch


@contextmanager
def virtual_time(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Let time-outs of a running loop pass at once; work in threads is waited for as ever."""
    selector = loop._selector  # type: ignore[attr-defined]
    real_time, real_select, real_run = loop.time, selector.select, loop.run_in_executor
    ahead = 0.0
    busy = 0

    def select(timeout: float | None = None) -> list[Any]:
        nonlocal ahead
        if timeout is None or timeout <= 0 or busy:
            return list(real_select(timeout))
        if not (events := real_select(0)):
            ahead += timeout
        return list(events)

    def run_in_executor(executor: Any, func: Any, *args: Any) -> asyncio.Future[Any]:
        nonlocal busy
        busy += 1
        future = real_run(executor, func, *args)
        future.add_done_callback(done)
        return future

    def done(_: object) -> None:
        nonlocal busy
        busy -= 1

    with (
        patch.object(loop, "time", lambda: real_time() + ahead),
        patch.object(selector, "select", select),
        patch.object(loop, "run_in_executor", run_in_executor),
    ):
        yield
