"""Who of all rings is connected, who waits for it, and who gives way."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import NamedTuple


class Room(NamedTuple):
    """How many of our links the scanners near a ring may carry, and whether one is free at all.

    Rings that are connected `elsewhere` take none of it.
    """

    links: int
    free: bool
    elsewhere: frozenset[str] = frozenset()


@dataclass(slots=True, eq=False)
class Turn:
    """A connection to one ring that is waited for, and later held.

    A `live` one is held until somebody else needs it. One that comes `back` after that waits for
    what is free.
    """

    address: str
    room: Callable[[], Room]
    owner: object = None
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

    def dismiss(self, owner: object) -> None:
        """End what an owner holds; who waits for it is let go on at once, and has to look why."""
        for turn in (*self._held, *self._waiting):
            if turn.owner is owner:
                turn.end(for_own=True)
                turn.came.set()

    def of(self, address: str) -> Turn | None:
        """Return the turn a ring's link is held in."""
        return next((turn for turn in self._held if turn.address == address), None)

    def _deal(self) -> None:
        """Let those come whose turn it is, and make room for the first that has none."""
        for turn in sorted(self._waiting, key=lambda turn: turn.back):
            if own := self.of(turn.address):
                if own.live:
                    own.end(for_own=True)
                continue
            links, free, elsewhere = turn.room()
            near = [held for held in self._held if held.address not in elsewhere]
            live = [held for held in near if held.live]
            # Without a live link to end, only trying shows whether others free one in time.
            if len(near) < links and (free or not live):
                self._waiting.remove(turn)
                self._held.append(turn)
                turn.came.set()
            else:
                # Who came later and would fit has to wait, or this one might wait for ever.
                if live and not turn.back and all(held.for_own is None for held in near):
                    live[0].end(for_own=False)
                return
