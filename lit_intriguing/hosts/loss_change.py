"""How much a perturbation of a given length changes a host's own loss."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from lit_intriguing.attacks import Attack, GradientAttack, HostLoss
from lit_intriguing.attacks.gradient import NoGradientError
from lit_intriguing.errors import UserError
from lit_intriguing.hosts.pixels import PixelWatch, flipped
from lit_intriguing.hosts.rows_loss import RowsLoss
from lit_intriguing.types import Bounds, Perturbation, distortion

STEPS = 10
"""Gradient steps of the attack where none is given."""

SHARE = 0.1
"""Length of its perturbations in the maximum norm, over the standard deviation of the examples."""


@dataclass(frozen=True)
class Pixels:
    """What a segmentation says of N examples.

    Attributes:
        labels: `(N, H, W)`.
        before: Predicted classes of the clean examples, int64 `(N, H, W)`.
        after: Of the adversarial ones.
    """

    labels: Tensor
    before: Tensor
    after: Tensor

    def flipped(self) -> Tensor:
        """Return the share of pixels whose prediction flips, `(N,)`."""
        return flipped(self.before, self.after)


@dataclass(frozen=True)
class LossChange:
    """Adversarial examples of rows without class labels; all detached.

    Attributes:
        clean: What was attacked, `(M, *S)`: the inputs or a layer's output.
        adversarial: The same, perturbed.
        loss_clean: The host's loss of each row alone, `(N,)`, or `(1,)`, of all rows together,
            where a row alone has none.
        loss: The same with the adversarial examples.
        queries: Gradient evaluations spent, `(M,)`.
        info: What else the attack says of each example.
        pixels: Predictions of a segmentation; None for other hosts.
    """

    clean: Tensor
    adversarial: Tensor
    loss_clean: Tensor
    loss: Tensor
    queries: Tensor
    info: Mapping[str, Tensor]
    pixels: Pixels | None = None

    @property
    def distortion(self) -> Tensor:
        """Root mean square change of each example, `(M,)`."""
        return distortion(self.clean, self.adversarial)

    def scalars(self) -> dict[str, float]:
        """Return means over the examples: loss before and after, distortion, flipped pixels."""
        means = {"loss_clean": self.loss_clean, "loss": self.loss, "distortion": self.distortion}
        if self.pixels is not None:
            means["flipped"] = self.pixels.flipped()
        return {name: float(values.double().mean()) for name, values in means.items()}

    def columns(self) -> dict[str, Tensor]:
        """Return all tensors by name, on the CPU."""
        own = {
            "clean": self.clean,
            "adversarial": self.adversarial,
            "loss_clean": self.loss_clean,
            "loss": self.loss,
            "distortion": self.distortion,
            "queries": self.queries,
        }
        if self.pixels is not None:
            own |= {
                "flipped": self.pixels.flipped(),
                "labels": self.pixels.labels,
                "predictions": self.pixels.before,
                "adversarial_predictions": self.pixels.after,
            }
        return {name: value.detach().cpu() for name, value in {**self.info, **own}.items()}


def usual_attack(clean: Tensor) -> GradientAttack:
    """Return the attack that is used where none is given.

    Ten steps in the maximum norm, `eps` a tenth of the standard deviation of what is attacked,
    `(M, *S)`.
    """
    spread = float(clean.double().std()) if clean.numel() > 1 else 0.0
    return GradientAttack(SHARE * spread if 0 < spread < math.inf else SHARE, math.inf, STEPS)


def ascend(
    loss: RowsLoss, clean: Tensor, attack: Attack, bounds: Bounds, generator: torch.Generator
) -> Perturbation:
    """Return the perturbation that an attack finds for what is attacked, `clean`, `(M, *S)`.

    Args:
        loss: Of the host, entered.
        clean: What is attacked, `loss.clean()`.
        attack: Ascends the loss.
        bounds: The box of what is attacked.
        generator: Of the attack, on the CPU.

    Raises:
        NoBorderError: If the attack searches for a border.
        ValueError: If the clean tensor leaves the bounds.
        UserError: If the loss has no gradient by it.
    """
    criterion = HostLoss()(torch.zeros(len(clean), dtype=torch.int64), clean, generator)
    try:
        return attack(loss.column, clean, criterion, bounds=bounds, generator=generator)
    except NoGradientError as error:
        raise UserError(loss.no_gradient()) from error


def change_of_loss(
    loss: RowsLoss,
    clean: Tensor,
    attack: Attack,
    bounds: Bounds,
    generator: torch.Generator,
    watch: PixelWatch | None = None,
    by_row: bool = True,
) -> LossChange:
    """Attack the rows and compare the losses; arguments and errors as for `ascend`.

    Args:
        loss: As there.
        clean: As there.
        attack: As there.
        bounds: As there.
        generator: As there.
        watch: Looks at the predictions of a segmentation, entered.
        by_row: Whether to compute the loss of each row alone.
    """
    made = ascend(loss, clean, attack, bounds, generator)
    adversarial, queries = made.adversarial, made.queries
    before, first = _together(loss, clean, watch)
    after, second = _together(loss, adversarial, watch)
    alone = (loss.alone(clean), loss.alone(adversarial)) if by_row else (None, None)
    if alone[0] is not None and alone[1] is not None:
        # A row alone may have a loss that says nothing, as where rows are contrasted.
        tells = not torch.equal(alone[0], alone[1]) or torch.equal(before, after)
        before, after = (alone[0], alone[1]) if tells else (before, after)
    pixels = None
    if watch is not None and first is not None and second is not None:
        pixels = Pixels(watch.labels, first, second)
    info = {name: one for name, one in made.info.items() if one.shape[:1] == queries.shape}
    return LossChange(clean, adversarial, before, after, queries, info, pixels)


def _together(loss: RowsLoss, x: Tensor, watch: PixelWatch | None) -> tuple[Tensor, Tensor | None]:
    if watch is not None:
        watch.begin()
    with torch.no_grad():
        found = loss.of(x).reshape(1)
    return found, None if watch is None else watch.predictions()
