"""Colmi R02 and its relatives: rings of the phone app QRing. Protocol: docs/protocols/colmi.md."""

from .ring import ColmiRing

__all__ = ["ColmiRing"]
