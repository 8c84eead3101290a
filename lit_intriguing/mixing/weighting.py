"""Weights on the rows of a batch, applied to the gradient at the logits.

The host's loss is its own affair: it sees all rows alike. Multiplying each row's gradient by a
weight, where it leaves the logits, is the same as weighting the row's loss, whatever the host's
reduction.
"""

import functools
from collections.abc import Callable, Mapping

from torch import Tensor, nn

from lit_intriguing.errors import UserError
from lit_intriguing.splice import add_forward_hook, in_backward, submodule


class LogitsError(UserError, RuntimeError):
    """The logits of the training step cannot be told."""


class WeightedLogits:
    """Finds the logits in a training step and weights the gradient of their rows.

    In the first step every module is watched. The logits are the output of the model's own call
    where it has one, else that of the last module to return a floating-point ``(N, C)`` tensor for
    N rows. Later steps watch that module alone.

    Args:
        model: The LightningModule.
        name: The submodule to take instead of searching; empty for the model's own call.
    """

    def __init__(self, model: nn.Module, name: str | None = None) -> None:
        self.model, self.name = model, name
        self.logits: Tensor | None = None
        self._seen: list[str] = []
        self._rows: int | None = None
        self._weights: Tensor | None = None
        self._reached = False
        self._removers: list[Callable[[], None]] = []
        if name is None:
            self._watch(dict(model.named_modules()))
        else:
            self._watch({name: submodule(model, name)})

    def start(self, rows: int, weights: Tensor | None) -> None:
        """Begin a step of ``rows`` rows; ``weights``, ``(rows,)``, may be None for all one."""
        self._rows, self._weights = rows, weights
        self._reached = False
        self.restart()

    def restart(self) -> None:
        """Begin another forward of the same step."""
        self.logits = None
        self._seen = []

    def finish(self, backward: bool = True) -> None:
        """End the step.

        Args:
            backward: Whether a backward pass through the logits must have been made.

        Raises:
            LogitsError: If it was not made, or no logits have a row for each row of the batch.
        """
        rows, self._rows = self._rows, None
        if not backward and not self._reached:
            self.logits = None
            return
        if not self._seen:
            raise LogitsError(
                f"No module returned logits with a row for each of the {rows} rows of the "
                "batch during training_step. Name the module that does: model=<name>. If the "
                "training step reshapes or splits the batch, use keep_out=True."
            )
        if not self._reached:
            raise LogitsError(
                f"The loss does not depend on the output of {self._chosen()!r}, so the rows of the "
                "pools cannot be weighted. Name the module that gives the logits: model=<name>."
            )
        if self.name is None:
            self._settle(self._chosen())
        self.logits = None

    def remove(self) -> None:
        """Take the hooks away."""
        for remove in self._removers:
            remove()
        self._removers = []

    def _settle(self, name: str) -> None:
        self.name = name
        self.remove()
        self._watch({name: submodule(self.model, name)})

    def _watch(self, modules: Mapping[str, nn.Module]) -> None:
        self._removers = [
            add_forward_hook(module, self._hook(name)) for name, module in modules.items()
        ]

    def _chosen(self) -> str:
        return "" if "" in self._seen else self._seen[-1]

    def _hook(self, name: str) -> Callable[[nn.Module, object, object], None]:
        def hook(module: nn.Module, args: object, output: object) -> None:
            if self._rows is None or in_backward():
                return
            if not isinstance(output, Tensor) or not output.requires_grad:
                return
            if output.ndim != 2 or len(output) != self._rows:
                return
            self._seen.append(name)
            if name == self._chosen():
                self.logits = output.detach()
            weight = functools.partial(self._weight, name)
            output.register_hook(weight)  # type: ignore[no-untyped-call]

        return hook

    def _weight(self, name: str, gradient: Tensor) -> Tensor:
        if name != self._chosen():
            return gradient
        self._reached = True
        if self._weights is None:
            return gradient
        return gradient * self._weights.to(gradient.dtype).unsqueeze(1)
