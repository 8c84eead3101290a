"""Random numbers of one's own."""

import random

import numpy as np
import torch

from lit_intriguing.isolation import chunk_randomness


def drawn(seed: int, index: int) -> tuple[float, ...]:
    with chunk_randomness(seed, index) as generator:
        own = float(torch.rand(1, generator=generator))
        return own, float(torch.rand(1)), float(np.random.rand()), random.random()


def test_a_chunk_draws_the_same_again_and_others_draw_otherwise() -> None:
    assert drawn(0, 1) == drawn(0, 1)
    for numbers in zip(drawn(0, 1), drawn(1, 0), drawn(0, 2), drawn(10, 1), strict=True):
        assert len(set(numbers)) == 4


def test_the_global_generators_go_on_as_if_nothing_had_been_drawn() -> None:
    torch.manual_seed(0)
    np.random.seed(0)
    random.seed(0)
    expected = (float(torch.rand(1)), float(np.random.rand()), random.random())
    torch.manual_seed(0)
    np.random.seed(0)
    random.seed(0)
    drawn(3, 4)
    assert (float(torch.rand(1)), float(np.random.rand()), random.random()) == expected
