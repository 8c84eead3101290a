"""Watches what happens to tensors and modules while a forward pass is followed."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, UntypedStorage, nn
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensor,
    FakeTensorMode,
    UnsupportedFakeTensorException,
    UnsupportedOperatorException,
)
from torch.utils._python_dispatch import TorchDispatchMode

from lit_intriguing.lipschitz.unwrapped import WEIGHT_HOOKS

VALUES_NEEDED = (
    DataDependentOutputException,
    DynamicOutputShapeException,
    UnsupportedFakeTensorException,
    UnsupportedOperatorException,
)
"""What torch raises where a tensor's values are needed that has none."""


class Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees every operation, also those that no function of torch's is called for.

    Args:
        mode: Gives tensors without values in the place of others.
        needed: Called with each error that says that values are needed, which the model's own code
            may catch.

    Attributes:
        draws: How many operations drew random numbers.
    """

    def __init__(self, mode: FakeTensorMode, needed: Callable[[Exception], None]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.draws = 0
        self._mode, self._needed = mode, needed
        self._writes: Counter[int] = Counter()
        self._alive: dict[int, UntypedStorage] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        self.draws += torch.Tag.nondeterministic_seeded in getattr(func, "tags", ())
        for tensor in _written(func, args, kwargs):
            self._writes[self._place(tensor)] += 1
        try:
            return func(*args, **kwargs)
        except VALUES_NEEDED as error:
            self._needed(error)
            raise

    def mark(self, tensor: Tensor) -> tuple[Any, ...]:
        """What is another after anything was done to a tensor: its memory, how often written."""
        place = self._place(tensor)
        version = None if tensor.is_inference() else tensor._version
        layout = (tuple(tensor.shape), tensor.stride(), tensor.storage_offset()) if place else ()
        return place, self._writes[place], version, layout

    def untouched(self, tensor: Tensor) -> bool:
        """Whether a tensor that was there before was never written to."""
        return not self._writes[self._place(tensor)]

    def is_foreign(self, tensor: FakeTensor) -> bool:
        """Whether a tensor without values is of another pass."""
        return tensor.fake_mode is not self._mode

    def _place(self, tensor: Tensor) -> int:
        if not isinstance(tensor, FakeTensor):
            # Its stand-in, always the same, takes its place in every operation.
            tensor = self._mode.from_tensor(tensor)
        try:
            storage = tensor.untyped_storage()
        except (NotImplementedError, RuntimeError):  # of sparse tensors and the like
            return 0
        # Kept, so that no other comes to the same place.
        self._alive[storage._cdata] = storage
        return int(storage._cdata)


class Setup:
    """How a module was set up before the forward pass: that of it on which its output depends.

    Args:
        module: Its submodules are not looked at.
        mark: As `Watch.mark`.
    """

    def __init__(self, module: nn.Module, mark: Callable[[Tensor], Any]) -> None:
        self._module, self._mark = module, mark
        self._before = self._now()

    def changed(self) -> str:
        """The name of an attribute that is another now; empty if all are the same."""
        now = self._now()
        names = (
            name for name in {**self._before, **now} if now.get(name) != self._before.get(name)
        )
        return next(names, "")

    def _now(self) -> dict[str, Any]:
        attributes = vars(self._module)
        computed = _computed_names(self._module)
        found = {
            name: self._frozen(one) for name, one in attributes.items() if name not in computed
        }
        return {**found, "__class__": id(type(self._module))}

    def _frozen(self, value: Any) -> Any:
        """What compares equal as long as the value is the same: objects by identity."""
        if isinstance(value, bool | int | float | complex | str | None):
            return type(value), repr(value)
        if isinstance(value, Tensor):
            return id(value), self._mark(value)
        if isinstance(value, tuple | list):
            return type(value), [self._frozen(one) for one in value]
        if isinstance(value, dict):
            return type(value), [(key, self._frozen(one)) for key, one in value.items()]
        return id(value)


def _written(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Tensor]:
    """The tensors that an operation changes, by what it says of itself."""
    schema = getattr(func, "_schema", None)
    if schema is None or not schema.is_mutable:
        return []
    given = [
        args[index] if index < len(args) else kwargs.get(one.name)
        for index, one in enumerate(schema.arguments)
        if one.alias_info is not None and one.alias_info.is_write
    ]
    several = [one if isinstance(one, list | tuple) else [one] for one in given]
    return [one for each in several for one in each if isinstance(one, Tensor)]


def _computed_names(module: nn.Module) -> set[str]:
    """The attributes that hooks compute before each forward."""
    hooks = [hook for hook in module._forward_pre_hooks.values() if _is_of_torch(hook)]
    return {getattr(hook, "name", getattr(hook, "_tensor_name", "")) for hook in hooks}


def _is_of_torch(hook: Any) -> bool:
    return str(getattr(hook, "__module__", "")).startswith(f"{WEIGHT_HOOKS}.")
