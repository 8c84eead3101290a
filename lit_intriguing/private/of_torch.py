"""Private names of torch, one function for each; tests/private/test_of_torch.py has their canaries.

Torch is imported here inside the functions, so that nothing is loaded before it is needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from torch import Tensor, nn


def in_backward() -> bool:
    """Return whether a backward pass is running in this thread."""
    import torch

    return torch._C._current_graph_task_id() != -1


def is_compile_wrapper(module: nn.Module) -> bool:
    """Return whether the module is what `torch.compile(module)` returns."""
    # The class lies in torch._dynamo, whose import takes seconds.
    return type(module).__name__ == "OptimizedModule" and "_orig_mod" in vars(module)["_modules"]


def inside_compile_wrapper(wrapper: nn.Module) -> nn.Module:
    """Return the module that `torch.compile` was given."""
    return wrapper.get_submodule("_orig_mod")


def is_compiled_in_place(module: nn.Module) -> bool:
    """Return whether `module.compile()` was called, or its `forward` compiled.

    Lightning does the latter to a LightningModule that `torch.compile` has wrapped.
    """
    forward = vars(module).get("forward")
    return module._compiled_call_impl is not None or (forward is not None and _is_compiled(forward))


def set_not_compiled(attributes: dict[str, Any]) -> None:
    """Make the attributes of a module those of one that was never compiled in place."""
    attributes["_compiled_call_impl"] = None
    if _is_compiled(attributes.get("forward")):
        del attributes["forward"]


def before_compilation(function: Any) -> Any:
    """Return the function that `torch.compile` was given; others as they are."""
    original = getattr(function, "_torchdynamo_orig_callable", function)
    # Torch puts a function of its own around one that its compiler would pass by.
    between = getattr(original, "__globals__", {}).get("__name__") == "torch._dynamo.external_utils"
    return original.__wrapped__ if between else original


def _is_compiled(function: Any) -> bool:
    return before_compilation(function) is not function


def uncompiled_name(name: str) -> str:
    """Return a submodule's name without what `torch.compile` put into it.

    >>> uncompiled_name("net._orig_mod.0")
    'net.0'
    """
    return ".".join(part for part in name.split(".") if part != "_orig_mod")


def call_methods() -> tuple[str, ...]:
    """Return the names of the methods by which calling a module reaches its `forward`."""
    return ("_call_impl",)


def is_fully_sharded(module: nn.Module) -> bool:
    """Return whether `fully_shard` was called on this very module."""
    # The class lies in torch.distributed.fsdp, which not every build of torch has.
    return type(module).__name__.startswith("FSDP") and any(
        kind.__name__ == "FSDPModule" for kind in type(module).__mro__
    )


def type_before_sharding(module: nn.Module) -> type[Any]:
    """Return the module's type before `fully_shard` was called on it."""
    # `fully_shard` makes a type with the bases (FSDPModule, the module's own type).
    return type(module).__bases__[-1] if is_fully_sharded(module) else type(module)


def forward_hooks(module: nn.Module) -> list[Any]:
    """Return the hooks that torch calls after the module's forward."""
    return list(module._forward_hooks.values())


def forward_pre_hooks(module: nn.Module) -> list[Any]:
    """Return the hooks that torch calls before the module's forward."""
    return list(module._forward_pre_hooks.values())


def global_forward_hooks() -> list[Any]:
    """Return the hooks that torch calls before and after the forward of every module."""
    from torch.nn.modules import module

    return [*module._global_forward_pre_hooks.values(), *module._global_forward_hooks.values()]


def hooked_name(hook: Any) -> str:
    """Return which tensor of a module a hook of `torch.nn.utils` computes, such as "weight"."""
    # Hooks of weight and spectral norm say it publicly, those of pruning do not.
    return str(getattr(hook, "name", getattr(hook, "_tensor_name", "")))


def containers_of_hooks(attributes: dict[str, Any]) -> dict[str, dict[Any, Any]]:
    """Return those of a module's attributes that hold hooks of any kind, by their names."""
    return {
        name: value
        for name, value in attributes.items()
        if "hooks" in name and isinstance(value, dict)
    }


PRE_HOOKS = "_forward_pre_hooks"
"""Among `containers_of_hooks`, the one of the hooks that are called before the forward."""

PARTS = ("_modules", "_parameters", "_buffers")
"""The attributes of a module that hold its submodules, parameters and buffers by name, or None."""


def own_parts(module: nn.Module, kind: str) -> dict[str, Any]:
    """Return what a module holds itself, by name, with None for what was registered as None.

    Args:
        module: Any.
        kind: One of `PARTS`.
    """
    return dict(getattr(module, kind))


@contextmanager
def no_parametrization_cache() -> Iterator[None]:
    """Compute parametrisations anew, also inside `parametrize.cached`, and store none there.

    Its cache goes by the identity of modules, which those of a copy share with later ones.
    """
    from torch.nn.utils import parametrize

    before, parametrize._cache = parametrize._cache, {}
    try:
        yield
    finally:
        parametrize._cache = before


def padding_sides(convolution: nn.Module) -> list[int]:
    """Return the padding that the forward uses in other modes than zeros, the last dimension first.

    Args:
        convolution: A Conv1d, Conv2d or Conv3d.
    """
    return list(convolution._reversed_padding_repeated_twice)  # type: ignore[arg-type]


def version(tensor: Tensor) -> int | None:
    """Return a number that grows with each change in place, the same for all views.

    It is None for tensors made in inference mode, whose changes torch does not count.
    """
    return None if tensor.is_inference() else tensor._version


def without_values() -> AbstractContextManager[Any]:
    """Return a context in which tensors have shapes and types but no values."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    return FakeTensorMode(allow_non_fake_inputs=True)


def has_no_values(tensor: Tensor) -> bool:
    """Return whether a tensor was made in a context of `without_values`."""
    from torch._subclasses.fake_tensor import FakeTensor

    return isinstance(tensor, FakeTensor)


def is_from_another(tensor: Tensor, context: Any) -> bool:
    """Return whether a tensor without values was made in another context of `without_values`."""
    return tensor.fake_mode is not context  # type: ignore[attr-defined]


def values_needed() -> tuple[type[Exception], ...]:
    """Return the errors that torch raises where an operation needs values that there are not."""
    from torch._subclasses import fake_tensor

    return (
        fake_tensor.DataDependentOutputException,
        fake_tensor.DynamicOutputShapeException,
        fake_tensor.UnsupportedFakeTensorException,
        fake_tensor.UnsupportedOperatorException,
    )


LOGGER_WITHOUT_VALUES = "torch._subclasses.fake_tensor"
"""The logger that reports an error before it is raised in a context of `without_values`."""


class Draws(Protocol):
    """A context that counts the operations that draw random numbers."""

    count: int

    def __enter__(self) -> Any: ...

    def __exit__(self, *error: Any) -> None: ...


def draws() -> Draws:
    """Return a context whose `count` says how many operations in it drew random numbers."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    class Counting(TorchDispatchMode):  # type: ignore[no-untyped-call]
        count = 0

        def __torch_dispatch__(
            self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
        ) -> Any:
            self.count += torch.Tag.nondeterministic_seeded in getattr(func, "tags", ())
            return func(*args, **(kwargs or {}))

    return Counting()  # type: ignore[no-untyped-call]


class ShardsError(Exception):
    """The files of a sharded checkpoint cannot be read together."""


class Shard(NamedTuple):
    """A part of a tensor, or a value, in a file of a sharded checkpoint."""

    name: str
    file: str
    start: int
    """Byte in the file."""
    length: int
    """In bytes."""
    sizes: tuple[int, ...] | None
    """Of a tensor's part; None for a value."""


Box = tuple[tuple[int, ...], tuple[int, ...]]
"""Offsets and sizes of a part of a tensor."""

_OF_AN_INDEX = {
    "torch.distributed.checkpoint.filesystem",
    "torch.distributed.checkpoint.metadata",
    "pathlib",
    "pathlib._local",
    "torch.serialization._get_layout",
    "torch.Size",
}


def index_of_shards(
    path: Path,
) -> tuple[dict[str, tuple[tuple[int, ...] | None, list[Box]]], list[Shard]]:
    """Read the index of `torch.distributed.checkpoint`, a pickle, without running code in it.

    Returns:
        The size and the parts of each tensor, None and none for values, by name; what the files
        hold, and where.

    Raises:
        UnpicklingError: It names something that is no part of an index.
    """
    import io
    import pickle
    import pickletools

    import torch

    class Index(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            dtype = module == "torch" and isinstance(getattr(torch, name, None), torch.dtype)
            if not dtype and not {module, f"{module}.{name}"} & _OF_AN_INDEX:
                raise pickle.UnpicklingError(f"it names {module}.{name}")
            return super().find_class(module, name)

    content = path.read_bytes()
    for code, argument, _ in pickletools.genops(content):
        # Python would get memory for as many entries as a damaged number says.
        if "PUT" in code.name and int(argument or 0) > len(content):
            raise pickle.UnpicklingError(f"it puts something at {argument}")
    index = Index(io.BytesIO(content)).load()
    names: dict[str, tuple[tuple[int, ...] | None, list[Box]]] = {}
    sizes: dict[tuple[str, Any], tuple[int, ...]] = {}
    for name, one in index.state_dict_metadata.items():
        boxes = [(tuple(c.offsets), tuple(c.sizes)) for c in getattr(one, "chunks", ())]
        names[name] = (tuple(one.size) if hasattr(one, "size") else None, boxes)
        sizes |= {(name, offsets): extent for offsets, extent in boxes}
    shards = []
    for key, place in index.storage_data.items():
        offset = None if key.offset is None else tuple(key.offset)
        extent = None if names[key.fqn][0] is None else sizes.pop((key.fqn, offset))
        spot = (str(place.relative_path), int(place.offset), int(place.length))
        shards.append(Shard(key.fqn, *spot, extent))
    if sizes or any(".".join(map(str, path)) != n for n, path in index.planner_data.items()):
        raise pickle.UnpicklingError("its parts contradict each other")
    return names, shards


def read_shards(folder: Path) -> dict[str, Any]:
    """Read all that a folder of `torch.distributed.checkpoint` holds, in this process alone.

    Values in it may run code when they are read: `sharded_files.check_sharded` comes first.

    Raises:
        ShardsError: It cannot be read.
    """
    from torch.distributed.checkpoint.api import CheckpointException
    from torch.distributed.checkpoint.filesystem import FileSystemReader
    from torch.distributed.checkpoint.format_utils import (  # type: ignore[attr-defined]
        _EmptyStateDictLoadPlanner,
    )
    from torch.distributed.checkpoint.state_dict_loader import _load_state_dict

    content: dict[str, Any] = {}
    reader: Any = FileSystemReader(folder)
    planner: Any = _EmptyStateDictLoadPlanner()  # type: ignore[no-untyped-call]
    try:
        _load_state_dict(content, storage_reader=reader, planner=planner, no_dist=True)
    except CheckpointException as error:  # which is no `Exception`
        raise ShardsError(str(error).splitlines()[-1][:200]) from error
    return content
