"""Batches kept for several steps, whose perturbation follows the step's own gradient."""

from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from lit_intriguing.attacks import GradientAttack
from lit_intriguing.attacks.gradient import descent_direction, project
from lit_intriguing.hosts.arrays import ArraysWithoutGradient
from lit_intriguing.hosts.training_step import Step
from lit_intriguing.pools.fresh_batches import FreshBatches
from lit_intriguing.pools.generation import Batch, Examples
from lit_intriguing.pools.kept_gradients import KeptGradients
from lit_intriguing.schemes import Scheme
from lit_intriguing.schemes.free import Free
from lit_intriguing.splice import INPUT
from lit_intriguing.types import UNBOUNDED

_BATCH, _PERTURBATION = "batch", "perturbation"


class FreeBatches(FreshBatches):
    """Trains by the scheme `Free`; arguments as for `FreshBatches`.

    What goes on to the next step is in `pools.carried`: the batch and the perturbation.
    """

    _kept: KeptGradients | None = None

    @override
    def before_optimizer_step(self) -> None:
        """Keep no more gradients of this step: the weights are about to change."""
        if self._kept is not None:
            self._kept.close()

    @override
    def end_step(self, backward: bool) -> None:
        """Move the perturbation along the gradient that the step left."""
        if self._kept is not None and INPUT in self._kept.gradients:
            self._move(self._kept.clean[INPUT], self._kept.gradients[INPUT])
        self._kept = None
        super().end_step(backward)

    @override
    def _batch_for(self, host_batch: Any) -> Any:
        assert isinstance(self.scheme, Free)
        carried, replays = self.pools.carried, self.scheme.replays
        epoch, number = self.trainer.current_epoch, self.trainer.fit_loop.batch_idx
        if _BATCH not in carried or number % replays == epoch % replays:
            carried[_BATCH] = host_batch
        return carried[_BATCH]

    @override
    def _make(self, batch: Batch, host_batch: Any, others: tuple[Any, ...]) -> Tensor:
        bounds = self.pools.layers[INPUT].bounds or UNBOUNDED
        examples = bounds.clamp(batch.x + self._perturbation(batch.x))
        made = Examples(batch.x, examples, None, None)
        self.measures.examples(self.examiner.spliced, batch.x, {INPUT: made})
        self._kept = KeptGradients([INPUT], len(examples))
        self._kept.clean[INPUT] = examples
        # A step may change its inputs in place, but no leaf.
        return self._kept.watched(examples).clone()

    @override
    def _run_in_place(self, now: Any, inner: Step) -> Any:
        with ArraysWithoutGradient() if self.examiner.arrays else nullcontext():
            return super()._run_in_place(now, inner)

    def _perturbation(self, x: Tensor) -> Tensor:
        """Return the perturbation that goes on, for inputs `(N, *S)`; zero where there is none."""
        last = self.pools.carried.get(_PERTURBATION)
        if last is None or last.shape[1:] != x.shape[1:]:
            return torch.zeros_like(x)
        missing = len(x) - len(last)
        return last[: len(x)] if missing <= 0 else torch.cat([last, torch.zeros_like(x[-missing:])])

    def _move(self, examples: Tensor, gradient: Tensor) -> None:
        """Take one step, the authors' `noise += step * sign(gradient)`, and project it.

        Where the bounds cut the perturbation off, its gradient is zero.
        """
        assert self._now is not None
        plan, x = self.pools.layers[INPUT], self._now.batch.x
        assert isinstance(plan.attack, GradientAttack)
        attack, before = plan.attack, self._perturbation(x)
        inside = examples == x + before
        along = torch.where(inside, gradient.to(x.dtype), 0.0)
        step = descent_direction(-along, attack.norm) * attack.step_size
        moved = project(before + step, attack.eps, attack.norm)
        last = self.pools.carried.get(_PERTURBATION)
        rest = x.new_zeros((0, *x.shape[1:])) if last is None else last[len(x) :]
        same = rest.shape[1:] == x.shape[1:]
        self.pools.carried[_PERTURBATION] = torch.cat([moved, rest]) if same else moved


def way_of(scheme: Scheme) -> type[FreshBatches]:
    """Return what trains by a scheme."""
    return FreeBatches if isinstance(scheme, Free) else FreshBatches
