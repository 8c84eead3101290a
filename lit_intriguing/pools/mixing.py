"""One run's examples, on their way from a host's batch into its training step."""

from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from lit_intriguing.hosts.arrays import ArraysWithoutGradient
from lit_intriguing.hosts.step_loss import StepLoss, loss_of
from lit_intriguing.hosts.training_step import Step
from lit_intriguing.pools.agreement import known_anywhere
from lit_intriguing.pools.by_hand import Advised
from lit_intriguing.pools.choice import MixingOptions
from lit_intriguing.pools.examiner import Examiner
from lit_intriguing.pools.forwards import LayerCalls
from lit_intriguing.pools.generation import Batch
from lit_intriguing.pools.joining import Joined, PoolExamples, count_of, refuse_recomputing
from lit_intriguing.pools.kept_gradients import KeptGradients
from lit_intriguing.pools.labels import MeanCrossEntropy
from lit_intriguing.pools.layer_pools import LayerPools
from lit_intriguing.pools.makers import Makers
from lit_intriguing.pools.measures import Measures
from lit_intriguing.pools.processes import Shares
from lit_intriguing.pools.second_call import (
    OwnForward,
    SecondCall,
    drawn_seed,
    patched_step,
    weighted_mean,
)
from lit_intriguing.splice import check_met


@dataclass
class _Now:
    """The present step.

    Attributes:
        host_batch: Its batch as the host gets it without us.
        others: What else the step takes.
        handed: The batch as it is handed to the step.
        seen: What of the batch meets the layers' hooks.
        kept: The gradients that are kept, if any.
        met: The layers called so far.
        joined: The examples with the batch before them, or alone for a forward pass of their own.
        drawn: The examples for calls of the step of their own.
        shares: This process's, of these.
        called: The layers for which some process makes such a call, in order.
        seed: Of these calls.
    """

    host_batch: Any
    others: tuple[Any, ...]
    handed: Any
    seen: Joined
    kept: KeptGradients | None
    met: set[str]
    joined: Joined | None = None
    drawn: dict[str, PoolExamples] = field(default_factory=dict)
    shares: Shares = field(default_factory=Shares)
    called: list[str] = field(default_factory=list)
    seed: int = 0


class Mixing:
    """Makes examples and lets them join the training steps of one host.

    Args:
        trainer: The run's.
        pl_module: The host.
        pools: The layers' pools.
        measures: What is measured of them.
        options: What the user says of the host.
    """

    def __init__(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        pools: LayerPools,
        measures: Measures,
        options: MixingOptions,
    ) -> None:
        self.trainer, self.pl_module = trainer, pl_module
        self.pools, self.measures = pools, measures
        step = StepLoss(pl_module, trainer.precision_plugin)
        self.examiner = Examiner(trainer, pl_module, step, pools, options)
        self._splice = self.examiner.spliced.splice
        self.makers = Makers(trainer, pl_module, self.examiner, pools, measures)
        self._calls = LayerCalls(self.examiner.traced)
        self._second = SecondCall(step, self._splice, self.examiner.traced)
        self._own = OwnForward(self.examiner.spliced, options.loss or MeanCrossEntropy())
        self._hooks = ExitStack()
        self._advised = Advised(lambda: pl_module.automatic_optimization)
        self._now: _Now | None = None

    @property
    def in_step(self) -> bool:
        """Whether a step has begun and not ended."""
        return self._now is not None

    def prepare(self, host_batch: Any, others: tuple[Any, ...]) -> bool:
        """Make examples of a batch and draw those that join; return False where none can yet.

        Args:
            host_batch: As the host gets it.
            others: What else its step takes.

        Raises:
            UserError: For a batch, a host or a goal with which it cannot be done.
        """
        with self._advised:
            return self._prepare(host_batch, others)

    def _prepare(self, host_batch: Any, others: tuple[Any, ...]) -> bool:
        choice = self.examiner.choice_for(host_batch, others)
        if choice is None:
            return False
        self._calls.traced = self._second.traced = self.examiner.traced
        batch = self.examiner.rows(host_batch)
        self.pools.begin(batch)
        host = self.examiner.host_step(host_batch, others)
        kept = self.makers.make(batch, host, self.pools.due())
        watched = batch if kept is None else replace(batch, x=kept.watched(batch.x))
        seen = _alone(watched) if choice.keep_out else self.pools.join(watched)
        now = _Now(host_batch, others, host_batch, seen, kept, set())
        if not choice.keep_out:
            now.joined = seen
            self.examiner.start_weighting(seen)
        elif choice.own_forward:
            now.joined = self.pools.join(batch.first(0))
        else:
            now.drawn, now.seed = self.pools.draw(), drawn_seed(self.pools.generator)
            now.shares = self.pools.shares(now.drawn)
            now.called = known_anywhere(self.trainer, self.pools.active(), now.drawn)
        self._hook(now, choice.keep_out)
        if not choice.keep_out or now.seen.inputs is not batch.x:
            now.handed = self.examiner.replaced(host_batch, now.seen)
        self._now = now
        return True

    def run(self, inner: Step) -> Any:
        """Run the host's step with the examples and return what it returns."""
        now, choice = self._now, self.examiner.choice
        assert now is not None
        assert choice is not None
        if not choice.keep_out:
            with self._advised:
                return self._run_together(now, inner)
        if choice.own_forward:
            return self._run_own_forward(now, inner)
        host_step = self.pl_module.training_step

        def step(*args: Any, **kwargs: Any) -> Any:
            output = self._run_watched(now, host_step, *args, **kwargs)
            if loss_of(output) is None:
                return output
            with patched_step(self.pl_module, host_step):
                losses, zeros = self._second_losses(now)
            return weighted_mean(output, losses, self.pools.weights, now.shares, zeros)

        # Within the strategy's own call, so that it sees all that the loss depends on.
        with patched_step(self.pl_module, step):
            return inner(now.handed, *now.others)

    def before_optimizer_step(self) -> None:
        """Keep no more gradients of this step: the weights are about to change."""
        if self._now is not None and self._now.kept is not None:
            self._now.kept.close()

    def end_step(self, backward: bool) -> None:
        """End the step.

        Args:
            backward: Whether the host must have gone backward.

        Raises:
            LogitsError: If the examples could not be weighted.
            GenerationError: If no gradient leads to an attacked layer.
        """
        now, choice = self._now, self.examiner.choice
        self.drop_step()
        if now is None or choice is None:
            return
        if not choice.keep_out:
            with self._advised:
                self.examiner.weighted.finish(backward)
        if now.kept is not None:
            self.makers.end_keeping(now.kept, backward)

    def drop_step(self) -> None:
        """Remove the hooks of a step, also of one that failed."""
        self._hooks.close()
        self._now = None

    def remove(self) -> None:
        """Take all hooks off the host."""
        self.drop_step()
        self.examiner.remove()

    def _hook(self, now: _Now, keep_out: bool) -> None:
        refusing = refuse_recomputing(self.pools.active()) if keep_out else {}
        edits = dict(now.seen.edits)
        if now.kept is not None:
            within = {**{n: refusing[n] for n in now.kept.layers if n in refusing}, **edits}
            edits = now.kept.edits(within)
            now.seen = replace(now.seen, edits=edits)
        guarded = self.examiner.of_rows({**refusing, **self._calls.edits(now.seen)})
        # Until the step ends, not only its forward: activation checkpointing recomputes layers.
        now.met = self._hooks.enter_context(self._splice.edited(guarded, repeated=True))

    def _run_together(self, now: _Now, inner: Step) -> Any:
        assert now.joined is not None
        weighted = self.examiner.weighted
        weighted.restart()
        output = self._run_watched(now, inner, now.handed, *now.others)
        by_hand = not self.pl_module.automatic_optimization
        # A step that returns nothing may have skipped the batch.
        if output is not None or (by_hand and weighted.outputs):
            check_met(now.joined.groups, now.met)
        if weighted.logits is not None:
            self.measures.logits(now.joined, weighted.logits)
        return output

    def _run_own_forward(self, now: _Now, inner: Step) -> Any:
        assert now.joined is not None
        output = self._run_watched(now, inner, now.handed, *now.others)
        if loss_of(output) is None:
            return output
        with self.trainer.precision_plugin.forward_context():
            losses, logits = self._own.losses(now.joined)
            self.measures.logits(now.joined, logits)
            return weighted_mean(output, losses, self.pools.weights, now.joined.shares)

    def _run_watched(self, now: _Now, step: Step, *args: Any, **kwargs: Any) -> Any:
        arrays = ArraysWithoutGradient() if self.examiner.arrays else nullcontext()
        with arrays, self._calls.forward(now.seen):
            return step(*args, **kwargs)

    def _second_losses(self, now: _Now) -> tuple[dict[str, Tensor], list[Tensor]]:
        """Return the losses of the examples, and zeros in the place of those that are missing."""
        losses: dict[str, Tensor] = {}
        zeros: list[Tensor] = []
        for number, name in enumerate(now.called):
            if name not in now.drawn:
                zero = self._second.stand_in(now.host_batch, now.others, now.seed + number)
                zeros += [] if zero is None else [zero]
                continue
            drawn = now.drawn[name]
            with self.examiner.observing(count_of(drawn)) as weighted:
                loss = self._second.loss(
                    name,
                    self.pools.layers[name],
                    drawn,
                    now.host_batch,
                    now.others,
                    self.examiner.places,
                    now.seed + number,
                )
                if loss is not None:
                    losses[name] = loss
                    self.measures.second_call(name, loss, weighted.logits, drawn)
        return losses, zeros


def _alone(batch: Batch) -> Joined:
    """Return a batch that nothing joins; its inputs are no leaf of a graph."""
    # A step may change its inputs in place.
    x = torch.cat([batch.x]) if batch.x.requires_grad else batch.x
    return Joined(x, batch.labels, len(x), {}, {}, (), batch.rest)
