"""Examples made of each whole batch, for the step on that very batch: published schemes."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from lit_intriguing.attacks import GradientAttack, HostLoss
from lit_intriguing.errors import UserError
from lit_intriguing.hosts.muted import muted
from lit_intriguing.hosts.step_loss import StepLoss, loss_of, with_loss
from lit_intriguing.hosts.training_step import Step
from lit_intriguing.pools.ascent import by_search
from lit_intriguing.pools.choice import MixingOptions
from lit_intriguing.pools.examiner import Examiner
from lit_intriguing.pools.first_rows import FirstRows
from lit_intriguing.pools.generation import Batch, Examples, generate
from lit_intriguing.pools.joining import Joined
from lit_intriguing.pools.labels import check_labels, is_class
from lit_intriguing.pools.layer_pools import LayerPools
from lit_intriguing.pools.makers import Makers
from lit_intriguing.pools.measures import Measures
from lit_intriguing.pools.perturbed_layer import PerturbedLayer
from lit_intriguing.pools.second_call import patched_step
from lit_intriguing.schemes import Scheme
from lit_intriguing.schemes.free import Free
from lit_intriguing.splice import INPUT

_OF_SCHEMES = ("attack", "goal", "bounds")
"""What a scheme takes of `PerturbedLayer`; the rest is about pools and hidden layers."""


def check_scheme(scheme: Scheme, layers: Mapping[str, PerturbedLayer]) -> None:
    """Refuse layers that a scheme has no use for.

    Raises:
        ValueError: If they are not the input alone, or have options of pools.
    """
    name = type(scheme).__name__
    if set(layers) != {INPUT}:
        raise ValueError(
            f"scheme={name}() perturbs the input alone: give one layer, ''; for hidden layers "
            "leave scheme out."
        )
    plan = layers[INPUT]
    meant = PerturbedLayer(plan.attack, goal=plan.goal, bounds=plan.bounds)
    others = [
        one.name
        for one in fields(plan)
        if one.name not in _OF_SCHEMES and getattr(plan, one.name) != getattr(meant, one.name)
    ]
    if others:
        raise ValueError(
            f"scheme={name}() makes an example of each input of the batch, without a pool: leave "
            f"{', '.join(others)} out."
        )
    if isinstance(scheme, Free):
        _check_free(plan)
    goal = plan.goal or scheme.default_goal(classes=True)
    if scheme.adds and isinstance(goal, HostLoss):
        raise ValueError(f"scheme={name}() needs class logits: leave goal=HostLoss() out.")
    replace(plan, goal=goal)  # which the attack may not be able to have


def _check_free(plan: PerturbedLayer) -> None:
    one_step = isinstance(plan.attack, GradientAttack) and plan.attack.needs_one_clean_gradient
    if not one_step or plan.goal not in (None, HostLoss()):
        raise ValueError(
            "scheme=Free() follows the gradient that the step itself leaves: give "
            "GradientAttack(eps) with one step and no random start, and leave goal out."
        )


@dataclass
class _Now:
    """The present step: its batch, what it is handed, and the examples made of it."""

    others: tuple[Any, ...]
    handed: Any
    batch: Batch
    examples: Tensor


class FreshBatches:
    """Makes an example of each input of a batch and trains on them by a scheme.

    Takes the place of `Mixing`, whose methods it has.

    Args:
        trainer: The run's.
        pl_module: The host.
        pools: How the input is attacked, the step and the generator; the pool stays empty.
        measures: What is measured of the examples.
        options: What the user says of the host, with a scheme.
    """

    def __init__(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        pools: LayerPools,
        measures: Measures,
        options: MixingOptions,
    ) -> None:
        assert options.scheme is not None
        self.trainer, self.pl_module, self.scheme = trainer, pl_module, options.scheme
        self.pools, self.measures = pools, measures
        step = StepLoss(pl_module, trainer.precision_plugin)
        # Nothing joins the host's batch, so that nothing is tried again for it.
        self.examiner = Examiner(trainer, pl_module, step, pools, replace(options, keep_out=True))
        self.makers = Makers(trainer, pl_module, self.examiner, pools, measures)
        self._checked = False
        self._now: _Now | None = None

    @property
    def in_step(self) -> bool:
        """Whether a step has begun and not ended."""
        return self._now is not None

    def prepare(self, host_batch: Any, others: tuple[Any, ...]) -> bool:
        """Make the examples of a batch; return False where the step skips the first batch.

        Raises:
            UserError: For a batch, a host or a goal with which it cannot be done.
        """
        choice = self.examiner.choice_for(host_batch, others)
        if choice is None:
            return False
        host_batch = self._batch_for(host_batch)
        if self.scheme.in_place and choice.places is None:
            raise UserError(
                f"scheme={type(self.scheme).__name__}() puts examples in the place of the inputs, "
                "which a function cannot: name them by inputs=<key or position>, and the labels "
                "likewise."
            )
        batch = self.examiner.rows(host_batch)
        examples = self._make(batch, host_batch, others)
        handed = host_batch
        if self.scheme.in_place:
            alone = Joined(examples, batch.labels, len(examples), {}, {}, (), batch.rest)
            handed = self.examiner.replaced(host_batch, alone)
        self._now = _Now(others, handed, batch, examples)
        return True

    def run(self, inner: Step) -> Any:
        """Run the host's step by the scheme and return what it returns."""
        now = self._now
        assert now is not None
        if not self.scheme.adds:
            return self._run_in_place(now, inner)
        host_step = self.pl_module.training_step

        def step(*args: Any, **kwargs: Any) -> Any:
            output = host_step(*args, **kwargs)
            loss = loss_of(output)
            if loss is None:
                return output
            return with_loss(output, loss + self._added(now).to(loss.device))

        # Within the strategy's own call, so that it sees all that the loss depends on.
        with patched_step(self.pl_module, step):
            return inner(now.handed, *now.others)

    def before_optimizer_step(self) -> None:
        """Do nothing: no gradients are kept."""

    def end_step(self, backward: bool) -> None:
        """End the step."""
        self._now = None

    def remove(self) -> None:
        """Take all hooks off the host."""
        self._now = None
        self.examiner.remove()

    def _batch_for(self, host_batch: Any) -> Any:
        """Return the batch to train on."""
        return host_batch

    def _make(self, batch: Batch, host_batch: Any, others: tuple[Any, ...]) -> Tensor:
        plan = self.pools.layers[INPUT]
        due = INPUT in self.measures.examples_due
        with self.makers.own_randomness(), self.measures.generating(self.pl_module.device):
            made = self._search(plan, batch, host_batch, others)
        self.makers.check({INPUT: made})
        if due:
            with self.trainer.precision_plugin.forward_context(), muted(self.pl_module):
                self.measures.examples(self.examiner.spliced, batch.x, {INPUT: made})
        return made.adversarial

    def _search(
        self, plan: PerturbedLayer, batch: Batch, host_batch: Any, others: tuple[Any, ...]
    ) -> Examples:
        generator = self.pools.generator
        if plan.aims_at_loss:
            host = self.examiner.host_step(host_batch, others)
            if host is None:
                raise UserError(
                    "A larger loss of the host needs a step that can be called again: automatic "
                    "optimisation, and inputs=<key or position> in place of a function."
                )
            rows = FirstRows(len(batch.x))
            return by_search(host, batch, INPUT, plan, None, generator, rows)[0]
        with self.trainer.precision_plugin.forward_context(), muted(self.pl_module):
            labelled = replace(batch, labels=_labels(batch))
            made = generate(self.examiner.spliced, labelled, {INPUT: plan}, {}, generator)[INPUT]
        if not self._checked and batch.labels is not None:
            check_labels(batch.true_labels, made.classes or 0)
            self._checked = True
        self.pools.classes = made.classes
        return made

    def _run_in_place(self, now: _Now, inner: Step) -> Any:
        with self.examiner.observing(len(now.examples)) as weighted:
            output = inner(now.handed, *now.others)
            loss = loss_of(output)
            if loss is not None:
                seen = {"inputs": now.examples.detach()}
                if now.batch.labels is not None:
                    seen["labels"] = now.batch.labels
                self.measures.second_call(INPUT, loss, weighted.logits, seen)
        return output

    def _added(self, now: _Now) -> Tensor:
        model = self.examiner.spliced.model
        clean, perturbed = model(now.batch.x), model(now.examples)
        group = {INPUT: slice(0, len(clean))}
        seen = Joined(now.examples, now.batch.labels, 0, group, {})
        self.measures.logits(seen, perturbed.detach())
        labels = _labels(now.batch)
        if self.scheme.uses_labels:
            known = is_class(labels, clean)
            clean, perturbed, labels = clean[known], perturbed[known], labels[known]
        added = self.scheme.added(clean, perturbed, labels)
        self.measures.added(INPUT, added)
        return added


def _labels(batch: Batch) -> Tensor:
    """Return labels, int64 `(N,)`; zeros where a scheme that does not use them has none."""
    if batch.labels is None:
        return torch.zeros(len(batch.x), dtype=torch.int64, device=batch.x.device)
    return batch.labels.long()
