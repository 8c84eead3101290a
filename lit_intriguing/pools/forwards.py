"""Which calls of a layer, of several in one training step, are those of the pools' examples."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakIdKeyDictionary

from lit_intriguing.pools.joining import Joined, wrong_length
from lit_intriguing.splice import INPUT, Edit, SpliceError, in_backward


class Descent(TorchFunctionMode):
    """Notes which tensors are computed from a given one, while it is entered.

    Attributes:
        lost: Whether such a tensor has left torch, so that what comes of it is not noted.

    Args:
        source: The tensor.
    """

    def __init__(self, source: Tensor) -> None:
        super().__init__()
        self._found = WeakIdKeyDictionary()
        self._found[source] = True
        self.lost = False

    def __contains__(self, tensor: Tensor) -> bool:
        return tensor in self._found

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call a function of torch, and note what it returns or writes."""
        kwargs = kwargs or {}
        output = func(*args, **kwargs)
        given = [*_tensors(args), *_tensors(kwargs.values())]
        if any(one in self._found for one in given) and not _takes_shape_alone(func):
            self.lost |= getattr(func, "__name__", "") in _LEAVES_TORCH
            written = given[:1] if output is None else []  # such as by x[rows] = y
            for one in (*_tensors([output]), *written):
                self._found[one] = True
        return output


class LayerCalls:
    """Edits that are applied to the forwards of the joined batch, and to no other.

    Calls whose output has another number of rows are of other examples. Where several have the
    right number, it is noted in a first step which outputs are computed from the joined inputs.

    Args:
        traced: Whether torch's functions can be observed: not in a compiled network.
    """

    def __init__(self, traced: bool) -> None:
        self.traced = traced
        self._known: dict[str, list[bool]] = {}
        self._seen: dict[str, list[bool]] = {}
        self._lengths: dict[str, int] = {}
        self._descent: Descent | None = None

    def edits(self, joined: Joined) -> dict[str, Edit]:
        """Return what each layer's output passes through in this step."""
        return {name: self._guarded(name, edit, joined) for name, edit in joined.edits.items()}

    @contextmanager
    def forward(self, joined: Joined) -> Iterator[None]:
        """Run a training step inside.

        Raises:
            SpliceError: If no call of a layer has the joined batch, or it cannot be told which.
        """
        self._seen = {name: [] for name in joined.edits}
        self._lengths = {}
        self._descent = Descent(joined.inputs) if self._watches(joined) else None
        try:
            with self._descent or nullcontext():
                yield
        except Exception as error:
            self._check(joined, error)
            raise
        self._check(joined, None)
        if self._descent is not None:
            for name, calls in self._seen.items():
                self._learn(name, calls)
        self._descent = None

    def _watches(self, joined: Joined) -> bool:
        known = [self._known.get(name) for name in joined.edits if name != INPUT]
        return self.traced and any(one is None or not all(one) for one in known)

    def _guarded(self, name: str, edit: Edit, joined: Joined) -> Edit:
        lengths = joined.lengths(name)

        def guarded(output: Tensor) -> Tensor:
            if len(output) not in lengths:
                self._lengths[name] = len(output)
                return output
            return edit(output) if self._belongs(name, output) else output

        return guarded

    def _belongs(self, name: str, output: Tensor) -> bool:
        known = self._known.get(name)
        if in_backward():  # activation checkpointing calls the layer again
            calls = self._seen[name]
            if all(calls) or not any(calls):
                return all(calls)
            raise SpliceError(_several(name))
        calls = self._seen[name]
        if self._descent is not None and not self._descent.lost:
            calls.append(output in self._descent)
        elif known is not None and self._descent is None:
            # One call more than before is watched in the next step, and left alone in this one.
            calls.append(known[len(calls)] if len(calls) < len(known) else False)
            if len(calls) > len(known):
                self._known[name] = [*known, False]
        elif calls and (self._descent is not None or not self.traced):
            raise SpliceError(_several(name))
        else:
            calls.append(True)
        return calls[-1]

    def _learn(self, name: str, calls: list[bool]) -> None:
        if len(calls) > 1 and not any(calls):
            raise SpliceError(_several(name))
        if calls:
            # A step may take its inputs through numpy, say, where nothing can be followed.
            self._known[name] = calls if len(calls) > 1 else [True]

    def _check(self, joined: Joined, error: Exception | None) -> None:
        for name, length in self._lengths.items():
            if not self._seen[name]:
                raise SpliceError(wrong_length(name, length, joined)) from error


_LEAVES_TORCH = ("numpy", "__array__", "__dlpack__")


def _takes_shape_alone(func: Callable[..., Any]) -> bool:
    """Return whether a function uses no values of its tensor, as `randn_like` does."""
    name = getattr(func, "__name__", "")
    return name.endswith("_like") or name.startswith("new_")


def _several(name: str) -> str:
    return (
        f"The training step calls layer {name!r} several times on as many rows, and it cannot be "
        "told which of them are the batch that the pool's examples have joined. Use keep_out=True."
    )


def _tensors(values: Any) -> list[Tensor]:
    found: list[Tensor] = []
    for value in values:
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, list | tuple):
            found.extend(_tensors(value))
        elif isinstance(value, dict):
            found.extend(_tensors(value.values()))
    return found
