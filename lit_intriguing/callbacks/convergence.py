"""The end of a full-batch training when it has converged, with the reason."""

import math
from collections import deque
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor
from torch.optim import Optimizer

from lit_intriguing.argument_types import checked_arguments
from lit_intriguing.errors import UserError
from lit_intriguing.hosts.checkpoint_file import check_checkpoint
from lit_intriguing.hosts.precision import unscaled


@checked_arguments
class Convergence(Callback):
    """A stop when the loss hardly falls any more, its gradient vanishes, or evaluations run out.

    For an optimiser that calls its closure many times a step, such as `torch.optim.LBFGS` with
    `line_search_fn="strong_wolfe"`: each call is one evaluation of loss and gradient, and counts.
    The lowest loss so far is compared, since a line search tries points that it rejects. The run
    ends after the step in which a condition was met, so it may make a few more evaluations than
    asked for, at most those of one step.

    Logs after each step `convergence/loss` and `convergence/gradient` (largest absolute element) at
    the lowest point so far, and `convergence/evaluations`. Prints one line at the end, which is
    also in `outcome`; warns if the run ended before (`max_epochs`, `max_time`). A resumed run
    continues as the uninterrupted one would.

    Args:
        decrease: Relative decrease of the lowest loss over `window` evaluations, below which
            training has converged.
        window: Number of evaluations.
        evaluations: Largest number of evaluations in the whole run.
        gradient: Largest absolute element of the gradient at the lowest point, at or below which
            training has converged; 0 to use the other conditions only.

    Raises:
        ValueError: For a number out of range.
        UserError: When training starts, for several processes, several optimisers or steps that see
            only a part of the data; in training, for a loss that is not finite.
    """

    def __init__(
        self,
        decrease: float = 1e-5,
        window: int = 50,
        evaluations: int = 1500,
        gradient: float = 0.0,
    ) -> None:
        super().__init__()
        if not 0 <= decrease < 1:
            raise ValueError(f"Convergence: decrease is a share from 0 to below 1, not {decrease}.")
        if window < 1 or evaluations < 1:
            raise ValueError(
                f"Convergence: window and evaluations are at least 1, not {window}, {evaluations}."
            )
        if not 0 <= gradient < math.inf:
            raise ValueError(f"Convergence: gradient must not be negative, nor {gradient}.")
        self.decrease, self.window = decrease, window
        self.evaluations, self.gradient = evaluations, gradient
        self.outcome: str | None = None
        self._count = 0
        self._lowest, self._slope = math.inf, math.inf
        self._recent: deque[float] = deque(maxlen=window + 1)
        self._loss = math.inf
        self._begins = True

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Have a damaged checkpoint refused when it is read; see `check_checkpoint`."""
        check_checkpoint(trainer)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Refuse what a line search would go wrong on."""
        # Each process would search along the loss of its own examples and end with its own weights.
        if trainer.world_size > 1:
            raise UserError(
                f"full-batch training runs in one process, not in {trainer.world_size}: "
                "set the trainer's devices to 1"
            )
        if len(trainer.optimizers) > 1:
            raise UserError(
                f"Convergence follows one loss, and {len(trainer.optimizers)} optimisers may have "
                "one each: leave it out, or train with one optimiser"
            )
        batches = trainer.num_training_batches
        if batches != 1 or trainer.accumulate_grad_batches != 1:
            known = math.isfinite(batches)
            count = batches if known else "an unknown number of"
            limit = "" if known else ", and the trainer's limit_train_batches to 1"
            raise UserError(
                f"full-batch training takes all examples in each step, but an epoch has {count} "
                f"batches (accumulate_grad_batches {trainer.accumulate_grad_batches}): set the "
                f"data's batch_size to the number of training examples or more{limit}"
            )

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Note that the next evaluation is the first of a step, at the last accepted point."""
        self._begins = True

    def on_before_backward(
        self, trainer: Trainer, pl_module: LightningModule, loss: Tensor
    ) -> None:
        """Record the loss of an evaluation."""
        self._loss = float(unscaled(trainer, loss.detach()))
        if self._begins and not math.isfinite(self._loss):
            raise UserError(
                f"the loss is {self._loss} after {self._count} evaluations: check the data for "
                "values that are not finite, or take smaller initial weights"
            )
        self._begins = False

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        """Count an evaluation, its gradient being there; Lightning calls this in each closure."""
        self._count += 1
        if self._loss < self._lowest:
            self._lowest, self._slope = self._loss, largest_gradient(optimizer)
        self._recent.append(self._lowest)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Log, and ask to stop where a condition holds."""
        values = {"loss": self._lowest, "evaluations": float(self._count)}
        pl_module.log_dict({f"convergence/{k}": v for k, v in values.items()}, prog_bar=True)
        pl_module.log("convergence/gradient", self._slope)
        self.outcome = self._find_outcome()
        if self.outcome is not None:
            trainer.should_stop = True

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print how the training ended."""
        if self.outcome is not None:
            trainer.print(self.outcome)
        elif self._count:
            rank_zero_warn(
                f"Training ended after {self._count} evaluations, before it converged: the "
                f"loss is {self._lowest:.6g}, {self._fall()}. Raise max_epochs, or resume from "
                "the checkpoint."
            )

    def state_dict(self) -> dict[str, Any]:
        """Return what has been counted."""
        return {
            "count": self._count,
            "lowest": self._lowest,
            "slope": self._slope,
            "recent": list(self._recent),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue the counts of a checkpoint."""
        self._count = state_dict["count"]
        self._lowest, self._slope = state_dict["lowest"], state_dict["slope"]
        self._recent = deque(state_dict["recent"], maxlen=self.window + 1)

    def _find_outcome(self) -> str | None:
        at = f"after {self._count} evaluations, loss {self._lowest:.6g}"
        if self._slope <= self.gradient:
            return f"converged {at}: largest element of the gradient {self._slope:.3g}"
        if len(self._recent) > self.window and self._relative() < self.decrease:
            return f"converged {at}: {self._fall()}"
        if self._count >= self.evaluations:
            return f"stopped {at}, at most {self.evaluations} were asked for: {self._fall()}"
        return None

    def _relative(self) -> float:
        first, last = self._recent[0], self._recent[-1]
        return (first - last) / abs(first) if first else 0.0

    def _fall(self) -> str:
        return f"it fell by {self._relative():.2g} of itself in the last {len(self._recent) - 1}"


def largest_gradient(optimizer: Optimizer) -> float:
    """Return the largest absolute element of the optimiser's gradients; 0 without any."""
    gradients = [p.grad for group in optimizer.param_groups for p in group["params"]]
    sizes = [g.detach().abs().max() for g in gradients if g is not None and g.numel()]
    return float(torch.stack(sizes).max()) if sizes else 0.0
