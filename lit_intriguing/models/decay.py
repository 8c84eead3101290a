"""The weight decay of the paper, a term of the loss, in the two ways that it can be read.

Szegedy et al. 2013, 4.1, write `loss_decay = lambda * sum w^2 / k` with k the number of units of
the layer, which is `paper_decay`. The errors that they report for softmax regression lie closer to
those with `half_square_decay`.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def paper_decay(weights: Sequence[Tensor], strengths: Sequence[float]) -> Tensor:
    """Return the sum over layers of `lambda * sum w^2 / k` (Szegedy et al. 2013, 4.1).

    Args:
        weights: Each `(k, inputs)`, k the number of units.
        strengths: Lambda of each layer.

    Examples:
        >>> paper_decay([torch.ones(2, 3)], [0.5])
        tensor(1.5000)
    """
    return _total(weights, [strength / len(w) for w, strength in _pairs(weights, strengths)])


def half_square_decay(weights: Sequence[Tensor], strengths: Sequence[float]) -> Tensor:
    """Return the sum over layers of `lambda / 2 * sum w^2`, whatever the number of units.

    Args:
        weights: Of any shape.
        strengths: Lambda of each layer.

    Examples:
        >>> half_square_decay([torch.ones(2, 3)], [0.5])
        tensor(1.5000)
        >>> half_square_decay([torch.ones(4, 3)], [0.5])
        tensor(3.)
    """
    return _total(weights, [strength / 2 for _, strength in _pairs(weights, strengths)])


def _pairs(weights: Sequence[Tensor], strengths: Sequence[float]) -> list[tuple[Tensor, float]]:
    return list(zip(weights, strengths, strict=True))


def _total(weights: Sequence[Tensor], factors: Sequence[float]) -> Tensor:
    terms = [w.square().sum() * factor for w, factor in _pairs(weights, factors) if factor]
    return torch.stack(terms).sum() if terms else torch.zeros(())
