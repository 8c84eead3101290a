"""A network that counts what an attack asks of it."""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass
class Tally:
    """Images sent through a network.

    Attributes:
        gradients: With a backward pass to the input behind them.
        forwards: All of them.
    """

    gradients: int = 0
    forwards: int = 0


class Counted(nn.Module):
    """The same logits as the network's, and a count of images.

    An image counts as a gradient evaluation when a backward pass arrives at the logits, whether the
    attack has use for it or not: images of a batch that are finished cost as much as others.
    """

    def __init__(self, network: nn.Module, tally: Tally | None = None) -> None:
        super().__init__()
        self.network = network
        self.tally = Tally() if tally is None else tally
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        """Return logits `(N, C)` of images `(N, *S)`."""
        logits: Tensor = self.network(x)
        self.tally.forwards += len(x)
        if logits.requires_grad:
            logits.register_hook(self._backward)
        return logits

    def _backward(self, gradient: Tensor) -> None:
        self.tally.gradients += len(gradient)

    def in_double(self) -> "Counted":
        """Return a copy in double precision with the same tally."""
        return Counted(copy.deepcopy(self.network).double(), self.tally)

    def reaches(self, x: Tensor, targets: Tensor) -> Tensor:
        """Return which images `(N, *S)` are taken for their targets: bool `(N,)`."""
        with torch.no_grad():
            return self(x).argmax(1) == targets
