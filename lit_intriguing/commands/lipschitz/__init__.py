"""`lightning lipschitz`: bounds of a network's layers, their product, certified radii."""

from lit_intriguing.commands.lipschitz.job import BoundJob

__all__ = ["BoundJob"]
