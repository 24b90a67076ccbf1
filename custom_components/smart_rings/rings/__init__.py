"""Smart rings over Bluetooth: bytes ↔ dataclasses, and the conversation with a ring.

if model := recognise(Advertisement(name="R02_79B5")):
    async with connect(model, link_factory, memory, clock) as ring:
        state = await ring.state()
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress

from .clock import Clock
from .colmi import ColmiRing
from .errors import RingNotSupported, RingTimeout
from .link import Connect, Link
from .models import RingMemory
from .oxyii import OxyIIRing
from .recognise import Advertisement, Model, first_match
from .ring import Ring
from .viatom import ViatomRing

__all__ = ["FAMILIES", "MODELS", "Advertisement", "Model", "connect", "family_of", "recognise"]

# First match wins: the name O2Ring S begins with O2Ring.
FAMILIES: tuple[type[Ring], ...] = (ColmiRing, OxyIIRing, ViatomRing)

MODELS: Mapping[str, Model] = {model.key: model for family in FAMILIES for model in family.models}
_FAMILY_OF = {model.key: family for family in FAMILIES for model in family.models}


def recognise(advertisement: Advertisement) -> Model | None:
    """Return the model that shows itself in an advertisement, if it is one of ours."""
    return first_match(MODELS, advertisement)


def family_of(model: Model) -> type[Ring]:
    """Return the class that speaks with rings of this model."""
    return _FAMILY_OF[model.key]


@asynccontextmanager
async def connect(
    model: Model, connector: Connect, memory: RingMemory, clock: Clock
) -> AsyncIterator[Ring]:
    """Connect, check and subscribe; give the link back at the end, whatever happens.

    The ring's `model` is what it turned out to be, to be passed the next time.
    """
    async with Link(connector) as link:
        yield await _open(model, link, memory, clock)


async def _open(model: Model, link: Link, memory: RingMemory, clock: Clock) -> Ring:
    ring = family_of(model)(link, memory, clock, model)
    try:
        await ring.open()
    except RingTimeout, RingNotSupported:
        if model.otherwise:
            with suppress(RingNotSupported):
                return await _open(MODELS[model.otherwise], link, memory, clock)
        raise
    return ring
