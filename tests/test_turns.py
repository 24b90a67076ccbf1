"""Rings queue fairly, and live links give way."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from custom_components.smart_rings.turns import Room, Turn, Turns


class House:
    """Some rings, and how many of them may be connected."""

    def __init__(self, links: int) -> None:
        self.turns = Turns()
        self.links = links
        self.slots = 9
        self.held_now = 0
        self.order: list[str] = []

    def turn(self, address: str, *, live: bool = False, back: bool = False) -> Turn:
        return Turn(address, self.room, live=live, back=back)

    def room(self) -> Room:
        return Room(self.links, self.held_now < self.slots)

    @asynccontextmanager
    async def held(self, turn: Turn) -> AsyncIterator[None]:
        async with self.turns.take(turn):
            self.order.append(turn.address)
            self.held_now += 1
            try:
                yield
            finally:
                self.held_now -= 1

    async def hold(self, turn: Turn) -> None:
        """Hold a turn until it is asked for."""
        try:
            async with self.held(turn), asyncio.timeout(None) as limit:
                turn.begin(limit)
                await asyncio.Event().wait()
        except TimeoutError:
            pass


async def begun(*turns: Turn) -> None:
    for turn in turns:
        await turn.came.wait()
    await asyncio.sleep(0)


async def test_first_come_first_served() -> None:
    house = House(1)

    async def visit(address: str) -> None:
        async with house.held(house.turn(address)):
            await asyncio.sleep(0)

    await asyncio.gather(*map(visit, "cab"))
    assert house.order == ["c", "a", "b"]


async def test_one_link_per_ring_holds_up_nobody_else() -> None:
    house = House(2)
    async with house.held(house.turn("a")):
        own = house.turn("a")
        waiting = asyncio.create_task(house.hold(own))
        async with house.held(house.turn("b")):
            assert not own.came.is_set()
    await begun(own)
    own.end(for_own=True)
    await waiting


async def test_a_live_link_gives_way_to_its_own_ring_only_when_there_is_room() -> None:
    house = House(2)
    one, other = house.turn("a", live=True), house.turn("b", live=True)
    tasks = [asyncio.create_task(house.hold(turn)) for turn in (one, other)]
    await begun(one, other)
    async with house.held(house.turn("b")):
        assert other.for_own is True
        assert one.for_own is None
    one.end(for_own=True)
    await asyncio.gather(*tasks)


@pytest.mark.parametrize("short", ["of our own", "of any"])
async def test_the_oldest_live_link_gives_way(short: str) -> None:
    house = House(2)
    one, other = house.turn("a", live=True), house.turn("b", live=True)
    tasks = [asyncio.create_task(house.hold(turn)) for turn in (one, other)]
    await begun(one, other)
    if short == "of any":
        house.links, house.slots = 5, 2
    next_one = house.turn("c")
    taken = asyncio.create_task(house.hold(next_one))
    await one.over.wait()
    await begun(next_one)
    assert one.for_own is False
    assert other.for_own is None
    other.end(for_own=True)
    next_one.end(for_own=True)
    await asyncio.gather(taken, *tasks)


async def test_one_that_comes_back_waits_behind_all_others_and_drives_nobody_away() -> None:
    house = House(1)
    live, back = house.turn("a", live=True), house.turn("b", live=True, back=True)
    tasks = [asyncio.create_task(house.hold(turn)) for turn in (live, back)]
    await begun(live)
    await asyncio.sleep(0)
    assert live.for_own is None
    async with house.held(house.turn("c")):
        assert live.for_own is False
    await begun(back)
    assert house.order == ["a", "c", "b"]
    back.end(for_own=True)
    await asyncio.gather(*tasks)


async def test_who_comes_later_and_needs_less_room_waits_too() -> None:
    house = House(2)
    async with house.held(house.turn("a")):
        modest = Turn("b", lambda: Room(1, free=True))
        later = house.turn("c")
        tasks = [asyncio.create_task(house.hold(turn)) for turn in (modest, later)]
        await asyncio.sleep(0)
        assert not later.came.is_set()
    await begun(modest, later)
    assert house.order == ["a", "b", "c"]
    for turn in (modest, later):
        turn.end(for_own=True)
    await asyncio.gather(*tasks)


async def test_one_that_waits_no_longer_is_passed_over() -> None:
    house = House(1)
    async with house.held(house.turn("a")):
        gone, later = house.turn("b"), house.turn("c")
        tasks = [asyncio.create_task(house.hold(turn)) for turn in (gone, later)]
        await asyncio.sleep(0)
        tasks[0].cancel()
    await begun(later)
    assert house.order == ["a", "c"]
    later.end(for_own=True)
    await tasks[1]


async def test_one_that_is_asked_to_end_before_it_began() -> None:
    house = House(1)
    live = house.turn("a", live=True)
    held = asyncio.create_task(house.hold(live))
    live_came = asyncio.create_task(live.came.wait())
    live_came.add_done_callback(lambda _: None)
    await asyncio.sleep(0)
    live.end(for_own=True)
    async with asyncio.timeout(1):
        await held
    await live_came
