"""A model from a named layer up, by hooks: no change to the model's code.

The name of a layer is that of the submodule whose output it is (`"hidden1"`, `"net.3"`); the
empty name means the model's input.
"""

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from lit_intriguing.errors import UserError
from lit_intriguing.private import of_torch

INPUT = ""
Edit = Callable[[Tensor], Tensor]


class UnknownLayerError(UserError, ValueError):
    """A layer's name is not a submodule of the model."""


class SpliceError(UserError, RuntimeError):
    """A named layer does not give one tensor, once in each forward."""


def submodule(model: nn.Module, layer: str) -> nn.Module:
    """Return the submodule named `layer`.

    Raises:
        UnknownLayerError: With the nearest names, if there is none.
    """
    try:
        return model.get_submodule(layer)
    except AttributeError:
        names = [name for name, _ in model.named_modules() if name]
    near = difflib.get_close_matches(layer, names, n=5, cutoff=0.3) or names[:10]
    raise UnknownLayerError(
        f"{type(model).__name__} has no layer {layer!r}. Nearest names: {', '.join(near)}. "
        "The empty name means the input."
    )


def add_forward_hook(
    module: nn.Module, hook: Callable[[nn.Module, object, object], object]
) -> Callable[[], None]:
    """Register a forward hook on this very module and return what removes it.

    Copies of the module, pickled or not, do not have it. Register before a compiled module's first
    call: later hooks go unnoticed by its graph.
    """
    return module.register_forward_hook(_Hook(module, hook)).remove


def is_compiled(model: nn.Module) -> bool:
    """Return whether `torch.compile` has wrapped the model or a submodule, or was called on it."""
    return any(
        of_torch.is_compile_wrapper(module) or of_torch.is_compiled_in_place(module)
        for module in model.modules()
    )


@contextmanager
def eager(model: nn.Module) -> Iterator[None]:
    """Run a compiled model uncompiled: hooks that come after its first call go unnoticed.

    Nor are graphs made then for other shapes and modes, of which there is a limited number.
    """
    if not is_compiled(model):
        yield
        return
    with torch.compiler.set_stance("force_eager"):
        yield


def check_takes_hooks(layer: str, module: nn.Module) -> None:
    """Raise if a layer's module takes no hooks.

    Raises:
        SpliceError: With the layer's name.
    """
    if isinstance(module, torch.jit.ScriptModule):
        raise SpliceError(
            f"Layer {layer!r} is compiled by TorchScript, which takes no hooks. Name the input or "
            "a layer outside, or script the network after training."
        )


def is_scripted(model: nn.Module) -> bool:
    """Return whether TorchScript has compiled the model or a submodule."""
    return any(isinstance(module, torch.jit.ScriptModule) for module in model.modules())


def quantised_layers(model: nn.Module) -> list[str]:
    """Return the names of the layers that torch has quantised: they round, and have no gradient."""
    names: list[str] = []
    for name, module in model.named_modules():
        inside = names and name.startswith(f"{names[-1]}.")
        if is_quantised(module) and not inside:
            names.append(name)
    return names


def is_quantised(module: nn.Module) -> bool:
    """Return whether this very module is a quantised layer of torch's."""
    return type(module).__module__.startswith(_QUANTISED)


_QUANTISED = (
    "torch.ao.nn.quantized",
    "torch.ao.nn.intrinsic.quantized",
    "torch.ao.nn.sparse.quantized",
)


class _Hook:
    """A forward hook of one module, nothing in a copy of it."""

    def __init__(
        self, target: nn.Module, hook: Callable[[nn.Module, object, object], object]
    ) -> None:
        def guarded(module: nn.Module, args: object, output: object) -> object:
            return hook(module, args, output) if module is target else None

        # Dynamo would trace the hook into the graph and freeze its first state there.
        self._hook = torch.compiler.disable(guarded)  # type: ignore[no-untyped-call]

    def __call__(self, module: nn.Module, args: object, output: object) -> object:
        return self._hook(module, args, output)

    def __reduce__(self) -> tuple[type["_NoHook"], tuple[()]]:
        return _NoHook, ()


class _NoHook:
    """What a copy of a module has in place of a hook."""

    def __call__(self, module: nn.Module, args: object, output: object) -> None:
        return None


def in_backward() -> bool:
    """Whether a backward pass is running: activation checkpointing then calls modules again."""
    return of_torch.in_backward()


class Splice:
    """Hooks on named layers of a model, through which their outputs can be replaced.

    Args:
        model: Any module.
        layers: The layers' names; the empty name, the input, needs no hook.

    Raises:
        UnknownLayerError: For an unknown name.
        SpliceError: For a scripted module.
    """

    def __init__(self, model: nn.Module, layers: Iterable[str]) -> None:
        self._edits: Mapping[str, Edit] = {}
        self._met: set[str] = set()
        self._repeated = False
        modules = {layer: submodule(model, layer) for layer in layers if layer != INPUT}
        for layer, module in modules.items():
            check_takes_hooks(layer, module)
        self._removers = [
            add_forward_hook(module, self._hook(layer)) for layer, module in modules.items()
        ]

    def remove(self) -> None:
        """Remove the hooks."""
        for remove in self._removers:
            remove()

    @contextmanager
    def edited(self, edits: Mapping[str, Edit], repeated: bool = False) -> Iterator[set[str]]:
        """Pass the outputs of some of the layers through functions.

        Args:
            edits: The function of each layer.
            repeated: Whether there may be several forwards inside.

        Yields:
            The names of the layers called so far.

        Raises:
            SpliceError: In the forward, for a layer called twice or one that returns no tensor.
        """
        before = self._edits, self._met, self._repeated
        self._edits, self._met, self._repeated = edits, set(), repeated
        try:
            yield self._met
        finally:
            self._edits, self._met, self._repeated = before

    def _hook(self, layer: str) -> Callable[[nn.Module, object, object], Tensor | None]:
        def hook(module: nn.Module, args: object, output: object) -> Tensor | None:
            if layer not in self._edits:
                return None
            self._check(layer, module, output)
            assert isinstance(output, Tensor)
            self._met.add(layer)
            return self._edits[layer](output)

        return hook

    def _check(self, layer: str, module: nn.Module, output: object) -> None:
        if not isinstance(output, Tensor):
            raise SpliceError(
                f"Layer {layer!r} ({type(module).__name__}) returns {kind(output)}, not a tensor. "
                "Name the submodule inside it whose output is the tensor to perturb."
            )
        if layer in self._met and not self._repeated and not in_backward():
            raise SpliceError(
                f"Layer {layer!r} ({type(module).__name__}) is called twice in one forward, so "
                "its output is not one tensor. Name a submodule that is called once."
            )


def check_met(layers: Iterable[str], met: set[str]) -> None:
    """Raise if a layer's module was not called.

    Raises:
        SpliceError: With the layer's name.
    """
    for layer in layers:
        if layer != INPUT and layer not in met:
            raise SpliceError(
                f"Layer {layer!r} was not called in the forward pass: its module exists, but the "
                "output of the model does not go through its __call__. Name a layer that is used "
                "(a compiled module may be found as '<name>._orig_mod')."
            )


def activations(
    model: nn.Module, splice: Splice, layers: Sequence[str], x: Tensor
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the model's output and the outputs of some layers, joined by one autograd graph.

    Args:
        model: Maps `x` to its output. Gradients must be enabled.
        splice: The model's hooks on the layers.
        layers: Names; the empty name gives the input itself.
        x: Input of shape `(N, *S)`.

    Returns:
        The output, and each layer's activation, `(N, *S_l)`, in the order of `layers`; each
        requires gradients.

    Raises:
        SpliceError: For a layer not called once, or one whose output is no tensor.
    """
    found: dict[str, Tensor] = {}

    def store(layer: str) -> Edit:
        def edit(output: Tensor) -> Tensor:
            found[layer] = output if output.requires_grad else output.detach().requires_grad_()
            # The model gets a copy: an in-place operation after the layer must not change this one.
            return found[layer].clone()

        return edit

    x = x.detach()
    if INPUT in layers:
        found[INPUT] = x.requires_grad_()
        x = x.clone()
    hidden = {layer: store(layer) for layer in layers if layer != INPUT}
    with splice.edited(hidden) as met:
        output = model(x)
    check_met(layers, met)
    return output, {layer: found[layer] for layer in layers}


class Tail:
    """The model from a layer up, as a function of that layer's activation.

    Works for any graph: the whole model runs on the stored inputs and the layer's output is
    replaced, so the layers below cost a forward pass without gradients.

    Args:
        model: Any module that maps inputs to logits.
        layer: Name of the layer; empty for the input, and the tail is then the model itself.
        x: Inputs of shape `(N, *S)` that give the rest of the graph its values.
        splice: The model's hooks, if it has some on the layer; else they come and go.

    Raises:
        UnknownLayerError: For an unknown name.
    """

    takes_rows = True

    def __init__(
        self, model: nn.Module, layer: str, x: Tensor, splice: Splice | None = None
    ) -> None:
        if splice is None:  # its names may start further out than the model
            submodule(model, layer)
        self.model, self.layer, self.x, self._splice = model, layer, x.detach(), splice

    def __call__(self, hidden: Tensor, rows: Tensor | None = None) -> Tensor:
        """Return logits `(M, C)` for the activation `hidden` of the given examples (default: all).

        Args:
            hidden: Activation of shape `(M, *S_l)`.
            rows: Which of the N inputs these are, an index of shape `(M,)`.

        Raises:
            SpliceError: If the layer is not called exactly once, or its output has another shape.
        """
        if self.layer == INPUT:
            return _logits(self.model(hidden))
        wanted = torch.is_grad_enabled()

        def replace(output: Tensor) -> Tensor:
            if output.shape != hidden.shape:
                raise SpliceError(
                    f"Layer {self.layer!r} gives {tuple(output.shape)}, not "
                    f"{tuple(hidden.shape)} as the activation that is to replace it."
                )
            torch.set_grad_enabled(wanted)
            # The model gets a copy: an in-place operation after the layer must not change ours.
            return hidden.clone()

        x = self.x if rows is None else self.x[rows]
        # The layers below need no graph; the hook switches gradients on again from the layer up.
        with torch.no_grad(), self._hooks() as splice, splice.edited({self.layer: replace}) as met:
            logits = _logits(self.model(x))
        check_met([self.layer], met)
        return logits

    @contextmanager
    def _hooks(self) -> Iterator[Splice]:
        if self._splice is not None:
            yield self._splice
            return
        splice = Splice(self.model, [self.layer])
        try:
            yield splice
        finally:
            splice.remove()


def tail(model: nn.Module, layer: str, x: Tensor, splice: Splice | None = None) -> Tail:
    """Return the function from the activation of `layer` to the logits; see `Tail`."""
    return Tail(model, layer, x, splice)


def _logits(output: object) -> Tensor:
    if isinstance(output, Tensor) and output.ndim == 2 and output.is_floating_point():
        return output
    raise SpliceError(f"The model must return logits of shape (N, C); it returned {kind(output)}.")


def kind(value: object) -> str:
    """Describe a value in a few words, for messages."""
    if isinstance(value, Tensor):
        return f"a {value.dtype} tensor of shape {tuple(value.shape)}"
    return f"a {type(value).__name__}"
