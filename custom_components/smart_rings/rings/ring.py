"""What every family offers, and what all of them do alike."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import ClassVar

from .clock import SLACK, Clock
from .errors import RingNotSupported, RingRefused, RingTimeout
from .link import Channel, Link, Request
from .models import (
    Batch,
    Capability,
    Cursor,
    Metric,
    RingInfo,
    RingMemory,
    RingState,
    Sample,
    Setting,
    Value,
    plausible,
)
from .recognise import Model

# How often a ring may keep silent on a request before it is spared it, and for how long then.
GIVE_UP = 2
SPARED = timedelta(days=1)


class Ring(ABC):
    """A ring one is connected to.

    What a unit can't do is absent from `memory.capabilities` and raises `RingNotSupported`.
    Every method may raise the errors of `errors`.
    """

    models: ClassVar[tuple[Model, ...]]
    settings: ClassVar[tuple[Setting, ...]] = ()
    identity_is_serial: ClassVar[bool] = False
    live_metrics: ClassVar[frozenset[Metric]] = frozenset()
    """What `live` measures."""
    keeps: ClassVar[timedelta | None] = None
    """How long a ring holds what it recorded before it overwrites it."""
    slots: ClassVar[int | None] = None
    """How many recordings a ring holds before it overwrites the oldest."""
    senses: ClassVar[frozenset[Metric]] = frozenset()
    """Metrics of which `state` tells the present value, or by its absence that there is none."""

    def __init__(self, link: Link, memory: RingMemory, clock: Clock, model: Model) -> None:
        """Take an open link, what is known of this unit, its clock and its model."""
        self.link = link
        self.memory = memory
        self.clock = clock
        self.model = model
        self.dropped: Counter[str] = Counter()
        self.again: timedelta | None = None
        """After `history`: how soon to ask again, where a usual interval may be too long."""

    @abstractmethod
    async def open(self) -> None:
        """Check that the ring is of this family and subscribe; to be called first, once."""

    @abstractmethod
    async def info(self) -> RingInfo:
        """Read who the ring is, into its memory too."""

    @abstractmethod
    async def state(self) -> RingState:
        """Read what the ring says of itself now."""

    @abstractmethod
    def history(self, cursor: Cursor) -> AsyncGenerator[Batch]:
        """Read what was recorded since the cursor, a batch as soon as it is complete.

        To be closed (`aclosing`): then the ring is told when nothing more is read.
        """

    @abstractmethod
    async def set_time(self) -> None:
        """Set the ring's clock to the wearer's local time. Comes after `history`."""

    def clock_due(self) -> bool:
        """Whether `set_time` should be called in this contact."""
        return self.clock.due(timedelta(hours=12))

    async def restart(self) -> None:
        """Restart the ring; what it holds stays."""
        raise RingNotSupported("restart")

    async def find(self) -> None:
        """Let the ring show itself."""
        raise RingNotSupported("find")

    async def measure(self, metric: Metric) -> Sample:
        """Measure once, now. Raises `RingRefused` with the code `not_worn` or `charging`."""
        raise RingNotSupported(f"measure {metric}")

    def live(self) -> AsyncGenerator[RingState]:
        """Say about once a second what the ring measures; `latest` is fresh or empty.

        To be closed (`aclosing`): then the ring stops measuring. Raises `RingRefused` with the code
        `charging`, and `RingTimeout` when the ring falls silent. What was
        recorded may be out of reach until the next connection.
        """
        raise RingNotSupported("live")

    async def read_settings(self) -> Mapping[str, Value]:
        """Read all settings this unit has, by their key."""
        return {}

    async def change(self, setting: Setting, value: Value) -> Value:
        """Write a setting and return what the ring then says it is."""
        raise RingNotSupported(f"{setting.key} = {value}")

    def can(self, *capabilities: Capability) -> bool:
        """Whether this unit is known to be able to do all of it."""
        return self.memory.capabilities.issuperset(capabilities)

    async def attempt[T](self, channel: Channel, request: Request[T], feature: str) -> T | None:
        """Ask for what this firmware may not know; `None` where it refuses or keeps silent.

        A refusal is remembered for this firmware; silence twice running may be that of a bad link,
        and is not provoked again for a day. What nobody knows the unit to do is asked once, since
        silence is long. Of what once was answered, silence is the link's fault.
        """
        if self.refuses(feature):
            return None
        answered, silences, _ = self._heard(feature)
        if not answered and feature not in self.memory.capabilities:
            request = replace(request, repeat=False)
        try:
            reply = await channel.request(request)
        except (RingRefused, RingTimeout) as err:
            self.dropped[f"{feature}: {type(err).__name__}"] += 1
            if isinstance(err, RingRefused):
                self._note(feature, answered=False)
            elif not answered:
                self._note(feature, answered=None, silences=silences + 1)
            return None
        self._note(feature, answered=True)
        return reply

    def refuses(self, feature: str) -> bool:
        """Whether asking this firmware for that is vain for now."""
        answered, _, at = self._heard(feature)
        lately = abs(self.clock.now().timestamp() - at) < SPARED.total_seconds()
        return self.lacks(feature) and (lately or answered is False)

    def lacks(self, feature: str) -> bool:
        """Whether, as far as is known, this firmware does not have that."""
        answered, silences, _ = self._heard(feature)
        return answered is False or silences >= GIVE_UP

    def _heard(self, feature: str) -> tuple[bool | None, int, float]:
        """Return whether this firmware answered (or refused) that, else its silences; and when."""
        notes: dict[str, tuple[str | None, bool | None, int, float]]
        notes = self.memory.notes.get("heard", {})
        firmware, answered, silences, at = notes.get(feature, (None, None, 0, 0.0))
        if firmware != self.memory.info.firmware:
            return None, 0, 0.0
        return answered, silences, at

    def _note(self, feature: str, *, answered: bool | None, silences: int = 0) -> None:
        heard = (answered, silences, self.clock.now().timestamp())
        notes = self.memory.notes.setdefault("heard", {})
        notes[feature] = [self.memory.info.firmware, *heard]

    def readings(
        self,
        metric: Metric,
        values: Iterable[tuple[datetime, float]],
        duration: timedelta = timedelta(),
    ) -> Iterator[Sample]:
        """Turn (ring time, value) into samples.

        What is implausible or has no certain time is counted and left out.
        """
        for ring_time, value in values:
            if not plausible(metric, value):
                self.dropped[f"{metric}: implausible"] += 1
            elif (start := self.clock.utc(ring_time, max(duration, SLACK))) is None:
                self.dropped[f"{metric}: time not certain"] += 1
            else:
                yield Sample(metric, start, value, duration)
