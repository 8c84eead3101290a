"""The k examples with the largest activation along each direction, in one pass over batches."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from lit_intriguing.errors import UserError

_LOW = 0xFFFFFFFF
_EMPTY = torch.iinfo(torch.int64).min


class RunningTopK:
    """The k largest activations of each direction and the examples they belong to.

    Memory is k x directions, whatever the number of examples. The result does not depend on the
    order of the examples or on how they are cut into batches: of equal activations the one with
    the lowest example index comes first.

    Args:
        directions: How many.
        k: Examples for each.
        device: Where activations come from.

    Examples:
        >>> top = RunningTopK(directions=1, k=2)
        >>> top.add(torch.tensor([[0.0], [3.0], [3.0]]), torch.arange(3))
        >>> top.add(torch.tensor([[3.0], [4.0]]), torch.arange(3, 5))
        >>> top.result()
        (tensor([[4., 3.]]), tensor([[4, 1]]))
    """

    def __init__(self, directions: int, k: int, device: torch.device | str = "cpu") -> None:
        if k < 1 or directions < 1:
            raise ValueError(f"k and directions must be at least 1, not {k} and {directions}.")
        self.k = k
        # One number that orders by activation first and then by lowest index, so that ties
        # are no matter of luck: 32 bits of the activation above 32 bits of the index.
        self._keys = torch.full((directions, k), _EMPTY, dtype=torch.int64, device=device)

    @property
    def directions(self) -> int:
        """How many directions there are."""
        return len(self._keys)

    def add(self, activations: Tensor, indices: Tensor, first: int = 0) -> None:
        """Take further examples into account.

        Args:
            activations: `(N, m)`, finite; compared as float32.
            indices: `(N,)` indices of the examples, from 0 to 2^32 - 1, each given once.
            first: The directions are number `first` to `first + m - 1`.

        Raises:
            ValueError: Shapes do not fit, or an index is out of range.
        """
        self._check(activations, indices, first)
        if not len(activations):
            return
        values = activations.detach().T.to(self._keys.device, torch.float32).contiguous()
        indices = indices.to(self._keys.device, torch.int64)
        kept = self._keys[first : first + len(values)]
        best, at = values.max(1)
        worst_kept = kept[:, -1]
        # An equal activation may still enter by a lower index, wherever it stands in the batch.
        lowest = indices.amin().expand_as(at)
        rows = (_keys(best, lowest) > worst_kept).nonzero().flatten()
        if not len(rows):
            return
        new = _keys(values[rows], indices)
        if new.shape[1] > self.k:
            new = new.topk(self.k, sorted=False).values
        kept[rows] = torch.cat([kept[rows], new], 1).topk(self.k).values

    def merge(self, other: "RunningTopK") -> None:
        """Take the examples of another one into account; an example that both hold counts once.

        Raises:
            ValueError: It has other directions or another k.
        """
        if other._keys.shape != self._keys.shape:
            raise ValueError(
                f"Cannot merge k x directions {tuple(other._keys.shape)} into "
                f"{tuple(self._keys.shape)}."
            )
        theirs = other._keys.to(self._keys.device)
        twice = (_indices(theirs)[:, :, None] == _indices(self._keys)[:, None]).any(2)
        theirs = theirs.masked_fill(twice & (theirs != _EMPTY), _EMPTY)
        self._keys = torch.cat([self._keys, theirs], 1).topk(self.k).values

    def result(self) -> tuple[Tensor, Tensor]:
        """Return activations `(directions, k)`, largest first, and indices of the examples.

        Raises:
            UserError: There were fewer than k examples.
        """
        if bool((self._keys == _EMPTY).any()):
            count = int((self._keys[0] != _EMPTY).sum())
            raise UserError(f"The top {self.k} images were asked for, and there are only {count}.")
        keys = self._keys.cpu()
        return _values(keys), _indices(keys)

    def state_dict(self) -> dict[str, Any]:
        """Return what is needed to go on."""
        return {"k": self.k, "keys": self._keys.cpu()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state.

        Raises:
            ValueError: It has other directions or another k.
        """
        if state["keys"].shape != self._keys.shape:
            raise ValueError(
                f"The state has k x directions {tuple(state['keys'].shape)}, not "
                f"{tuple(self._keys.shape)}."
            )
        self._keys = state["keys"].to(self._keys.device).clone()

    def _check(self, activations: Tensor, indices: Tensor, first: int) -> None:
        if activations.ndim != 2 or first + activations.shape[1] > self.directions:
            raise ValueError(
                f"Activations of shape {tuple(activations.shape)} from direction {first} on do not "
                f"fit {self.directions} directions."
            )
        if indices.shape != activations.shape[:1]:
            raise ValueError(f"{len(activations)} activations and {tuple(indices.shape)} indices.")
        if len(indices) and not 0 <= int(indices.min()) <= int(indices.max()) <= _LOW:
            raise ValueError("Indices of examples go from 0 to 2^32 - 1.")


def _keys(values: Tensor, indices: Tensor) -> Tensor:
    """Join float32 values and the indices of their last dimension to ordered 64-bit integers."""
    bits = (values + 0.0).view(torch.int32)  # + 0.0 makes -0.0 equal to 0.0
    # The bits of negative floats grow with their size: turn them round.
    ordered = torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits).long()
    return (ordered << 32) | (_LOW - indices)


def _values(keys: Tensor) -> Tensor:
    ordered = (keys >> 32).int()
    return torch.where(ordered < 0, ordered ^ 0x7FFFFFFF, ordered).view(torch.float32)


def _indices(keys: Tensor) -> Tensor:
    return _LOW - (keys & _LOW)
