"""How adversarial examples transfer between the network in training and others."""

import functools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn

from lit_intriguing.argument_types import checked_arguments
from lit_intriguing.attacks import Attack, Goal
from lit_intriguing.attacks.arguments import check_inside
from lit_intriguing.attacks.attack_tensors import attack_chunk
from lit_intriguing.attacks.example_sets import ExampleSet, adversarial_set, clean_set
from lit_intriguing.autograd import preserved
from lit_intriguing.callbacks.measuring import is_trial
from lit_intriguing.callbacks.transfer_of_losses import CURRENT, Past, TransferOfLosses
from lit_intriguing.errors import UserError
from lit_intriguing.figures.transfer import TransferMoment, transfer_figure
from lit_intriguing.hosts.batch import Place
from lit_intriguing.hosts.fixed_examples import FixedExamples
from lit_intriguing.hosts.host_rows import HostRows
from lit_intriguing.hosts.logits import Output
from lit_intriguing.hosts.precision import in_precision
from lit_intriguing.loggers.table import Table
from lit_intriguing.loggers.when import When
from lit_intriguing.metrics import transfer_rates
from lit_intriguing.models.weights import load_weights, read_checkpoint
from lit_intriguing.splice import INPUT, tail
from lit_intriguing.tables import Cell
from lit_intriguing.types import Bounds


@checked_arguments
class TransferEvaluation(TransferOfLosses):
    """How adversarial examples transfer, during a run (Szegedy et al. 2013, tables 2 and 4).

    At the chosen interval adversarial examples of the same images, toward the same targets, are
    made for the network in its present state, in evaluation mode. All networks then classify these,
    those made for the references (once), and those made for earlier states of the network. The
    adversarial examples that reach their goal count, and an error is a prediction that is not the
    true label.

    Every logger gets, as fractions, `<name>/success` (of the attack on the network),
    `<name>/to/<reference>` (error of the reference on the network's adversarial examples),
    `<name>/from/<reference>` (the network's error on the reference's), `<name>/from/earlier` (its
    error on those made for it `earlier` measurements ago, or as far back as there are), and
    `<name>/distortion` (mean root mean square change); numbers without examples are left out.
    `<name>/seconds` is what the measurement took. The
    whole matrix goes as a heat map and a table, errors in per cent, to the loggers and to
    `<name>/step-<step>.png` and `.csv` in the run's folder, but not each time (`draw_every`).

    Where the host has no class labels, or its loss does not depend on them, adversarial examples
    ascend the loss that a host's `training_step` returns, and the references are LightningModules
    that take the same batches. Then `<name>/to/<reference>` is the increase of the reference's loss
    by the network's examples, over its increase by the reference's own; `from/<reference>` and
    `from/earlier` likewise, and `<name>/loss_clean` and `<name>/loss` are the network's losses on
    clean examples and on its own. The heat map holds these ratios in per cent.

    It only measures: weights, gradients, modes, optimiser, random states and the order of the data
    are bit for bit as without it. The choice of examples, what a checkpoint stores and what happens
    after an error are as for `AdversarialExamples`.

    Args:
        attack: Makes the adversarial examples; None for the attack of `AdversarialExamples`.
        references: Name to network; maps inputs to logits `(N, C)` of the same classes, or has a
            `training_step` of its own, see above. It runs in its own precision. For one without
            gradients, such as a quantised one, no adversarial examples are made.
        weights: Checkpoint of a reference, by its name; without one the reference's own weights.
        earlier: How many measurements back an earlier state is; 0 for none.
        every_n_epochs: Epochs from one measurement to the next. None for each epoch of a run of up
            to 40; of a longer one the first, the last, and at most 40 in all.
        every_n_steps: Optimiser steps from one measurement to the next, in place of epochs.
        examples: Number of examples; fewer if the data or the batch has fewer.
        goal: What the adversarial examples are to reach; as for `AdversarialExamples`.
        bounds: The box that the inputs stay in; as for `AdversarialExamples`.
        name: Name of the scalars, figures and files, different for each callback of the run.
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
        draw_every: Measurements from one figure and table to the next. None for at most 20 in a
            run, or each tenth in a run without an end. The first and the last ones are always
            drawn.

    Raises:
        ValueError: For a number out of range, weights of no reference, or neither references nor
            earlier states.
        UserError: For a checkpoint that is missing or not of its reference; when training starts,
            for a reference that takes other inputs or has other classes, inputs outside the bounds,
            an attack that fails.
    """

    def __init__(
        self,
        attack: Attack | None = None,
        references: Mapping[str, nn.Module] | None = None,
        weights: Mapping[str, str] | None = None,
        earlier: int = 1,
        every_n_epochs: int | None = None,
        every_n_steps: int | None = None,
        examples: int = 64,
        goal: Goal | None = None,
        bounds: Bounds | None = None,
        name: str = "transfer",
        dirpath: str | Path | None = None,
        model: str | None = None,
        output: Output | None = None,
        inputs: Place | None = None,
        labels: Place | None = None,
        seed: int = 0,
        draw_every: int | None = None,
    ) -> None:
        super().__init__(
            references, earlier, attack, goal, bounds, INPUT,
            name, every_n_epochs, every_n_steps, examples, dirpath, inputs, labels, seed,
            model, output, draw_every,
        )  # fmt: skip
        self._history: list[TransferMoment] = []
        self._check(earlier, weights or {})
        for key, path in (weights or {}).items():
            load_weights(self.references[key], read_checkpoint(Path(path)), Path(path))

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check that the module has the submodule that is named.

        Raises:
            UserError: If it has not.
        """
        if self.model is not None:
            self.logits_model(pl_module)

    def try_out(
        self, trainer: Trainer, pl_module: LightningModule, examples: FixedExamples | HostRows
    ) -> None:
        """Have every network classify two of the examples, and attack them; or all rows."""
        if isinstance(examples, HostRows):
            self.try_losses(trainer, pl_module, examples)
            return
        inputs, labels = examples
        check_inside(inputs, self.bounds or Bounds())
        few = inputs[:2], labels[:2]
        with self.isolated(pl_module):
            models = self._models(trainer, pl_module)
            classes = _logits(models[CURRENT], few[0]).shape[1]
            for name in self.references:
                self._try_reference(name, models[name], few[0], classes)
            self._attack(models[CURRENT], CURRENT, few)
        self._theirs = {}

    def measure(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        examples: FixedExamples | HostRows,
        when: When,
    ) -> None:
        """Make adversarial examples, and have every network classify all of them."""
        if isinstance(examples, HostRows):
            self.measure_losses(trainer, pl_module, examples, when)
            return
        with self.isolated(pl_module):
            models = self._models(trainer, pl_module)
            own = self._attack(models[CURRENT], CURRENT, examples)
            for name in self.references:
                if name not in self._theirs:  # its weights stay: made once
                    self._theirs[name] = self._attack_reference(models[name], name, examples)
            sets = {"clean": clean_set(examples[0]), f"for {CURRENT}": own}
            sets |= {f"for {k}": one for k, one in self._theirs.items() if one is not None}
            for past in self._past:
                sets[f"for step {past.step}"] = past.on(examples[0].device)
            rates = _matrix(list(sets.values()), models, examples[1])
        values = self._values(sets, list(models), rates)
        clean = {"error on clean": float(rates[0, 0])}
        shares = {name: one for name, one in {**values, **clean}.items() if name != "distortion"}
        known = {name: one for name, one in shares.items() if not math.isnan(one)}
        self._history.append(TransferMoment(when.steps, known))
        if trainer.is_global_zero:
            self.note(values)
            if not is_trial(trainer):
                self._offer(trainer, sets, list(models), rates, when)
        self._past = [*self._past, Past.of(when.steps, own)][-max(self.earlier, 1) :]

    @property
    def last_step(self) -> int:
        """The step of the newest adversarial examples."""
        return self._past[-1].step if self._past else 0

    def memory(self) -> dict[str, Any]:
        """Return the adversarial examples made for the network's last states, and the history."""
        history = [(moment.step, dict(moment.shares)) for moment in self._history]
        return {"past": [vars(past) for past in self._past], "history": history}

    def load_memory(self, state: Mapping[str, Any]) -> None:
        """Load them, unless other examples will be chosen."""
        past = [Past(**values) for values in state["past"]]
        self._past = [one for one in past if len(one.counted) == self.examples]
        self._history = [TransferMoment(*values) for values in state.get("history", ())]

    def clear_memory(self) -> None:
        """Begin anew."""
        self._theirs, self._past, self._history = {}, [], []

    def _check(self, earlier: int, weights: Mapping[str, str]) -> None:
        if earlier < 0:
            raise ValueError(f"TransferEvaluation: earlier must not be negative, nor {earlier}.")
        if not self.references and earlier == 0:
            raise ValueError("TransferEvaluation: give references, or earlier above 0.")
        if CURRENT in self.references:
            raise ValueError(f"TransferEvaluation: {CURRENT!r} is the network in training.")
        for name in weights:
            if name not in self.references:
                raise ValueError(
                    f"TransferEvaluation: weights for {name!r}, which is not one of the references "
                    f"{list(self.references)}."
                )

    def _models(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, nn.Module]:
        own = in_precision(self.logits_model(pl_module), trainer.precision_plugin)
        references = {
            name: _OwnPrecision(self.as_logits_model(one.to(pl_module.device)))
            for name, one in self.references.items()
        }
        return {CURRENT: own, **references}

    def _try_reference(self, name: str, model: nn.Module, few: Tensor, classes: int) -> None:
        try:
            found = _logits(model, few).shape[1]
        except Exception as error:
            raise UserError(
                f"TransferEvaluation: the reference {name!r} does not take inputs of shape "
                f"{tuple(few.shape[1:])}: {type(error).__name__}: {error}"
            ) from error
        if found != classes:
            raise UserError(
                f"TransferEvaluation: the reference {name!r} has {found} classes, the network in "
                f"training {classes}."
            )

    def _attack_reference(
        self, model: nn.Module, name: str, examples: FixedExamples
    ) -> ExampleSet | None:
        """Return what was made for a reference; None for one without gradients, say quantised."""
        try:
            return self._attack(model, name, examples)
        except (UserError, ValueError) as error:
            self.warn_once(
                f"for {name}",
                f"TransferEvaluation makes no adversarial examples for the reference {name!r} and "
                f"evaluates it on those for the others: {error}",
            )
            return None

    def _attack(self, model: nn.Module, name: str, examples: FixedExamples) -> ExampleSet:
        made = attack_chunk(
            model, self.attack, *examples, torch.Generator().manual_seed(self.seed),
            goal=self.goal, bounds=self.bounds, only_correct=False,
        )  # fmt: skip
        return adversarial_set(made, name)

    def _values(
        self, sets: Mapping[str, ExampleSet], models: Sequence[str], rates: Tensor
    ) -> dict[str, float]:
        """Return the scalars; NaN without examples."""
        titles = list(sets)
        own = sets[f"for {CURRENT}"]
        moved = own.distortion[own.counted].double()
        values = {
            "success": float(own.counted.double().mean()),
            "distortion": float(moved.mean()),  # NaN without examples, and then not logged
        }
        for column, name in enumerate(models[1:], 1):
            values[f"to/{name}"] = float(rates[titles.index(f"for {CURRENT}"), column])
            if f"for {name}" in titles:
                values[f"from/{name}"] = float(rates[titles.index(f"for {name}"), 0])
        if self.earlier and self._past:
            values["from/earlier"] = float(rates[titles.index(f"for step {self._past[0].step}"), 0])
        return values

    def _offer(
        self,
        trainer: Trainer,
        sets: Mapping[str, ExampleSet],
        models: Sequence[str],
        rates: Tensor,
        when: When,
    ) -> None:
        table = Table(*_table(sets, models, rates))
        figure = functools.partial(
            transfer_figure, 100 * rates, list(sets), models, self._history, title=str(when)
        )
        self.draw(trainer, functools.partial(self.hand_over, trainer, table, figure, when))


class _OwnPrecision(nn.Module):
    """A reference, which gets its inputs in the dtype of its own weights."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        weight = next((p for p in self.model.parameters() if p.is_floating_point()), x)
        logits: Tensor = self.model(x.to(weight.dtype))
        return logits.to(x.dtype)


def _logits(model: nn.Module, images: Tensor) -> Tensor:
    with preserved(model), torch.no_grad():
        return tail(model, INPUT, images)(images)


def _matrix(sets: Sequence[ExampleSet], models: Mapping[str, nn.Module], labels: Tensor) -> Tensor:
    """Return the errors `(sets, models)`: a forward pass for each unknown pair."""
    predictions = [
        torch.stack([
            one.known[name] if name in one.known else _logits(model, one.images).argmax(1)
            for name, model in models.items()
        ])
        for one in sets
    ]  # fmt: skip
    counted = torch.stack([one.counted for one in sets]).unsqueeze(1)
    return transfer_rates(torch.stack(predictions), labels, counted).cpu()


def _table(
    sets: Mapping[str, ExampleSet], models: Sequence[str], rates: Tensor
) -> tuple[list[str], list[list[Cell]]]:
    rows: list[list[Cell]] = []
    for (title, one), errors in zip(sets.items(), rates.tolist(), strict=True):
        count = int(one.counted.sum())
        cells: list[Cell] = ["empty set" if count == 0 else 100 * error for error in errors]
        distortion = one.distortion[one.counted].double()
        rows.append([title, count, float(distortion.mean()) if count else "", *cells])
    return ["examples of", "examples", "distortion", *models], rows
