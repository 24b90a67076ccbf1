"""A virtual ring without a radio, and a time of its own."""

from collections.abc import Callable
from datetime import datetime, timedelta
import heapq
from typing import Protocol

from ringsim.rings.base import VirtualRing


class Make[R: VirtualRing](Protocol):
    """What builds a ring, but for where the time comes from."""

    def __call__(self, *, now: Callable[[], datetime]) -> R: ...


class Life[R: VirtualRing]:
    """A ring with a time of its own: timers run when the test lets time pass."""

    def __init__(self, make: Make[R], at: datetime) -> None:
        self.time = at
        self.ring = make(now=lambda: self.time)
        self.said: list[bytes] = []
        self._timers: list[tuple[datetime, int, Callable[[], None]]] = []
        self._count = 0
        self.ring.emit = lambda notification: self.said.append(notification.value)
        self.ring.schedule = self._schedule

    def _schedule(self, delay: float, call: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._timers, (self.time + timedelta(seconds=delay), self._count, call))

    def pass_time(self, **span: float) -> list[bytes]:
        """Let time pass; return what the ring said by itself."""
        until = self.time + timedelta(**span)
        while self._timers and self._timers[0][0] <= until:
            self.time, _, call = heapq.heappop(self._timers)
            call()
        self.time = until
        said, self.said = self.said, []
        return said
