"""Somebody who wears a virtual Colmi ring, and what is read from it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from custom_components.smart_rings.rings import MODELS, connect
from custom_components.smart_rings.rings.clock import Clock
from custom_components.smart_rings.rings.errors import RingError
from custom_components.smart_rings.rings.models import (
    Cursor,
    Metric,
    Record,
    RingMemory,
    RingState,
    Sample,
    Sleep,
    Stage,
)
from custom_components.smart_rings.rings.ring import Ring
from ringsim.radio import Radio
from ringsim.rings import MODELS as VIRTUAL
from ringsim.rings.colmi import ColmiRing
from tests import bleak_backend

ZONE = ZoneInfo("Europe/Amsterdam")
BEGAN = datetime(2026, 11, 11, 9, 30, 20, tzinfo=UTC)
ADDRESS = "C0:FF:EE:00:79:B5"


class Wearer:
    """A ring, a Home Assistant that keeps what it is told, and the time."""

    def __init__(self, model: str) -> None:
        self.loop = asyncio.get_running_loop()
        self.began = self.loop.time()
        self.radio = Radio()
        ring = VIRTUAL[model](
            address=ADDRESS, now=self.now, seed=7, days=7, zone=ZONE, ahead=timedelta(days=5)
        )
        assert isinstance(ring, ColmiRing)
        self.ring = ring
        self.radio.add(ring)
        self.memory = RingMemory()
        self.cursor: Cursor = {}
        self.kept: dict[Any, Record] = {}
        self.state = RingState()
        self.dropped: dict[str, int] = {}

    def now(self) -> datetime:
        return BEGAN + timedelta(seconds=self.loop.time() - self.began)

    async def contact(self) -> None:
        """Do what the integration does in a contact; keep what is complete when it breaks."""
        memory = RingMemory.from_dict(self.memory.as_dict())
        clock = Clock(memory.clock, ZONE, self.now, memory.doubts)
        model = MODELS[f"colmi_{self.ring.model}"]
        connector = partial(bleak_backend.connect, self.radio, ADDRESS)
        try:
            async with connect(model, connector, memory, clock) as ring:
                self.state = await ring.state()
                async for batch in ring.history(self.cursor):
                    self.cursor = batch.cursor
                    for record in batch.records:
                        self.kept[_identity(record)] = record
                if ring.clock_due():
                    await ring.set_time()
                self.dropped = dict(ring.dropped + ring.link.dropped)
        finally:
            self.memory = memory
            assert not self.radio.links, "the link was not given back"

    async def complete(self) -> None:
        """Try until a contact goes through."""
        for _ in range(40):
            try:
                await self.contact()
            except RingError:
                continue
            return
        raise AssertionError("no contact went through")

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Ring]:
        clock = Clock(self.memory.clock, ZONE, self.now, self.memory.doubts)
        connector = partial(bleak_backend.connect, self.radio, ADDRESS)
        model = MODELS[f"colmi_{self.ring.model}"]
        async with connect(model, connector, self.memory, clock) as ring:
            yield ring

    async def measure(self, metric: Metric) -> Sample:
        async with self.open() as ring:
            return await ring.measure(metric)

    def readings(self, metric: Metric) -> dict[datetime, float]:
        return {
            r.start: r.value
            for r in self.kept.values()
            if isinstance(r, Sample) and r.metric == metric
        }

    def sleeps(self, *, nap: bool) -> dict[datetime, Sleep]:
        return {r.start: r for r in self.kept.values() if isinstance(r, Sleep) and r.nap == nap}

    def assert_true(self) -> None:
        """All the ring holds was read, and nothing else."""
        truth = self.ring.truth()
        for metric in Metric:
            if metric not in truth["readings"]:
                assert not self.readings(metric)
                continue
            told = {utc(r["start"]): r["value"] for r in truth["readings"][metric]}
            read = self.readings(metric)
            assert {s: read[s] for s in told if s in read} == pytest.approx(told), metric
        for kind, nap in (("sleeps", False), ("naps", True)):
            read_sleeps = self.sleeps(nap=nap)
            for sleep in truth[kind]:
                found = read_sleeps[utc(sleep["start"])]
                assert found.end == utc(sleep["end"])
                minutes = {s: found.total(Stage(s)) for s in sleep["minutes"]}
                assert minutes == {s: timedelta(minutes=m) for s, m in sleep["minutes"].items()}
        assert not self.ring.abuse
        assert not self.ring.malformed


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _identity(record: Record) -> Any:
    match record:
        case Sample():
            return record.metric, record.start
        case Sleep():
            return record.nap, record.start
