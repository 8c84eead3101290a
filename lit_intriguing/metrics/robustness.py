"""Errors against the size of a perturbation, as functions and as metrics.

All are of distances: how far the nearest input is from an example that the model reads wrongly.
Zero where it reads the example itself wrongly, infinity where no such input is known.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics.utilities import dim_zero_cat

from lit_intriguing.argument_types import checked_arguments
from lit_intriguing.checks import check_whole
from lit_intriguing.metrics.base import NamedMetric
from lit_intriguing.metrics.sizes import as_sizes, as_texts

ROUNDING = 1e-5
"""By how much of a size a distance may exceed it: an attack in a ball computes in float32."""


def check_distances(distances: Tensor) -> None:
    """Refuse what are no distances.

    Raises:
        ValueError: Other shapes than `(N,)`, or distances that are negative or NaN.
    """
    if distances.ndim != 1:
        raise ValueError(f"distances must be (N,), zero or more, not {tuple(distances.shape)}")
    refused = int((~(distances >= 0)).sum())
    if refused:
        raise ValueError(
            f"distances must be (N,), zero or more: {refused} of {len(distances)} are not"
        )


def within(distances: Tensor, at: Tensor) -> Tensor:
    """Return whether each distance `(N,)` is at most each size `(R,)`, but for rounding: `(N, R)`.

    In single precision at least: in half, the sizes would be rounded by more than `ROUNDING`.

    Raises:
        ValueError: Other shapes, distances that are negative or NaN, sizes below zero.
    """
    check_distances(distances)
    if at.ndim != 1 or not bool((at >= 0).all()):
        raise ValueError(f"at must hold sizes (R,) of zero or more, not {at}")
    wide = distances.to(torch.promote_types(distances.dtype, torch.float32))
    return wide.unsqueeze(1) <= at.to(wide) * (1 + ROUNDING)


def robust_error(distances: Tensor, at: Tensor) -> Tensor:
    """Return the share of examples with a wrong prediction no farther than each size.

    Args:
        distances: See above, `(N,)`.
        at: Sizes, zero or more, `(R,)`; at zero it is the error on clean examples.

    Returns:
        Float64 `(R,)`; NaN without examples.

    Raises:
        ValueError: See `within`.

    Examples:
        >>> distances = torch.tensor([0.0, 0.4, 1.2, float("inf")])
        >>> robust_error(distances, torch.tensor([0.0, 0.5, 1.5]))
        tensor([0.2500, 0.5000, 0.7500], dtype=torch.float64)
    """
    return within(distances, at).double().mean(0)


def class_errors(distances: Tensor, labels: Tensor, classes: int, at: Tensor) -> Tensor:
    """Return `robust_error` of the examples of each class.

    Args:
        distances: See above, `(N,)`.
        labels: Integers from 0 to `classes - 1`, `(N,)`.
        classes: How many there are, C.
        at: Sizes, `(R,)`.

    Returns:
        Float64 `(C, R)`; NaN for a class without examples.

    Raises:
        ValueError: See `within`; labels of another shape or range.

    Examples:
        >>> distances, labels = torch.tensor([0.0, 0.4, 1.2]), torch.tensor([0, 0, 2])
        >>> class_errors(distances, labels, 3, torch.tensor([0.3, 1.5])).tolist()
        [[0.5, 1.0], [nan, nan], [0.0, 1.0]]
    """
    counts, totals = _by_class(distances, labels, classes, at)
    return counts.double() / totals.unsqueeze(1)


def _by_class(distances: Tensor, labels: Tensor, classes: int, at: Tensor) -> tuple[Tensor, Tensor]:
    """Return how many examples of each class are fooled, `(C, R)`, and how many there are."""
    if labels.shape != distances.shape:
        raise ValueError(f"labels must be {tuple(distances.shape)}, not {tuple(labels.shape)}")
    if len(labels) and not (int(labels.min()) >= 0 and int(labels.max()) < classes):
        raise ValueError(f"labels must lie between 0 and {classes - 1}")
    fooled = within(distances, at).long()
    counts = fooled.new_zeros(classes, len(at)).index_add_(0, labels.long(), fooled)
    return counts, torch.bincount(labels.long(), minlength=classes)


def distance_quantiles(distances: Tensor, shares: Tensor) -> Tensor:
    """Return the least of the distances within which so many of the examples are fooled.

    Args:
        distances: See above, `(N,)`.
        shares: In (0, 1], `(Q,)`.

    Returns:
        Float64 `(Q,)`: infinity where fewer are; NaN without examples.

    Raises:
        ValueError: Shares outside (0, 1], or what `check_distances` refuses.

    Examples:
        >>> distance_quantiles(torch.tensor([3.0, 1.0, float("inf")]), torch.tensor([0.5, 0.9]))
        tensor([3., inf], dtype=torch.float64)
    """
    check_distances(distances)
    if not bool(((shares > 0) & (shares <= 1)).all()):
        raise ValueError(f"shares must lie in (0, 1], not {shares}")
    count = len(distances)
    if count == 0:
        return torch.full_like(shares, torch.nan, dtype=torch.float64)
    # Less by a rounding: 0.1 of 1000 examples are 100, whatever 0.1 is in binary.
    rounding = torch.finfo(torch.promote_types(shares.dtype, torch.float32)).eps
    ranks = (shares.double() * (count * (1 - max(rounding, 1e-12)))).ceil().long() - 1
    return distances.double().sort().values[ranks.to(distances.device)]


@checked_arguments
class RobustError(NamedMetric):
    """`robust_error` over batches and ranks, each example counted once.

    Args:
        at: Sizes, zero or more, R different ones.
        keywords: Of `torchmetrics.Metric`, such as `sync_on_compute`.

    Raises:
        ValueError: For sizes that are no numbers or are there twice; in `update`, what
            `robust_error` refuses.

    Examples:
        >>> metric = RobustError(at=[0.5, 1.5])
        >>> metric.update(torch.tensor([0.4, 1.2]))
        >>> metric.update(torch.tensor([2.0]))
        >>> metric.compute()
        tensor([0.3333, 0.6667], dtype=torch.float64)
    """

    higher_is_better = False

    fooled: Tensor
    examples: Tensor

    def __init__(self, at: Sequence[float], **keywords: Any) -> None:
        super().__init__(**keywords)
        self.at = as_sizes("at", at)
        self.add_settings(self.at)
        zeros = torch.zeros(len(self.at), dtype=torch.int64)
        self.add_state("fooled", zeros, dist_reduce_fx="sum")
        self.add_state("examples", torch.tensor(0), dist_reduce_fx="sum")

    def element_names(self) -> list[str]:
        """Return the size of each error."""
        return [f"within {size}" for size in as_texts(self.at)]

    def update(self, distances: Tensor) -> None:
        """Count a batch: distances (n,)."""
        self.fooled = self.fooled + within(distances, self.at).sum(0)
        self.examples = self.examples + len(distances)

    def compute(self) -> Tensor:
        """Return the errors so far, float64 (R,), of one size (); NaN without examples."""
        return self.fooled.double() / self.examples


@checked_arguments
class ClassRobustError(NamedMetric):
    """`class_errors` over batches and ranks, each example counted once.

    Args:
        classes: How many there are, C.
        at: Sizes, zero or more, R different ones.
        keywords: Of `torchmetrics.Metric`, such as `sync_on_compute`.

    Raises:
        ValueError: For a number below 1, or sizes that are no numbers or are there twice; in
            `update`, what `class_errors` refuses.

    Examples:
        >>> metric = ClassRobustError(classes=2, at=[0.5])
        >>> metric.update(torch.tensor([0.4, 1.2]), torch.tensor([0, 1]))
        >>> metric.compute().tolist()
        [[1.0], [0.0]]
    """

    higher_is_better = False

    fooled: Tensor
    examples: Tensor

    def __init__(self, classes: int, at: Sequence[float], **keywords: Any) -> None:
        super().__init__(**keywords)
        check_whole("ClassRobustError", 1, classes=classes)
        self.classes, self.at = classes, as_sizes("at", at)
        self.add_settings(self.at)
        zeros = torch.zeros(classes, len(self.at), dtype=torch.int64)
        self.add_state("fooled", zeros, dist_reduce_fx="sum")
        self.add_state("examples", zeros[:, 0].clone(), dist_reduce_fx="sum")

    def element_names(self) -> list[str]:
        """Return the class and size of each error."""
        return [f"class {c}, within {r}" for c in range(self.classes) for r in as_texts(self.at)]

    def update(self, distances: Tensor, labels: Tensor) -> None:
        """Count a batch: distances (n,), labels (n,)."""
        counts, totals = _by_class(distances, labels, self.classes, self.at)
        self.fooled, self.examples = self.fooled + counts, self.examples + totals

    def compute(self) -> Tensor:
        """Return the errors so far, float64 (C, R); NaN for a class without examples."""
        return self.fooled.double() / self.examples.unsqueeze(1)


@checked_arguments
class DistanceQuantiles(NamedMetric):
    """`distance_quantiles` over batches and ranks; it keeps all distances.

    Args:
        shares: In (0, 1], Q different ones.
        keywords: Of `torchmetrics.Metric`, such as `sync_on_compute`.

    Raises:
        ValueError: For shares outside (0, 1] or there twice; in `update`, what `check_distances`
            refuses.

    Examples:
        >>> metric = DistanceQuantiles(shares=[0.1, 0.5])
        >>> metric.update(torch.tensor([3.0, 1.0]))
        >>> metric.update(torch.tensor([2.0]))
        >>> metric.compute()
        tensor([1., 2.], dtype=torch.float64)
    """

    plot_upper_bound = None

    distances: list[Tensor]

    def __init__(self, shares: Sequence[float], **keywords: Any) -> None:
        super().__init__(**keywords)
        self.shares = as_sizes("shares", shares)
        if not bool(((self.shares > 0) & (self.shares <= 1)).all()):
            raise ValueError(f"shares must lie in (0, 1], not {list(shares)}")
        self.add_state("distances", [], dist_reduce_fx="cat")

    def element_names(self) -> list[str]:
        """Return the share of each quantile."""
        return [f"{share} of all" for share in as_texts(self.shares)]

    def update(self, distances: Tensor) -> None:
        """Keep the distances of a batch, (n,)."""
        check_distances(distances)
        self.distances.append(distances.detach().to(torch.float64, copy=True))

    def sync(self, *args: Any, **kwargs: Any) -> None:
        """Gather the distances of all processes, as torchmetrics does.

        For a process without any it would send an empty tensor of another type, at which the
        gathering of the others' fails.
        """
        if not len(self.distances):
            self.distances = [torch.zeros(0, dtype=torch.float64, device=self.device)]
        super().sync(*args, **kwargs)

    def compute(self) -> Tensor:
        """Return the quantiles so far, float64 (Q,), of one share (); NaN without examples."""
        there = bool(len(self.distances))
        all_of_them = dim_zero_cat(self.distances) if there else torch.zeros(0)
        return distance_quantiles(all_of_them, self.shares)
