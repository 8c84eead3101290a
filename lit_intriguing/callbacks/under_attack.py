"""A test, or a validation, of any LightningModule on adversarial examples in place of its data."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

from lit_intriguing.argument_types import checked_arguments
from lit_intriguing.attacks import Attack, HostLoss
from lit_intriguing.attacks.arguments import as_bounds
from lit_intriguing.attacks.gradient import NoGradientError
from lit_intriguing.checks import check_flags
from lit_intriguing.errors import UserError
from lit_intriguing.hosts.batch import Place
from lit_intriguing.hosts.host_rows import HostRows
from lit_intriguing.hosts.loss_column import LossColumn, as_mask
from lit_intriguing.hosts.muted import muted
from lit_intriguing.hosts.paths import Key, PathError, follow, leaves
from lit_intriguing.hosts.rows_loss import RowsLoss
from lit_intriguing.hosts.training_step import Step, StepNotCalledError
from lit_intriguing.isolation import own_randomness, untouched
from lit_intriguing.private.of_lightning import replace_strategy_step, restore_strategy_step
from lit_intriguing.splice import INPUT, Splice, check_met, eager
from lit_intriguing.types import UNBOUNDED, Bounds, distortion


@checked_arguments
class UnderAttack(Callback):
    """Has `trainer.test` and `trainer.validate` measure the host on adversarial examples.

    Each batch is attacked before the host's `test_step` gets it: the attack ascends the loss that
    `training_step` returns for the batch, whatever it computes, dropout and BatchNorm as in
    evaluation mode. So **what the host logs, `test/...`, is then its figure under attack**, in its
    own metrics; the log says so once. Logs `attacked/distortion` besides, the mean root mean square
    change. Without the callback the same command gives the clean figures.

    The batches of the test must be such as `training_step` takes. Weights, modes, buffers and
    random states are left as they are.

    Args:
        attack: Makes the examples: gradient steps or noise, not a search for a border.
        layer: Name of the submodule whose output is attacked, such as an embedding; empty for the
            input. Of a layer that is called several times in a step the first output is meant.
        bounds: The box that the attacked tensor stays in, also as a pair of numbers; None for none.
        inputs: Key, field or position of the inputs in a batch, or a path; found if there is no
            doubt.
        mask: Where the entries are in the batch that say what may be perturbed, such as
            `attention_mask`; zeros stay as they are.
        per_token: Whether lengths are those of each token of a layer's output `(N, T, D)`.
        seed: Of the attack's random numbers.

    Raises:
        ValueError: For an attack that searches for a border.
        UserError: In a `fit` or a prediction; for an unknown layer, inputs that are not found, a
            loss without a gradient by what is attacked, and the like.
    """

    def __init__(
        self,
        attack: Attack,
        layer: str = INPUT,
        bounds: Bounds | None = None,
        inputs: Place | None = None,
        mask: Key | None = None,
        per_token: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        check_flags("UnderAttack", per_token=per_token)
        attack.check_needs_no_border()
        self.attack, self.layer, self.inputs = attack, layer, inputs
        self.bounds = UNBOUNDED if bounds is None else as_bounds(bounds)
        self.mask, self.per_token, self.seed = mask, per_token, seed
        self._generator = torch.Generator()
        self._called = False

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Stand around the step.

        Raises:
            UserError: In a `fit` or a prediction.
        """
        name = _STEPS.get(stage)
        if name is None:
            here = _OTHERS.get(stage, stage)
            raise UserError(
                f"UnderAttack measures in a test or a validation, not in {here}: "
                "leave it out here, and give it to `lightning test`, with --ckpt_path, or to the "
                "Trainer whose `test` you call."
            )
        inner = getattr(trainer.strategy, name)

        def step(batch: Any, *args: Any, **kwargs: Any) -> Any:
            self._called = True
            return self._step(trainer, pl_module, inner, batch, *args, **kwargs)

        self._called = False
        self._generator.manual_seed(self.seed)
        replace_strategy_step(trainer, name, step)
        where = f"the output of {self.layer!r}" if self.layer else "the input"
        rank_zero_info(
            f"UnderAttack: what this run measures is under attack, of {where} by {self.attack}."
        )

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, *args: Any, **kwargs: Any
    ) -> None:
        """Check that the step was called; see `StepNotCalledError`."""
        if not self._called:
            raise StepNotCalledError("UnderAttack", "test_step")

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, *args: Any, **kwargs: Any
    ) -> None:
        """Check that the step was called; see `StepNotCalledError`."""
        if not self._called:
            raise StepNotCalledError("UnderAttack", "validation_step")

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Leave the step as it was."""
        if stage in _STEPS:
            restore_strategy_step(trainer, _STEPS[stage])

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Leave the step as it was."""
        for name in _STEPS.values():
            restore_strategy_step(trainer, name)

    def _step(
        self, trainer: Trainer, pl_module: LightningModule, inner: Step, batch: Any, *args: Any,
        **kwargs: Any,
    ) -> Any:  # fmt: skip
        if self.layer == INPUT:
            rows = HostRows.of(batch, self.inputs)
        else:
            rows = HostRows.along(batch, None)
        clean, adversarial = self._attacked(trainer, pl_module, rows)
        change = distortion(clean, adversarial).mean()
        pl_module.log("attacked/distortion", change, batch_size=rows.count, sync_dist=True)
        if self.layer == INPUT:
            return inner(rows.with_tensor(adversarial), *args, **kwargs)
        with _layer_gives(pl_module, self.layer, adversarial):
            return inner(batch, *args, **kwargs)

    def _attacked(
        self, trainer: Trainer, pl_module: LightningModule, rows: HostRows
    ) -> tuple[Tensor, Tensor]:
        """Return what is attacked, `(M, *S)`, and the same perturbed."""
        loss = RowsLoss(pl_module, trainer.precision_plugin, rows, self.layer, self.seed)
        with (
            own_randomness(self.seed % 2**32),
            untouched(pl_module),
            muted(pl_module),
            eager(pl_module),
            loss.entered(),
        ):
            x = loss.clean()
            column = LossColumn(loss.of, x, self._mask(rows, x), x.new_ones(()), self.per_token)
            start = column.start
            labels = torch.zeros(len(start), dtype=torch.int64, device=x.device)
            goal = HostLoss()(labels, start, self._generator)
            try:
                made = self.attack(
                    column, start, goal, bounds=self.bounds, generator=self._generator
                )
            except NoGradientError as error:
                raise UserError(loss.no_gradient()) from error
            return x, column.back(made.adversarial).detach()

    def _mask(self, rows: HostRows, x: Tensor) -> Tensor | None:
        if self.mask is None:
            return None
        try:
            entry = follow(rows.batch, self.mask)
        except PathError:
            entry = None
        return as_mask(entry, x, self.mask, list(leaves(rows.batch)))


_STEPS: dict[str, Literal["test_step", "validation_step"]] = {
    "test": "test_step",
    "validate": "validation_step",
}
_OTHERS = {"fit": "a training", "predict": "a prediction"}


@contextmanager
def _layer_gives(pl_module: LightningModule, layer: str, found: Tensor) -> Iterator[None]:
    """Have the first output of a layer replaced by another one."""
    splice, left = Splice(pl_module, [layer]), [found]

    def edit(output: Tensor) -> Tensor:
        return left.pop().to(output.dtype, copy=True) if left else output

    try:
        with splice.edited({layer: edit}, repeated=True) as met:
            yield
        check_met([layer], met)
    finally:
        splice.remove()
