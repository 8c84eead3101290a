"""Activations of which is known what their units mean."""

import torch
from torch import Tensor

from lit_intriguing.units.analysis import LayerAnalysis, analyse_layer
from lit_intriguing.units.coherence import ByLabels
from lit_intriguing.units.directions import haar_rotations
from lit_intriguing.units.scan import LayerScan, RandomBases

IMAGES, UNITS, STRENGTH = 2000, 20, 2.5


def classes(seed: int, special: int) -> tuple[Tensor, Tensor]:
    """Return noise `(N, D)` in which the first `special` units rise with a class, and labels."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(UNITS, (IMAGES,), generator=generator)
    activations = torch.randn(IMAGES, UNITS, generator=generator)
    for unit in range(special):
        activations[labels == unit, unit] += STRENGTH
    return activations, labels


def rotated(seed: int) -> tuple[Tensor, Tensor]:
    """Return units that are classes, seen along other axes: nothing tells its units apart."""
    activations, labels = classes(seed, UNITS)
    generator = torch.Generator().manual_seed(10_000 + seed)
    return activations @ haar_rotations(UNITS, 1, generator=generator)[0], labels


def analysed(
    activations: Tensor, labels: Tensor, seed: int = 0, rotations: int = 39, k: int = 8
) -> LayerAnalysis:
    """Return the analysis of activations as if they were a layer's."""
    bases = RandomBases.of_layer("planted", activations.shape[1], rotations, 20_000 + seed)
    scan = LayerScan(bases, k)
    for start in range(0, len(activations), 500):
        part = slice(start, start + 500)
        scan.add(activations[part], torch.arange(len(activations))[part])
    (found,) = analyse_layer(scan, ByLabels(labels))
    return found
