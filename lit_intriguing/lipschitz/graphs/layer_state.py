"""Whether a layer is still what it was before the forward pass: its mode, settings and weights."""

from typing import Any

from torch import Tensor, nn

from lit_intriguing.lipschitz.unwrapped import WEIGHT_HOOKS
from lit_intriguing.private import of_torch


class LayerState:
    """What a module was like before the forward pass: all that its output depends on.

    Args:
        module: A layer, or a part of one. Its submodules are not looked at.
    """

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._before = self._now()

    def changed(self) -> str:
        """Return the name of an attribute that is another now; empty if all are the same."""
        now = self._now()
        names = {**self._before, **now}
        return next((name for name in names if now.get(name) != self._before.get(name)), "")

    def _now(self) -> dict[str, Any]:
        computed = _computed_weights(self._module)
        found = {
            name: _comparable(value)
            for name, value in vars(self._module).items()
            if name not in computed
        }
        return {**found, "__class__": id(type(self._module))}


def _comparable(value: Any) -> Any:
    """Return what compares equal as long as the value is the same: objects by identity."""
    if isinstance(value, bool | int | float | complex | str | None):
        return type(value), repr(value)
    if isinstance(value, Tensor):
        return id(value), of_torch.version(value)
    if isinstance(value, tuple | list):
        return type(value), [_comparable(one) for one in value]
    if isinstance(value, dict):
        return type(value), [(key, _comparable(one)) for key, one in value.items()]
    return id(value)


def _computed_weights(module: nn.Module) -> set[str]:
    """Return the names of weights that torch's hooks compute before each forward."""
    hooks = [hook for hook in of_torch.forward_pre_hooks(module) if _is_of_torch(hook)]
    return {getattr(hook, "name", getattr(hook, "_tensor_name", "")) for hook in hooks}


def _is_of_torch(hook: Any) -> bool:
    return str(getattr(hook, "__module__", "")).startswith(f"{WEIGHT_HOOKS}.")
