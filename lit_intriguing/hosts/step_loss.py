"""The loss of a host's training step, computed aside."""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.plugins.precision import Precision
from torch import Tensor, nn

from lit_intriguing.autograd import evaluating
from lit_intriguing.hosts.aside import Aside


class StepLoss:
    """The loss that `training_step` returns, whatever it computes; the host is left as it was.

    Args:
        pl_module: The host, in automatic optimisation.
        precision: The Trainer's precision.

    Attributes:
        can_be_steadied: Whether the step runs with dropout and BatchNorm as in evaluation mode; one
            may ask for the modes of its layers.
    """

    def __init__(self, pl_module: LightningModule, precision: Precision) -> None:
        self.pl_module, self._precision = pl_module, precision
        self._aside = Aside(pl_module)
        self.can_be_steadied = True

    def __call__(
        self, batch: Any, others: Sequence[Any] | None = None, seed: int = 0, steady: bool = False
    ) -> Tensor | None:
        """Return the loss `()` of a batch, with its graph if gradients are enabled.

        Args:
            batch: A batch of the host's kind.
            others: What `training_step` takes besides; None for zeros, such as the first batch's
                number.
            seed: Of the random numbers inside.
            steady: Whether dropout and BatchNorm run as in evaluation mode.

        Returns:
            The loss; None where the step skips the batch.
        """
        others = self._zeros() if others is None else others
        with self.entered(seed, steady):
            return loss_of(self.pl_module.training_step(batch, *others))

    @contextmanager
    def entered(self, seed: int = 0, steady: bool = False) -> Iterator[None]:
        """Run other code of the host aside, as its step; see the call."""
        with ExitStack() as stack:
            if steady and self.can_be_steadied:
                stack.enter_context(steadied(self.pl_module))
            stack.enter_context(self._aside.entered(seed))
            stack.enter_context(self._precision.train_step_context())
            yield

    def _zeros(self) -> list[int]:
        parameters = list(inspect.signature(self.pl_module.training_step).parameters.values())
        named = [one for one in parameters if one.kind in _BY_POSITION]
        return [0] * (len(named) - 1)


_BY_POSITION = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)

_UNSTEADY = (
    nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout,
    nn.MultiheadAttention, nn.RNNBase, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d,
    nn.SyncBatchNorm,
)  # fmt: skip

_UNSTEADY_BY_NAME = ("StochasticDepth", "DropPath")
"""Of torchvision, and of timm and others."""


def loss_of(output: Any) -> Tensor | None:
    """Return the loss in what a training step returned; None where it skips the batch."""
    loss = output.get("loss") if isinstance(output, Mapping) else output
    return loss if isinstance(loss, Tensor) else None


def with_loss(output: Any, loss: Tensor) -> Any:
    """Return what a training step returned, with another loss."""
    return {**output, "loss": loss} if isinstance(output, Mapping) else loss


@contextmanager
def steadied(module: nn.Module) -> Iterator[None]:
    """Let dropout and layers with running statistics run as in evaluation mode while inside.

    Each example is then computed alone. All other modules keep their mode: a network may return
    something else in training.
    """
    with evaluating(one for one in module.modules() if _is_unsteady(one)):
        yield


def _is_unsteady(module: nn.Module) -> bool:
    if isinstance(module, torch.jit.ScriptModule):
        return module.original_name in {kind.__name__ for kind in _UNSTEADY}
    return isinstance(module, _UNSTEADY) or type(module).__name__ in _UNSTEADY_BY_NAME


def gradients_of(loss: Tensor, tensors: Sequence[Tensor]) -> list[Tensor | None]:
    """Return the gradients of a loss, None for tensors that it does not depend on."""
    if not loss.requires_grad or not tensors:
        return [None] * len(tensors)
    return list(torch.autograd.grad(loss, list(tensors), retain_graph=True, allow_unused=True))
