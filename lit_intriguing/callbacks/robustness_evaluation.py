"""Error under attack against the size of the perturbation, during a run and at test time."""

import functools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import nn

from lit_intriguing.argument_types import checked_arguments
from lit_intriguing.attacks import Attack, GradientAttack, TrueLabels
from lit_intriguing.attacks.arguments import check_inside
from lit_intriguing.attacks.attack_tensors import attack_chunk
from lit_intriguing.attacks.examples import Examples
from lit_intriguing.callbacks.adversarial_training import AdversarialTraining
from lit_intriguing.callbacks.at_testing import AtTest
from lit_intriguing.callbacks.measuring import is_trial
from lit_intriguing.checks import check_flags
from lit_intriguing.errors import UserError
from lit_intriguing.figures.error_panels import error_panels
from lit_intriguing.figures.robustness import ErrorMoment, robustness_figure
from lit_intriguing.hosts.batch import Place
from lit_intriguing.hosts.fixed_examples import FixedExamples
from lit_intriguing.hosts.logits import Output
from lit_intriguing.hosts.monitored import check_monitors
from lit_intriguing.hosts.precision import in_precision
from lit_intriguing.loggers.destinations import destinations
from lit_intriguing.loggers.table import Table
from lit_intriguing.loggers.when import When
from lit_intriguing.private.of_lightning import callbacks_of
from lit_intriguing.robustness.certified import Certificate, certificate_of
from lit_intriguing.robustness.evaluate import evaluate_chunk
from lit_intriguing.robustness.evaluation import Evaluation
from lit_intriguing.robustness.plan import plan, usual_attacks
from lit_intriguing.robustness.sizes import NORMS, checked_sizes, size_key
from lit_intriguing.robustness.summary import CERTIFIED, scalar_names, scalars, size_table
from lit_intriguing.sanity import catastrophic_overfitting, label_leaking
from lit_intriguing.splice import INPUT
from lit_intriguing.types import Bounds

TEST = "test"
"""Stands in the names of what is measured at test time."""


@checked_arguments
class RobustnessEvaluation(AtTest):
    """Error under attacks at a list of sizes, beside what Lipschitz bounds certify, during a run.

    At the chosen interval the attacks run on the same examples, the model in evaluation mode. An
    attack that searches for the nearest example answers all sizes at once; one in a ball runs at
    each size on the examples that no attack has fooled so far. An example counts as an error at a
    size where it is read wrongly, or any attack found one no farther away.

    Every logger gets, as fractions: `<name>/clean`, the error without an attack; for each size
    `<name>/<norm>_<size>`, such as `robustness/l2_1.5`, the error in the worst case, and
    `<name>/<norm>_<size>_worst_class`, that of the class with the largest one;
    `<name>/certified/<norm>_<size>`, the error that bounds leave possible, where there are bounds;
    of several attacks `<name>/<attack>/<norm>_<size>`, the error by the attacks up to that one.
    `<name>/<norm>_q10`, `_q50` and `_q90` are quantiles of the minimal distance over the examples
    read rightly, left out where not so many are fooled; `<name>/gradients` is the mean number of
    gradient evaluations an example, `<name>/seconds` what the measurement took. Callbacks may
    monitor all but the seconds; a misspelt one is refused before training starts. Error against
    size, and the errors over the run, go as a figure and a table to the loggers and to
    `<name>/step-<step>.png` and `.csv` in the run's folder, but not each time (`draw_every`).

    Beside `AdversarialTraining` it warns, once, of label leaking and of catastrophic overfitting
    (`lit_intriguing.sanity`), by one gradient step of the largest size.

    At the end of a test the same is measured on as many examples of the test data, as
    `<name>/test/...`. Bounds by pairs of classes certify there, sharper ones than those of the
    whole network that are taken during the run.

    It needs class labels and logits. It only measures: weights, gradients, modes, optimiser,
    random states and the order of the data are bit for bit as without it. The choice of examples,
    what a checkpoint stores and what happens after an error are as for `AdversarialExamples`.

    Args:
        attacks: Attacks by name, in the order in which they run; None for `BoxLBFGS`, and projected
            gradient descent where sizes of linf are given.
        sizes: Increasing sizes of the perturbation by norm (`l2`, `linf`), in the units of the
            inputs; None for l2 at 0.5, 1.0 and 1.5, which suit MNIST.
        every_n_epochs: Epochs from one measurement to the next. None for each epoch of a run of up
            to 10; of a longer one the first, the last, and at most 10 in all.
        every_n_steps: Optimiser steps from one measurement to the next, in place of epochs.
        examples: Number of examples; fewer if the data or the batch has fewer.
        bounds: The box that the inputs stay in, in their own units; None for [0, 1].
        shared: Whether an attack in a ball leaves out what any attack before it has fooled within
            its size. Else each has an error of its own.
        certify: Whether to certify; None: stacks of dense layers, whose bound takes less than a
            second.
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
        seed: Seed of the choice of examples and of the attacks.
        draw_every: Measurements from one that is drawn to the next. None for all, of a run without
            an end each tenth.

    Raises:
        ValueError: For a number out of range, sizes that do not increase, an attack in a ball of a
            norm without sizes.
        UserError: When training or a test starts, for a host without class labels, inputs outside
            the bounds, an attack that fails on two of the examples, a `monitor` that names nothing.
    """

    most: ClassVar[int] = 10

    def __init__(
        self,
        attacks: Mapping[str, Attack] | None = None,
        sizes: Mapping[str, Sequence[float]] | None = None,
        every_n_epochs: int | None = None,
        every_n_steps: int | None = None,
        examples: int = 100,
        bounds: Bounds | None = None,
        shared: bool = True,
        certify: bool | None = None,
        name: str = "robustness",
        dirpath: str | Path | None = None,
        model: str | None = None,
        output: Output | None = None,
        inputs: Place | None = None,
        labels: Place | None = None,
        seed: int = 0,
        draw_every: int | None = None,
    ) -> None:
        super().__init__(
            None, TrueLabels(), bounds, INPUT,
            name, every_n_epochs, every_n_steps, examples, dirpath, inputs, labels, seed,
            model, output, draw_every,
        )  # fmt: skip
        check_flags("RobustnessEvaluation", shared=shared)
        self.shared, self.certify = shared, certify
        self._history: list[ErrorMoment] = []
        try:
            self.sizes = checked_sizes(sizes)
            self.attacks = dict(usual_attacks(self.sizes, 0) if attacks is None else attacks)
            self._runs = plan(self.attacks, self.sizes, bounds or Bounds())
        except ValueError as error:
            raise ValueError(f"RobustnessEvaluation: {error}") from error

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuse another callback of this name, and a monitor that names nothing.

        Raises:
            UserError: If there is one.
        """
        super().setup(trainer, pl_module, stage)
        names = scalar_names(list(self.attacks), self.sizes)
        if self.certify is False:
            names = [one for one in names if not one.startswith(f"{CERTIFIED}/")]
        check_monitors(trainer, f"{self.name}/", [f"{self.name}/{one}" for one in names])

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check that the module has the submodule that is named.

        Raises:
            UserError: If it has not.
        """
        if self.model is not None:
            self.logits_model(pl_module)

    def _choose(self, reason: str | None) -> bool:
        if reason is None:
            return super()._choose(None)
        raise UserError(
            "RobustnessEvaluation counts examples that are read wrongly, which needs class labels "
            f"and logits, and {reason.rstrip('.')}. Say where they are by inputs=, labels=, model= "
            "or output=; where there are none, AdversarialExamples measures how the host's own "
            "loss changes."
        )

    def try_out(
        self, trainer: Trainer, pl_module: LightningModule, examples: FixedExamples
    ) -> None:
        """Run each attack on two of the examples, at its largest size, read rightly or not."""
        inputs, labels = examples
        check_inside(inputs, self.bounds or Bounds())
        for name, run in {run.name: run for run in self._runs}.items():
            try:
                self._attack(trainer, pl_module, (inputs[:2], labels[:2]), run.attack)
            except (UserError, ValueError) as error:
                error.args = (f"the attack {name!r}: {error}", *error.args[1:])
                raise
            except Exception as error:
                raise UserError(
                    f"RobustnessEvaluation: the attack {name!r} fails on inputs of shape "
                    f"{tuple(inputs.shape)}: {type(error).__name__}: {error}"
                ) from error

    def measure(
        self, trainer: Trainer, pl_module: LightningModule, examples: Any, when: When
    ) -> None:
        """Evaluate the examples."""
        certificate = self._certificate(pl_module, examples, sharpest=False)
        found = self._evaluate(trainer, pl_module, examples, certificate)
        values = scalars(found, self.sizes, self.shared)
        if any(isinstance(one, AdversarialTraining) for one in callbacks_of(trainer)):
            self._notice(trainer, pl_module, examples, values)
        self._history.append(ErrorMoment(when.steps, self._drawn(values)))
        if trainer.is_global_zero:
            self.note(values)
            if not is_trial(trainer):
                hand_over = functools.partial(
                    self._hand_over, trainer, found, self._history, self.name, when
                )
                self.draw(trainer, hand_over)

    def measure_at_test(
        self, trainer: Trainer, pl_module: LightningModule, examples: FixedExamples, when: When
    ) -> None:
        """Evaluate examples of the test."""
        certificate = self._certificate(pl_module, examples, sharpest=True)
        found = self._evaluate(trainer, pl_module, examples, certificate)
        if trainer.is_global_zero:
            values = scalars(found, self.sizes, self.shared)
            self.note({f"{TEST}/{name}": value for name, value in values.items()})
            if not is_trial(trainer):
                self._hand_over(trainer, found, (), f"{self.name}/{TEST}", when)

    @property
    def last_step(self) -> int:
        """The step of the last measurement."""
        return self._history[-1].step if self._history else 0

    def memory(self) -> dict[str, Any]:
        """Return the history."""
        return {"history": [(one.step, dict(one.errors)) for one in self._history]}

    def load_memory(self, state: Mapping[str, Any]) -> None:
        """Load the history."""
        self._history = [ErrorMoment(*values) for values in state["history"]]

    def clear_memory(self) -> None:
        """Begin a new history."""
        self._history = []

    def _attack(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        examples: FixedExamples,
        attack: Attack,
    ) -> Examples:
        """Return what an attack makes of the examples, read rightly or not."""
        model = in_precision(self.logits_model(pl_module), trainer.precision_plugin)
        generator = torch.Generator().manual_seed(self.seed)
        with self.isolated(pl_module):
            return attack_chunk(
                model, attack, *examples, generator,
                goal=TrueLabels(), bounds=self.bounds, only_correct=False,
            )  # fmt: skip

    def _notice(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        examples: FixedExamples,
        values: Mapping[str, float],
    ) -> None:
        """Warn once where adversarial training teaches to read its own examples alone."""
        norm, sizes = next(iter(self.sizes.items()))
        key, step = size_key(norm, sizes[-1]), GradientAttack(sizes[-1], NORMS[norm])
        single = self._attack(trainer, pl_module, examples, step).success
        error = float(single.double().mean())
        if label_leaking(values["clean"], error, len(single)):
            self.warn_once(
                "leaking", f"RobustnessEvaluation: the network reads examples of one gradient step "
                f"({key}) better than clean ones, {error:.1%} wrong against {values['clean']:.1%}: "
                "the label leaks into them (Kurakin et al. 2017). Train with random targets, or "
                "with several steps from a random start.",
            )  # fmt: skip
        before = [one.errors[key] for one in self._history if key in one.errors]
        if before and catastrophic_overfitting(min(before), values[key], error):
            self.warn_once(
                "overfitting", f"RobustnessEvaluation: the error under attack ({key}) has risen "
                f"from {min(before):.1%} to {values[key]:.1%}, while one gradient step finds "
                f"{error:.1%}: training may have overfitted to its own attack (Wong et al. 2020). "
                "Use several steps, or an earlier checkpoint.",
            )  # fmt: skip

    def _evaluate(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        examples: FixedExamples,
        certificate: Certificate | None,
    ) -> Evaluation:
        model = in_precision(self.logits_model(pl_module), trainer.precision_plugin)
        with self.isolated(pl_module):
            return evaluate_chunk(
                model, self._runs, *examples,
                bounds=self.bounds or Bounds(), shared=self.shared, certificate=certificate,
                seed=self.seed,
            )  # fmt: skip

    def _certificate(
        self, pl_module: LightningModule, examples: FixedExamples, *, sharpest: bool
    ) -> Certificate | None:
        """Return what certifies the network as it is; None where nothing does."""
        if self.certify is False:
            return None
        model: nn.Module = self.logits_model(pl_module)
        every, shape = self.certify is True, tuple(examples[0].shape[1:])
        with self.isolated(pl_module):
            found = certificate_of(model, shape, every=every, sharpest=sharpest)
        if found is None and every:
            self.warn_once(
                "certify", "RobustnessEvaluation certifies nothing: the network has no finite "
                "bound. LipschitzMonitor says why.",
            )  # fmt: skip
        return found

    def _drawn(self, values: Mapping[str, float]) -> dict[str, float]:
        """Return the errors whose course over the run is drawn."""
        keys = [size_key(norm, size) for norm, some in self.sizes.items() for size in some]
        names = ["clean", *keys, f"{CERTIFIED}/{keys[0]}"]
        return {name: values[name] for name in names if not math.isnan(values.get(name, math.nan))}

    def _hand_over(
        self,
        trainer: Trainer,
        found: Evaluation,
        history: Sequence[ErrorMoment],
        key: str,
        when: When,
    ) -> None:
        """Send the table and the figure to files and loggers."""
        table = Table(*size_table(found, self.sizes, self.shared))
        panels = error_panels(found, self.sizes, self.shared)
        figure = robustness_figure(panels, history, title=str(when))
        for destination in destinations(trainer.loggers, self.folder(trainer)):
            destination.table(key, table, when)
            destination.figure(key, figure, when)
