"""First weights of untied filters, drawn position by position."""

import numpy as np
import torch
from torch import Tensor


def new_seed() -> int:
    """Return a number from torch's global generator, also where tensors are made on "meta"."""
    return int(torch.randint(2**62, (), device="cpu"))


def draw(out: Tensor, seed: int, first: int, std: float) -> None:
    """Fill in the weights of positions that follow each other, from a normal law of mean 0.

    Those of a position depend on the seed and its number alone: a process that has some of the
    positions draws what one that has all would have drawn.

    Args:
        out: `(positions, maps, taps)`, filled in.
        seed: Of the layer.
        first: Number of the first position.
        std: Standard deviation.
    """
    with torch.no_grad():
        for number, bank in enumerate(out, first):
            random = np.random.default_rng((seed, number))
            values = random.standard_normal(tuple(bank.shape), np.float32)
            bank.copy_(torch.from_numpy(values).mul_(std))
