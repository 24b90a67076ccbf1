"""A loop whose clock stands still while there is work, and jumps to the next timer when not."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Queue
from typing import Any, override
from unittest.mock import patch


@contextmanager
def virtual_time(
    loop: asyncio.AbstractEventLoop, passed: Callable[[float], object] = lambda _: None
) -> Iterator[None]:
    """Let a running loop's time-outs pass at once; work in threads is waited for as ever.

    `passed` is told how many seconds have gone by since the beginning.
    """
    selector = loop._selector  # type: ignore[attr-defined]
    real_select, real_run = selector.select, loop.run_in_executor
    # Frozen clocks start so high that a float no longer holds the loop's resolution.
    start = min(loop.time(), 1e6)
    ahead = 0.0
    busy = 0

    def select(timeout: float | None = None) -> list[Any]:
        nonlocal ahead
        if timeout is None or timeout <= 0 or busy:
            return list(real_select(timeout))
        if not (events := real_select(0)):
            ahead += timeout
            passed(ahead)
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
        patch.object(loop, "time", lambda: start + ahead),
        patch.object(selector, "select", select),
        patch.object(loop, "run_in_executor", run_in_executor),
    ):
        yield


@contextmanager
def waiting_for(loop: asyncio.AbstractEventLoop, busy: Callable[[], object]) -> Iterator[None]:
    """Within `virtual_time`, let no time pass while something else than the loop is at work."""
    selector = loop._selector  # type: ignore[attr-defined]
    virtual_select, real_select = selector.select, type(selector).select

    def select(timeout: float | None = None) -> list[Any]:
        if not busy() or (timeout is not None and timeout <= 0):
            return list(virtual_select(timeout))
        # What is at work need not tell the loop when it is done.
        return list(real_select(selector, 0.0005))

    with patch.object(selector, "select", select):
        yield


class Followed[ItemT](Queue[ItemT]):
    """A queue that counts an item as `unfinished` until its one reader comes for the next."""

    _taken = False

    @override
    def get(self, block: bool = True, timeout: float | None = None) -> ItemT:
        if self._taken:
            self._taken = False
            self.task_done()
        item = super().get(block, timeout)
        self._taken = True
        return item
