"""Random numbers of one's own."""

import random
from collections.abc import Callable

import numpy as np
import pytest
import torch

from lit_intriguing.isolation import chunk_randomness, nothing_drawn, random_states


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


SOURCES: dict[str, Callable[[], object]] = {
    "torch": lambda: torch.rand(1),
    "numpy": np.random.rand,
    "numpy's cached normal": np.random.randn,
    "python": random.random,
}


@pytest.mark.parametrize("source", SOURCES)
def test_whatever_is_drawn_shows_in_the_states(source: str) -> None:
    before = random_states()
    assert random_states() == before
    SOURCES[source]()
    assert random_states() != before


@pytest.mark.parametrize("source", ["torch", "python"])
def test_what_is_said_to_draw_nothing_takes_no_number_of_torch_and_python(source: str) -> None:
    before = random_states()
    with nothing_drawn():
        SOURCES[source]()
    assert random_states() == before
