"""Each chunk of rows has its own random numbers, whichever process works on it."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from lit_intriguing.attacks.adapters.guard import own_randomness


@contextmanager
def chunk_randomness(seed: int, index: int) -> Iterator[torch.Generator]:
    """Seeds everything for one chunk, and gives the global generators their state back.

    Our attacks draw from the generator only; those of other libraries from the global ones.

    Args:
        seed: Of the whole attack.
        index: Of the chunk.

    Yields:
        The chunk's generator, on the CPU.
    """
    state = int(np.random.SeedSequence((seed, index)).generate_state(1, np.uint64)[0] >> 1)
    with own_randomness(state % 2**32):
        yield torch.Generator().manual_seed(state)
