"""Adversarial examples of a fixed few images, made again and again while a network trains."""

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from lit_intriguing.argument_types import checked_arguments
from lit_intriguing.attacks import Attack, Goal
from lit_intriguing.attacks.arguments import check_inside
from lit_intriguing.attacks.attack_tensors import attack_chunk
from lit_intriguing.attacks.examples import Examples
from lit_intriguing.attacks.watch import Trace, Watch
from lit_intriguing.callbacks.example_table import example_table
from lit_intriguing.callbacks.examples_of_losses import ExamplesOfLosses
from lit_intriguing.callbacks.measuring import is_trial
from lit_intriguing.checks import check_whole
from lit_intriguing.errors import UserError
from lit_intriguing.figures.captions import class_captions
from lit_intriguing.figures.examples import (
    DrawnExamples,
    as_pixels,
    drawn_as_images,
    drawn_as_units,
    examples_figure,
)
from lit_intriguing.figures.history import Moment
from lit_intriguing.figures.loss_change import LossMoment
from lit_intriguing.figures.traces import COLUMNS, trace_names, trace_rows, traces_figure
from lit_intriguing.hosts.batch import Place
from lit_intriguing.hosts.fixed_examples import FixedExamples
from lit_intriguing.hosts.host_rows import HostRows
from lit_intriguing.hosts.logits import Output
from lit_intriguing.hosts.precision import in_precision
from lit_intriguing.loggers.destinations import Files, destinations
from lit_intriguing.loggers.pictures import pictures
from lit_intriguing.loggers.table import Table
from lit_intriguing.loggers.when import When
from lit_intriguing.splice import INPUT, submodule
from lit_intriguing.types import Bounds


@checked_arguments
class AdversarialExamples(ExamplesOfLosses):
    """How far the nearest adversarial examples of a few fixed examples are, during a run.

    At the chosen interval the attack is run on the same examples, toward the same targets, the
    model in evaluation mode. Of the first measurement, the last, and some between (`draw_every`) it
    writes into the run's folder, which is that of its checkpoints, under `<name>/step-<step>`:

    - `.pt`: a mapping for `torch.load`: `clean` and `adversarial`, `(N, *S)`; `labels`, `targets`
      (-1: any wrong label), `predictions`, `adversarial_predictions`, `success`, `distortion` (root
      mean square change, in the units of what is attacked), `queries` (gradient evaluations) and
      what the attack returns besides, such as `c`, each `(N,)`; `step` and `epoch`;
    - `.png`: clean, difference magnified, adversarial, as in Szegedy et al. 2013, figure 5, with
      the names of the classes where the data module has `class_names`, and from the second time on
      distortion and success over the steps so far;
    - `.csv`: one row for each example.

    With `watch`, so many of them are followed through the attack: loss, distortion and success at
    each call of the model, as the figure `<name>/watch` and, in the run's folder, a table.

    W&B (with the images in the table), TensorBoard, MLflow and Comet get the figure and the table
    too. Each time every logger gets the scalars `<name>/success`, the fraction of the examples that
    reach the goal, over these the mean distortion, `<name>/distortion`, and the median,
    `<name>/distortion_median`, and `<name>/seconds`, what the measurement took.

    Where the host has no class labels, or its loss does not depend on them, the attack ascends the
    loss that its `training_step` returns, on whole rows of a batch, and the change of that loss is
    measured; the log says so once. Every logger then gets `<name>/loss_clean` and `<name>/loss`,
    means over the examples, `<name>/distortion`, and of a segmentation `<name>/flipped`, the share
    of pixels whose prediction flips. The losses are those of each row alone, dropout and BatchNorm
    as in evaluation; where a row alone has none, as where rows are contrasted, that of all
    together. `.pt` holds `loss_clean` and `loss`, `(N,)` or `(1,)`, in place of labels, targets,
    predictions and success; of a segmentation also `labels`, `predictions`,
    `adversarial_predictions`, `(N, H, W)`, and `flipped`, `(N,)`. The picture shows a
    segmentation's masks beside the images. Where `layer` is an embedding of tokens,
    `<name>/tokens` is a table of the text whose embeddings are nearest, before and after.

    It only measures: weights, gradients, modes, optimiser, the global random states and the order
    of the data are bit for bit as without it. An attack that fails later than at the start, or a
    full disk, gives one warning and does not end the run. With `fast_dev_run` the attack runs and
    nothing is written.

    The examples come from the first validation loader, or from the training loader if there is no
    validation; they are chosen at random and balanced over the classes. From a stream, or a loader
    with a sampler of its own, they are taken out of the first batch, in the sanity check or in
    training. The checkpoint stores them. Under several processes all make the same adversarial
    examples (sharded models need it) and the first one writes.

    Args:
        attack: Makes the adversarial examples; None for `BoxLBFGS`, which finds the nearest ones,
            and without class labels for `GradientAttack` with ten steps in the maximum norm, `eps`
            a tenth of the standard deviation of what is attacked over the examples.
        every_n_epochs: Epochs from one measurement to the next. None for each epoch of a run of up
            to 40; of a longer one the first, the last, and at most 40 in all.
        every_n_steps: Optimiser steps from one measurement to the next, in place of epochs.
        examples: Number of examples; fewer if the data or the batch has fewer.
        layer: Name of the submodule whose output is attacked; empty for the input. A compiled
            network is attacked uncompiled.
        goal: What the adversarial examples are to reach; `HostLoss` for a larger loss of the host;
            None for random targets, as in the paper, or `HostLoss` where there are no class labels.
        bounds: The box that the attacked tensor stays in, in its own units; None for [0, 1] at the
            input and no box at a hidden layer; without class labels [0, 1] if the examples lie in
            it. In figures `lower` is black and `upper` is white.
        magnify: Factor on the differences in the figure; None to choose it.
        name: Name of the scalars, figures and files, different for each callback of the run; None
            for `examples`, or `examples/<layer>` for a hidden layer.
        dirpath: Folder in place of the run's own.
        model: Name of the submodule that maps inputs to logits; the default is the LightningModule
            if it defines `forward`.
        output: Where that submodule's output holds the logits, if it is more than a tensor: key,
            index, attribute, a path of these (`decoder.logits`), or a function of the output. By
            default what is named `logits`, or the only tensor that can be them.
        inputs: Key, field or position of the inputs in a batch, a path of these (`d.0`), or a
            function of the batch; found if there is no doubt.
        labels: Where the labels are, likewise.
        seed: Seed of the choice of examples, the targets and the attack.
        draw_every: Measurements from one that is stored, as files, figure and table, to the next.
            None for at most 20 in a run, or each tenth in a run without an end. The first and the
            last ones are always stored.
        watch: Follow so many of the examples through the attack; 0 for none. The examples found are
            the same. Only where there are class labels.

    Raises:
        ValueError: For a number out of range.
        UserError: When training starts, for an unknown layer, inputs outside the bounds, an attack
            that fails on two of the examples, a goal of class labels where there are none, an
            attack that searches for a border on `HostLoss`, and the like.
    """

    def __init__(
        self,
        attack: Attack | None = None,
        every_n_epochs: int | None = None,
        every_n_steps: int | None = None,
        examples: int = 16,
        layer: str = INPUT,
        goal: Goal | None = None,
        bounds: Bounds | None = None,
        magnify: float | None = None,
        name: str | None = None,
        dirpath: str | Path | None = None,
        model: str | None = None,
        output: Output | None = None,
        inputs: Place | None = None,
        labels: Place | None = None,
        seed: int = 0,
        draw_every: int | None = None,
        watch: int = 0,
    ) -> None:
        check_whole("AdversarialExamples", 0, watch=watch)
        super().__init__(
            magnify, attack, goal, bounds, layer,
            name or (f"examples/{layer}" if layer else "examples"),
            every_n_epochs, every_n_steps, examples, dirpath, inputs, labels, seed,
            model, output, draw_every,
        )  # fmt: skip
        if magnify is not None and not 0 < magnify < math.inf:
            raise ValueError(f"AdversarialExamples: magnify must be positive, not {magnify}.")
        self._history: list[Moment] = []
        self.watch = watch
        self._watch = Watch(watch) if watch else None

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check the layer.

        Raises:
            UnknownLayerError: For an unknown layer.
            UserError: If the model that gives logits is not known, or the layer not in it.
        """
        submodule(pl_module, self.layer)
        if self.model is not None:
            submodule(self.logits_model(pl_module), self._layer_in_model(pl_module))

    def try_out(
        self, trainer: Trainer, pl_module: LightningModule, examples: FixedExamples | HostRows
    ) -> None:
        """Attack two of the examples, or all rows."""
        if isinstance(examples, HostRows):
            if self.watch:
                self.warn_once("watch", "AdversarialExamples: watch needs class labels; none here.")
            with self.trying(pl_module, examples):
                self.loss_change(trainer, pl_module, examples, by_row=False)
            return
        inputs, labels = examples
        if self.layer == INPUT:
            check_inside(inputs, self.bounds or Bounds())
        try:
            self._attack(trainer, pl_module, (inputs[:2], labels[:2]))
        except (UserError, ValueError):
            raise
        except Exception as error:
            raise UserError(
                f"AdversarialExamples: {type(self.attack).__name__} fails on inputs of shape "
                f"{tuple(inputs.shape)}: {type(error).__name__}: {error}"
            ) from error

    def measure(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        examples: FixedExamples | HostRows,
        when: When,
    ) -> None:
        """Make adversarial examples of the examples."""
        if isinstance(examples, HostRows):
            self.measure_losses(trainer, pl_module, examples, when)
            return
        made = self._attack(trainer, pl_module, examples)
        self._history.append(_moment(when.steps, made))
        if trainer.is_global_zero:
            self._report(trainer, made, when)

    @property
    def last_step(self) -> int:
        """The step of the last measurement."""
        return max((one[-1].step for one in (self._history, self._losses) if one), default=0)

    def memory(self) -> dict[str, Any]:
        """Return the history."""
        return {
            "history": [astuple(moment) for moment in self._history],
            "losses": [astuple(moment) for moment in self._losses],
        }

    def load_memory(self, state: Mapping[str, Any]) -> None:
        """Load the history."""
        self._history = [Moment(*values) for values in state["history"]]
        self._losses = [LossMoment(*values) for values in state.get("losses", ())]

    def clear_memory(self) -> None:
        """Begin a new history."""
        self._history, self._losses = [], []

    def _attack(
        self, trainer: Trainer, pl_module: LightningModule, examples: FixedExamples
    ) -> Examples:
        model = in_precision(self.logits_model(pl_module), trainer.precision_plugin)
        with self.isolated(pl_module):
            return attack_chunk(
                model,
                self.attack,
                *examples,
                torch.Generator().manual_seed(self.seed),
                goal=self.goal,
                bounds=self.bounds,
                layer=self._layer_in_model(pl_module),
                only_correct=False,
                watch=self._watch,
            )

    def _layer_in_model(self, pl_module: LightningModule) -> str:
        """Return the layer's name within the submodule that gives the logits."""
        submodule(pl_module, self.layer)
        if self.model is None or self.layer == INPUT:
            return self.layer
        if not self.layer.startswith(f"{self.model}."):
            raise UserError(
                f"Layer {self.layer!r} is not inside {self.model!r}, the model that is attacked."
            )
        return self.layer.removeprefix(f"{self.model}.")

    def _report(self, trainer: Trainer, made: Examples, when: When) -> None:
        moment = self._history[-1]
        values = {
            "success": moment.success,
            "distortion": moment.mean,
            "distortion_median": moment.median,
        }
        self.note(values)
        if not is_trial(trainer):
            traces = [] if self._watch is None else list(self._watch.traces)
            draw = functools.partial(self._hand_over, trainer, made.columns(), traces, when)
            self.draw(trainer, draw)

    def _hand_over(
        self,
        trainer: Trainer,
        columns: Mapping[str, Tensor],
        traces: Sequence[Trace],
        when: When,
    ) -> None:
        """Send the examples of the last measurement to files and loggers."""
        folder = self.save(columns, trainer, when)
        if traces:
            self._hand_over_traces(trainer, columns, traces, when)
        figure = self._figure(columns, trainer, when)
        images = {}
        if self.layer == INPUT and drawn_as_images(columns["clean"].shape):
            images = pictures(*self._as_pixels(columns), self.magnify)
        table = example_table(columns, _class_names(trainer, columns), images)
        for destination in destinations(trainer.loggers, folder):
            destination.table(self.name, table, when)
            if figure is not None:
                destination.figure(self.name, figure, when)

    def _hand_over_traces(
        self,
        trainer: Trainer,
        columns: Mapping[str, Tensor],
        traces: Sequence[Trace],
        when: When,
    ) -> None:
        folder, key = self.folder(trainer), f"{self.name}/watch"
        names = trace_names(traces, columns, _class_names(trainer, columns))
        figure = traces_figure(traces, names, title=f"{self.where()}{when}: {self.attack!r}")
        Files(folder).table(key, Table(COLUMNS, trace_rows(traces)), when)
        for destination in destinations(trainer.loggers, folder):
            destination.figure(key, figure, when)

    def _figure(self, columns: Mapping[str, Tensor], trainer: Trainer, when: When) -> Any:
        images = self.layer == INPUT and drawn_as_images(columns["clean"].shape)
        if not images and not drawn_as_units(columns["clean"].shape):
            self.warn_once(
                "figure",
                f"AdversarialExamples draws no figure of tensors of shape "
                f"{tuple(columns['clean'].shape)}; it writes files, table and scalars.",
            )
            return None
        moment = self._history[-1]
        attacked = columns["attacked"]
        count = int(attacked.sum())
        if count == 0:
            return None
        shown = {name: column[attacked] for name, column in columns.items()}
        return examples_figure(
            self._drawn(shown, images, _class_names(trainer, shown)),
            self._history,
            images=images,
            magnify=self.magnify,
            title=f"{self.where()}{when}: {round(moment.success * count)} of {count} successful",
        )

    def _as_pixels(self, columns: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        pair = columns["clean"].float(), columns["adversarial"].float()
        return as_pixels(*pair, self.bounds or Bounds())

    def _drawn(
        self, columns: Mapping[str, Tensor], images: bool, names: Sequence[str] | None
    ) -> DrawnExamples:
        pair = columns["clean"].float(), columns["adversarial"].float()
        if images:
            pair = self._as_pixels(columns)
        numbers = (columns[name].tolist() for name in ("success", "distortion"))
        return DrawnExamples(*pair, *class_captions(columns, names), *numbers)


def _class_names(trainer: Trainer, columns: Mapping[str, Tensor]) -> Sequence[str] | None:
    """Return the names that the run's data has for the classes; None where it has not all."""
    from lit_intriguing.data.class_names import names_of_data

    names = names_of_data(getattr(trainer, "datamodule", None))
    keys = ("labels", "targets", "predictions", "adversarial_predictions")
    most = max(int(columns[key].max()) for key in keys)
    return names if names is not None and len(names) > most else None


def _moment(step: int, made: Examples) -> Moment:
    distortion = made.distortion.double()[made.success]
    if not len(distortion):
        return Moment(step, 0.0, math.nan, math.nan)
    success = float(made.success[made.attacked].double().mean())
    # `median` would take the lower of the two in the middle.
    return Moment(step, success, float(distortion.mean()), float(distortion.quantile(0.5)))
