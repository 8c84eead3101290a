"""The scans of several layers of a network, from the same forward passes."""

from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from lit_intriguing.autograd import preserved
from lit_intriguing.errors import UserError
from lit_intriguing.private.of_torch import uncompiled_name
from lit_intriguing.splice import eager
from lit_intriguing.units.directions import checked_directions
from lit_intriguing.units.layers import recorded
from lit_intriguing.units.readings import Mean, Reading
from lit_intriguing.units.scan import UNITS, LayerScan, RandomBases
from lit_intriguing.units.statistics import ROTATIONS

Named = Mapping[str, Mapping[str, Tensor]]
"""Layer to name of a basis to directions `(m, D)`."""

Forward = Callable[[Tensor], object]
"""Runs a network on images `(n, *S)`."""


K = 8
"""Top images of each direction."""


@dataclass(frozen=True)
class ScanSettings:
    """What a scan looks for.

    Attributes:
        reading: From a layer's output to activations.
        k: Top images of each direction, at least 2.
        rotations: Random bases, B.
        seed: Of the random bases.
    """

    reading: Reading = field(default_factory=Mean)
    k: int = K
    rotations: int = ROTATIONS
    seed: int = 0

    def __post_init__(self) -> None:
        if self.k < 2:
            raise UserError(f"k must be at least 2, since pairs of images are compared: {self.k}.")
        if self.rotations < 1:
            raise UserError(f"rotations must be at least 1, not {self.rotations}.")
        if self.seed < 0:
            raise UserError(f"seed must not be negative: {self.seed}.")


class NetworkScan:
    """The top images of units and random directions of some layers of one network.

    Args:
        layers: Names of submodules.
        settings: What to look for.
        bases: Random bases by layer, filled here; give the scans of several networks the same
            dictionary, and they share the memory.
        named: Further bases.
    """

    def __init__(
        self,
        layers: Sequence[str],
        settings: ScanSettings,
        bases: MutableMapping[str, RandomBases] | None = None,
        named: Named | None = None,
    ) -> None:
        named = named or {}
        for layer in named:
            if layer not in layers:
                raise UserError(f"Directions are given for {layer!r}, which is not analysed.")
            if UNITS in named[layer]:
                raise UserError(f"The basis name {UNITS!r} is taken by the natural basis.")
        self.names, self.settings, self.named = list(layers), settings, named
        self.bases = {} if bases is None else bases
        self.layers: dict[str, LayerScan] = {}

    @property
    def images(self) -> int:
        """Images so far."""
        return next((scan.images for scan in self.layers.values()), 0)

    def add(
        self,
        model: nn.Module,
        images: Tensor,
        indices: Tensor,
        forward: Forward | None = None,
    ) -> None:
        """Take further images into account, with one forward pass.

        Args:
            model: That has the layers. It runs in evaluation mode and is left as it was.
            images: `(n, *S)`, on the model's device.
            indices: `(n,)` indices of the images, each given once.
            forward: Runs the model; the model itself where None.
        """
        found = activations(model, images, self.names, self.settings.reading, forward)
        for layer in self.names:
            if layer not in self.layers:
                self.layers[layer] = self._begin(layer, found[layer].shape[1], found[layer].device)
            self.layers[layer].add(found[layer], indices)

    def merge(self, other: "NetworkScan") -> None:
        """Take the images of another scan with the same settings into account."""
        for layer, scan in other.layers.items():
            if layer in self.layers:
                self.layers[layer].merge(scan)
            else:
                self.layers[layer] = scan

    def top_indices(self) -> Tensor:
        """Return the increasing indices of all images at the top of any direction."""
        found: list[Tensor] = [
            top.result()[1].flatten()
            for scan in self.layers.values()
            for top in (*scan.top.values(), scan.random)
        ]
        return distinct(found)

    def state_dict(self) -> dict[str, Any]:
        """Return what is needed to go on; random bases are drawn again."""
        return {
            layer: {"units": scan.units, **scan.state_dict()} for layer, scan in self.layers.items()
        }

    def load_state_dict(self, state: Mapping[str, Any], device: torch.device | str = "cpu") -> None:
        """Go on from a state.

        Args:
            state: Of a scan with the same layers, settings and bases.
            device: Where activations will come from.
        """
        self.layers = {}
        for layer, inner in state.items():
            self.layers[layer] = self._begin(layer, inner["units"], torch.device(device))
            self.layers[layer].load_state_dict(inner)

    def _begin(self, layer: str, units: int, device: torch.device) -> LayerScan:
        settings = self.settings
        if layer not in self.bases or self.bases[layer].directions.shape[2] != units:
            name = uncompiled_name(layer)  # the same bases for a network before it was compiled
            self.bases[layer] = RandomBases.of_layer(name, units, settings.rotations, settings.seed)
        self.bases[layer] = self.bases[layer].to(device)
        named = {
            name: checked_directions(directions, units, layer)
            for name, directions in self.named.get(layer, {}).items()
        }
        return LayerScan(self.bases[layer], settings.k, named)


def activations(
    model: nn.Module,
    images: Tensor,
    layers: Sequence[str],
    reading: Reading,
    forward: Forward | None = None,
) -> dict[str, Tensor]:
    """Return the activations of layers, each `(n, D)`, in evaluation mode and without gradients.

    Args:
        model: That has the layers; left as it was.
        images: `(n, *S)`.
        layers: Names of submodules.
        reading: From a layer's output to activations.
        forward: Runs the model; the model itself where None.

    Raises:
        UserError: A layer's activations are not `(n, D)`.
    """
    with (
        preserved(model),
        torch.no_grad(),
        eager(model),
        recorded(model, layers, reading) as found,
    ):
        (model if forward is None else forward)(images)
    for layer, values in found.items():
        if values.ndim != 2 or len(values) != len(images):
            raise UserError(
                f"Layer {layer!r} gives activations of shape {tuple(values.shape)} for "
                f"{len(images)} images, not ({len(images)}, units). Name another layer or reading."
            )
    return found


def distinct(indices: Iterable[Tensor]) -> Tensor:
    """Return the increasing distinct indices among those of several tensors."""
    unique: Tensor = torch.unique(torch.cat([some.flatten() for some in indices]))
    return unique
