"""From a layer's output to one activation for each example and unit."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from lit_intriguing.errors import UserError


class Reading(ABC):
    """A rule that reduces a layer's output `(N, ...)` to activations `(N, D)`.

    A verdict holds for its reading: the maximum over positions can give another one than the mean.
    """

    @abstractmethod
    def __call__(self, output: Tensor) -> Tensor:
        """Return the activations `(N, D)` of an output of shape `(N, ...)`."""


@dataclass(frozen=True)
class _OverPositions(Reading):
    """A rule for the positions of each unit.

    Attributes:
        units: The dimension of the output that holds the units: 1 for convolutions, -1 for
            transformers.
    """

    units: int = 1


class Mean(_OverPositions):
    """The mean over positions.

    Examples:
        >>> Mean()(torch.ones(2, 3, 4, 4)).shape
        torch.Size([2, 3])
    """

    def __call__(self, output: Tensor) -> Tensor:
        """Return the mean of each unit."""
        return _by_unit(output, self.units).mean(2)


class Maximum(_OverPositions):
    """The maximum over positions.

    Examples:
        >>> Maximum()(torch.arange(8.0).view(1, 2, 2, 2))
        tensor([[3., 7.]])
    """

    def __call__(self, output: Tensor) -> Tensor:
        """Return the maximum of each unit."""
        return _by_unit(output, self.units).amax(2)


class Centre(_OverPositions):
    """The position in the middle; of an even number of positions the one after the middle.

    Examples:
        >>> Centre()(torch.arange(18.0).view(1, 2, 3, 3))
        tensor([[ 4., 13.]])
    """

    def __call__(self, output: Tensor) -> Tensor:
        """Return the value of each unit in the middle."""
        moved = _units_second(output, self.units)
        for size in moved.shape[2:]:
            moved = moved.select(2, size // 2)
        return moved


@dataclass(frozen=True)
class Token(Reading):
    """One token of a transformer's output `(N, tokens, D)`.

    Attributes:
        position: Of the token; 0 is usually the class token.

    Examples:
        >>> Token()(torch.zeros(2, 5, 7)).shape
        torch.Size([2, 7])
    """

    position: int = 0

    def __call__(self, output: Tensor) -> Tensor:
        """Return the token's values.

        Raises:
            UserError: The output has other dimensions, or too few tokens.
        """
        if output.ndim != 3:
            raise UserError(
                f"Token reads outputs (N, tokens, units); this one has shape {tuple(output.shape)}."
            )
        if not -output.shape[1] <= self.position < output.shape[1]:
            raise UserError(f"There is no token {self.position} of {output.shape[1]}.")
        return output[:, self.position]


def _by_unit(output: Tensor, units: int) -> Tensor:
    """Return `(N, D, positions)`, float32 at least."""
    moved = _units_second(output, units)
    exact = moved if moved.dtype == torch.float64 else moved.float()
    return exact.reshape(*moved.shape[:2], -1 if moved.ndim > 2 else 1)


def _units_second(output: Tensor, units: int) -> Tensor:
    if output.ndim < 2 or not -output.ndim < units < output.ndim or units == 0:
        raise UserError(
            f"An output of shape {tuple(output.shape)} has no units in dimension {units}."
        )
    return output.movedim(units, 1)
