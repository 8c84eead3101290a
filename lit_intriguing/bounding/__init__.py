"""Bounds a whole network from the command line: layers, their product, certified radii."""

from lit_intriguing.bounding.job import BoundJob

__all__ = ["BoundJob"]
