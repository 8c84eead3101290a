"""Weights on the rows of a batch, applied to the gradient at the logits.

The host's loss is its own affair: it sees all rows alike. Multiplying each row's gradient by a
weight, where it leaves the logits, is the same as weighting the row's loss, whatever the host's
reduction.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor, nn
from torch.autograd.graph import Node

from lit_intriguing.errors import UserError
from lit_intriguing.splice import add_forward_hook, in_backward, submodule


class LogitsError(UserError, RuntimeError):
    """The logits of the training step cannot be told."""


@dataclass
class _Candidate:
    """An output that may be the logits."""

    name: str
    node: Node
    reached: bool = False


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
        self._candidates: list[_Candidate] = []
        self._rows: int | None = None
        self._classes: int | None = None
        self._weights: Tensor | None = None
        self._removers: list[Callable[[], None]] = []
        if name is None:
            self._watch(dict(model.named_modules()))
        else:
            self._watch({name: submodule(model, name)})

    def start(self, rows: int, weights: Tensor | None, classes: int | None = None) -> None:
        """Begin a step.

        Args:
            rows: Rows at the logits, N.
            weights: Of the rows, ``(N,)``; None for all one.
            classes: Columns of the logits, C; None if that is not known.
        """
        self._rows, self._weights, self._classes = rows, weights, classes
        self.restart()

    def restart(self) -> None:
        """Begin another forward of the same step."""
        self.logits = None
        self._candidates = []

    def finish(self, backward: bool = True) -> None:
        """End the step.

        Args:
            backward: Whether a backward pass through the logits must have been made.

        Raises:
            LogitsError: If it was not made, no logits have a row for each row of the batch, or the
                loss depends on several such outputs side by side.
        """
        rows, self._rows = self._rows, None
        reached = [one for one in self._candidates if one.reached]
        if backward or reached:
            self._check(rows, reached)
            if self.name is None:
                self._settle(self._chosen())
        self.restart()

    def remove(self) -> None:
        """Take the hooks away."""
        for remove in self._removers:
            remove()
        self._removers = []

    def _check(self, rows: int | None, reached: list[_Candidate]) -> None:
        if not self._candidates:
            raise LogitsError(
                f"No module returned logits with a row for each of the {rows} rows of the "
                "batch during training_step. Name the module that does: model=<name>. If the "
                "training step reshapes or splits the batch, use keep_out=True."
            )
        chosen = [one for one in reached if one.name == self._chosen()]
        if not chosen:
            raise LogitsError(
                f"The loss does not depend on the output of {self._chosen()!r}, so the rows of the "
                "pools cannot be weighted. Name the module that gives the logits: model=<name>."
            )
        for other in reached if self.name is None else []:
            if not any(_same_path(other.node, one.node) for one in chosen):
                raise LogitsError(
                    f"The loss depends on the outputs of {self._chosen()!r} and, side by side, of "
                    f"{other.name!r}; the gradient of only one can be weighted. Use keep_out=True, "
                    "or name the one to weight: model=<name>."
                )

    def _settle(self, name: str) -> None:
        self.name = name
        self.remove()
        self._watch({name: submodule(self.model, name)})

    def _watch(self, modules: Mapping[str, nn.Module]) -> None:
        self._removers = [
            add_forward_hook(module, functools.partial(self._see, name))
            for name, module in modules.items()
        ]

    def _chosen(self) -> str:
        seen = [one.name for one in self._candidates]
        return "" if "" in seen else seen[-1]

    def _see(self, name: str, module: nn.Module, args: object, output: object) -> None:
        if self._rows is None or in_backward():
            return
        if not isinstance(output, Tensor) or output.grad_fn is None or output.ndim != 2:
            return
        if len(output) != self._rows or self._classes not in (None, output.shape[1]):
            return
        candidate = _Candidate(name, output.grad_fn)
        self._candidates.append(candidate)
        if name == self._chosen():
            self.logits = output.detach()
        weight = functools.partial(self._weight, candidate)
        output.register_hook(weight)  # type: ignore[no-untyped-call]

    def _weight(self, candidate: _Candidate, gradient: Tensor) -> Tensor:
        candidate.reached = True
        if candidate.name != self._chosen() or self._weights is None:
            return gradient
        return gradient * self._weights.to(gradient.dtype).unsqueeze(1)


def _same_path(one: Node, other: Node) -> bool:
    """Whether one node of the graph feeds the other, or they are the same."""
    return _feeds(one, other) or _feeds(other, one)


def _feeds(lower: Node, upper: Node) -> bool:
    """Whether the gradient of ``upper`` passes through ``lower``."""
    waiting, seen = [upper], {upper}
    while waiting:
        node = waiting.pop()
        if node is lower:
            return True
        below = {child for child, _ in node.next_functions if child is not None} - seen
        seen |= below
        waiting.extend(below)
    return False
