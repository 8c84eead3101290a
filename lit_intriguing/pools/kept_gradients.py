"""Gradients of clean examples, kept from the host's own backward pass."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

from lit_intriguing.splice import INPUT, Edit


class _Watch(torch.autograd.Function):
    """Passes a tensor on and hands over the gradient by it.

    The gradient is a tensor of the backward pass, which nobody writes to as long as it is held:
    that of a leaf would have to be copied.
    """

    @staticmethod
    def forward(
        ctx: FunctionCtx, x: Tensor, keep: Callable[[Tensor], None], begin: Tensor
    ) -> Tensor:
        ctx.keep = keep  # type: ignore[attr-defined]
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, None, None]:
        ctx.keep(gradients[0].detach())
        return None, None, None


class KeptGradients:
    """Gradients of the host's loss by the first rows of a batch, at the input and at layers.

    No pass is made for them: the host's own backward leaves them here. Where it goes backward
    several times, they are the sum until `close`.

    Args:
        layers: Names of the layers; the empty name is the input.
        count: Number of rows.
    """

    def __init__(self, layers: Iterable[str], count: int) -> None:
        self.layers, self.count = tuple(layers), count
        self.clean: dict[str, Tensor] = {}
        self.gradients: dict[str, Tensor] = {}
        self.closed = False

    def saw(self, layer: str) -> bool:
        """Return whether a layer's tensor took part in a forward that is watched."""
        return layer in self.clean

    def watched(self, inputs: Tensor) -> Tensor:
        """Return the inputs `(N, *S)` of a batch as the beginning of a graph that leads here.

        A step may change its inputs in place, which these do not allow: hand it a copy.
        """
        if INPUT not in self.layers:
            return inputs
        inputs = inputs.detach()
        self.clean[INPUT] = inputs[: self.count]
        begin = torch.empty(0, requires_grad=True)  # without it there would be no graph
        with torch.enable_grad():
            watched: Tensor = _Watch.apply(inputs, self._keep_input, begin)
        return watched

    def edits(self, within: Mapping[str, Edit] | None = None) -> dict[str, Edit]:
        """Return edits that keep the gradient by each layer's output, and then do others'.

        Args:
            within: The others, by layer.
        """
        others = dict(within or {})
        for name in self.layers:
            if name != INPUT:
                others[name] = self._watching(name, others.get(name))
        return others

    def close(self) -> None:
        """Keep no more: the weights are about to change."""
        self.closed = bool(self.gradients)

    def _watching(self, name: str, within: Edit | None) -> Edit:
        def edit(output: Tensor) -> Tensor:
            if torch.is_grad_enabled() and not self.closed:
                # Nothing below is trained: the graph begins here.
                output = output if output.requires_grad else output.detach().requires_grad_()
                self.clean[name] = output[: self.count].detach().clone()
                # A hook's gradient may be written over later.
                output.register_hook(  # type: ignore[no-untyped-call]
                    lambda gradient: self._keep(name, gradient[: self.count].detach().clone())
                )
                # The layers above may change their input in place, but no leaf.
                output = output.clone() if output.is_leaf else output
            return output if within is None else within(output)

        return edit

    def _keep_input(self, gradient: Tensor) -> None:
        self._keep(INPUT, gradient[: self.count])

    def _keep(self, name: str, gradient: Tensor) -> None:
        if not self.closed:
            before = self.gradients.get(name)
            self.gradients[name] = gradient if before is None else before + gradient
