"""O2Ring S and its relatives. Protocol: docs/protocols/oxyii.md."""

from .ring import OxyIIRing

__all__ = ["OxyIIRing"]
