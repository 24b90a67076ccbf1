"""Who of all rings is connected, who waits for it, and who gives way."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import NamedTuple


class Room(NamedTuple):
    """How many of our links the scanners near a ring may carry, and whether one is free at all."""

    links: int
    free: bool


@dataclass(slots=True, eq=False)
class Turn:
    """A connection to one ring that is waited for, and later held.

    A `live` one is held until somebody else needs it. One that comes `back` after that waits for
    what is free.
    """

    address: str
    room: Callable[[], Room]
    live: bool = False
    back: bool = False
    came: asyncio.Event = field(default_factory=asyncio.Event)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    for_own: bool | None = None
    """Once it was asked to end: whether for its own ring's sake."""
    limit: asyncio.Timeout | None = None
    """The time limit of its holder, while it may be brought forward."""

    def end(self, *, for_own: bool) -> None:
        """Let the time of its holder be up, if that is not about to end by itself."""
        if self.for_own is None:
            self.for_own = for_own
            if self.limit and not self.limit.expired():
                self.limit.reschedule(0)

    def begin(self, limit: asyncio.Timeout) -> None:
        """Take the holder's time limit; it may have been asked to end already."""
        self.limit = limit
        if self.for_own is not None:
            limit.reschedule(0)


class Turns:
    """First come, first served; one link per ring, and of live links the oldest gives way."""

    def __init__(self) -> None:
        """Nobody is connected."""
        self._held: list[Turn] = []
        self._waiting: list[Turn] = []

    @asynccontextmanager
    async def take(self, turn: Turn) -> AsyncIterator[None]:
        """Wait for a turn; it is over at the end."""
        self._waiting.append(turn)
        self._deal()
        try:
            await turn.came.wait()
            yield
        finally:
            (self._held if turn in self._held else self._waiting).remove(turn)
            turn.over.set()
            self._deal()

    def of(self, address: str) -> Turn | None:
        """Return the turn a ring's link is held in."""
        return next((turn for turn in self._held if turn.address == address), None)

    def _deal(self) -> None:
        """Let those come whose turn it is, and make room for the first that has none."""
        for turn in sorted(self._waiting, key=lambda turn: turn.back):
            if own := self.of(turn.address):
                if own.live:
                    own.end(for_own=True)
            elif self._fits(turn):
                self._waiting.remove(turn)
                self._held.append(turn)
                turn.came.set()
            else:
                # Who came later and would fit has to wait, or this one might wait for ever.
                if not turn.back:
                    self._make_room()
                return

    def _fits(self, turn: Turn) -> bool:
        links, free = turn.room()
        # Without a live link to end, only trying shows whether others free one in time.
        return len(self._held) < links and (free or not any(held.live for held in self._held))

    def _make_room(self) -> None:
        if all(turn.for_own is None for turn in self._held):
            live = next((turn for turn in self._held if turn.live), None)
            if live:
                live.end(for_own=False)
