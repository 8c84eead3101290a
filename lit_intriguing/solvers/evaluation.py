"""Values and gradients of many problems by one forward and one backward."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

Objective = Callable[[Tensor, Tensor], Tensor]
"""Maps points `(n, D)` of some problems, and which these are, int64 `(n,)`, to values `(n,)`."""


class Evaluation(NamedTuple):
    """Of n points: values `(n,)` and gradients `(n, D)`, both detached."""

    value: Tensor
    gradient: Tensor

    @property
    def finite(self) -> Tensor:
        """Which problems have a finite value, and a gradient of finite length: bool `(n,)`."""
        length: Tensor = torch.linalg.vector_norm(self.gradient, dim=1)
        return (self.value + length).abs_() < torch.inf


def squared_lengths(vectors: Tensor) -> Tensor:
    """Return the squared L2 length of each of `vectors`, `(n, D)`: `(n,)`.

    By the norm, which reads the vectors once and writes nothing.
    """
    lengths: Tensor = torch.linalg.vector_norm(vectors, dim=1)
    return lengths.square_()


def differentiate(values: Tensor, x: Tensor) -> Tensor:
    """Return the gradient of each of `values`, `(n,)`, by its own point of `x`: `(n, D)`.

    Raises:
        ValueError: If no gradient leads from the values to `x`.
    """
    gradient = None
    if values.requires_grad:
        (gradient,) = torch.autograd.grad(values, x, torch.ones_like(values), allow_unused=True)
    if gradient is None:
        raise ValueError(
            "The values have no gradient by the points: they must depend on them differentiably, "
            "with no argmax, no detach() and no no_grad() on the way."
        )
    return gradient


def evaluate(fun: Objective, x: Tensor, problems: Tensor) -> Evaluation:
    """Return values and gradients of `fun` at `x`, shape `(n, D)`.

    Raises:
        ValueError: If the values are not of shape `(n,)` or have no gradient by `x`.
    """
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        return _differentiated(fun(x, problems), x)


def evaluate_with_margin(
    fun: Callable[..., tuple[Tensor, Tensor]], x: Tensor, *arguments: Tensor
) -> tuple[Evaluation, Tensor]:
    """Return values and gradients of a function that returns a margin as well, and the margin.

    Args:
        fun: Called with the points and the arguments; returns values, and margins without a
            gradient, `(n,)` each.
        x: Points, `(n, D)`.
        arguments: What else the function takes.

    Raises:
        ValueError: As `evaluate`.
    """
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        values, margin = fun(x, *arguments)
        return _differentiated(values, x), margin.detach().to(x.dtype)


def _differentiated(values: Tensor, x: Tensor) -> Evaluation:
    if values.shape != x.shape[:1]:
        raise ValueError(
            f"The function must return one value a problem, shape {tuple(x.shape[:1])}, "
            f"not {tuple(values.shape)}."
        )
    return Evaluation(values.detach().to(x.dtype), differentiate(values, x))
