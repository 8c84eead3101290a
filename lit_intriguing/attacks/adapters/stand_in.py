"""The stand-in that an attack of another library gets for the model."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from lit_intriguing.attacks.gradient import no_gradient
from lit_intriguing.attacks.sealed_model import as_logits


class StandIn(nn.Module):
    """A module without the model's parts: only inputs, logits and input gradients pass.

    A library that calls `backward`, `eval`, `train`, `requires_grad_` or `to` changes
    nothing of the model. It counts what it is asked for. Second derivatives do not pass.

    Args:
        function: Maps a tensor like `x` to logits `(M, C)`.
        x: Gives the device and the dtype that the library sees.

    Attributes:
        forwards: Examples evaluated so far.
        gradients: Examples differentiated so far.
    """

    def __init__(self, function: Callable[[Tensor], Tensor], x: Tensor) -> None:
        super().__init__()
        self._function = (function,)  # in a tuple, or a module would be registered as a part
        # Libraries ask the first parameter for the device.
        self.whereabouts = nn.Parameter(torch.zeros((), dtype=x.dtype, device=x.device), False)
        self.forwards = 0
        self.gradients = 0
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        """Return logits `(M, C)`."""
        self.forwards += len(x)
        if torch.is_grad_enabled() and x.requires_grad:
            logits: Tensor = _InputGradient.apply(x, self)
            return logits
        with torch.no_grad():
            return self.logits(x)

    def logits(self, x: Tensor) -> Tensor:
        """Return the model's logits in the dtype that the library sees."""
        return as_logits(self._function[0](x), len(x)).to(self.whereabouts.dtype)


class _InputGradient(torch.autograd.Function):
    """The model as one operation, whose backward ends at its input."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, stand_in: StandIn) -> Tensor:
        with torch.enable_grad():
            ctx.x = x.detach().requires_grad_()
            ctx.logits = stand_in.logits(ctx.x)
        if not ctx.logits.requires_grad:
            raise ValueError(no_gradient())
        ctx.stand_in = stand_in
        detached: Tensor = ctx.logits.detach()
        return detached

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, None]:
        ctx.stand_in.gradients += len(ctx.x)
        # The graph stays, as libraries differentiate logit by logit.
        (found,) = torch.autograd.grad(
            ctx.logits, ctx.x, gradient, retain_graph=True, allow_unused=True
        )
        return found, None
