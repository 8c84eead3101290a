"""Pools of adversarial examples in training: how they are made, join a batch, and count."""

from lit_intriguing.pools.perturbed_layer import PerturbedLayer

__all__ = ["PerturbedLayer"]
