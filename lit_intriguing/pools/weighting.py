"""Weights on the examples of a batch, applied to the gradient at the logits.

The host's loss is not touched: it counts all examples alike. Multiplying each example's gradient by
a weight, where it leaves the logits, is the same as weighting the example's loss, whatever the
host's reduction.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.autograd.graph import Node

from lit_intriguing.attacks.base import per_row
from lit_intriguing.errors import UserError
from lit_intriguing.hosts.logits import Output, class_logits, columns, logits_in
from lit_intriguing.hosts.paths import Key, is_container, leaves
from lit_intriguing.splice import add_forward_hook, in_backward, submodule


class LogitsError(UserError, RuntimeError):
    """The logits of the training step cannot be found."""


@dataclass
class _Candidate:
    """An output that may be the logits, alone or with more beside them."""

    name: str
    nodes: list[Node]
    reached: bool = False


class WeightedLogits:
    """The logits of a training step, which are searched for and whose gradient is weighted.

    In the first step every module is watched. The logits are the output of the model's own call
    if it has one, else that of the last module to return a floating-point `(N, C)` tensor for N
    examples. Later steps watch that module alone.

    Where an output has more tensors than the logits with an entry for each example, such as an
    auxiliary head's, their gradient is weighted too.

    Args:
        model: The LightningModule.
        name: The submodule to take instead of searching; empty for the model's own call.
        output: Where an output holds the logits; found if there is no doubt.
        any_output: Whether any floating-point tensor with a row for each example counts, in place
            of logits `(N, C)`; for losses that are not those of classes.
    """

    def __init__(
        self,
        model: nn.Module,
        name: str | None = None,
        output: Output | None = None,
        any_output: bool = False,
    ) -> None:
        self.model, self.name, self.output = model, name, output
        self.any_output = any_output
        self.logits: Tensor | None = None
        self._candidates: list[_Candidate] = []
        self._outputs: list[Tensor] = []
        self._preferred: str | None = None
        self._count: int | None = None
        self._classes: int | None = None
        self._weights: Tensor | None = None
        self._paths: dict[str, list[Key]] = {}
        self._removers: list[Callable[[], None]] = []
        if name is None:
            self._watch(dict(model.named_modules()))
        else:
            self._watch({name: submodule(model, name)})

    def start(self, count: int, weights: Tensor | None, classes: int | None = None) -> None:
        """Begin a step.

        Args:
            count: Examples at the logits, N.
            weights: Of the examples, `(N,)`; None if all are one.
            classes: Columns of the logits, C; None if that is not known.
        """
        self._count, self._weights, self._classes = count, weights, classes
        self.restart()

    def restart(self) -> None:
        """Begin another forward of the same step."""
        self.logits = None
        self._candidates, self._outputs = [], []

    @property
    def outputs(self) -> list[Tensor]:
        """The outputs so far that may be the logits, with their graphs."""
        return list(self._outputs)

    @property
    def chosen_output(self) -> Tensor | None:
        """The output so far that is taken for the logits, with its graph."""
        both = zip(self._candidates, self._outputs, strict=True)
        chosen = [output for one, output in both if one.name == self._chosen()]
        return chosen[-1] if chosen else None

    def finish(self, backward: bool = True) -> None:
        """End the step.

        Args:
            backward: Whether a backward pass through the logits must have been made.

        Raises:
            LogitsError: If it was not made, if no output has logits for each example of the batch,
                or if the loss depends on several such outputs side by side.
        """
        count, self._count = self._count, None
        reached = [one for one in self._candidates if one.reached]
        if backward or reached:
            self._check(count, reached)
            if self.name is None:
                self._settle(self._chosen())
        self.restart()

    def stop(self) -> None:
        """End a forward that was watched, without a check."""
        self._count = None
        self.restart()

    def remove(self) -> None:
        """Take the hooks away."""
        for remove in self._removers:
            remove()
        self._removers = []

    def _check(self, count: int | None, reached: list[_Candidate]) -> None:
        if not self._candidates:
            raise LogitsError(
                f"No module returned logits of shape ({count}, C), for the {count} examples of the "
                "batch, during training_step. Name the module that does: model=<name>. If the "
                "training step reshapes or splits the batch, use keep_out=True."
            )
        chosen = [one for one in reached if one.name == self._chosen()]
        if not chosen:
            raise LogitsError(
                f"The loss does not depend on the output of {self._chosen()!r}, so the examples of "
                "the pools cannot be weighted. Name the module that gives the logits: model=<name>."
            )
        for other in reached if self.name is None else []:
            weighted = [node for one in chosen for node in one.nodes]
            if not any(_same_path(one, node) for one in other.nodes for node in weighted):
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
            if not isinstance(module, torch.jit.ScriptModule)  # those take no hooks
        ]

    def prefer(self, logits: Tensor) -> None:
        """Take the output that holds these class logits, `(N, C)`, if one does."""
        for candidate, output in zip(self._candidates, self._outputs, strict=True):
            found = class_logits(output.detach())
            if found.shape == logits.shape and torch.allclose(found, logits, rtol=1e-3, atol=1e-4):
                self._preferred = candidate.name

    def _chosen(self) -> str:
        seen = [one.name for one in self._candidates]
        if self._preferred in seen:
            return str(self._preferred)
        return "" if "" in seen else seen[-1]

    def _see(self, name: str, module: nn.Module, args: object, output: object) -> None:
        if self._count is None or in_backward():
            return
        logits = self._logits_of(output)
        if logits is None:
            return
        beside = self._beside(name, logits, output)
        candidate = _Candidate(name, [_node(one) for one in (logits, *beside)])
        self._candidates.append(candidate)
        self._outputs.append(logits)
        if name == self._chosen():
            self.logits = None if self.any_output else class_logits(logits.detach())
        logits.register_hook(functools.partial(self._weight_logits, candidate))  # type: ignore[no-untyped-call]
        for one in beside:
            one.register_hook(functools.partial(self._weight, candidate))  # type: ignore[no-untyped-call]

    def _beside(self, name: str, logits: Tensor, output: object) -> list[Tensor]:
        """Return what else of a module's output is weighted; found once, as it walks the graph."""
        assert self._count is not None
        if isinstance(output, Tensor) or not is_container(output):
            return []
        others = {
            path: one
            for path, one in leaves(output).items()
            if _has_gradient(one) and one.ndim and len(one) == self._count
        }
        if name not in self._paths:
            self._paths[name] = beside(logits, others)
        return [others[path] for path in self._paths[name] if path in others]

    def _logits_of(self, output: object) -> Tensor | None:
        """Return the logits of a module's output, if they have the step's shape."""
        try:
            if self.any_output and self.output is None and is_container(output):
                return self._first_of(output)
            logits = logits_in(output, self.output)
        except Exception:
            # Every module is asked, also those that this was not meant for.
            return None
        if not _has_gradient(logits):
            return None
        if self.any_output:
            return logits if logits.ndim and len(logits) == self._count else None
        shapes = (1, 2) if self._classes == 1 else (2,)
        if logits.ndim not in shapes or len(logits) != self._count:
            return None
        return logits if self._classes in (None, columns(logits)) else None

    def _first_of(self, output: object) -> Tensor | None:
        found = [one for one in leaves(output).values() if _has_gradient(one) and one.ndim]
        return next((one for one in found if len(one) == self._count), None)

    def _weight_logits(self, candidate: _Candidate, gradient: Tensor) -> Tensor:
        candidate.reached = True
        return self._weight(candidate, gradient)

    def _weight(self, candidate: _Candidate, gradient: Tensor) -> Tensor:
        watched = any(one is candidate for one in self._candidates)
        if not watched or self._weights is None or candidate.name != self._chosen():
            return gradient
        return gradient * per_row(self._weights.to(gradient.dtype), gradient)


def beside(logits: Tensor, others: Mapping[Key, Tensor]) -> list[Key]:
    """Return which tensors of an output are neither made of the logits nor the logits of them.

    Where one of several is made of another, it is the last of them.
    """
    found: dict[Key, Node] = {}
    for path, one in reversed(list(others.items())):
        if not any(_same_path(_node(one), node) for node in (_node(logits), *found.values())):
            found[path] = _node(one)
    return list(found)


def _has_gradient(value: object) -> bool:
    return isinstance(value, Tensor) and value.grad_fn is not None


def _node(tensor: Tensor) -> Node:
    assert tensor.grad_fn is not None
    return tensor.grad_fn


def _same_path(one: Node, other: Node) -> bool:
    """Return whether one node of the graph feeds the other, or they are the same."""
    return _feeds(one, other) or _feeds(other, one)


def _feeds(lower: Node, upper: Node) -> bool:
    """Return whether the gradient of `upper` passes through `lower`."""
    waiting, seen = [upper], {upper}
    while waiting:
        node = waiting.pop()
        if node is lower:
            return True
        below = {child for child, _ in node.next_functions if child is not None} - seen
        seen |= below
        waiting.extend(below)
    return False
