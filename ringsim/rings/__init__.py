"""The virtual rings: a model's key → what builds one."""

from collections.abc import Callable, Mapping
from functools import partial

from .base import VirtualRing
from .colmi import COLMI, ColmiRing
from .oxyii import OXYII, OxyiiRing
from .viatom import VIATOM, ViatomRing

OXIMETERS = frozenset((*OXYII, *VIATOM))
MODELS: Mapping[str, Callable[..., VirtualRing]] = {
    **{key: partial(ColmiRing, colmi) for key, colmi in COLMI.items()},
    **{key: partial(OxyiiRing, oxyii) for key, oxyii in OXYII.items()},
    **{key: partial(ViatomRing, viatom) for key, viatom in VIATOM.items()},
}
