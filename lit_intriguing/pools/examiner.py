"""What is known of a host: its model, its logits, the rows of its batches, and what was chosen."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn

from lit_intriguing.attacks import HostLoss
from lit_intriguing.errors import UserError
from lit_intriguing.hosts.batch import BatchKeys, name_of
from lit_intriguing.hosts.logits import LogitsModel, logits_model
from lit_intriguing.hosts.step_loss import StepLoss
from lit_intriguing.hosts.whole_rows import RowPlaces
from lit_intriguing.pools.agreement import agreed
from lit_intriguing.pools.ascent import HostStep
from lit_intriguing.pools.choice import (
    Choice,
    FoundRows,
    MixingOptions,
    as_clause,
    check_inputs,
    choose,
    choose_by_hand,
    choose_own_forward,
    described,
    find_rows,
    for_scheme,
    settled,
)
from lit_intriguing.pools.forwards import LayerCalls
from lit_intriguing.pools.generation import Batch, Spliced
from lit_intriguing.pools.joining import Joined
from lit_intriguing.pools.labels import check_labels
from lit_intriguing.pools.layer_pools import LayerPools
from lit_intriguing.pools.perturbed_layer import PerturbedLayer
from lit_intriguing.pools.trial import Findings, Trial
from lit_intriguing.pools.weighting import WeightedLogits
from lit_intriguing.splice import INPUT, Edit, Splice, UnknownLayerError, is_compiled, is_scripted


class Examiner:
    """Finds out how examples are to be made and joined, and verifies it now and then.

    Args:
        trainer: The run's.
        pl_module: The host.
        step: Calls its step aside.
        pools: The layers' pools.
        options: What the user says.

    Attributes:
        spliced: The host's model, or the host itself where none is known, and hooks on its layers.
        weighted: Watches the logits, or the output, of a step.
        choice: What was chosen; None before the first batch.
        arrays: Whether the step makes arrays of its inputs.
        traced: Whether torch's functions can be observed; see `LayerCalls`.
    """

    def __init__(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        step: StepLoss,
        pools: LayerPools,
        options: MixingOptions,
    ) -> None:
        self.trainer, self.pl_module, self.step = trainer, pl_module, step
        self.pools, self.options = pools, options
        self.choice: Choice | None = None
        self.arrays = False
        self.traced = not is_compiled(pl_module) and not is_scripted(pl_module)
        self._calls: dict[str, LayerCalls] = {}
        self._keys: BatchKeys | None = None
        self._model = known_model(pl_module, options, pools.as_given())
        self.spliced = Spliced(self._model or pl_module, Splice(pl_module, pools.layers))
        self.weighted = self._watch(any_output=self._model is None)

    @property
    def places(self) -> RowPlaces:
        """Where the rows of a batch are."""
        assert self.choice is not None
        assert self.choice.places is not None
        return self.choice.places

    def choice_for(self, host_batch: Any, others: tuple[Any, ...]) -> Choice | None:
        """Return what was chosen; None where the step skips the batch before there is a choice.

        Args:
            host_batch: The batch as the host gets it.
            others: What else its step takes.

        Raises:
            UserError: If what the user asks for cannot be done.
        """
        if self.choice is None:
            self._first(host_batch, others)
        elif self._is_tried() and _is_verified(self.pools.step - self.pools.start_step):
            findings = agreed(self.trainer, lambda: self._try(self.places, host_batch, others))
            if findings is not None:
                self._reconsider(findings)
        return self.choice

    def rows(self, host_batch: Any) -> Batch:
        """Return the rows of a batch.

        Raises:
            BatchError: If there are none where there were some.
        """
        places = None if self.choice is None else self.choice.places
        if self._keys is not None and not (places and places.whole):
            x, labels = self._keys.read(host_batch)
            return Batch(x, labels, places.read_rest(host_batch) if places else {})
        return _rows_at(self.places, host_batch)

    def replaced(self, host_batch: Any, joined: Joined) -> Any:
        """Return a batch of the host's kind with other rows."""
        entries = {self.places.inputs: joined.inputs, **joined.rest}
        if self.places.labels is not None and joined.labels is not None:
            entries[self.places.labels] = joined.labels
        return self.places.replace(host_batch, entries)

    def of_rows(self, edits: Mapping[str, Edit]) -> Mapping[str, Edit]:
        """Return edits of layers' outputs as the host's batches have their rows."""
        places = None if self.choice is None else self.choice.places
        return edits if places is None else places.of_rows(edits)

    def host_step(self, host_batch: Any, others: tuple[Any, ...]) -> HostStep | None:
        """Return the host's step on a batch; None where it cannot be called again."""
        if self.choice is None or self.choice.places is None:
            return None
        if not self.pl_module.automatic_optimization:
            return None
        return HostStep(
            self.step,
            self.spliced.splice,
            host_batch,
            others,
            self.choice.places,
            self.arrays,
            self.traced,
            self._calls,
        )

    def start_weighting(self, joined: Joined) -> None:
        """Begin to weight the rows of a step."""
        weights = joined.example_weights(self.pools.weights)
        self.weighted.start(len(joined), weights, self._columns)

    @contextmanager
    def observing(self, count: int) -> Iterator[WeightedLogits]:
        """Watch the logits of a call with so many rows, without weights."""
        self.weighted.start(count, None, self._columns)
        try:
            yield self.weighted
        finally:
            self.weighted.stop()

    def remove(self) -> None:
        """Take all hooks off the host."""
        self.weighted.remove()
        self.spliced.splice.remove()

    @property
    def _columns(self) -> int | None:
        """How many logits each example has: as the pools know, or as the first trial saw."""
        seen = None if self._model is None or self.weighted.any_output else self._model.columns
        return self.pools.classes or seen

    def _watch(self, any_output: bool) -> WeightedLogits:
        return WeightedLogits(self.pl_module, self.options.model, self.options.output, any_output)

    def _is_tried(self) -> bool:
        """Return whether calls of the step can change the choice: rows join the batch."""
        assert self.choice is not None
        return self.pl_module.automatic_optimization and not self.choice.keep_out

    def _first(self, host_batch: Any, others: tuple[Any, ...]) -> None:
        looked: list[FoundRows] = []

        def look() -> Findings | None:
            looked.append(self._find(host_batch))
            places = looked[0].places if self._can_be_tried() else None
            return Findings(None, None) if places is None else self._try(places, host_batch, others)

        findings = agreed(self.trainer, look)
        if findings is None:
            return
        found, layers = looked[0], self.pools.as_given()
        scheme = self.options.scheme
        if not self.pl_module.automatic_optimization:
            choice = choose_by_hand(found, self._has_classes(found, host_batch), layers)
            if isinstance(choice.goal, HostLoss) and not self.weighted.any_output:
                self._watch_any_output()
        elif self.options.loss is not None or found.places is None:
            choice = choose_own_forward(found, self.options.keep_out)
        else:
            given = any(plan.goal and not plan.aims_at_loss for plan in layers.values())
            if found.keys is None and (findings.no_classes or not given):
                # Of token ids, say, the model may give logits that leave a mask out.
                findings = replace(findings, no_classes=found.problem)
            if scheme is not None:
                findings = for_scheme(scheme, findings, found, layers)
            choice = choose(findings, layers, found.places, self.options.keep_out)
            if findings.no_joining and not choice.keep_out:
                _warn_of_joining(findings.no_joining)
            if choice.keep_out and findings.no_joining and found.places.ties_rows(host_batch):
                choice = self._whole(choice, host_batch)
        if scheme is not None:
            goal = scheme.default_goal(classes=not isinstance(choice.goal, HostLoss))
            choice = replace(choice, goal=goal)
        self._take(choice)
        self._note_arrays(host_batch, others)

    def _find(self, host_batch: Any) -> FoundRows:
        found = find_rows(host_batch, self.options.keys)
        if found.places is not None:
            check_inputs(found.places, host_batch, self.pools.as_given())
            _warn_of_rest(found.places, self.pools.as_given())
        self._keys = found.keys
        return found

    def _can_be_tried(self) -> bool:
        return self.pl_module.automatic_optimization and self.options.loss is None

    def _has_classes(self, found: FoundRows, host_batch: Any) -> bool:
        """Return whether the model gives logits for the labels, where the step cannot be tried."""
        if found.keys is None or self._model is None:
            return False
        x, labels = found.keys.read(host_batch)
        self._model.name_inputs(name_of(found.keys.inputs))
        try:
            with torch.no_grad(), self.step.entered(steady=True):
                self._model(x[:2])
            check_labels(labels, self._model.columns or 0)
        except UserError:
            # A goal of classes that was given gets its own error later.
            return any(
                plan.goal and not plan.aims_at_loss for plan in self.pools.as_given().values()
            )
        return True

    def _whole(self, choice: Choice, host_batch: Any) -> Choice:
        """Take batches as they are for rows, where no goal of classes needs the examples apart."""
        goals = [plan.goal or choice.goal for plan in self.pools.as_given().values()]
        if choice.places is None or not all(isinstance(goal, HostLoss) for goal in goals):
            return choice
        self.pools.hold_batches(choice.places.count(host_batch))
        self.traced = False  # the rows that are followed are views of what the step gets
        return replace(choice, places=choice.places.as_whole(host_batch))

    def _take(self, choice: Choice) -> None:
        self.pools.layers = settled(self.pools.as_given(), choice.goal)
        self.choice = choice
        rank_zero_info(described(choice, self.pools.layers, self.options.scheme))
        if self._keys is not None and self._model is not None:
            self._model.name_inputs(name_of(self._keys.inputs))

    def _note_arrays(self, host_batch: Any, others: tuple[Any, ...]) -> None:
        """Note whether the step makes arrays of its inputs, if their gradient is wanted."""
        plan = self.pools.layers.get(INPUT)
        host = self.host_step(host_batch, others)
        if plan is not None and plan.aims_at_loss and host is not None:
            self.arrays = host.makes_arrays(self.rows(host_batch))

    def _try(self, places: RowPlaces, host_batch: Any, others: tuple[Any, ...]) -> Findings | None:
        findings = self._trial(places, host_batch, others)
        unknown = findings is not None and findings.no_classes and findings.no_joining
        if findings is None or not unknown or self.choice or self.weighted.any_output:
            return findings
        self._watch_any_output()
        again = self._trial(places, host_batch, others)
        return None if again is None else replace(again, no_classes=findings.no_classes)

    def _trial(
        self, places: RowPlaces, host_batch: Any, others: tuple[Any, ...]
    ) -> Findings | None:
        batch = _rows_at(places, host_batch)
        # Later the way of joining alone is verified.
        model = self._model if self.choice is None else None
        if model is not None and self._keys is not None:
            model.name_inputs(name_of(self._keys.inputs))
        layers = list(self.pools.layers)
        trial = Trial(self.step, model, self.weighted, self.spliced.splice, layers, self._columns)
        return trial(host_batch, others, places, batch)

    def _watch_any_output(self) -> None:
        self.weighted.remove()
        self.weighted = self._watch(any_output=True)
        self.pools.classes = None

    def _reconsider(self, findings: Findings) -> None:
        """Take examples out of the host's batch where they turn out not to fit in.

        Raises:
            UserError: If the user wants them there, though rows are mixed.
        """
        choice = self.choice
        if choice is None or choice.keep_out or findings.no_joining is None:
            return
        new = choose(replace(findings, no_classes=None), {}, self.places, self.options.keep_out)
        at_layer = any(plan.at_layer for plan in self.pools.layers.values())
        if new.keep_out and not at_layer:
            self.choice = replace(choice, keep_out=True)
            rank_zero_warn(
                f"AdversarialTraining: from step {self.pools.step} on, examples get a call of "
                f"training_step of their own, because {as_clause(findings.no_joining)}."
            )


def known_model(
    pl_module: LightningModule, options: MixingOptions, layers: Mapping[str, PerturbedLayer]
) -> LogitsModel | None:
    """Return the host's model; None if none is named or known, which `HostLoss` can do without.

    Raises:
        UnknownLayerError: For an unknown name.
        UserError: If a goal of classes or a scheme of logits asks for it.
    """
    try:
        model = logits_model(pl_module, options.model)
    except UnknownLayerError:
        raise
    except UserError:
        scheme = options.scheme is not None and options.scheme.adds
        if scheme or any(plan.goal and not plan.aims_at_loss for plan in layers.values()):
            raise
        return None
    return LogitsModel(model, "AdversarialTraining", options.output)


def _warn_of_rest(places: RowPlaces, layers: Mapping[str, PerturbedLayer]) -> None:
    if places.rest and any(plan.at_layer for plan in layers.values()):
        rank_zero_warn(
            f"The batch's entries {list(places.rest)} have a value for each example, and the "
            "examples that AdversarialTraining adds at a layer have none. If the training step "
            "uses these entries, set at_layer=False."
        )


def _warn_of_joining(reason: str) -> None:
    rank_zero_warn(
        f"AdversarialTraining: examples join the host's batch, although {as_clause(reason)}, so "
        "that the step does not follow the formula of the weights. Set keep_out=True (with "
        "at_layer=False)."
    )


def _rows_at(places: RowPlaces, host_batch: Any) -> Batch:
    labels = None if places.labels is None else places.at(host_batch, places.labels)
    return Batch(places.read_inputs(host_batch), labels, places.read_rest(host_batch))


def _is_verified(step: int) -> bool:
    """Return whether the choice is verified: in step 1, and at the powers of 8."""
    return step > 0 and not step & (step - 1) and step.bit_length() % 3 == 1
