"""Writes down, while a model's forward runs, each function and each layer that is called."""

import functools
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import type_before_parametrizations
from torch.overrides import TorchFunctionMode

from lit_intriguing.lipschitz.graphs.graph import Node, item, leaves, mapped
from lit_intriguing.lipschitz.graphs.layer_state import LayerState
from lit_intriguing.lipschitz.registry import Shape, has_rule
from lit_intriguing.lipschitz.unwrapped import changed_by, unwrapped
from lit_intriguing.private import of_torch

COMPOSED: tuple[type[nn.Module], ...] = (nn.Sequential,)
"""Types that have a rule which is the graph's own: looked into, not asked."""


# What of these tensors counts is the shape: of the first argument, or of the second.
_SHAPE_OF: dict[Any, int] = {
    torch.zeros_like: 0,
    torch.ones_like: 0,
    torch.full_like: 0,
    torch.empty_like: 0,
    torch.rand_like: 0,
    torch.randn_like: 0,
    Tensor.new_zeros: 0,
    Tensor.new_ones: 0,
    Tensor.new_full: 0,
    Tensor.new_empty: 0,
    Tensor.new_tensor: 0,
    Tensor.expand_as: 1,
    Tensor.view_as: 1,
    Tensor.reshape_as: 1,
    Tensor.type_as: 1,
}


# What reads a tensor's values, or gets at its memory, where changes are not seen.
_UNSEEN = {
    Tensor.numpy,
    Tensor.data_ptr,
    Tensor.__array__,
    Tensor.__dlpack__,
    Tensor.tolist,
    Tensor.item,
    Tensor.storage,
    Tensor.untyped_storage,
    Tensor.data.__set__,  # type: ignore[attr-defined]
}


_DATA = Tensor.data.__get__  # type: ignore[attr-defined]

# Of complex numbers, these are linear and have rules that allow for them.
_COMPLEX = (
    nn.Identity,
    nn.Flatten,
    nn.Linear,
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
)


class UntraceableError(BaseException):
    """The forward pass does what cannot be followed; the message says what.

    No `Exception`, which the model's own code may catch and go on without.
    """


class UnknownForwardError(BaseException):
    """A module is not what its type says; the message says why. No `Exception`, likewise."""


def is_layer(module: nn.Module) -> bool:
    """Return whether a module is asked for its constant, not looked into.

    That is so for those with a rule, and for torch's own that hold parameters.
    """
    kind = type_before_parametrizations(module)
    if kind in COMPOSED:
        return False
    weighs = next(module.parameters(recurse=False), None) is not None
    return has_rule(module) or (weighs and kind.__module__.startswith("torch.nn."))


class Recorder(TorchFunctionMode):
    """Sees each call of a function, and by the copies' `forward` each of a module."""

    def __init__(self, model: nn.Module, context: Any) -> None:
        super().__init__()
        self.model = model
        self.nodes: list[Node] = []
        self.input = Node("input", varying=True)
        self.error: BaseException | None = None
        self.failure = ""
        self._context = context
        self._draws = of_torch.draws()
        self._states: dict[nn.Module, LayerState] = {}
        self._seen: dict[int, tuple[Tensor, int | None, Node]] = {}
        self._taken: Counter[str] = Counter()
        self._path: list[str] = []
        self._failed: list[str] | None = None
        self._quiet = True

    @property
    def place(self) -> str:
        """Where the pass is, or where it failed: the innermost module's name and type."""
        path = self._path if self._failed is None else self._failed
        name = path[-1] if path else ""
        kind = type(self.model.get_submodule(name)).__name__
        return f"{name} ({kind})" if name else kind

    def run(self, input_shape: Shape) -> Any:
        """Call the copy of the model and return what it returns."""
        if changed_by(self.model):  # before a hook that torch calls for all sees the copy
            raise UnknownForwardError(changed_by(self.model))
        copy = unwrapped(self.model, self._stand_in)
        originals = dict(self.model.named_modules())
        for name, module in copy.named_modules():
            follow = functools.partial(self.enter, name, originals[name], module)
            module.__dict__["forward"] = follow
        self._states = {module: LayerState(module) for module in copy.modules()}
        device = next((one.device for one in self.model.parameters()), torch.device("cpu"))
        x = torch.empty((1, *input_shape), device=device, dtype=_dtype(self.model))
        self._remember(x, self.input)
        with self._draws, self:
            self._quiet = False
            return copy(x)

    def note(self, error: BaseException) -> None:
        """Remember the first error and where it was, even if the model's own code catches it."""
        if self.error is not None:
            return
        self.error, self._failed = error, list(self._path)
        if isinstance(error, UnknownForwardError):
            self.failure = f"{self.place} {error}"
        elif isinstance(error, (*of_torch.values_needed(), UntraceableError)):
            self.failure = f"{self.place}: needs the values of its input ({first_line(error)})"
        else:
            self.failure = f"{self.place}: cannot be followed ({first_line(error)})"

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is Tensor.__deepcopy__:  # which would copy a memory that there is not
            func = Tensor.clone
            args, kwargs = args[:1], {}
        if self._quiet:
            return func(*args, **kwargs)
        if func in _UNSEEN:
            self.note(error := UntraceableError(f"{function_name(func)} of a tensor"))
            raise error
        if func == _DATA:  # which would hide a change in place; a detached tensor does not
            func = Tensor.detach
            args, kwargs = args[:1], {}
        call = functools.partial(func, *args, **kwargs)
        return self._record(func, function_name(func), call, args, kwargs)

    def enter(
        self, name: str, original: nn.Module, copy: nn.Module, *args: Any, **kwargs: Any
    ) -> Any:
        """Run the forward of a module's copy."""
        call = functools.partial(_forward, original, copy, *args, **kwargs)
        if self._quiet:
            return call()
        self._path.append(name)
        try:
            if not is_layer(original):
                return call()
            self._check_unchanged(copy)
            return self._record(original, "", call, args, kwargs)
        except BaseException as error:
            self.note(error)
            raise
        finally:
            self._path.pop()

    def node(self, tensor: Tensor) -> Node:
        """Return the node of a tensor."""
        found = self._seen.get(id(tensor))
        if found is not None:
            _, version, node = found
            same = version == of_torch.version(tensor)
            return node if same else self._unknown("changed in place")
        if of_torch.has_no_values(tensor):
            return self._unknown(self._origin(tensor))
        if tensor.is_inference():
            return self._unknown("made in inference mode, where torch does not count changes")
        known = Node("a tensor", shape=tuple(tensor.shape), known=tensor)
        return self._remember(tensor, known)

    def _origin(self, tensor: Tensor) -> str:
        if of_torch.is_from_another(tensor, self._context):
            return (
                "stored in an earlier pass, as by a cache outside the module: clear that, and call "
                "the model once before it is bounded"
            )
        return "made where it cannot be seen, as by a function of its own"

    def _record(
        self,
        target: Any,
        label: str,
        call: Callable[[], Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        self._quiet = True
        try:
            return self._recorded(target, label, call, args, kwargs)
        except BaseException as error:
            self.note(error)
            raise
        finally:
            self._quiet = False

    def _recorded(
        self,
        target: Any,
        label: str,
        call: Callable[[], Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        before = leaves((args, kwargs), Tensor)
        nodes, named = mapped((args, kwargs), Tensor, self.node)
        versions, draws = list(map(of_torch.version, before)), self._draws.count
        with torch.inference_mode(False), torch.no_grad():  # whose tensors' changes are counted
            result = call()
        drawn = self._draws.count > draws
        found = leaves(result, Tensor)
        if not found:
            return result
        if target in _SHAPE_OF:
            nodes = _without_values(nodes, _SHAPE_OF[target])
        node = Node(self._name(label), target, nodes, named)
        node.varying = bool(node.sources)
        node.in_place = versions != list(map(of_torch.version, before))
        why = _out_of_reach(node, found, drawn)
        if why:
            node = self._opaque(why, node.sources)
        if isinstance(result, Tensor):
            self._remember(result, node)
            return result
        node.shape = tuple(found[0].shape)
        self.nodes.append(node)
        for index, tensor in enumerate(found):
            self._remember(tensor, Node(node.name, item, (node, index), varying=node.varying))
        return result

    def _remember(self, tensor: Tensor, node: Node) -> Node:
        node.shape = tuple(tensor.shape)
        real = tensor.is_floating_point() or tensor.is_complex()
        node.discrete = not real and node.target is not None
        self._seen[id(tensor)] = tensor, of_torch.version(tensor), node
        self.nodes.append(node)
        return node

    def _unknown(self, why: str) -> Node:
        node = self._opaque(why)
        self.nodes.append(node)
        return node

    def _opaque(self, why: str, sources: Iterable[Node] = ()) -> Node:
        """Return a node that nothing is known of; it is taken to depend on the input."""
        return Node(f"{self.place}: a tensor {why}", args=tuple(sources), varying=True)

    def _check_unchanged(self, copy: nn.Module) -> None:
        """Refuse a layer that is not as it was before the forward pass."""
        self._quiet = True
        try:
            states = (self._states.get(module) for module in copy.modules())
            names = ["a part" if one is None else one.changed() for one in states]
        finally:
            self._quiet = False
        if any(names):
            changed = ", ".join(filter(None, names))
            raise UnknownForwardError(f"is changed in the forward pass ({changed})")

    def _name(self, label: str) -> str:
        place = self._path[-1] if self._path else ""
        if not label:
            return place
        name = f"{place}.{label}" if place else label
        self._taken[name] += 1
        return name if self._taken[name] == 1 else f"{name}_{self._taken[name]}"

    def _stand_in(self, real: Tensor) -> Tensor:
        """Return a tensor without values in a parameter's place."""
        fake = torch.empty(real.shape, dtype=real.dtype, device=real.device)
        if isinstance(real, nn.Parameter):
            fake = nn.Parameter(fake, requires_grad=False)
        self._remember(fake, Node("a parameter", known=real))
        return fake


def function_name(function: Any) -> str:
    """Return the name of a torch function, or a tensor's method or property, without underlines."""
    name = getattr(function, "__name__", type(function).__name__)
    if name == "__get__":
        name = getattr(function.__self__, "__name__", name)
    return str(name).strip("_")


def _dtype(model: nn.Module) -> torch.dtype:
    parameters = list(model.parameters())
    wanted = [one.dtype for one in parameters if one.is_complex()]
    wanted += [one.dtype for one in parameters if one.is_floating_point()]
    return wanted[0] if wanted else torch.float32


def _out_of_reach(node: Node, found: Iterable[Tensor], drawn: bool) -> str:
    """Why no rule applies to a call with these results; empty if one may."""
    name = "" if isinstance(node.target, nn.Module) else function_name(node.target)
    # Layers in evaluation do not draw; torch says so of attention, which has no constant anyway.
    if drawn and name and "dropout" not in name:  # whose rule says it itself
        return f"that is random ({name})"
    if node.varying and any(one.is_complex() for one in found):
        kind = type_before_parametrizations(node.target) if not name else None
        # Slopes, as of activations, are those of functions of real numbers.
        return "" if kind in _COMPLEX else "of complex numbers"
    return ""


def _forward(original: nn.Module, copy: nn.Module, *args: Any, **kwargs: Any) -> Any:
    why = changed_by(original)
    if why:
        raise UnknownForwardError(why)
    return type(original).forward(copy, *args, **kwargs)


def _without_values(args: tuple[Any, ...], index: int) -> tuple[Any, ...]:
    shape = getattr(args[index], "shape", ()) if index < len(args) else ()
    zeros = Node("zeros", torch.zeros, (shape,), shape=shape)
    return tuple(zeros if i == index else arg for i, arg in enumerate(args))


def first_line(error: BaseException) -> str:
    """Return an error's type and the first line of what it says."""
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}".rstrip(": ")
