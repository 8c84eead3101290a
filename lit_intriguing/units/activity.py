"""On how many examples a direction is active at all."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

LEAST_SHARE = 0.01
"""A direction must be active on this share of the examples, or its top k says little."""


class RunningActivity:
    """A count, for each direction, of the examples above its least activation.

    The least activation is the resting value: 0 after a ReLU. Before one, or after a smooth
    function, nearly all examples lie above it. A direction of the top k of which some rest is
    decided by ties.

    Args:
        directions: How many.
        device: Where activations come from.

    Examples:
        >>> activity = RunningActivity(2)
        >>> activity.add(torch.tensor([[0.0, -1.0], [0.0, 2.0], [0.5, 3.0]]))
        >>> activity.active()
        tensor([1, 2])
    """

    def __init__(self, directions: int, device: torch.device | str = "cpu") -> None:
        self.examples = 0
        self._least = torch.full((directions,), torch.inf, device=device)
        self._at_least = torch.zeros(directions, dtype=torch.int64, device=device)
        self._finite = torch.ones((), dtype=torch.bool, device=device)

    @property
    def finite(self) -> bool:
        """Whether all activations were finite."""
        return bool(self._finite)

    def add(self, activations: Tensor) -> None:
        """Count the activations `(N, directions)` of N further examples."""
        if not len(activations):
            return
        activations = activations.detach().to(self._least.device, torch.float32)
        self._finite &= activations.isfinite().all()
        least = activations.amin(0)
        self._join(least, (activations == least).sum(0), len(activations))

    def merge(self, other: "RunningActivity") -> None:
        """Count the examples of another one, which must not be the same."""
        device = self._least.device
        self._finite &= other._finite.to(device)
        self._join(other._least.to(device), other._at_least.to(device), other.examples)

    def active(self) -> Tensor:
        """Return on how many examples each direction is active, `(directions,)`, on the CPU."""
        return (self.examples - self._at_least).cpu()

    def enough(self, k: int) -> Tensor:
        """Return which directions are active on k examples and on 1%, bool `(directions,)`."""
        return self.active() >= max(k, math.ceil(LEAST_SHARE * self.examples))

    def state_dict(self) -> dict[str, Any]:
        """Return what is needed to go on."""
        return {
            "examples": self.examples,
            "least": self._least.cpu(),
            "at_least": self._at_least.cpu(),
            "finite": self._finite.cpu(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        device = self._least.device
        self.examples = state["examples"]
        self._least = state["least"].to(device).clone()
        self._at_least = state["at_least"].to(device).clone()
        self._finite = state["finite"].to(device).clone()

    def _join(self, least: Tensor, at_least: Tensor, examples: int) -> None:
        lower = torch.minimum(least, self._least)
        self._at_least = self._at_least * (self._least == lower) + at_least * (least == lower)
        self._least = lower
        self.examples += examples
