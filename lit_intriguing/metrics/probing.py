"""What a model predicts along a line and in a cloud of noise, by kind of class.

The classes of an image are of three kinds: its true class, the class that its adversarial example
reaches (the target), and all others.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from scipy.special import ndtri
from torch import Tensor

from lit_intriguing.types import UNBOUNDED, Bounds

KINDS = ("true", "target", "other")
"""The kinds of class, in the order of all results."""

Model = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Along:
    """A model's predictions at T points on a line through each of N images.

    Attributes:
        probabilities: Of each kind, `(N, T, 3)`, summing to 1.
        kinds: Index into `KINDS` of the class that it predicts, int64 `(N, T)`.
    """

    probabilities: Tensor
    kinds: Tensor


def predicted_kinds(predictions: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    """Return the kind of each predicted class.

    Args:
        predictions: Classes, integers (N,).
        labels: True classes, (N,).
        targets: Other classes, (N,), each different from the label.

    Returns:
        Indices into `KINDS`, int64 (N,).

    Raises:
        ValueError: Other shapes, or a target that is the label.

    Examples:
        >>> predicted_kinds(torch.tensor([4, 5, 6]), torch.tensor([4, 4, 4]), torch.tensor([5] * 3))
        tensor([0, 1, 2])
    """
    if not (predictions.shape == labels.shape == targets.shape and predictions.ndim == 1):
        raise ValueError(
            f"predictions, labels and targets must be (N,), not {tuple(predictions.shape)}, "
            f"{tuple(labels.shape)} and {tuple(targets.shape)}"
        )
    if bool((labels == targets).any()):
        raise ValueError("a target is the label: give another class.")
    return torch.where(predictions == labels, 0, torch.where(predictions == targets, 1, 2))


def kind_probabilities(logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    """Return the softmax probability of each kind of class.

    Args:
        logits: (N, C).
        labels: True classes, (N,).
        targets: Other classes, (N,).

    Returns:
        (N, 3), at least in single precision.

    Examples:
        >>> kind_probabilities(torch.zeros(1, 4), torch.tensor([0]), torch.tensor([1]))
        tensor([[0.2500, 0.2500, 0.5000]])
    """
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32)).softmax(1)
    known = wide.gather(1, torch.stack([labels, targets], 1))
    rest = wide.scatter(1, torch.stack([labels, targets], 1), 0.0)
    return torch.cat([known, rest.sum(1, keepdim=True)], 1)


def along(
    model: Model,
    start: Tensor,
    step: Tensor,
    factors: Sequence[float],
    labels: Tensor,
    targets: Tensor,
    bounds: Bounds = UNBOUNDED,
) -> Along:
    """Return what a model predicts at `start + t step` for each t.

    Args:
        model: Gives logits (N, C) for (N, *S).
        start: (N, *S).
        step: (N, *S).
        factors: T values of t.
        labels: True classes, (N,).
        targets: Other classes, (N,).
        bounds: What the points are clipped to.

    Returns:
        The predictions.

    Raises:
        ValueError: See `predicted_kinds`.
    """
    probabilities, kinds = [], []
    for factor in factors:
        logits = model(bounds.clamp(start + factor * step))
        probabilities.append(kind_probabilities(logits, labels, targets))
        kinds.append(predicted_kinds(logits.argmax(1), labels, targets))
    return Along(torch.stack(probabilities, 1), torch.stack(kinds, 1))


def around(
    model: Model,
    centres: Tensor,
    lengths: Sequence[float],
    draws: int,
    labels: Tensor,
    targets: Tensor,
    generator: torch.Generator,
    bounds: Bounds = UNBOUNDED,
) -> Tensor:
    """Count what a model predicts at points with Gaussian noise of growing length.

    Each draw is one noise for each image, scaled to each length and added to each of its centres,
    so that differences between these do not come from other noise.

    Args:
        model: Gives logits (N, C) for (N, *S).
        centres: (K, N, *S): K points of each image.
        lengths: L standard deviations of each element of the noise; without bounds its expected
            root mean square.
        draws: How often, at least 1.
        labels: True classes, (N,).
        targets: Other classes, (N,).
        generator: Of the noise, on the CPU.
        bounds: What the points are clipped to.

    Returns:
        How many of the draws are predicted as each kind of class, int64 (N, K, L, 3).

    Raises:
        ValueError: See `predicted_kinds`.
    """
    counts = torch.zeros(
        *(centres.shape[1], len(centres), len(lengths), len(KINDS)),
        dtype=torch.int64,
        device=centres.device,
    )
    numbers = torch.arange(len(counts), device=counts.device)
    for _ in range(draws):
        noise = torch.randn(centres.shape[1:], generator=generator).to(centres)
        for k, centre in enumerate(centres):
            for at, length in enumerate(lengths):
                predictions = model(bounds.clamp(centre + length * noise)).argmax(1)
                counts[numbers, k, at, predicted_kinds(predictions, labels, targets)] += 1
    return counts


def random_steps(like: Tensor, generator: torch.Generator) -> Tensor:
    """Return steps in random directions, each as long as the given one.

    Args:
        like: (N, *S).
        generator: On the CPU.

    Returns:
        (N, *S), uniformly distributed over the sphere of that length.
    """
    steps = torch.randn(like.shape, generator=generator).to(like)
    lengths, own = (one.flatten(1).norm(dim=1) for one in (like, steps))
    factor: Tensor = lengths / own.clamp(min=torch.finfo(like.dtype).tiny)
    return steps * factor.view(-1, *(1,) * (like.ndim - 1))


@dataclass(frozen=True)
class Share:
    """A share with its confidence interval, all in [0, 1]; NaN without images."""

    value: float
    low: float
    high: float


def clustered_share(counts: Tensor, draws: int, confidence: float = 0.95) -> Share:
    """Return the share of draws that count; its interval takes images for what is independent.

    The draws of an image are alike: images times draws would promise too much. The interval is
    Wilson's with the effective number of draws, `p (1 - p) / (v / N)` with v the variance of the
    images' own shares (Korn and Graubard 1998), at most all and at least one an image; with one
    draw an image it is Wilson's own.

    Args:
        counts: How many of an image's draws count, (N,).
        draws: Of each image.
        confidence: Such as 0.95.

    Returns:
        The share.

    Examples:
        >>> clustered_share(torch.tensor([4, 0, 4, 0]), draws=4).value
        0.5
    """
    images = len(counts)
    if images == 0:
        return Share(*[float("nan")] * 3)
    shares = counts.double() / draws
    share, variance = float(shares.mean()), float(shares.var(correction=0))
    spread = share * (1 - share)
    if spread == 0:
        effective = float(images)  # nothing shows how alike the draws of an image are
    else:
        effective = min(images * draws, images * spread / variance) if variance else images * draws
    low, high = _wilson(share, effective, confidence)
    return Share(share, low, high)


def _wilson(share: float, trials: float, confidence: float) -> tuple[float, float]:
    """Return where the normal test with the variance of the limit itself rejects (Wilson 1927)."""
    z = float(ndtri(0.5 + confidence / 2))
    middle = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z / (1 + z * z / trials)
    half *= (share * (1 - share) / trials + z * z / (4 * trials * trials)) ** 0.5
    # Exact where rounding would leave a trace.
    return 0.0 if share == 0 else middle - half, 1.0 if share == 1 else middle + half
