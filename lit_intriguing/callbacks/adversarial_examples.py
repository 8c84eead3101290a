"""Adversarial examples of a fixed few rows, made again and again while a network trains."""

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from lit_intriguing.attacking.attack_rows import attack_rows
from lit_intriguing.attacking.examples import Examples
from lit_intriguing.attacking.precision import in_precision
from lit_intriguing.attacks import Attack, BoxLBFGS, Goal
from lit_intriguing.attacks.adapters.guard import own_randomness, untouched
from lit_intriguing.attacks.base import check_inside
from lit_intriguing.callbacks.fixed_rows import Rows, pick, read_rows, readable
from lit_intriguing.errors import UserError
from lit_intriguing.figures.examples import (
    Moment,
    Shown,
    drawn_as_images,
    drawn_as_units,
    examples_figure,
)
from lit_intriguing.figures.logging import Files, destinations, write_whole
from lit_intriguing.figures.tables import Cell
from lit_intriguing.mixing.batch import BatchKeys, Key
from lit_intriguing.mixing.logits import logits_model
from lit_intriguing.splice import INPUT, submodule
from lit_intriguing.types import Bounds


class AdversarialExamples(Callback):
    """Shows, during a run, how far the nearest adversarial examples of a few fixed rows are.

    At the chosen interval the attack is run on the same rows, toward the same targets, the model
    in evaluation mode. Each time leaves in the run's folder, which is that of its checkpoints,
    under ``<name>/step-<step>``:

    - ``.pt``: a mapping for :func:`torch.load`: ``clean`` and ``adversarial``, ``(N, *S)``;
      ``labels``, ``targets`` (-1: any wrong label), ``predictions``, ``adversarial_predictions``,
      ``success``, ``distortion`` (root mean square change, in the units of what is attacked),
      ``queries`` (gradient evaluations) and what the attack tells besides, such as ``c``, each
      ``(N,)``; ``step`` and ``epoch``;
    - ``.png``: clean, difference magnified, adversarial, as in Szegedy et al. 2013, figure 5, and
      below them distortion and success over the steps so far;
    - ``.csv``: a line for each row.

    W&B and TensorBoard get the figure and the table too. Every logger gets the scalars
    ``<name>/success``, the fraction of the rows that reach the goal, and over those that do the
    mean distortion, ``<name>/distortion``, and the median, ``<name>/distortion_median``.

    It only measures: weights, gradients, modes, optimiser, the global random states and the order
    of the data are bit for bit as without it. An attack that fails later than at the start, or a
    disk that is full, costs one warning and not the run. With ``fast_dev_run`` the attack runs and
    nothing is written.

    The rows come from the first validation loader, or from the training loader where there is no
    validation; they are chosen at random and balanced over the classes. From a stream, or a loader
    with a sampler of its own, they are taken out of the first batch that comes by, in the sanity
    check or in training. They are kept in the checkpoint. Under several processes all make the same
    examples (sharded models need it) and the first one writes.

    Args:
        attack: Makes the examples; None for :class:`~lit_intriguing.attacks.BoxLBFGS`, which finds
            the nearest ones.
        every_n_epochs: Epochs from one time to the next.
        every_n_steps: Optimiser steps from one time to the next, in place of epochs.
        examples: Rows, fewer where the data or the batch has fewer.
        layer: Name of the submodule whose output is attacked; empty for the input. A submodule
            inside a compiled one cannot be.
        goal: What the examples are to reach; None for random targets, as in the paper.
        bounds: The box that the attacked tensor stays in, in its own units; None for [0, 1] at the
            input and no box at a hidden layer. Images are shown with ``lower`` as black and
            ``upper`` as white.
        magnify: Factor on the differences that are shown; None to fit.
        name: Of the scalars, figures and files, different for each callback of the run; None for
            ``examples``, or ``examples/<layer>`` for a hidden layer.
        dirpath: Folder in place of the run's own.
        model: Name of the submodule that maps inputs to logits; the default is the LightningModule
            where it defines ``forward``.
        inputs: Key or position of the inputs in a batch; found where there is no doubt.
        labels: Key or position of the labels, likewise.
        seed: Of the choice of rows, the targets and the attack.

    Raises:
        ValueError: For a number out of range.
        UserError: When training starts, for an unknown layer, a batch without labels, inputs
            outside the bounds, an attack that fails on two of the rows, and the like.
    """

    def __init__(
        self,
        attack: Attack | None = None,
        every_n_epochs: int = 1,
        every_n_steps: int | None = None,
        examples: int = 16,
        layer: str = INPUT,
        goal: Goal | None = None,
        bounds: Bounds | None = None,
        magnify: float | None = None,
        name: str | None = None,
        dirpath: str | Path | None = None,
        model: str | None = None,
        inputs: Key | None = None,
        labels: Key | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        at_least_one = {
            "every_n_epochs": every_n_epochs,
            "every_n_steps": every_n_steps,
            "examples": examples,
        }
        for option, value in at_least_one.items():
            if value is not None and value < 1:
                raise ValueError(f"AdversarialExamples: {option} must be at least 1, not {value}.")
        if magnify is not None and not 0 < magnify < math.inf:
            raise ValueError(f"AdversarialExamples: magnify must be positive, not {magnify}.")
        self.attack = BoxLBFGS() if attack is None else attack
        self.goal, self.bounds, self.layer = goal, bounds, layer
        self.every_n_epochs, self.every_n_steps = every_n_epochs, every_n_steps
        self.examples, self.magnify, self.seed, self.model = examples, magnify, seed, model
        self.name = name or (f"examples/{layer}" if layer else "examples")
        self.dirpath = dirpath
        self._keys = BatchKeys(inputs, labels)
        self._rows: Rows | None = None
        self._seen: Rows | None = None
        self._history: list[Moment] = []
        self._warned: set[str] = set()
        self._restored: Mapping[str, Any] | None = None

    @property
    def state_key(self) -> str:
        """The key of this callback's state in a checkpoint, and what tells two of them apart."""
        return f"AdversarialExamples[{self.name}]"

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check the layer.

        Raises:
            UnknownLayerError: For an unknown layer.
            UserError: If the model that gives logits is not known, or the layer not in it.
        """
        submodule(logits_model(pl_module, self.model), self._layer_in_model(pl_module))

    def on_validation_batch_start(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep rows of the sanity check's first batch where they cannot be read otherwise."""
        first = batch_idx == dataloader_idx == 0
        if first and trainer.sanity_checking and not readable(trainer):
            self._seen = pick(batch, self._keys, self.examples)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Choose the rows, or take over those of a checkpoint, and see whether all works.

        Raises:
            BatchError: For a batch in which inputs and labels cannot be told.
            UserError: For inputs outside the bounds, or an attack that fails.
        """
        if trainer.global_step == 0:
            self._rows, self._history, self._warned = None, [], set()
        self._take_over(pl_module)
        if self._rows is not None:
            return
        if readable(trainer):
            rows = read_rows(trainer, pl_module, self._keys, self.examples, self.seed)
            self._begin(trainer, pl_module, rows)
        else:
            seen, self._seen = _from_rank_zero(trainer, self._seen), None
            if seen is not None:
                self._begin(trainer, pl_module, seen)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Make examples if it is time: of the weights that the last step left.

        At the end of that step other callbacks may not have taken their hooks away yet.
        """
        if self._rows is None:
            rows = _from_rank_zero(trainer, pick(batch, self._keys, self.examples))
            assert rows is not None
            self._begin(trainer, pl_module, rows)
        if self._step_is_due(trainer):
            self._make(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Make examples if it is time."""
        if self.every_n_steps is not None and not _is_trial(trainer):
            due = self._step_is_due(trainer)
        else:
            due = _is_trial(trainer) or ((trainer.current_epoch + 1) % self.every_n_epochs == 0)
        if due and self._rows is not None:
            self._make(trainer, pl_module)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Let go of the state that an evaluation's checkpoint brought."""
        self._restored = self._seen = None

    def state_dict(self) -> dict[str, Any]:
        """Return the rows and what was measured so far; the same on all ranks."""
        rows = None if self._rows is None else tuple(tensor.cpu() for tensor in self._rows)
        return {"rows": rows, "history": [astuple(moment) for moment in self._history]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep the state until the device is known."""
        self._restored = state_dict

    def _take_over(self, pl_module: LightningModule) -> None:
        state, self._restored = self._restored, None
        if state is None:
            return
        self._history = [Moment(*values) for values in state["history"]]
        # Another number of examples than before: chosen anew.
        if state["rows"] is not None and len(state["rows"][1]) == self.examples:
            inputs, labels = (tensor.to(pl_module.device) for tensor in state["rows"])
            self._rows = inputs, labels

    def _begin(self, trainer: Trainer, pl_module: LightningModule, rows: Rows) -> None:
        """Take the rows, and attack two of them: what fails is to fail now."""
        inputs, labels = (tensor.to(pl_module.device) for tensor in rows)
        try:
            if self.layer == INPUT:
                check_inside(inputs, self.bounds or Bounds())
            self._attack(trainer, pl_module, (inputs[:2], labels[:2]))
        except UserError:
            raise
        except ValueError as error:
            raise UserError(f"AdversarialExamples: {error}") from error
        except Exception as error:
            raise UserError(
                f"AdversarialExamples: {type(self.attack).__name__} fails on inputs of shape "
                f"{tuple(inputs.shape)}: {type(error).__name__}: {error}"
            ) from error
        self._rows = inputs, labels

    def _attack(self, trainer: Trainer, pl_module: LightningModule, rows: Rows) -> Examples:
        model = in_precision(logits_model(pl_module, self.model), trainer.precision_plugin)
        with own_randomness(self.seed % 2**32), untouched(pl_module):
            return attack_rows(
                model,
                self.attack,
                *rows,
                torch.Generator().manual_seed(self.seed),
                goal=self.goal,
                bounds=self.bounds,
                layer=self._layer_in_model(pl_module),
                only_correct=False,
            )

    def _layer_in_model(self, pl_module: LightningModule) -> str:
        """The layer's name as seen from the submodule that gives the logits."""
        submodule(pl_module, self.layer)
        if self.model is None or self.layer == INPUT:
            return self.layer
        if not self.layer.startswith(f"{self.model}."):
            raise UserError(
                f"Layer {self.layer!r} is not inside {self.model!r}, the model that is attacked."
            )
        return self.layer.removeprefix(f"{self.model}.")

    def _step_is_due(self, trainer: Trainer) -> bool:
        if self.every_n_steps is None:
            return False
        step = _steps(trainer)
        last = self._history[-1].step if self._history else 0
        return step != last and step % self.every_n_steps == 0

    def _make(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert self._rows is not None
        try:
            made = self._attack(trainer, pl_module, self._rows)
            self._history.append(_moment(_steps(trainer), made))
            if trainer.is_global_zero:
                self._report(trainer, made)
        except Exception as error:
            # Measuring never loses a run.
            self._warn_once(
                "failure",
                f"AdversarialExamples made no examples after {_steps(trainer)} steps: "
                f"{type(error).__name__}: {error}. Training goes on; later failures are not told.",
            )

    def _report(self, trainer: Trainer, made: Examples) -> None:
        moment = self._history[-1]
        values = {
            f"{self.name}/success": moment.success,
            f"{self.name}/distortion": moment.mean,
            f"{self.name}/distortion_median": moment.median,
            "epoch": trainer.current_epoch,
        }
        known = {key: value for key, value in values.items() if not math.isnan(value)}
        for logger in trainer.loggers:
            logger.log_metrics(known, step=moment.step)
        if _is_trial(trainer):
            return
        folder = Path(self.dirpath) if self.dirpath is not None else _folder(trainer)
        columns = made.columns()
        content = {**columns, "step": moment.step, "epoch": trainer.current_epoch}
        write_whole(Files(folder).path(self.name, moment.step, ".pt"), _saved(content))
        figure = self._figure(columns, trainer.current_epoch)
        names, lines = _table(columns)
        for destination in destinations(trainer.loggers, folder):
            destination.table(self.name, names, lines, moment.step)
            if figure is not None:
                destination.figure(self.name, figure, moment.step)

    def _figure(self, columns: Mapping[str, Tensor], epoch: int) -> Any:
        images = self.layer == INPUT and drawn_as_images(columns["clean"].shape)
        if not images and not drawn_as_units(columns["clean"].shape):
            self._warn_once(
                "figure",
                f"AdversarialExamples draws no figure of tensors of shape "
                f"{tuple(columns['clean'].shape)}: files, table and scalars are all there is.",
            )
            return None
        moment = self._history[-1]
        count = len(columns["labels"])
        where = f"output of {self.layer}, " if self.layer else ""
        when = f"step {moment.step:,}, epoch {epoch}"
        return examples_figure(
            self._shown(columns, images),
            self._history,
            images=images,
            magnify=self.magnify,
            title=f"{where}{when}: {round(moment.success * count)} of {count} succeed",
        )

    def _shown(self, columns: Mapping[str, Tensor], images: bool) -> Shown:
        pair = columns["clean"].float(), columns["adversarial"].float()
        if images:
            pair = _as_pixels(*pair, self.bounds or Bounds())
        lists = (columns[name].tolist() for name in _CAPTIONS)
        return Shown(*pair, *lists)

    def _warn_once(self, kind: str, message: str) -> None:
        if kind not in self._warned:
            self._warned.add(kind)
            rank_zero_warn(message)


_CAPTIONS = ("predictions", "adversarial_predictions", "success", "distortion")


def _is_trial(trainer: Trainer) -> bool:
    return bool(trainer.fast_dev_run)  # type: ignore[attr-defined]


def _steps(trainer: Trainer) -> int:
    """Optimiser steps taken; in manual optimisation, batches."""
    return int(trainer.fit_loop.epoch_loop._batches_that_stepped)


def _from_rank_zero(trainer: Trainer, rows: Rows | None) -> Rows | None:
    """The rows that the first process saw; every process must call it."""
    if trainer.world_size == 1:
        return rows
    # A pickled tensor comes back on the device it was on.
    own = None if rows is None else tuple(tensor.cpu() for tensor in rows)
    return trainer.strategy.broadcast(own)  # type: ignore[return-value]


def _moment(step: int, made: Examples) -> Moment:
    distortion = made.distortion.double()[made.success]
    if not len(distortion):
        return Moment(step, 0.0, math.nan, math.nan)
    success = float(made.success.double().mean())
    # `median` would take the lower of the two in the middle.
    return Moment(step, success, float(distortion.mean()), float(distortion.quantile(0.5)))


def _folder(trainer: Trainer) -> Path:
    """Where `ModelCheckpoint` puts its `checkpoints`; for the first process alone to ask."""
    if not trainer.loggers:
        return Path(trainer.default_root_dir)
    logger = trainer.loggers[0]
    version = logger.version if isinstance(logger.version, str) else f"version_{logger.version}"
    return Path(logger.save_dir or trainer.default_root_dir, str(logger.name), version)


def _saved(content: Mapping[str, Any]) -> bytes:
    buffer = io.BytesIO()
    torch.save(dict(content), buffer)
    return buffer.getvalue()


def _as_pixels(clean: Tensor, adversarial: Tensor, bounds: Bounds) -> tuple[Tensor, Tensor]:
    """Both in [0, 1], the bounds (without them the clean range) as black and white."""
    lower, upper = bounds.tensors_like(clean)
    if not bool(lower.isfinite().all() and upper.isfinite().all()):
        lower, upper = clean.amin(), clean.amax()
    width = (upper - lower).clamp(min=torch.finfo(clean.dtype).tiny)
    return (clean - lower) / width, (adversarial - lower) / width


def _table(columns: Mapping[str, Tensor]) -> tuple[Sequence[str], list[list[Cell]]]:
    """A line for each example, of all columns that have one number for it."""
    names = [name for name, values in columns.items() if values.ndim == 1]
    lines = zip(*(columns[name].tolist() for name in names), strict=True)
    return ["example", *names], [[number, *line] for number, line in enumerate(lines)]
