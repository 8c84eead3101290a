"""A host's own loss as a function of its inputs, or of the output of one of its layers."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.plugins.precision import Precision
from torch import Tensor, nn

from lit_intriguing.autograd import grad_island
from lit_intriguing.errors import UserError
from lit_intriguing.hosts.aside import Aside
from lit_intriguing.hosts.host_rows import HostRows
from lit_intriguing.hosts.manual_step import step_loss
from lit_intriguing.hosts.step_loss import steadied
from lit_intriguing.splice import INPUT, Splice, SpliceError, check_met, in_backward, kind


class RowsLoss:
    """The loss of `training_step` on some rows, as a function of what is attacked.

    Use it inside `entered`. Dropout and BatchNorm run as in evaluation mode, and all random
    numbers are the same in each call, so that losses can be compared. Of a layer that the step
    calls several times the first output is meant.

    Args:
        pl_module: The host.
        precision: The Trainer's precision.
        rows: The examples.
        layer: Name of the submodule whose output is attacked; empty for the inputs.
        seed: Of the random numbers inside.
        training: The modules that are in training mode in a training step; None where all of them
            are in that step's mode now.
    """

    def __init__(
        self,
        pl_module: LightningModule,
        precision: Precision,
        rows: HostRows,
        layer: str = INPUT,
        seed: int = 0,
        training: Sequence[nn.Module] | None = None,
    ) -> None:
        self.pl_module, self.rows, self.layer, self.seed = pl_module, rows, layer, seed
        self._step, self._training = step_loss(pl_module, precision), training
        self._hidden: Tensor | None = None
        self._calls: list[Tensor] = []

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Compute losses inside; the host is left as it was.

        Backward passes belong inside too: checkpointed layers compute again in them.
        """
        splice = Splice(self.pl_module, [self.layer] if self.layer else [])
        try:
            with ExitStack() as stack:
                stack.enter_context(grad_island())
                stack.enter_context(Aside(self.pl_module).entered(self.seed))
                if self._training is not None:
                    stack.enter_context(in_training(self.pl_module, self._training))
                stack.enter_context(steadied(self.pl_module))
                stack.enter_context(splice.edited({self.layer: self._edit}, repeated=True))
                yield
        finally:
            splice.remove()

    def clean(self) -> Tensor:
        """Return what is attacked, in at least single precision, `(M, *S)`.

        Raises:
            UserError: If there is none, or it is not floating-point.
        """
        if self.layer == INPUT:
            if self.rows.inputs is None:
                raise UserError(self._no_inputs())
            clean = self.rows.tensor()
            self._check_bytes(clean)
            return clean
        with torch.no_grad():
            self.of(None)
        check_met([self.layer], {self.layer} if self._calls else set())
        output = self._calls[0]
        if not output.is_floating_point() or output.ndim < 2:
            raise SpliceError(
                f"Layer {self.layer!r} gives {kind(output)}: name one whose output is a "
                "floating-point tensor of two dimensions or more."
            )
        return output.float() if output.dtype in (torch.float16, torch.bfloat16) else output

    def of(self, x: Tensor | None, rows: HostRows | None = None) -> Tensor:
        """Return the loss `()`, with its graph if gradients are enabled.

        Args:
            x: In place of what is attacked, `(M, *S)`; None for what is there.
            rows: Other rows than all of them, to which `x` belongs.

        Raises:
            UserError: If the step returns none.
        """
        rows = rows or self.rows
        batch, self._calls, self._hidden = rows.batch, [], None
        if x is not None and self.layer == INPUT:
            batch = rows.with_tensor(x.clone())  # the step may edit it in place
        elif x is not None:
            self._hidden = x
        loss = self._step(batch, seed=self.seed, steady=True)
        if loss is None:
            raise UserError(
                f"{type(self.pl_module).__name__}.training_step returned no loss for the chosen "
                "examples, so nothing can be measured on them."
            )
        return loss.reshape(())

    def column(self, x: Tensor) -> Tensor:
        """Return minus each example's share of the loss, as attacks take it, `(M, 1)`."""
        return (-self.of(x) / len(x)).expand(len(x), 1)

    def no_gradient(self) -> str:
        """Return the message for a loss without a gradient by what is attacked."""
        what = f"the output of {self.layer!r}" if self.layer else f"{self.rows.inputs!r}"
        return (
            f"The loss of {type(self.pl_module).__name__}.training_step does not depend "
            f"differentiably on {what}: attack another entry, inputs=<key or path>, or measure "
            "what AdversarialExamples(layer=<name>) does at a hidden layer."
        )

    def alone(self, x: Tensor | None) -> Tensor | None:
        """Return the loss of each row by itself, `(N,)`; None where the step cannot give it.

        Args:
            x: As for `of`.
        """
        losses = []
        for number in range(self.rows.count):
            only = slice(number, number + 1)
            row = self.rows.part(only)
            if row is None or (x is not None and len(x) != self.rows.count):
                return None
            try:
                with torch.no_grad():
                    losses.append(self.of(None if x is None else x[only], row))
            except Exception:  # whatever a step does with one row
                return None
        found = torch.stack(losses)
        return found if bool(found.isfinite().all()) else None

    def _check_bytes(self, clean: Tensor) -> None:
        if self.rows.is_floating_point():
            return
        with torch.no_grad():
            pair = self.of(None), self.of(clean)
        if not torch.allclose(*pair, rtol=1e-5):
            raise UserError(
                f"The inputs at {self.rows.inputs!r} are bytes, and the training step makes "
                "something else of the same numbers as floating-point ones: convert them to floats "
                "in the data, or in on_before_batch_transfer."
            )

    def _no_inputs(self) -> str:
        embeddings = [
            name for name, one in self.pl_module.named_modules() if isinstance(one, nn.Embedding)
        ]
        example = embeddings[0] if embeddings else "<name>"
        return (
            "The batch holds no floating-point inputs that could be perturbed; token ids have no "
            "gradient: name others by inputs=<key or path>, or use "
            f"AdversarialExamples(layer={example!r}), which attacks the output of a layer."
        )

    def _edit(self, output: Tensor) -> Tensor:
        if in_backward():
            return output if self._hidden is None else self._put(output)
        self._calls.append(output.detach())
        return self._put(output) if self._hidden is not None and len(self._calls) == 1 else output

    def _put(self, output: Tensor) -> Tensor:
        assert self._hidden is not None
        if self._hidden.shape != output.shape:
            raise SpliceError(
                f"Layer {self.layer!r} gives {tuple(output.shape)}, not "
                f"{tuple(self._hidden.shape)} as the activation that is to replace it."
            )
        return self._hidden.to(output.dtype, copy=True)


@contextmanager
def in_training(module: nn.Module, training: Sequence[nn.Module]) -> Iterator[None]:
    """Give the modules the modes of a training step while inside, as in a validation."""
    wanted = set(training)
    before = {one: one.training for one in module.modules()}
    for one in before:
        one.training = one in wanted
    try:
        yield
    finally:
        for one, mode in before.items():
            one.training = mode
