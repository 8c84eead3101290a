"""Examples made for the layers that are due: before a step, and of its gradients after it."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, nn

from lit_intriguing.attacks import GradientAttack
from lit_intriguing.hosts.muted import muted
from lit_intriguing.isolation import chunk_randomness, nothing_drawn, random_states
from lit_intriguing.pools.ascent import HostStep, by_search, from_gradient, mask_of
from lit_intriguing.pools.examiner import Examiner
from lit_intriguing.pools.generation import (
    Batch,
    Examples,
    GenerationError,
    called,
    check_examples,
)
from lit_intriguing.pools.joining import some_rows
from lit_intriguing.pools.kept_gradients import KeptGradients
from lit_intriguing.pools.labels import check_labels
from lit_intriguing.pools.layer_pools import LayerPools
from lit_intriguing.pools.measures import Measures
from lit_intriguing.pools.perturbed_layer import PerturbedLayer
from lit_intriguing.splice import INPUT


class Makers:
    """Makes examples and puts them into the pools.

    Args:
        trainer: The run's.
        pl_module: The host.
        examiner: What is known of the host.
        pools: The layers' pools.
        measures: What is measured of new examples.
    """

    def __init__(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        examiner: Examiner,
        pools: LayerPools,
        measures: Measures,
    ) -> None:
        self.trainer, self.pl_module, self.examiner = trainer, pl_module, examiner
        self.pools, self.measures = pools, measures
        self._checked: set[str] = set()
        self._warned: set[str] = set()
        self._missed: Counter[str] = Counter()
        self._draws: bool | None = None
        self._parameters: list[nn.Parameter] = []
        self._batch: Batch | None = None
        self._host: HostStep | None = None

    def make(self, batch: Batch, host: HostStep | None, due: Iterable[str]) -> KeptGradients | None:
        """Make the examples of a batch that can be made before the step.

        Args:
            batch: Its rows.
            host: The host's step on them.
            due: The layers that are to get new examples.

        Returns:
            What is to keep the step's gradients, for the layers whose examples they give.
        """
        plans = {name: self.pools.layers[name] for name in due}
        classes = [name for name, plan in plans.items() if not plan.aims_at_loss]
        kept = [name for name, plan in plans.items() if self._keeps(name, plan, host)]
        searched = [name for name in plans if name not in (*classes, *kept)]
        if classes or searched:
            with self.own_randomness():
                self._make_now(batch, host, classes, searched)
        if not kept:
            return None
        self._batch, self._host = batch, host
        return KeptGradients(kept, max(self.pools.first(name, batch).here for name in kept))

    def _make_now(
        self, batch: Batch, host: HostStep | None, classes: list[str], searched: list[str]
    ) -> None:
        with self.measures.generating(self.pl_module.device):
            made = self._toward_classes(batch, classes) if classes else {}
        for name in searched:
            assert host is not None
            self._search(name, batch, host)
        if self.measures.examples_due & set(made):
            self.check(made)
            with self.trainer.precision_plugin.forward_context(), muted(self.pl_module):
                self.measures.examples(self.examiner.spliced, batch.x, made)

    @contextmanager
    def own_randomness(self) -> Iterator[None]:
        """Keep what is drawn inside out of the run's random numbers; the same on resume.

        Gradient attacks draw from the pools' generator alone. Where goals and the network draw
        nothing either, as the first time and each time that examples are measured shows, there is
        nothing to seed.
        """
        ours = all(isinstance(one.attack, GradientAttack) for one in self.pools.layers.values())
        if ours and self._draws is False and not self.measures.examples_due:
            with nothing_drawn():
                yield
            return
        seed = self.pools.generator.initial_seed() + self.pools.processes.rank
        with chunk_randomness(seed, self.pools.step):
            before = random_states()
            yield
            self._draws = self._draws or random_states() != before

    def end_keeping(self, kept: KeptGradients, backward: bool) -> None:
        """Make examples of the gradients that a step has left.

        Args:
            kept: The gradients.
            backward: Whether there must be some.

        Raises:
            GenerationError: If no gradient leads to a layer.
        """
        for name in kept.layers:
            if name in kept.gradients:
                self._step_along(name, kept)
            elif backward and name not in self._checked:
                self._missed[name] += 1
                # Which call of a layer is the batch's may not be known before the second step.
                if kept.saw(name) or self._missed[name] > 1:
                    raise GenerationError(_no_gradient_of_loss(name))

    def _keeps(self, name: str, plan: PerturbedLayer, host: HostStep | None) -> bool:
        """Return whether the step's own backward pass gives the gradient at no cost.

        Below frozen weights it would not go back to the input.
        """
        if not plan.keeps_gradient or host is None or name != INPUT:
            return plan.keeps_gradient
        # To find them costs more than to look at them.
        if not self._parameters or self.measures.examples_due:
            self._parameters = list(self.pl_module.parameters())
        return all(one.requires_grad for one in self._parameters)

    def _toward_classes(self, batch: Batch, names: Iterable[str]) -> dict[str, Examples]:
        with self.trainer.precision_plugin.forward_context(), muted(self.pl_module):
            made = self.pools.refresh(self.examiner.spliced, batch, names)
        if not self._checked:
            check_labels(batch.true_labels, self.pools.classes or 0)
        return made

    def _search(self, name: str, batch: Batch, host: HostStep) -> None:
        rows = self.pools.first(name, batch)
        part = batch.first(rows.here)
        with self.measures.generating(self.pl_module.device):
            examples, usable = by_search(
                host,
                part,
                name,
                self.pools.now(name),
                self.pools.spreads.get(name),
                self.pools.generator,
                rows,
            )
        self._take(name, part, examples, usable, host)

    def _step_along(self, name: str, kept: KeptGradients) -> None:
        plan, batch = self.pools.now(name), self._batch
        assert batch is not None
        rows = self.pools.first(name, batch)
        count = rows.here
        x, gradient = kept.clean[name][:count], kept.gradients[name][:count]
        mask = mask_of(plan, batch.first(count), x)
        spread = self.pools.spreads.get(name)
        examples, usable = from_gradient(plan, x, gradient, mask, spread, rows)
        if getattr(self.trainer.precision_plugin, "scaler", None) is not None:
            # Of a step that the scaler is going to skip.
            usable = usable & gradient.isfinite().all()
        self._take(name, batch.first(count), examples, usable, self._host)

    def _take(
        self, name: str, batch: Batch, examples: Examples, usable: Tensor, host: HostStep | None
    ) -> None:
        due = name in self.measures.examples_due
        if due:
            self.measures.unusable(name, usable)
        self.pools.store(name, batch, examples, usable)
        whole = bool(usable.all())
        if not len(batch.x) or not (whole or bool(usable.any())):
            if name not in self._warned:
                self._warn(name, f"Layer {name!r}: {_no_gradient(batch.x)}")
        elif due:
            if not whole:
                batch, examples = _some(batch, examples, usable)
            self.check({name: examples})
            with self.own_randomness():
                self._measure(name, batch, examples, host)

    def _measure(self, name: str, batch: Batch, examples: Examples, host: HostStep | None) -> None:
        self.measures.examples(self.examiner.spliced, batch.x, {name: examples})
        if host is None:
            return
        with torch.enable_grad():  # a step may ask for gradients of its own
            clean, raised = (
                host.loss(batch, name, x, seed=0, steady=True) for x in (None, examples.adversarial)
            )
        self.measures.raised(name, clean, raised)

    def check(self, made: Mapping[str, Examples]) -> None:
        """Warn of examples that teach nothing.

        Raises:
            GenerationError: If the first ones do not.
        """
        # Only when measuring is due: a check waits for the device.
        for name in self.measures.examples_due & set(made):
            try:
                warning = check_examples(name, self.pools.layers[name], made[name])
            except GenerationError as error:
                if name not in self._checked:
                    raise
                # A run that began well does not end because of one batch.
                warning = str(error)
            self._checked.add(name)
            if warning:
                self._warn(name, warning)

    def _warn(self, name: str, message: str) -> None:
        if name not in self._warned:
            rank_zero_warn(message)
            self._warned.add(name)


def _no_gradient_of_loss(name: str) -> str:
    return (
        f"The loss that training_step returns has no gradient by {called(name)}: the step does not "
        "use it, or changes it under no_grad(), detach() or argmax. Attack the output of "
        'another layer: AdversarialTraining({"<layer>": ...}).'
    )


def _some(batch: Batch, examples: Examples, rows: Tensor) -> tuple[Batch, Examples]:
    """Return some rows of a batch and of what was made of it."""
    labels = None if batch.labels is None else batch.labels[rows]
    return Batch(batch.x[rows], labels, some_rows(batch.rest, rows)), replace(
        examples, clean=examples.clean[rows], adversarial=examples.adversarial[rows]
    )


def _no_gradient(x: Tensor) -> str:
    said = "no row of a batch had a gradient, and none joined."
    broken = x.is_floating_point() and not bool(x.isfinite().all())
    return f"{said} Its inputs hold NaN or infinite values." if broken else said
