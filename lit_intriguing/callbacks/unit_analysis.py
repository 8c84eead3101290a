"""Units against random directions on a fixed few images, repeated while a network trains."""

import functools
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn

from lit_intriguing.argument_types import checked_arguments
from lit_intriguing.autograd import preserved
from lit_intriguing.callbacks.measuring import is_trial
from lit_intriguing.callbacks.on_fixed_examples import OnFixedExamples
from lit_intriguing.errors import UserError
from lit_intriguing.figures.unit_effects import effect_history_figure, effects_figure
from lit_intriguing.hosts.batch import Place
from lit_intriguing.hosts.calling import call_with_inputs, keyword_of
from lit_intriguing.hosts.fixed_examples import FixedExamples
from lit_intriguing.hosts.host_rows import HostRows
from lit_intriguing.hosts.logits import logits_model
from lit_intriguing.hosts.muted import muted
from lit_intriguing.hosts.step_rows import (
    Numbered,
    StepRows,
    labelled_rows,
    labels_of,
    rows_of_inputs,
)
from lit_intriguing.hosts.whole_rows import row_places
from lit_intriguing.loggers.destinations import destinations
from lit_intriguing.loggers.table import Table
from lit_intriguing.loggers.when import When
from lit_intriguing.private.of_torch import uncompiled_name
from lit_intriguing.splice import SpliceError
from lit_intriguing.units import LayerAnalysis, Mean, Reading, analyse_units, untrained_copy
from lit_intriguing.units.analyse import UNTRAINED, NetworkForward, UnitReport
from lit_intriguing.units.analysis import UNKNOWN
from lit_intriguing.units.control import check_copyable
from lit_intriguing.units.directions_file import read_directions
from lit_intriguing.units.features import Features
from lit_intriguing.units.layers import matching_layers
from lit_intriguing.units.network_scan import K, Named, ScanSettings
from lit_intriguing.units.scan import UNITS
from lit_intriguing.units.statistics import ROTATIONS, Effect
from lit_intriguing.units.table import COLUMNS, table_rows

_SIZE = 100
"""Images in a forward pass."""

_ADVICE = (
    "Say where they are: inputs=<key or position>, labels=<key or position>; or do without labels: "
    "features=<a network>, whose features of the images are compared."
)

_BY_MODEL = (
    "A network that is called on the inputs alone is named by model=<name>, the inputs by "
    "inputs=<key or position>."
)


@checked_arguments
class UnitAnalysis(OnFixedExamples):
    """A record of when the units of layers and random directions of their space part.

    At the chosen interval the top images of each unit, among the same images each time, are
    compared with those of random directions, the model in evaluation mode; see
    `lit_intriguing.units.analyse_units`. Every logger gets, for each layer, the scalars
    `<name>/<layer>/effect`, `effect_low`, `effect_high` (the units' mean coherence less that of
    random directions, in standard deviations of single random directions, with its 95% interval),
    `p` and `top_tenth_p` (two-sided). They can be monitored, for instance by `ModelCheckpoint`.
    The run's folder and the loggers get the table, a figure of the effects beside those of a copy
    with fresh weights, and one of the effects over the steps.

    Where the model does not take the inputs alone (token ids with a mask, graphs, a whole dict),
    the host's `training_step` is called aside on whole rows of a batch, dropout and BatchNorm as in
    evaluation, and the layers are read in it. Labels, or inputs for `features`, are all that has to
    be found then; a layer is to give one row for each of them.

    It only measures: weights, gradients, modes, optimiser, the global random states and the order
    of the data are as without it. Under several processes all measure the same.

    Args:
        layers: Names of submodules, or patterns such as `features.*.relu`.
        every_n_epochs: Epochs from one measurement to the next. None for each epoch of a run of up
            to 40; of a longer one the first, the last, and at most 40 in all.
        every_n_steps: Optimiser steps from one measurement to the next, in place of epochs.
        examples: Images, chosen at random and balanced over the classes.
        reading: From a layer's output to activations; by default the mean over positions.
        k: Top images of each direction.
        rotations: Random bases; with fewer than 39 no verdict can name a side.
        features: Of another network, to compare images by; by default their labels.
        directions: Further directions to compare, such as concept vectors: a file, see
            `lit_intriguing.units.directions_file.read_directions`, or layer to name to directions
            `(m, D)`. Their scalars are `<name>/<layer>/<name of the directions>/effect` and so on.
        principal: Whether to compare each layer's principal components, found anew each time from
            the same images, as well: `<name>/<layer>/principal_components/effect` and so on.
        control: Whether to analyse a copy with fresh weights, once, at the first time.
        name: Of the scalars, figures and files, different for each callback of the run.
        dirpath: Folder in place of the run's own.
        inputs: Where a batch has the inputs: a key, position, path or function; found if there
            is no doubt.
        labels: Where it has the labels, likewise; not needed with `features`.
        model: Name of the submodule that takes the inputs; the default is the LightningModule if it
            defines `forward`. Layers are named from the LightningModule in any case.
        seed: Of the choice of images, the random bases and the fresh weights.
        draw_every: Measurements from one figure and table to the next. None for at most 20 in a
            run, or each tenth in a run without an end. The first and the last ones are always
            drawn.

    Raises:
        ValueError: For a number out of range.
        UserError: When training starts, for an unknown layer, one that cannot be read, examples
            that cannot be compared, directions that fit no layer, or labels that tell nothing.
    """

    def __init__(
        self,
        layers: str | Sequence[str],
        every_n_epochs: int | None = None,
        every_n_steps: int | None = None,
        examples: int = 1000,
        reading: Reading | None = None,
        k: int = K,
        rotations: int = ROTATIONS,
        features: nn.Module | None = None,
        directions: str | Path | Named | None = None,
        principal: bool = False,
        control: bool = True,
        name: str = "units",
        dirpath: str | Path | None = None,
        inputs: Place | None = None,
        labels: Place | None = None,
        model: str | None = None,
        seed: int = 0,
        draw_every: int | None = None,
    ) -> None:
        if features is not None and labels is None:
            labels = functools.partial(_no_labels, inputs)
        super().__init__(
            name, every_n_epochs, every_n_steps, examples, dirpath, inputs, labels, seed, model,
            draw_every=draw_every,
        )  # fmt: skip
        self._keys = replace(self._keys, advice=_ADVICE)
        ScanSettings(reading or Mean(), k, rotations, seed)  # refuses numbers out of range
        self.layers = [layers] if isinstance(layers, str) else list(layers)
        self.reading, self.k, self.rotations = reading, k, rotations
        self.features, self.control, self.principal = features, control, principal
        if isinstance(directions, str | Path):
            directions = read_directions(str(directions))
        self.directions: Named = directions or {}
        self._history: list[tuple[int, dict[str, Effect]]] = []
        self._untrained: list[LayerAnalysis] = []
        self._training: set[str] | None = None
        self._reason = ""

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check the layers.

        Raises:
            UserError: For an unknown layer or model, directions for a layer that is not read, or a
                control of a model that is sharded.
        """
        if self.control:
            check_copyable(pl_module)
        if self.model is not None:
            logits_model(pl_module, self.model)
        names = matching_layers(pl_module, self.layers)
        self._directions_of(names)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Note which modules train, for a measurement in a validation; measure if it is time."""
        if batch_idx == 0:
            self._training = _in_training_mode(pl_module)
        super().on_train_batch_start(trainer, pl_module, batch, batch_idx)

    def has_classes(self, trainer: Trainer, pl_module: LightningModule, batch: Any) -> bool:
        """Return whether the model takes the inputs alone; else the training step takes rows."""
        try:
            keys = self._keys.resolve(batch)
            self._note_keys(keys)
            inputs = trainer.precision_plugin.convert_input(keys.read(batch)[0][:2])
            with (
                self.isolated(pl_module),
                preserved(pl_module),
                torch.no_grad(),
                trainer.precision_plugin.forward_context(),
            ):
                _call(self.model, self._input_name, pl_module, inputs)
        except UserError as error:
            self._reason = str(error)
            return False
        return True

    def rows_of(self, batch: Any, most: int | None = None) -> HostRows:
        """Return whole rows of a batch, which have labels or, with `features`, inputs."""
        if self.features is None:
            return labelled_rows(batch, self._keys, most)
        return rows_of_inputs(batch, self._keys.inputs, most)

    def classes(self, trainer: Trainer, pl_module: LightningModule, inputs: Tensor) -> None:
        """Take the labels as they are: the network need not have classes."""

    def try_out(
        self, trainer: Trainer, pl_module: LightningModule, examples: FixedExamples | HostRows
    ) -> None:
        """Compare with one random basis."""
        try:
            self._analyse(trainer, pl_module, pl_module, examples, rotations=1)
        except SpliceError as error:
            if not isinstance(examples, HostRows):
                raise
            raise SpliceError(f"{error} {self._why_the_step(pl_module)}. {_BY_MODEL}") from None
        except (UserError, ValueError):
            raise
        except Exception as error:
            raise UserError(
                f"{self._why_the_step(pl_module)}, and it failed: {type(error).__name__}: {error}"
            ) from error

    def _why_the_step(self, pl_module: LightningModule) -> str:
        reason = self._reason.partition(". ")[0].rstrip(".")
        return f"UnitAnalysis called {type(pl_module).__name__}.training_step aside, since {reason}"

    def measure(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        examples: FixedExamples | HostRows,
        when: When,
    ) -> None:
        """Compare the units as they are now, and fresh ones the first time."""
        if self.control and not self._untrained:
            fresh: Any = untrained_copy(pl_module, self.seed, shared=[trainer, *trainer.loggers])
            fresh.trainer = trainer  # its step may ask
            found = self._analyse(trainer, pl_module, fresh, examples, self.rotations, UNTRAINED)
            self._untrained = list(found.analyses)
        found = self._analyse(trainer, pl_module, pl_module, examples, self.rotations)
        self._history.append((when.steps, {_series(one): one.effect for one in found.analyses}))
        values = _scalars(found.analyses)
        if trainer.is_global_zero:
            self.note(values)
            if not is_trial(trainer):
                draw = functools.partial(self._draw, trainer, found.analyses, when)
                self.draw(trainer, draw)

    @property
    def last_step(self) -> int:
        """The step of the last measurement."""
        return self._history[-1][0] if self._history else 0

    def memory(self) -> dict[str, Any]:
        """Return the history; the control is measured anew."""
        return {
            "history": [
                (step, {layer: astuple(found) for layer, found in effects.items()})
                for step, effects in self._history
            ]
        }

    def load_memory(self, state: Mapping[str, Any]) -> None:
        """Load the history."""
        self._history = [
            (step, {layer: Effect(*found) for layer, found in effects.items()})
            for step, effects in state["history"]
        ]

    def clear_memory(self) -> None:
        """Begin a new history."""
        self._history, self._untrained = [], []

    def _analyse(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        network: nn.Module,
        examples: FixedExamples | HostRows,
        rotations: int,
        name: str = "trained",
    ) -> UnitReport:
        if self.features is not None:
            self.features.to(pl_module.device)
        with self.isolated(pl_module), muted(network):
            if isinstance(examples, HostRows):
                batches, forward, features = self._by_step(trainer, pl_module, examples)
                context: AbstractContextManager[Any] = nullcontext()
            else:
                batches, forward = self._by_model(trainer, *examples)
                features, context = self.features, trainer.precision_plugin.forward_context()
            with context:
                found = analyse_units(
                    network, batches, self.layers, reading=self.reading, k=self.k,
                    rotations=rotations, features=features,
                    directions=self._directions_of(matching_layers(network, self.layers)),
                    principal=self.principal, control=False, seed=self.seed, name=name,
                    forward=forward,
                )  # fmt: skip
        # Compiled or not, a layer has one series.
        analyses = [replace(one, layer=uncompiled_name(one.layer)) for one in found.analyses]
        return replace(found, analyses=analyses)

    def _directions_of(self, layers: Sequence[str]) -> Named:
        """Return the given directions by the layers' names, compiled or not."""
        names = {uncompiled_name(layer): layer for layer in layers}
        unknown = [one for one in self.directions if uncompiled_name(one) not in names]
        if unknown:
            raise UserError(
                f"UnitAnalysis: directions are given for {', '.join(unknown)}, but its layers are "
                f"{', '.join(names)}"
            )
        return {names[uncompiled_name(one)]: given for one, given in self.directions.items()}

    def _by_model(
        self, trainer: Trainer, inputs: Tensor, labels: Tensor
    ) -> tuple[Numbered, NetworkForward]:
        """Return batches of images and labels, and what runs a network on images."""
        inputs = trainer.precision_plugin.convert_input(inputs)
        pairs = zip(torch.split(inputs, _SIZE), torch.split(labels, _SIZE), strict=True)
        return list(pairs), functools.partial(_call, self.model, self._input_name)

    def _by_step(
        self, trainer: Trainer, pl_module: LightningModule, rows: HostRows
    ) -> tuple[Numbered, NetworkForward, Features | None]:
        """Return the rows' numbers and labels, what runs a step on them, and their features."""
        training = self._training if trainer.validating else None
        names = _in_training_mode(pl_module) if training is None else training
        step = StepRows(rows, trainer.precision_plugin, names, self.seed)
        if self.features is None:
            labels = labels_of(rows, self._keys.labels)
            return step.numbered(labels, _SIZE), step.forward, None
        none = torch.zeros(rows.count, dtype=torch.int64, device=pl_module.device)
        return step.numbered(none, _SIZE), step.forward, step.compared_by(self.features)

    def _draw(self, trainer: Trainer, found: Sequence[LayerAnalysis], when: When) -> None:
        table = Table(COLUMNS, table_rows([*found, *self._untrained]))
        effects = effects_figure([*found, *self._untrained], title=str(when))
        history = effect_history_figure(
            [step for step, _ in self._history],
            {
                name: [effects.get(name, UNKNOWN) for _, effects in self._history]
                for name in map(_series, found)
            },
        )
        for destination in destinations(trainer.loggers, self.folder(trainer)):
            destination.table(self.name, table, when)
            destination.figure(self.name, effects, when)
            destination.figure(f"{self.name}/history", history, when)


def _call(name: str | None, input_name: str | None, network: Any, images: Tensor) -> object:
    """Return what a network, or the submodule of a name in it, puts out for images."""
    model = logits_model(network, name)
    return call_with_inputs(model, images, keyword_of(model, input_name), "UnitAnalysis")


def _in_training_mode(module: nn.Module) -> set[str]:
    return {name for name, one in module.named_modules() if one.training}


def _series(analysis: LayerAnalysis) -> str:
    """Return what the numbers of a layer's basis go by: the layer alone for its units."""
    if analysis.basis == UNITS:
        return analysis.layer
    return f"{analysis.layer}/{analysis.basis.replace(' ', '_')}"


def _scalars(analyses: Sequence[LayerAnalysis]) -> dict[str, float]:
    """Return the numbers of each basis of each layer; none of one without result."""
    found: dict[str, float] = {}
    for one in analyses:
        if one.mean is None or one.top_tenth is None:
            continue
        name = _series(one)
        found |= {
            f"{name}/effect": one.effect.value,
            f"{name}/effect_low": one.effect.low,
            f"{name}/effect_high": one.effect.high,
            f"{name}/p": one.mean.p,
            f"{name}/top_tenth_p": one.top_tenth.p,
        }
    return found


def _no_labels(inputs: Place | None, batch: Any) -> Tensor:
    """Return zeros in the place of labels, `(N,)`: coherence is by features."""
    count = row_places(batch, inputs, None).count(batch)
    return torch.zeros(count, dtype=torch.int64)
