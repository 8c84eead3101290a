"""Gradient steps in L2 and Linf: FGM, FGSM and PGD."""

import copy
import inspect
import math
from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from torch import Tensor

from lit_intriguing.argument_types import checked_arguments
from lit_intriguing.attacks.base import Attack, Found, per_row
from lit_intriguing.attacks.criteria import Criterion
from lit_intriguing.attacks.sealed_model import Model, as_logits
from lit_intriguing.checks import check_flags, check_whole
from lit_intriguing.types import Bounds

_SAFE_LENGTH = 1e-15
"""A float32 gradient at least this long loses nothing to speak of when its entries are squared."""


class NoGradientError(ValueError):
    """A model's output does not depend differentiably on its input."""


@checked_arguments
class GradientAttack(Attack):
    """Steps of fixed length along the gradient of the criterion's loss.

    One step with `norm=2` is the fast gradient method, with `norm=inf` the fast gradient sign
    method (Goodfellow et al. 2015, section 4); many steps are projected gradient descent (Madry
    et al. 2018, section 2.1).

    Args:
        eps: Greatest length of the perturbation in `norm`, in the units of the attacked tensor.
        norm: 2 or `inf`, also as a string.
        steps: Number of gradient steps.
        step_size: Length of one step in `norm`; the default is `eps` for one step and
            `2.5 * eps / steps` for several (Madry et al.'s choice).
        random_start: Whether to start at a random point of the ball instead of at its centre.
        start_stddev: Standard deviation of Gaussian noise to start at, in the units of the attacked
            tensor; TRADES takes 0.001 (Zhang et al. 2019). 0 for none.

    Raises:
        ValueError: If `eps` or `step_size` is not positive and finite, `norm` is neither 2
            nor `inf`, `steps` is less than 1, `start_stddev` is negative or not finite, or there
            are two starts.
    """

    needs_border: ClassVar[bool] = False
    columns: ClassVar[Mapping[str, torch.dtype]] = {"stuck": torch.bool}

    def __init__(
        self,
        eps: float,
        norm: float | Literal["inf"] = 2.0,
        steps: int = 1,
        step_size: float | None = None,
        random_start: bool = False,
        start_stddev: float = 0.0,
    ) -> None:
        if str(norm) not in ("2", "2.0", "inf"):
            raise ValueError(f"GradientAttack: norm must be 2 or inf, not {norm!r}.")
        check_whole("GradientAttack", 1, steps=steps)
        check_flags("GradientAttack", random_start=random_start)
        if step_size is None:
            step_size = _usual_step_size(eps, steps)
        for name, length in (("eps", eps), ("step_size", step_size)):
            if not 0 < length < math.inf:
                raise ValueError(f"GradientAttack: {name} must be positive and finite: {length}.")
        if not 0 <= start_stddev < math.inf:
            raise ValueError(
                f"GradientAttack: start_stddev must be finite and at least 0: {start_stddev}."
            )
        if random_start and start_stddev:
            raise ValueError("GradientAttack: give random_start or start_stddev, not both.")
        self.eps, self.norm, self.steps = float(eps), float(norm), steps
        self.step_size, self.random_start = float(step_size), random_start
        self.start_stddev = float(start_stddev)

    def _default(self, parameter: inspect.Parameter) -> object:
        if parameter.name == "step_size":
            return float(_usual_step_size(self.eps, self.steps))
        return super()._default(parameter)

    @property
    def ball_norm(self) -> float:
        """The norm of its ball."""
        return self.norm

    def at(self, radius: float, bounds: Bounds) -> "GradientAttack":
        """Return the same attack with another `eps`, its step longer or shorter with it."""
        other = copy.copy(self)
        other.eps, other.step_size = radius, radius * (self.step_size / self.eps)
        return other

    @property
    def needs_one_clean_gradient(self) -> bool:
        """Whether `one_step` on the clean gradient is the whole attack."""
        return self.steps == 1 and not self.starts_beside and self.step_size <= self.eps

    @property
    def starts_beside(self) -> bool:
        """Whether the first gradient is taken at another point than the clean example."""
        return self.random_start or self.start_stddev > 0

    def one_step(
        self,
        x: Tensor,
        gradient: Tensor,
        bounds: Bounds,
        *,
        ascend: bool = False,
        lengths: Tensor | None = None,
    ) -> Tensor:
        """Return `x` after one step against `gradient`, or along it; both of shape `(N, *S)`.

        Several layers attacked in one batch share one clean forward and backward by this method.
        Examples whose gradient is zero or not finite stay where they are.

        Args:
            x: The examples.
            gradient: Of the loss by them.
            bounds: The box to stay in.
            ascend: Whether the loss is to increase.
            lengths: L2 lengths of the gradient's rows, `(N,)`, if they are known.
        """
        size = self.step_size if ascend else -self.step_size
        if x.device.type != "cpu":
            return bounds.clamp(x + descent_direction(gradient, self.norm) * -size)
        lengths = row_lengths(gradient) if lengths is None else lengths
        step = _step_l2 if self.norm == 2 else _step_inf
        return bounds.clamp(step(x, gradient, size, lengths))

    def search(
        self,
        model: Model,
        x: Tensor,
        criterion: Criterion,
        *,
        bounds: Bounds,
        generator: torch.Generator,
    ) -> Found:
        """Take the steps, each projected on the ball and on the bounds."""
        current = self._start(x, bounds, generator)
        stuck = torch.zeros(len(x), dtype=torch.bool, device=x.device)
        for _ in range(self.steps):
            gradient = input_gradient(model, current, criterion)
            stuck |= ~has_direction(gradient)
            moved = self.one_step(current, gradient, bounds)
            if not self.needs_one_clean_gradient:
                moved = bounds.clamp(x + project(moved - x, self.eps, self.norm))
            current = moved
        queries = torch.full((len(x),), self.steps, dtype=torch.int64, device=x.device)
        return Found(current, queries, {"stuck": stuck})

    def _start(self, x: Tensor, bounds: Bounds, generator: torch.Generator) -> Tensor:
        if self.random_start:
            return bounds.clamp(x + random_in_ball(x, self.eps, self.norm, generator))
        if not self.start_stddev:
            return x
        # As the authors of TRADES, who bring it into ball and bounds after the first step.
        return x + torch.randn(x.shape, generator=generator).to(x) * self.start_stddev


def _usual_step_size(eps: float, steps: int) -> float:
    return eps if steps == 1 else 2.5 * eps / steps


def input_gradient(model: Model, x: Tensor, criterion: Criterion) -> Tensor:
    """Return the gradient of the criterion's loss by `x`, shape `(N, *S)`.

    Raises:
        NoGradientError: If no gradient leads from the model's output to `x`.
    """
    x = x.detach().requires_grad_()
    loss = criterion.loss(as_logits(model(x), len(x))).sum()
    if not loss.requires_grad:
        raise NoGradientError(no_gradient())
    (gradient,) = torch.autograd.grad(loss, x, allow_unused=True)
    if gradient is None:
        raise NoGradientError(no_gradient())
    return gradient


def no_gradient(where: str = "its input") -> str:
    """Return the message for a model whose output does not depend differentiably on `where`."""
    return (
        f"The model's output has no gradient by {where}. It must return logits that depend on it "
        "differentiably: no argmax, no detach(), no no_grad() on the way."
    )


def has_direction(gradient: Tensor) -> Tensor:
    """Return for which examples a gradient `(N, *S)` is finite and not zero: bool `(N,)`."""
    flat = gradient.flatten(1)
    if not flat.shape[1]:
        return torch.zeros(len(flat), dtype=torch.bool, device=flat.device)
    largest = flat.abs().amax(1)  # NaN where there is one; a tenth of the time of `isfinite`
    return (largest > 0) & (largest < math.inf)


def row_lengths(gradient: Tensor) -> Tensor:
    """Return the L2 length of each row of a gradient `(N, *S)`, as its squares give it: `(N,)`."""
    lengths: Tensor = torch.linalg.vector_norm(gradient.flatten(1), dim=1)
    return lengths


def _step_l2(x: Tensor, gradient: Tensor, size: float, lengths: Tensor) -> Tensor:
    """Return a step of a size along the gradient's direction in L2, in one pass over the gradient.

    Examples whose gradient is zero, tiny or not finite are looked for and made again; on an
    accelerator the search would make the host wait.
    """
    factors = size / lengths
    moved = torch.addcmul(x, gradient, per_row(factors, x))
    # In half precision the factor of a short gradient overflows.
    odd = ~((lengths > _SAFE_LENGTH) & (lengths < math.inf) & (factors.abs() < math.inf))
    if bool(odd.any()):
        moved[odd] = x[odd] + descent_direction(gradient[odd], 2) * -size
    return moved


def _step_inf(x: Tensor, gradient: Tensor, size: float, lengths: Tensor) -> Tensor:
    """Return a step of a size along the gradient's direction in Linf: signs need no scaling."""
    moved = torch.add(x, gradient.sign(), alpha=size)
    if not math.isfinite(float(lengths.sum())):  # or a square overflows
        odd = ~gradient.flatten(1).isfinite().all(1)
        moved[odd] = x[odd]
    return moved


def descent_direction(gradient: Tensor, norm: float) -> Tensor:
    """Return each example's unit vector of steepest descent in `norm`; zero where there is none.

    Gradients are scaled by their largest entry first: those too small to be squared still have a
    direction.
    """
    flat = gradient.flatten(1)
    largest = flat.abs().amax(1, keepdim=True)
    usable = (largest > 0) & largest.isfinite()
    scaled = flat / torch.where(usable, largest, 1.0)
    if norm == 2:
        scaled = scaled / scaled.norm(dim=1, keepdim=True).clamp(min=1.0)
    else:
        scaled = scaled.sign()
    return torch.where(usable, -scaled, 0.0).view_as(gradient)


def project(perturbation: Tensor, eps: float, norm: float) -> Tensor:
    """Return the nearest perturbation `(N, *S)` of length at most `eps` in `norm`."""
    if norm == math.inf:
        return perturbation.clamp(-eps, eps)
    lengths = perturbation.flatten(1).norm(dim=1).clamp(min=eps)
    return perturbation * per_row(eps / lengths, perturbation)


def random_in_ball(x: Tensor, eps: float, norm: float, generator: torch.Generator) -> Tensor:
    """Return perturbations like `x`, `(N, *S)`, uniform in the ball of radius `eps`."""
    shape = x.flatten(1).shape
    if norm == math.inf:
        flat = (torch.rand(shape, generator=generator) * 2 - 1) * eps
    else:
        direction = torch.randn(shape, generator=generator)
        radius = torch.rand(shape[0], 1, generator=generator) ** (1 / shape[1])
        flat = direction / direction.norm(dim=1, keepdim=True) * radius * eps
    return flat.view(x.shape).to(x)
