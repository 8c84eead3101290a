"""The box of a batch of problems: limits for each coordinate."""

from dataclasses import dataclass

import torch
from torch import Tensor

Limit = float | Tensor


@dataclass(frozen=True)
class Box:
    """Lower and upper limits, each a number or a tensor of shape `(D,)`; may be infinite.

    Raises:
        ValueError: If a limit is NaN or a lower one lies above its upper one.
    """

    lower: Limit
    upper: Limit

    def __post_init__(self) -> None:
        lower, upper = torch.as_tensor(self.lower), torch.as_tensor(self.upper)
        if bool(lower.isnan().any() | upper.isnan().any()):
            raise ValueError("A limit of the box is NaN.")
        if bool((lower > upper).any()):
            raise ValueError("A lower limit of the box lies above its upper limit.")

    @classmethod
    def like(cls, x: Tensor, lower: Limit, upper: Limit) -> "Box":
        """Return the box with limits of `x`'s dtype and device.

        Args:
            x: Tensor of shape `(N, D)`.
            lower: A number, or a tensor of no or one element, or of shape `(D,)`.
            upper: Likewise.

        Raises:
            ValueError: If a limit has another shape, is NaN or leaves the box empty.
        """
        limits = _limit(lower, x, "lower"), _limit(upper, x, "upper")
        if not any(isinstance(limit, Tensor) for limit in limits):
            return cls(*limits)
        # Clamping takes two numbers or two tensors.
        return cls(*(torch.as_tensor(limit).to(x).expand(x.shape[1:]) for limit in limits))

    @property
    def unbounded(self) -> bool:
        """Whether no limit is finite, so that projecting changes nothing."""
        lower, upper = torch.as_tensor(self.lower), torch.as_tensor(self.upper)
        return bool((lower == -torch.inf).all() & (upper == torch.inf).all())

    @property
    def finite(self) -> bool:
        """Whether all limits are finite."""
        lower, upper = torch.as_tensor(self.lower), torch.as_tensor(self.upper)
        return bool(lower.isfinite().all() & upper.isfinite().all())

    def project_(self, x: Tensor) -> Tensor:
        """Move `x`, shape `(..., D)`, to the nearest point of the box, in place."""
        return x.clamp_(self.lower, self.upper)  # type: ignore[arg-type]

    def free(self, x: Tensor, toward: Tensor, *, out: Tensor, spare: Tensor) -> Tensor:
        """Return 0 where `x` is at a limit and `toward` at or beyond the same, else 1.

        By arithmetic: a comparison that writes numbers costs a tenth of one that writes booleans.

        Args:
            x: Points in the box, `(n, D)`.
            toward: Where each is drawn to, `(n, D)`; overwritten.
            out: Where to write the result, `(n, D)`.
            spare: Work space, `(n, D)`.
        """
        both = self.project_(toward).add_(x)
        torch.ne(both, 2 * self.lower, out=out)
        return out.mul_(torch.ne(both, 2 * self.upper, out=spare))


def _limit(limit: Limit, x: Tensor, name: str) -> Limit:
    value = torch.as_tensor(limit, dtype=x.dtype, device=x.device)
    if value.numel() == 1:
        return float(value)
    if value.shape != x.shape[1:]:
        raise ValueError(
            f"{name} has shape {tuple(value.shape)}; give one number, or one for each of the "
            f"{x.shape[1]} coordinates."
        )
    return value
