"""The loss of a host that optimises manually, called aside without its backward and its steps."""

import copy
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

from lightning.pytorch import LightningModule
from lightning.pytorch.plugins.precision import Precision
from torch import Tensor

from lit_intriguing.hosts.muted import Silent
from lit_intriguing.hosts.step_loss import StepLoss, loss_of


def step_loss(pl_module: LightningModule, precision: Precision) -> StepLoss:
    """Return the loss of a host's step, in automatic or manual optimisation."""
    kind = StepLoss if pl_module.automatic_optimization else ManualStepLoss
    return kind(pl_module, precision)


class ManualStepLoss(StepLoss):
    """The sum of the losses that `manual_backward` gets, at the present weights.

    Optimisers and schedulers stand still. Where the host goes backward in another way, it is the
    loss that `training_step` returns.

    Args:
        pl_module: The host, in manual optimisation.
        precision: The Trainer's precision.
    """

    def __call__(
        self, batch: Any, others: Sequence[Any] | None = None, seed: int = 0, steady: bool = False
    ) -> Tensor | None:
        """Return the loss `()` of a batch; arguments as for `StepLoss`."""
        others = self._zeros() if others is None else others
        losses: list[Tensor] = []
        with self.entered(seed, steady):
            # Taken back with all attributes that the step sets.
            vars(self.pl_module).update(_stand_ins(self.pl_module, losses))
            returned = loss_of(self.pl_module.training_step(batch, *others))
        return sum(losses[1:], losses[0]) if losses else returned


def _stand_ins(pl_module: LightningModule, losses: list[Tensor]) -> dict[str, Callable[..., Any]]:
    def backward(loss: Tensor, *args: Any, **kwargs: Any) -> None:
        losses.append(loss)

    def optimizers(use_pl_optimizer: bool = True) -> Any:
        found = type(pl_module).optimizers(pl_module, use_pl_optimizer)
        return [_Stand(one) for one in found] if isinstance(found, list) else _Stand(found)

    def schedulers() -> Any:
        found = type(pl_module).lr_schedulers(pl_module)
        return [Silent(one) for one in found] if isinstance(found, list) else Silent(found)

    toggles = ("toggle_optimizer", "untoggle_optimizer", "clip_gradients")
    return {
        "manual_backward": backward,
        "optimizers": optimizers,
        "lr_schedulers": schedulers,
        **dict.fromkeys(toggles, _nothing),
    }


class _Stand:
    """Stands in for an optimiser, whose settings can be read."""

    def __init__(self, optimizer: Any) -> None:
        self._optimizer = optimizer
        self.param_groups = [copy.copy(group) for group in optimizer.param_groups]
        self.zero_grad = _nothing

    @property  # type: ignore[misc]
    def __class__(self) -> type[Any]:
        return type(self.__dict__["_optimizer"])

    def __getattr__(self, name: str) -> Any:
        return getattr(self._optimizer, name)

    def step(self, closure: Callable[[], Any] | None = None, **kwargs: Any) -> Any:
        """Ask for the closure's loss, and stay."""
        return None if closure is None else closure()

    def toggle_model(self, *args: Any, **kwargs: Any) -> Any:
        """Do nothing."""
        return nullcontext()


def _nothing(*args: Any, **kwargs: Any) -> None:
    pass
