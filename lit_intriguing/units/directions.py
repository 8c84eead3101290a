"""Directions in the space of a layer's units: random rotations, principal components, own ones."""

import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lit_intriguing.errors import UserError

_AT_ONCE = 1_000_000
"""Numbers that are made orthonormal at a time, to save memory."""


def haar_rotations(
    size: int, count: int, *, generator: torch.Generator | None = None, vectors: int | None = None
) -> Tensor:
    """Draw orthonormal bases uniformly, that is from the Haar measure on the orthogonal group.

    Args:
        size: Dimensions D of the space.
        count: Bases B.
        generator: Of random numbers, on the CPU.
        vectors: Vectors m of each basis; all D where None.

    Returns:
        `(B, m, D)`, float32; each row is a direction of length 1.

    Examples:
        >>> basis = haar_rotations(3, 1, generator=torch.Generator().manual_seed(0))[0]
        >>> torch.allclose(basis @ basis.T, torch.eye(3), atol=1e-6)
        True
    """
    vectors = size if vectors is None else vectors
    # Whatever is the default type, as in a forward of Lightning's precision `bf16-true`.
    bases = torch.empty(count, vectors, size, dtype=torch.float32)
    at_once = max(1, _AT_ONCE // (size * vectors))
    for start in range(0, count, at_once):
        some = bases[start : start + at_once]
        gaussian = torch.randn(len(some), size, vectors, generator=generator, dtype=torch.float32)
        q, r = torch.linalg.qr(gaussian)
        # Mezzadri 2007, section 5: Q alone follows LAPACK's choice of signs, not the Haar measure.
        some.copy_((q * r.diagonal(dim1=1, dim2=2).sign()[:, None]).mT)
    return bases


def layer_generator(layer: str, seed: int) -> torch.Generator:
    """Return a generator on the CPU for one layer, so that its bases do not depend on others."""
    sequence = np.random.SeedSequence((seed, zlib.crc32(layer.encode())))
    return torch.Generator().manual_seed(int(sequence.generate_state(1, np.uint64)[0]) >> 1)


class RunningCovariance:
    """The covariance of units' activations over examples that come in batches.

    Memory is D x D, whatever the number of examples. Sums are float64.

    Args:
        size: Units D.
    """

    def __init__(self, size: int) -> None:
        self.count = 0
        self.mean = torch.zeros(size, dtype=torch.float64)
        self.scatter = torch.zeros(size, size, dtype=torch.float64)

    def add(self, activations: Tensor) -> None:
        """Count the activations `(N, D)` of N further examples."""
        batch = activations.detach().cpu().double()
        if not len(batch):
            return
        mean = batch.mean(0)
        centred = batch - mean
        self._join(len(batch), mean, centred.T @ centred)

    def merge(self, other: "RunningCovariance") -> None:
        """Count the examples of another one, for instance of another process."""
        if other.count:
            self._join(other.count, other.mean, other.scatter)

    def result(self) -> Tensor:
        """Return the covariance `(D, D)`, float64, with correlations rounded to six decimals.

        Sums depend on the order of the batches in their last digits, and the images at the top of
        a component may depend on those. Rounded, several processes find what one finds.
        """
        covariance = self.scatter / max(1, self.count)
        deviations = covariance.diagonal().sqrt().float().double()
        lengths = torch.outer(deviations, deviations)
        correlations = torch.where(lengths > 0, covariance / lengths, 0.0)
        return correlations.round(decimals=6) * lengths

    def state_dict(self) -> dict[str, Any]:
        """Return what is needed to go on."""
        return {"count": self.count, "mean": self.mean, "scatter": self.scatter}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        self.count = state["count"]
        self.mean, self.scatter = state["mean"].clone(), state["scatter"].clone()

    def _join(self, count: int, mean: Tensor, scatter: Tensor) -> None:
        # Chan, Golub, LeVeque 1979, eq. 2.1b, for vectors.
        total, shift = self.count + count, mean - self.mean
        self.scatter = (
            self.scatter + scatter + torch.outer(shift, shift) * (self.count * count / total)
        )
        self.mean = self.mean + shift * (count / total)
        self.count = total


def principal_components(covariance: Tensor) -> Tensor:
    """Return the eigenvectors of a covariance, by decreasing variance, each with both signs.

    An eigenvector's sign means nothing, while the images at its two ends differ.

    Args:
        covariance: `(D, D)`.

    Returns:
        `(2 D, D)`, float32: first component, its negative, second component, and so on.

    Examples:
        >>> principal_components(torch.diag(torch.tensor([1.0, 4.0])))[:2].abs()
        tensor([[0., 1.],
                [0., 1.]])
    """
    vectors = torch.linalg.eigh(covariance.double()).eigenvectors.flip(1).T
    return torch.stack([vectors, -vectors], 1).flatten(0, 1).float()


def checked_directions(directions: Tensor, units: int, layer: str) -> Tensor:
    """Return a user's own directions as float32.

    Args:
        directions: `(m, D)`, one direction a row; lengths do not matter.
        units: D of the layer.
        layer: For the message.

    Raises:
        UserError: They have another shape, or one is zero or not finite.
    """
    if directions.ndim != 2 or directions.shape[1] != units or not len(directions):
        raise UserError(
            f"Directions for layer {layer!r} have shape {tuple(directions.shape)}; the layer has "
            f"{units} units, so give (m, {units}), one direction a row."
        )
    directions = directions.detach().float()
    lengths = directions.norm(dim=1)
    bad = (~((lengths > 0) & lengths.isfinite())).nonzero().flatten().tolist()
    if bad:
        raise UserError(f"Directions {bad[:5]} for layer {layer!r} are zero or not finite.")
    return directions
