"""The graph of a model's forward pass, found without computing anything.

The model's own code runs once on a tensor that has a shape and no values, and each call of a layer
or of a torch function is written down. Python's control flow is the model's own: it may depend on
shapes, and where it depends on values, there is no graph.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from lit_intriguing.lipschitz.registry import CannotBoundError, Shape


@dataclass(eq=False)
class Node:
    """A tensor, or several, on the way from the input to the output.

    Attributes:
        name: Qualified name of the module, or of the place and the function; unique but for
            modules that are called several times.
        target: The module or function that makes it; None for the input, parameters and the like.
        args: What the target is given; nodes in place of tensors.
        kwargs: Likewise.
        varying: Whether it depends on the input.
        shape: Of the tensor, with the batch dimension, which is 1 at the input; of several, the
            first's.
        discrete: Whether its numbers are no floating-point numbers.
        in_place: Whether the target changed one of its arguments.
        known: The value of a parameter or other tensor that was there before the forward pass.
    """

    name: str
    target: Any = None
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    varying: bool = False
    shape: Shape = ()
    discrete: bool = False
    in_place: bool = False
    known: Tensor | None = None

    @property
    def inputs(self) -> list["Node"]:
        """The nodes among the arguments, as often as they occur there."""
        return leaves((self.args, dict(self.kwargs)), Node)

    @property
    def sources(self) -> list["Node"]:
        """Those of the inputs that depend on the network's input."""
        return [node for node in self.inputs if node.varying]

    @cached_property
    def value(self) -> Tensor:
        """The value of a node that does not depend on the input, computed as the model would.

        Raises:
            CannotBoundError: If it is random, or changed in place.
        """
        if self.known is not None:
            return self.known.detach()
        if self.in_place or self.target is None or self.varying:
            raise CannotBoundError(f"the value of {self.name} is not known")
        value = _computed(self)
        if not isinstance(value, Tensor):
            raise CannotBoundError(f"the value of {self.name} is not one tensor")
        return value


@dataclass(frozen=True)
class Graph:
    """What a forward pass does with one example.

    Attributes:
        nodes: In the order of the calls; parameters before the input.
        input: The example.
        outputs: The tensors that the model returns.
        failure: Where and why the forward pass could not be followed to its end; empty if it was.
    """

    nodes: tuple[Node, ...]
    input: Node
    outputs: tuple[Node, ...]
    failure: str = ""

    @cached_property
    def live(self) -> tuple[Node, ...]:
        """The nodes through which the input reaches the outputs; all, where that is not known."""
        varying = [node for node in self.nodes if node.varying]
        if self.failure:
            return tuple(varying)
        reached = {id(node) for node in self.outputs}
        for node in reversed(varying):
            if id(node) in reached:
                reached.update(id(source) for source in node.sources)
        return tuple(node for node in varying if id(node) in reached)

    @cached_property
    def users(self) -> dict[int, list[Node | None]]:
        """By `id`: who takes a node, once for each time; None stands for the output."""
        found: dict[int, list[Node | None]] = {id(node): [] for node in self.nodes}
        for node in self.live:
            for source in node.sources:
                found[id(source)].append(node)
        for node in self.outputs:
            found[id(node)].append(None)
        return found


def item(node: Node, index: Any) -> Any:
    """Stand for the choice of one tensor among several in a result."""
    return node


def takes_one_tensor(node: Node) -> bool:
    """Return whether a layer is called with one tensor, and nothing else that could matter."""
    given = [*node.args, *node.kwargs.values()]
    return [one for one in given if one is not None] == node.sources and len(node.sources) == 1


def mapped(tree: Any, kind: type, change: Callable[[Any], Any]) -> Any:
    """Change the leaves of a type in a nest of tuples, lists, dictionaries and slices."""
    if isinstance(tree, kind):
        return change(tree)
    if isinstance(tree, dict):
        return {key: mapped(value, kind, change) for key, value in tree.items()}
    if isinstance(tree, tuple | list):
        items = [mapped(value, kind, change) for value in tree]
        return items if isinstance(tree, list) else tuple(items)
    if isinstance(tree, slice):
        return slice(*(mapped(part, kind, change) for part in (tree.start, tree.stop, tree.step)))
    return tree


def leaves(tree: Any, kind: type) -> list[Any]:
    """Return the leaves of a type, in order."""
    found: list[Any] = []
    mapped(tree, kind, found.append)
    return found


def _computed(node: Node) -> Any:
    args, kwargs = mapped((node.args, dict(node.kwargs)), Node, lambda each: each.value)
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]
    with torch.random.fork_rng(devices), torch.no_grad():
        before = [torch.get_rng_state(), *map(torch.cuda.get_rng_state, devices)]
        try:
            value = node.target(*args, **kwargs)
        except Exception as error:
            raise CannotBoundError(f"the value of {node.name} is not known ({error})") from error
        after = [torch.get_rng_state(), *map(torch.cuda.get_rng_state, devices)]
    if not all(map(torch.equal, before, after)):
        raise CannotBoundError(f"the value of {node.name} is random")
    return value
