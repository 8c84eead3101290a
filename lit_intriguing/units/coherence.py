"""How alike the images at the top of a direction are: by their labels, or by features."""

from collections.abc import Callable

import torch
from torch import Tensor

from lit_intriguing.errors import UserError

Coherence = Callable[[Tensor], Tensor]
"""Maps indices of examples `(M, k)` to the coherence of each of M sets, `(M,)` float64."""

_CHUNK = 4096
"""Directions at a time, to save memory."""


def label_coherence(labels: Tensor, top: Tensor) -> Tensor:
    """Return the fraction of pairs that have the same label.

    Args:
        labels: `(N,)`, integers.
        top: `(M, k)` indices of examples, k at least 2.

    Returns:
        `(M,)`, float64, from 0 to 1.

    Examples:
        >>> label_coherence(torch.tensor([5, 5, 7]), torch.tensor([[0, 1, 2], [0, 1, 1]]))
        tensor([0.3333, 1.0000], dtype=torch.float64)
    """
    k = _pairs_of(top)
    found = labels[top]
    same = (found[:, :, None] == found[:, None]).sum((1, 2)) - k
    return same.double() / (k * (k - 1))


def feature_coherence(features: Tensor, top: Tensor) -> Tensor:
    """Return the mean cosine over pairs of features.

    Args:
        features: `(N, F)`, see `centred`.
        top: `(M, k)` indices of examples, k at least 2.

    Returns:
        `(M,)`, float64, from -1 to 1.

    Examples:
        >>> features = torch.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, 0.0]])
        >>> feature_coherence(features, torch.tensor([[0, 2], [0, 1]]))
        tensor([1., 0.], dtype=torch.float64)
    """
    k = _pairs_of(top)
    lengths = features.norm(dim=1, keepdim=True).double()
    # A feature vector of zero is like nothing: its cosines are 0.
    unit = features.double() / lengths.where(lengths > 0, torch.inf)
    own = unit.square().sum(1)
    sums = []
    for start in range(0, len(top), _CHUNK):
        part = top[start : start + _CHUNK]
        whole = torch.nn.functional.embedding_bag(part, unit, mode="sum").square().sum(1)
        # |sum u|^2 holds each pair twice and each vector with itself.
        sums.append(whole - own[part].sum(1))
    return torch.cat(sums) / (k * (k - 1))


def centred(features: Tensor) -> Tensor:
    """Return features `(N, F)` less their mean over the examples, float64.

    Features after a ReLU all point into one corner, so that their cosines differ little.
    """
    features = features.double()
    return features - features.mean(0)


class ByLabels:
    """Coherence by labels.

    Args:
        labels: `(N,)`, integers, of all examples.

    Raises:
        UserError: They are all the same, or no integers `(N,)`.
    """

    def __init__(self, labels: Tensor) -> None:
        if labels.ndim != 1 or labels.is_floating_point() or not len(labels):
            raise UserError(
                "Coherence by labels needs one integer for each image; the labels have shape "
                f"{tuple(labels.shape)} and type {labels.dtype}. Give features instead."
            )
        if bool((labels == labels[0]).all()):
            raise UserError(
                f"All {len(labels)} images have the label {int(labels[0])}: any set of them is as "
                "coherent as any other. Give images of several classes, or features."
            )
        self.labels = labels

    def __call__(self, top: Tensor) -> Tensor:
        """Return the coherence of each set of examples."""
        return label_coherence(self.labels, top)


class ByFeatures:
    """Coherence by features of another network than the one that is tested.

    Args:
        rows: `(n,)` increasing indices of the examples that occur in any set.
        features: `(n, F)` of these examples. They are centred here.
    """

    def __init__(self, rows: Tensor, features: Tensor) -> None:
        if features.ndim != 2 or len(features) != len(rows):
            raise UserError(
                f"Features must have shape ({len(rows)}, F), one row for each image, not "
                f"{tuple(features.shape)}."
            )
        if not bool(features.isfinite().all()):
            raise UserError("Some features are not finite.")
        self.rows, self.features = rows, centred(features)

    def __call__(self, top: Tensor) -> Tensor:
        """Return the coherence of each set of examples."""
        return feature_coherence(self.features, torch.searchsorted(self.rows, top))


def _pairs_of(top: Tensor) -> int:
    if top.ndim != 2 or top.shape[1] < 2:
        raise ValueError(f"Coherence needs sets (M, k) with k at least 2, not {tuple(top.shape)}.")
    return top.shape[1]
