"""Layers by name or pattern, and what they put out for a batch."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

from lit_intriguing.errors import UserError
from lit_intriguing.splice import SpliceError, check_met, check_takes_hooks, kind, submodule
from lit_intriguing.units.readings import Reading

_WILD = "*?["


def matching_layers(model: nn.Module, patterns: Sequence[str]) -> list[str]:
    """Return the names of submodules that match names or patterns, in the model's order.

    Args:
        model: Any module.
        patterns: Names, or patterns with `*`, `?` and `[...]` as in a shell; `*` includes dots.

    Raises:
        UserError: There is no pattern, or one matches nothing.
    """
    names = [name for name, _ in model.named_modules() if name]
    if not patterns:
        raise UserError(f"Name at least one layer. {_known(model, names)}")
    found: set[str] = set()
    for pattern in patterns:
        found.update(_matching(model, pattern, names))
    return [name for name in names if name in found]


def _matching(model: nn.Module, pattern: str, names: Sequence[str]) -> list[str]:
    if not pattern:
        raise UserError(f"The empty name is no layer. {_known(model, names)}")
    if pattern not in names and any(sign in pattern for sign in _WILD):
        matches = [name for name in names if fnmatchcase(name, pattern)]
        if not matches:
            raise UserError(f"No layer matches {pattern!r}. {_known(model, names)}")
        return matches
    there = submodule(model, pattern)  # its message names the nearest
    # Within a compiled one it goes by two names.
    return [next(name for name, module in model.named_modules() if module is there)]


def _known(model: nn.Module, names: Sequence[str]) -> str:
    some = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
    return f"{type(model).__name__} has these: {some}."


@contextmanager
def recorded(
    model: nn.Module, layers: Sequence[str], reading: Reading
) -> Iterator[dict[str, Tensor]]:
    """Record activations of layers during one forward pass.

    Outputs are reduced inside the hook: an in-place function behind a layer would change them
    later, and whole outputs of many layers would take much memory.

    Args:
        model: Any module.
        layers: Names of submodules.
        reading: Reduces an output to `(N, D)`.

    Yields:
        A dictionary that the forward pass fills: layer to activations `(N, D)`, detached.

    Raises:
        SpliceError: A layer's output is no tensor, or the layer is called twice or not at all.
        UserError: A reading does not fit an output; the message names the layer.
    """
    found: dict[str, Tensor] = {}
    for layer in layers:
        check_takes_hooks(layer, submodule(model, layer))
    # Plain hooks, as whoever calls this runs a compiled model uncompiled: hooks that a compiler is
    # to leave alone cost as much as a small layer.
    hooks = [
        submodule(model, layer).register_forward_hook(_recorder(layer, reading, found))
        for layer in layers
    ]
    try:
        yield found
        check_met(layers, set(found))
    finally:
        for hook in hooks:
            hook.remove()


def _recorder(
    layer: str, reading: Reading, found: dict[str, Tensor]
) -> Callable[[nn.Module, object, object], None]:
    def record(module: nn.Module, args: object, output: object) -> None:
        where = f"layer {layer!r} ({type(module).__name__})"
        if not isinstance(output, Tensor):
            raise SpliceError(
                f"The output of {where} is {kind(output)}, not a tensor. Name a submodule inside "
                "it, or behind it, whose output is one."
            )
        if layer in found:
            raise SpliceError(
                f"The {where} is called twice in one forward pass, so its units mean two things. "
                "Name a submodule that is called once."
            )
        with torch.no_grad():
            try:
                found[layer] = reading(output.detach())
            except UserError as error:
                raise UserError(f"Cannot read {where}: {error}") from error

    return record
