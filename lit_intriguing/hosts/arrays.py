"""Steps that make NumPy arrays of their inputs, where these require a gradient."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode

_ARRAYS = ("numpy", "__array__", "__dlpack__")


class ArraysWithoutGradient(TorchFunctionMode):
    """Lets tensors that require a gradient be made arrays, as a step does that draws its inputs."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call a function of torch; those that make arrays with a detached tensor."""
        if getattr(func, "__name__", "") in _ARRAYS and isinstance(args[0], Tensor):
            args = (args[0].detach(), *args[1:])
        return func(*args, **(kwargs or {}))


def asks_for_arrays(error: RuntimeError) -> bool:
    """Return whether an error says that an array was wanted of a tensor with a gradient."""
    return "requires grad" in str(error) and "numpy" in str(error).lower()
