"""A network as a graph: what its forward does, and the constant of each step."""

from lit_intriguing.lipschitz.graphs import functional, joining, moving

__all__ = ["functional", "joining", "moving"]
