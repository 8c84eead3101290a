"""Perturbed rows in a training step: what is made, how it joins, how it counts."""

from lit_intriguing.pools.perturbed_layer import PerturbedLayer

__all__ = ["PerturbedLayer"]
