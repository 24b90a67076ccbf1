"""The virtual rings: a model's key → what builds one."""

from collections.abc import Callable, Mapping
from functools import partial

from .base import VirtualRing
from .colmi import COLMI, ColmiRing

MODELS: Mapping[str, Callable[..., VirtualRing]] = {
    key: partial(ColmiRing, model) for key, model in COLMI.items()
}
