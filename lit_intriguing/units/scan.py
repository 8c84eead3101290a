"""One pass over a data set: the top images of all directions of all layers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lit_intriguing.units.activity import RunningActivity
from lit_intriguing.units.directions import haar_rotations, layer_generator
from lit_intriguing.units.running_top import RunningTopK

UNITS = "units"
"""Name of the natural basis."""

_AT_ONCE = 8_000_000
"""Activations along random directions at a time, to save memory."""


@dataclass(frozen=True)
class RandomBases:
    """Random rotations of a layer's space, the same for each network that has the layer.

    Attributes:
        directions: `(B, m, D)`, one direction a row.
    """

    directions: Tensor

    @classmethod
    def of_layer(cls, layer: str, units: int, rotations: int, seed: int) -> "RandomBases":
        """Draw the bases of one layer.

        Args:
            layer: Its name; another layer of the same size has other bases.
            units: D.
            rotations: How many.
            seed: Of all layers.
        """
        return cls(haar_rotations(units, rotations, generator=layer_generator(layer, seed)))

    def to(self, device: torch.device) -> "RandomBases":
        """Return the bases on a device; these themselves where they are there."""
        moved = self.directions.to(device)
        return self if moved is self.directions else RandomBases(moved)


class LayerScan:
    """The top k images of units and of random directions of a layer, streaming.

    Memory is k x directions and the bases themselves, whatever the number of images.

    Args:
        bases: Random bases, B of m directions each.
        k: Images for each direction.
        named: Further bases `(m, D)` by name, one direction a row.
    """

    def __init__(self, bases: RandomBases, k: int, named: Mapping[str, Tensor] = {}) -> None:
        count, vectors, units = bases.directions.shape
        device = bases.directions.device
        self.bases, self.units, self.k = bases, units, k
        self.named: dict[str, Tensor | None] = {UNITS: None}
        self.named.update({name: basis.to(device) for name, basis in named.items()})
        sizes = {name: units if basis is None else len(basis) for name, basis in self.named.items()}
        self.top = {name: RunningTopK(size, k, device) for name, size in sizes.items()}
        self.activity = {name: RunningActivity(size, device) for name, size in sizes.items()}
        self.random = RunningTopK(max(1, count * vectors), k, device)

    @property
    def images(self) -> int:
        """Images so far."""
        return self.activity[UNITS].examples

    def add(self, activations: Tensor, indices: Tensor) -> None:
        """Take further images into account.

        Args:
            activations: `(N, D)`.
            indices: `(N,)` indices of the images, each given once.
        """
        activations = activations.to(self.bases.directions.device, torch.float32)
        # Under autocast the products would be of half precision.
        with torch.autocast(activations.device.type, enabled=False):
            self._add(activations, indices.to(activations.device))

    def _add(self, activations: Tensor, indices: Tensor) -> None:
        for name, basis in self.named.items():
            values = activations if basis is None else (basis @ activations.T).T
            self.top[name].add(values, indices)
            self.activity[name].add(values)
        flat = self.bases.directions.flatten(0, 1)
        if not len(activations):
            return
        size = max(1, _AT_ONCE // len(activations))
        for first in range(0, len(flat), size):
            values = (flat[first : first + size] @ activations.T).T
            self.random.add(values, indices, first)

    def merge(self, other: "LayerScan") -> None:
        """Take the images of another scan into account, with the same bases and other images."""
        for name in self.named:
            self.top[name].merge(other.top[name])
            self.activity[name].merge(other.activity[name])
        self.random.merge(other.random)

    def state_dict(self) -> dict[str, Any]:
        """Return what is needed to go on, less the bases."""
        return {
            "top": {name: top.state_dict() for name, top in self.top.items()},
            "activity": {name: one.state_dict() for name, one in self.activity.items()},
            "random": self.random.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        for name in self.named:
            self.top[name].load_state_dict(state["top"][name])
            self.activity[name].load_state_dict(state["activity"][name])
        self.random.load_state_dict(state["random"])
