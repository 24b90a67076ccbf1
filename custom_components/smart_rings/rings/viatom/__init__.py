"""Viatom and Wellue oximeters of the first generation. Protocol: docs/protocols/viatom.md."""

from .ring import ViatomRing

__all__ = ["ViatomRing"]
