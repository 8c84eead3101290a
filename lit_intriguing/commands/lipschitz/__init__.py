"""Bounds a whole network from the command line: layers, their product, certified radii."""

from lit_intriguing.commands.lipschitz.job import BoundJob

__all__ = ["BoundJob"]
