"""The sealed call around every attack's search."""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, final

import torch
from torch import Tensor

from lit_intriguing.attacks.arguments import (
    BoundsLike,
    as_bounds,
    check_criterion,
    check_examples,
    check_inside,
)
from lit_intriguing.attacks.criteria import Criterion
from lit_intriguing.attacks.sealed_model import (
    Model,
    SealedModel,
    logits_of,
    warn_of_training_mode,
)
from lit_intriguing.attacks.watch import Watch
from lit_intriguing.autograd import grad_island, ordinary
from lit_intriguing.errors import UserError
from lit_intriguing.types import Bounds, Perturbation


@dataclass(frozen=True)
class Found:
    """What a search proposes: examples `(N, *S)`, gradient evaluations `(N,)`, and more."""

    adversarial: Tensor
    queries: Tensor
    info: Mapping[str, Tensor] = field(default_factory=dict)


class NoBorderError(UserError, ValueError):
    """An attack that searches for a border is given a goal without one."""


class Attack(ABC):
    """A search for a perturbation of any tensor that feeds a differentiable function to logits.

    The tensor may be an image or the activation of a hidden layer. A subclass proposes
    (`search`); the call clamps the proposal to the bounds and verifies success on exactly
    what it returns.

    Attributes:
        batch_size: Examples that go through the model at a time; None: all.
        columns: What else the search returns of each example: names and dtypes, for empty batches.
        needs_border: Whether it searches for the border at which a criterion is met. Only attacks
            that do not can ascend a loss without one, the goal `HostLoss`.
    """

    batch_size: int | None = None
    needs_border: ClassVar[bool] = True
    columns: ClassVar[Mapping[str, torch.dtype]] = {}

    def __repr__(self) -> str:
        parameters = list(inspect.signature(type(self).__init__).parameters.values())[1:]
        parts = [
            f"{parameter.name}={_short(getattr(self, parameter.name))}"
            for parameter in parameters
            if hasattr(self, parameter.name)
            and not _same(getattr(self, parameter.name), self._default(parameter))
        ]
        return f"{type(self).__name__}({', '.join(parts)})"

    def _default(self, parameter: inspect.Parameter) -> object:
        """Return what an option is where it is left out; for `repr`, which leaves it out then.

        A subclass that puts something else in the place of None says so here.
        """
        return parameter.default

    @final
    def __call__(
        self,
        model: Model,
        x: Tensor,
        criterion: Criterion,
        *,
        bounds: BoundsLike | None = None,
        generator: torch.Generator | None = None,
        watch: Watch | None = None,
    ) -> Perturbation:
        """Attack a batch; examples are independent of each other.

        Args:
            model: Maps a tensor like `x` to logits `(N, C)`, C at least 2. Put it in evaluation
                mode first. It may edit what it gets, which are copies.
            x: Examples of shape `(N, *S)`; N may be 0. An example with a NaN fails by itself.
            criterion: What counts as success, for N examples.
            bounds: The box to stay in, or its two limits; the default is [0, 1], for pixels.
            generator: Source of randomness, on the CPU; the default is seeded with 0.
            watch: Takes down loss, distortion and success of a few examples on the way; what is
                found is bit for bit the same.

        Returns:
            The perturbation, detached. Where the search gave a non-finite result, it is the
            clean example, without success.

        Raises:
            ValueError: If the criterion has another number of examples or labels that the model
                does not have, `x` leaves the bounds or is not floating point, or the model returns
                no logits `(N, C)`.
            NoBorderError: If it needs a border and the criterion has none.
            TrainingModeWarning: If dropout or BatchNorm of the model act as in training.
        """
        bounds = as_bounds(bounds)
        check_examples(x)
        check_criterion(criterion, len(x))
        if not criterion.has_border:
            self.check_needs_no_border()
        if watch is not None:
            watch.begin(ordinary(x), criterion)
        if len(x) == 0:
            none = torch.zeros(0, device=x.device)
            info = {name: none.to(dtype) for name, dtype in self.columns.items()}
            return Perturbation(x.detach(), x.detach(), none.bool(), none.long(), info)
        check_inside(x, bounds)
        warn_of_training_mode(model)
        model = SealedModel(model, criterion, watch)
        with grad_island():
            clean = ordinary(x)
            found = self.search(
                model,
                clean,
                criterion,
                bounds=bounds,
                generator=generator or torch.Generator().manual_seed(0),
            )
            adversarial = bounds.clamp(found.adversarial.detach())
            broken = ~adversarial.flatten(1).isfinite().all(1)
            adversarial = torch.where(per_row(broken, clean), clean, adversarial)
            success = self._verify(model, adversarial, criterion) & ~broken
        return Perturbation(clean, adversarial, success, found.queries, dict(found.info))

    @property
    def ball_norm(self) -> float | None:
        """The norm of the ball in which it searches, such as 2 or infinity; `at` sets its radius.

        None for an attack that searches for the nearest example, or has no such radius.
        """
        return None

    def at(self, radius: float, bounds: Bounds) -> "Attack":
        """Return the same attack with another radius of its ball.

        Args:
            radius: In `ball_norm`, in the units of what is attacked.
            bounds: The box of what will be attacked.

        Raises:
            ValueError: If it has no ball, or cannot count in these units.
        """
        raise ValueError(f"{type(self).__name__} searches in no ball, so it has no radius.")

    def check_needs_no_border(self) -> None:
        """Refuse a goal that has no border, such as `HostLoss`, if the attack needs one.

        Raises:
            NoBorderError: With what to use.
        """
        if self.needs_border:
            raise NoBorderError(
                f"{type(self).__name__} searches for the border at which a prediction changes, and "
                "the host's loss has none: use GradientAttack, with several steps for a stronger "
                "one."
            )

    def _verify(self, model: Model, x: Tensor, criterion: Criterion) -> Tensor:
        """Return which examples meet the criterion, block by block: bool `(N,)`."""
        if not criterion.has_border:
            return torch.zeros(len(x), dtype=torch.bool, device=x.device)
        if self.batch_size is None or len(x) <= self.batch_size:
            with torch.no_grad():
                return criterion.met(model(x))
        indices = torch.arange(len(x), device=x.device)
        with torch.no_grad():
            blocks = [
                criterion.select(block).met(logits_of(model, x[block], block))
                for block in torch.split(indices, self.batch_size)
            ]
        return torch.cat(blocks)

    @abstractmethod
    def search(
        self,
        model: Model,
        x: Tensor,
        criterion: Criterion,
        *,
        bounds: Bounds,
        generator: torch.Generator,
    ) -> Found:
        """Propose adversarial examples; arguments as in the call, N at least 1."""


def per_row(values: Tensor, like: Tensor) -> Tensor:
    """Return `values`, shape `(N,)`, in a shape that broadcasts over `like`, `(N, *S)`."""
    return values.view(-1, *(1,) * (like.ndim - 1))


def _short(value: object) -> str:
    """Return an option in a few words."""
    if hasattr(value, "__qualname__"):  # a class or a function
        return str(value.__qualname__)
    if isinstance(value, Tensor):
        return f"<{value.dtype} of shape {tuple(value.shape)}>"
    text = repr(value)
    return f"<{type(value).__name__}>" if " at 0x" in text else text


def _same(value: object, default: object) -> bool:
    try:
        return bool(value == default)
    except (RuntimeError, ValueError):  # a tensor or an array of several elements
        return False
