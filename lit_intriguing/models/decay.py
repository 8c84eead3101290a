"""The weight decay of the paper, a term of the loss."""

from collections.abc import Sequence

import torch
from torch import Tensor


def paper_decay(weights: Sequence[Tensor], strengths: Sequence[float]) -> Tensor:
    """`sum over layers of lambda * sum w^2 / k`, k the number of units (Szegedy et al. 2013, 4.1).

    Args:
        weights: each of shape (k, inputs).
        strengths: lambda of each layer.

    Example:
        >>> paper_decay([torch.ones(2, 3)], [0.5])
        tensor(1.5000)
    """
    terms = [
        weight.square().sum() * (strength / len(weight))
        for weight, strength in zip(weights, strengths, strict=True)
        if strength
    ]
    return torch.stack(terms).sum() if terms else torch.zeros(())
