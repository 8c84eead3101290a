"""Small frozen values that every room shares."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

Limit = float | Sequence[float] | Tensor


@dataclass(frozen=True, repr=False)
class Bounds:
    """The box that a perturbed tensor must stay in.

    Args:
        lower: Least value, in the units of the tensor (pixels usually in [0, 1]): one number; one
            number a channel, as a sequence of length C for tensors of shape `(N, C, ...)`; or a
            tensor of the shape of one example. May be `-inf`.
        upper: Greatest value, likewise; may be `inf`.

    Raises:
        ValueError: If a lower limit lies above its upper limit, or a limit is NaN.

    Examples:
        >>> Bounds().clamp(torch.tensor([[-1.0, 0.5, 2.0]]))
        tensor([[0.0000, 0.5000, 1.0000]])
        >>> Bounds(lower=[-1.0, 0.0], upper=[0.0, 1.0]).clamp(torch.full((1, 2, 1), 5.0)).flatten()
        tensor([0., 1.])
    """

    lower: Limit = 0.0
    upper: Limit = 1.0

    def __repr__(self) -> str:
        return f"Bounds(lower={_short(self.lower)}, upper={_short(self.upper)})"

    def __post_init__(self) -> None:
        lower, upper = _numbers("lower", self.lower), _numbers("upper", self.upper)
        if lower.ndim and upper.ndim and lower.shape != upper.shape:
            raise ValueError(
                f"Bounds: lower has shape {tuple(lower.shape)}, upper {tuple(upper.shape)}; "
                "give both as one number, one number a channel, or one example's shape."
            )
        if bool((lower > upper).any()):
            raise ValueError(f"Bounds: lower {self.lower} lies above upper {self.upper}.")

    @property
    def limits(self) -> tuple[Limit, Limit]:
        """Both limits, as they were given."""
        return self.lower, self.upper

    @cached_property
    def finite(self) -> bool:
        """Whether any limit is finite, so that clamping can change anything."""
        return any(
            bool(torch.as_tensor(limit, dtype=torch.float64).isfinite().any())
            for limit in self.limits
        )

    def tensors_like(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return both limits on `x`'s device and dtype, in shapes that broadcast against it.

        Args:
            x: Tensor of shape `(N, *S)`.

        Returns:
            The lower and the upper limit.

        Raises:
            ValueError: If a limit's shape fits neither the channels nor one example of `x`.
        """
        lower, upper = (_broadcastable(limit, x) for limit in self.limits)
        return lower, upper

    def clamp(self, x: Tensor) -> Tensor:
        """Return `x`, of shape `(N, *S)`, moved to the nearest point of the box.

        Limits are rounded to `x`'s dtype first, so the result never leaves the box as seen in
        that dtype.
        """
        if isinstance(self.lower, float | int) and isinstance(self.upper, float | int):
            return x.clamp(self.lower, self.upper) if self.finite else x
        lower, upper = self.tensors_like(x)
        return x.clamp(lower, upper)

    def contains(self, x: Tensor, slack: float = 0.0) -> Tensor:
        """Return which examples of `x`, shape `(N, *S)`, lie in the box: bool `(N,)`.

        Args:
            x: Tensor of shape `(N, *S)`.
            slack: How far outside still counts as inside, in the units of `x`.
        """
        lower, upper = self.tensors_like(x)
        return ((x >= lower - slack) & (x <= upper + slack)).flatten(1).all(1)

    def in_units_of(self, scale: Tensor) -> "Bounds":
        """Return the same box for a tensor divided by `scale`, positive, shape `()`."""
        if not self.finite:
            return self
        lower, upper = (
            torch.as_tensor(limit, dtype=scale.dtype, device=scale.device) / scale
            for limit in self.limits
        )
        return Bounds(lower, upper)


def _numbers(name: str, limit: Limit) -> Tensor:
    try:
        found = torch.as_tensor(limit, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"Bounds: {name} must be a number, or numbers, not {limit!r}.") from error
    if bool(found.isnan().any()):
        raise ValueError(f"Bounds: {name}: a limit is NaN.")
    return found


def _short(limit: Limit) -> str:
    """Return a limit in a few words: a large tensor by its shape and range."""
    if not isinstance(limit, Tensor) or limit.numel() == 0:
        return repr(limit)
    if limit.numel() <= 4:
        return repr(limit.tolist())
    return f"<{tuple(limit.shape)} from {limit.min().item():.4g} to {limit.max().item():.4g}>"


UNBOUNDED = Bounds(-torch.inf, torch.inf)


def _broadcastable(limit: Limit, x: Tensor) -> Tensor:
    value = torch.as_tensor(limit, dtype=x.dtype, device=x.device)
    if value.ndim == 0 or value.shape == x.shape[1:]:
        return value
    if value.ndim == 1 and x.ndim > 1 and len(value) == x.shape[1]:
        return value.view(-1, *(1,) * (x.ndim - 2))
    raise ValueError(
        f"Bounds: a limit of shape {tuple(value.shape)} fits neither the channels nor one example "
        f"of a tensor of shape {tuple(x.shape)}."
    )


@dataclass(frozen=True, repr=False)
class Perturbation:
    """What an attack returns; every tensor is detached.

    Attributes:
        clean: The examples as given, `(N, *S)`.
        adversarial: The perturbed examples, `(N, *S)`, inside the bounds.
        success: Whether the criterion is met by `adversarial` itself, bool `(N,)`.
        queries: Gradient evaluations spent on each example, int64 `(N,)`.
        info: What else the attack says of each example, tensors `(N, ...)`.

    Examples:
        >>> clean = torch.zeros(2, 4)
        >>> Perturbation(clean, clean + 0.5, torch.tensor([True, False]), torch.ones(2).long())
        Perturbation(2 examples of (4,), success 1/2 = 50.0%, mean distortion 0.5, 1.0 queries each)
    """

    clean: Tensor
    adversarial: Tensor
    success: Tensor
    queries: Tensor
    info: Mapping[str, Tensor] = field(default_factory=dict)

    def __repr__(self) -> str:
        count, successes = len(self.success), int(self.success.sum())
        parts = [f"{count} examples of {tuple(self.clean.shape[1:])}"]
        if count:
            parts.append(f"success {successes}/{count} = {successes / count:.1%}")
            if successes:  # a failure is often the clean example itself
                mean = self.distortion[self.success].double().mean().item()
                parts.append(f"mean distortion {mean:.4g}")
            if unchanged := int((self.success & (self.distortion == 0)).sum()):
                parts.append(f"{unchanged} met the goal unchanged")
            parts.append(f"{self.queries.double().mean().item():.1f} queries each")
        if self.info:
            parts.append(f"info: {', '.join(self.info)}")
        return f"{type(self).__name__}({', '.join(parts)})"

    @property
    def distortion(self) -> Tensor:
        """Root mean square change of each example, `(N,)`: the paper's distortion."""
        return distortion(self.clean, self.adversarial)


def distortion(clean: Tensor, adversarial: Tensor) -> Tensor:
    """Return `sqrt(sum_i (x'_i - x_i)^2 / n)` for each of N examples.

    Szegedy et al. 2013, section 4.1; n is the number of elements of one example.

    Args:
        clean: Tensor of shape `(N, *S)`.
        adversarial: Tensor of the same shape.

    Returns:
        Tensor of shape `(N,)`, in the units of the examples.

    Examples:
        >>> distortion(torch.zeros(1, 4), torch.full((1, 4), 0.5))
        tensor([0.5000])
    """
    return (adversarial - clean).flatten(1).square().mean(1).sqrt()
