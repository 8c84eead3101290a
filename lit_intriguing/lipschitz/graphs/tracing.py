"""Follows a model's forward pass and writes it down as a graph."""

import functools
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensor,
    FakeTensorMode,
    UnsupportedFakeTensorException,
    UnsupportedOperatorException,
)
from torch.nn.parameter import UninitializedTensorMixin  # type: ignore[attr-defined]
from torch.nn.utils.parametrize import type_before_parametrizations
from torch.overrides import TorchFunctionMode

from lit_intriguing.errors import UserError
from lit_intriguing.lipschitz.graphs.graph import Graph, Node, Shape, item, leaves, mapped
from lit_intriguing.lipschitz.norms import has_rule
from lit_intriguing.lipschitz.plain import changed_by, plain

COMPOSED: tuple[type[nn.Module], ...] = (nn.Sequential,)
"""Types that have a rule which is the graph's own: looked into, not asked."""

_VALUES_NEEDED = (
    DataDependentOutputException,
    DynamicOutputShapeException,
    UnsupportedFakeTensorException,
    UnsupportedOperatorException,
)
_NOT_TAKEN = (RuntimeError, ValueError, IndexError, AssertionError, UserError)

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
_UNSEEN = {Tensor.numpy, Tensor.data_ptr, Tensor.__array__, Tensor.tolist, Tensor.item}


class UntraceableError(RuntimeError):
    """The forward pass does what cannot be followed; the message says what."""


class UnknownForwardError(RuntimeError):
    """A module is not what its type says; the message says why."""


def traced(model: nn.Module, input_shape: Shape) -> Graph:
    """The graph of a model.

    Nothing is computed and the model is not touched: its code runs on a copy that holds tensors
    without values.

    Args:
        model: Any module that takes one tensor, as `plain` gives it.
        input_shape: Shape of one example, without the batch dimension.

    Returns:
        The graph; if it has a failure, as far as it could be followed.

    Raises:
        ValueError: If the model's weights are not there yet, the shape is no shape, the model does
            not take an example of this shape, or returns no tensor.
    """
    _check(model, input_shape)
    with ExitStack() as stack:
        for context in (_silence(), torch.inference_mode(False), torch.no_grad()):
            stack.enter_context(context)
        stack.enter_context(FakeTensorMode(allow_non_fake_inputs=True))
        recorder = _Recorder(model)
        output, failure = _run(recorder, model, input_shape)
        outputs = tuple(mapped(leaves(output, Tensor), Tensor, recorder.node))
    if not failure and not outputs:
        raise ValueError(
            f"{type(model).__name__} returns no tensor but a {type(output).__name__}: give the "
            "part of it that does"
        )
    return Graph(tuple(recorder.nodes), recorder.input, outputs, failure)


def _run(recorder: "_Recorder", model: nn.Module, input_shape: Shape) -> tuple[Any, str]:
    """What the model returns, or why that is not known."""
    try:
        return recorder.run(input_shape), ""
    except UnknownForwardError as error:
        return None, f"{recorder.place} {error}"
    except (*_VALUES_NEEDED, UntraceableError) as error:
        return None, f"{recorder.place}: needs the values of its input ({_line(error)})"
    except _NOT_TAKEN as error:
        raise ValueError(
            f"{type(model).__name__} does not take an example of shape {tuple(input_shape)}: "
            f"in {recorder.place}: {_line(error)}"
        ) from error
    except Exception as error:
        return None, f"{recorder.place}: cannot be followed ({_line(error)})"


def is_layer(module: nn.Module) -> bool:
    """Whether a module is asked for its constant, not looked into.

    That is so for those with a rule, and for torch's own that hold parameters.
    """
    kind = type_before_parametrizations(module)
    if kind in COMPOSED:
        return False
    ours = kind.__module__.startswith("torch.nn.") and bool(module._parameters)
    return has_rule(module) or ours


class _Recorder(TorchFunctionMode):
    """Sees each call of a function, and by the copies' ``forward`` each of a module."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.nodes: list[Node] = []
        self.input = Node("input", varying=True)
        self._seen: dict[int, tuple[Tensor, int, Node]] = {}
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
        copy = plain(self.model, self._stand_in)
        originals = dict(self.model.named_modules())
        for name, module in copy.named_modules():
            follow = functools.partial(self.enter, name, originals[name], module)
            module.__dict__["forward"] = follow
        device = next((one.device for one in self.model.parameters()), torch.device("cpu"))
        x = torch.empty((1, *input_shape), device=device, dtype=_dtype(self.model))
        self._remember(x, self.input)
        with self:
            self._quiet = False
            return copy(x)

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if self._quiet:
            return func(*args, **kwargs)
        if func in _UNSEEN:
            raise UntraceableError(f"{function_name(func)} of a tensor")
        call = functools.partial(func, *args, **kwargs)
        return self._record(func, function_name(func), call, args, kwargs)

    def enter(
        self, name: str, original: nn.Module, copy: nn.Module, *args: Any, **kwargs: Any
    ) -> Any:
        """The ``forward`` of a module's copy."""
        call = functools.partial(_forward, original, copy, *args, **kwargs)
        if self._quiet:
            return call()
        self._path.append(name)
        try:
            if not is_layer(original):
                return call()
            return self._record(original, "", call, args, kwargs)
        except Exception:
            self._failed = self._failed or list(self._path)
            raise
        finally:
            self._path.pop()

    def node(self, tensor: Tensor) -> Node:
        """The node of a tensor."""
        found = self._seen.get(id(tensor))
        if found is not None:
            _, version, node = found
            return node if version == tensor._version else self._unknown("changed in place")
        if isinstance(tensor, FakeTensor):
            return self._unknown("made where it cannot be seen, as by a function of its own")
        known = Node("a tensor", shape=tuple(tensor.shape), known=tensor)
        return self._remember(tensor, known)

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
        versions = [tensor._version for tensor in before]
        result = call()
        found = leaves(result, Tensor)
        if not found:
            return result
        if target in _SHAPE_OF:
            nodes = _without_values(nodes, _SHAPE_OF[target])
        node = Node(self._name(label), target, nodes, named)
        node.varying = bool(node.sources)
        node.in_place = versions != [tensor._version for tensor in before]
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
        node.discrete = not (tensor.is_floating_point() or tensor.is_complex())
        self._seen[id(tensor)] = tensor, tensor._version, node
        self.nodes.append(node)
        return node

    def _unknown(self, why: str) -> Node:
        """A node that nothing is known of; it is taken to depend on the input."""
        node = Node(f"{self.place}: a tensor {why}", varying=True)
        self.nodes.append(node)
        return node

    def _name(self, label: str) -> str:
        place = self._path[-1] if self._path else ""
        if not label:
            return place
        name = f"{place}.{label}" if place else label
        self._taken[name] += 1
        return name if self._taken[name] == 1 else f"{name}_{self._taken[name]}"

    def _stand_in(self, real: Tensor) -> Tensor:
        """A tensor without values in a parameter's place."""
        dtype = torch.float32 if real.is_floating_point() else real.dtype
        fake = torch.empty(real.shape, dtype=dtype, device=real.device)
        if isinstance(real, nn.Parameter):
            fake = nn.Parameter(fake, requires_grad=False)
        self._remember(fake, Node("a parameter", known=real))
        return fake


def function_name(function: Any) -> str:
    """The name of a torch function, of a tensor's method or of its property, without underlines."""
    name = getattr(function, "__name__", type(function).__name__)
    if name == "__get__":
        name = getattr(function.__self__, "__name__", name)
    return str(name).strip("_")


def _check(model: nn.Module, input_shape: Shape) -> None:
    if not input_shape or any(not isinstance(n, int) or n < 1 for n in input_shape):
        raise ValueError(
            f"input_shape is the shape of one example, such as (3, 224, 224), not {input_shape!r}"
        )
    for name, one in (*model.named_parameters(), *model.named_buffers()):
        if isinstance(one, UninitializedTensorMixin):
            raise ValueError(f"{name} has no shape yet: call the model once before it is bounded")
        if one.is_meta:
            raise ValueError(f"{name} is on the meta device: load the weights first")


def _dtype(model: nn.Module) -> torch.dtype:
    complex_types = [one.dtype for one in model.parameters() if one.is_complex()]
    return complex_types[0] if complex_types else torch.float32


def _forward(original: nn.Module, copy: nn.Module, *args: Any, **kwargs: Any) -> Any:
    why = changed_by(original)
    if why:
        raise UnknownForwardError(why)
    return type(original).forward(copy, *args, **kwargs)


def _without_values(args: tuple[Any, ...], index: int) -> tuple[Any, ...]:
    shape = getattr(args[index], "shape", ()) if index < len(args) else ()
    zeros = Node("zeros", torch.zeros, (shape,), shape=shape)
    return tuple(zeros if i == index else arg for i, arg in enumerate(args))


def _line(error: BaseException) -> str:
    """An error's type and the first line of what it says."""
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}".rstrip(": ")


@contextmanager
def _silence() -> Iterator[None]:
    """Keep torch from logging an error that is going to be reported."""
    logger = logging.getLogger("torch._subclasses.fake_tensor")
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before
