"""Weights perturbed against the loss in each step, for any LightningModule."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn
from typing_extensions import override

from lit_intriguing.argument_types import checked_arguments
from lit_intriguing.checks import check_whole
from lit_intriguing.errors import UserError
from lit_intriguing.hosts.aside import Aside
from lit_intriguing.hosts.step_loss import gradients_of, loss_of
from lit_intriguing.hosts.training_step import AroundTrainingStep, Step, logs_now
from lit_intriguing.private.of_lightning import (
    callbacks_of,
    replace_strategy_step,
    restore_strategy_step,
    skips_backward,
)
from lit_intriguing.private.of_torch import is_fully_sharded
from lit_intriguing.splice import is_scripted

_TINY = 1e-20
"""Below which a gradient has no direction; the authors' constant."""


@checked_arguments
class AdversarialWeightPerturbation(AroundTrainingStep):
    """Gradients at weights that were moved against the loss (AWP, Wu et al. 2020, eq. 7 to 11).

    In each step the loss of the batch is computed aside, each weight w moves by
    `gamma * ||w|| * g / ||g||` along its gradient g, the step computes its loss and gradient there,
    and after the backward pass the weights are bit for bit what they were. The optimiser then steps
    from these. Weights of two dimensions or more move, biases and those of normalisation do not.

    It perturbs whatever is trained on: the host's batches, or with `AdversarialTraining` in the
    same run, wherever it stands in the list, its examples and its scheme. These are made at the
    weights as they are. Under gradient accumulation each batch perturbs for itself, and under
    several processes each one for its own part of the batch.

    A step takes one forward and backward pass more. The first pass leaves nothing behind: buffers,
    random states and attributes are as before.

    Logs `weight_perturbation/gain`, by how much the loss of the step's batch is larger at the
    perturbed weights, about once in `trainer.log_every_n_steps` steps. Random numbers inside, as
    dropout's, are part of it.

    Args:
        gamma: Length of the perturbation, as a part of each weight's norm; the authors take 0.005
            to 0.01.
        start_step: Optimiser steps before which nothing is perturbed (the authors' warmup).

    Raises:
        ValueError: For a number out of range.
        UserError: When training starts, for manual optimisation, weights that are sharded, or two
            of these callbacks.
    """

    def __init__(self, gamma: float = 0.005, start_step: int = 0) -> None:
        super().__init__()
        if not 0 < gamma < float("inf"):
            raise ValueError(
                f"AdversarialWeightPerturbation: gamma must be positive and finite, not {gamma}."
            )
        check_whole("AdversarialWeightPerturbation", 0, start_step=start_step)
        self.gamma, self.start_step = float(gamma), start_step
        self._aside: Aside | None = None
        self._originals: list[tuple[Tensor, Tensor]] = []
        self._gain: Tensor | None = None

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Wrap the strategy's training step and its backward.

        After all that was wrapped in `setup`, so that the whole step is inside.

        Raises:
            UserError: For manual optimisation, weights that are sharded, or two of these callbacks.
        """
        if not pl_module.automatic_optimization:
            raise UserError(
                "AdversarialWeightPerturbation computes the loss of a step twice, which manual "
                "optimisation does not allow: use automatic optimisation, or leave it out."
            )
        if is_scripted(pl_module) or any(map(is_fully_sharded, pl_module.modules())):
            raise UserError(
                "AdversarialWeightPerturbation needs the whole weights, in Python: use the "
                "strategy 'auto' or 'ddp' and no scripted modules, or leave it out."
            )
        if sum(isinstance(one, type(self)) for one in callbacks_of(trainer)) > 1:
            raise UserError("There are two AdversarialWeightPerturbation callbacks: leave one out.")
        self._aside = Aside(pl_module)
        self.wrap(trainer, pl_module)
        backward = trainer.strategy.backward

        def and_restore(*args: Any, **kwargs: Any) -> Any:
            try:
                return backward(*args, **kwargs)
            finally:
                self._restore()

        # Not in a hook alone: the finders of Lightning call no other callbacks.
        replace_strategy_step(trainer, "backward", and_restore)

    @override
    def around_step(
        self, trainer: Trainer, pl_module: LightningModule, inner: Step, *args: Any, **kwargs: Any
    ) -> Any:
        self._restore()
        if skips_backward(trainer) or trainer.global_step < self.start_step:
            return inner(*args, **kwargs)
        before = self._perturb(trainer, pl_module, inner, *args, **kwargs)
        try:
            output = inner(*args, **kwargs)
        except BaseException:
            self._restore()
            raise
        loss = loss_of(output)
        if loss is None:
            self._restore()  # Lightning goes no further with this batch
        elif before is not None:
            self._gain = loss.detach() - before.to(loss.device)
        return output

    def on_after_backward(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restore the weights, before the module's own hook looks at them."""
        self._restore()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Log."""
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
        if self._gain is not None and logs_now(trainer):
            pl_module.log("weight_perturbation/gain", self._gain)

    @override
    def remove_hooks(self) -> None:
        self._restore()
        self._aside = self._gain = None

    @override
    def _unwrap(self, trainer: Trainer) -> None:
        super()._unwrap(trainer)
        restore_strategy_step(trainer, "backward")

    def _perturb(
        self, trainer: Trainer, pl_module: LightningModule, inner: Step, *args: Any, **kwargs: Any
    ) -> Tensor | None:
        """Move the weights against the loss of a batch, `()`, which is returned."""
        assert self._aside is not None
        weights = _moving(pl_module)
        seed = _seed_of_global_state() ^ trainer.global_step
        with self._aside.entered(seed), _no_sync(trainer), torch.enable_grad():
            loss = loss_of(inner(*args, **kwargs))
            if loss is None:
                return None
            scaler = getattr(trainer.precision_plugin, "scaler", None)
            # Its length does not matter, but in half precision a small gradient would vanish.
            scaled = loss if scaler is None else scaler.scale(loss)
            gradients = gradients_of(scaled, weights)
        for weight, gradient in zip(weights, gradients, strict=True):
            if gradient is not None:
                self._originals.append((weight, weight.detach().clone()))
                _move(weight, gradient, self.gamma)
        return loss.detach()

    def _restore(self) -> None:
        originals, self._originals = self._originals, []
        for weight, original in originals:
            # The same storage: others hold views of it.
            weight.data.copy_(original)


def _moving(module: nn.Module) -> list[Tensor]:
    """Return the weights that move, each once."""
    return [one for one in module.parameters() if one.requires_grad and one.ndim > 1]


def _move(weight: Tensor, gradient: Tensor, gamma: float) -> None:
    """Add `gamma * ||w|| * g / ||g||` to a weight; nothing where the gradient has no direction."""
    gradient = gradient.float() if gradient.dtype in (torch.float16, torch.bfloat16) else gradient
    length = torch.linalg.vector_norm(gradient)
    whole = torch.linalg.vector_norm(weight.detach().to(gradient.dtype))
    change = gradient * (gamma * whole / (length + _TINY))
    usable = length.isfinite() & (length > 0)
    weight.data.add_(torch.where(usable, change, 0.0).to(weight.dtype))


def _no_sync(trainer: Trainer) -> AbstractContextManager[Any]:
    """Return what keeps processes from waiting for gradients that are not trained on."""
    block = getattr(trainer.strategy, "block_backward_sync", None)
    several: AbstractContextManager[Any] = nullcontext() if block is None else block()
    return several


def _seed_of_global_state() -> int:
    """Return a number that follows from torch's random state, which stays as it is."""
    with torch.random.fork_rng(devices=[]):
        return int(torch.randint(2**31, ()))
