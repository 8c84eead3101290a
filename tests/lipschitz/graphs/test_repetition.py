"""A forward that does not do the same when it is followed again has no bound."""

import functools
import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lit_intriguing.lipschitz import network_norm
from lit_intriguing.lipschitz.graphs.repetition import difference
from lit_intriguing.lipschitz.graphs.tracing import traced
from lit_intriguing.lipschitz.unwrapped import plain
from tests.lipschitz.graphs.test_tracing import Own

COUNT = itertools.count()
ONCE: dict[str, bool] = {}
SHAPES = itertools.cycle([(3,), (1, 3)])

ANOTHER: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "a generator made in the forward": lambda m, x: x * np.random.default_rng().random(),
    "an array of one": lambda m, x: x + torch.tensor(np.random.default_rng().random(3)),
    "a tensor of one": lambda m, x: x * torch.from_numpy(np.random.default_rng().random(3)),
    "a clock": lambda m, x: x * time.perf_counter(),
    "a count": lambda m, x: x * (1 + next(COUNT)),
    "a branch": lambda m, x: x if next(COUNT) % 2 else x.relu(),
    "a longer way": lambda m, x: x if next(COUNT) % 2 else x * 1 * 1,
    "an index": lambda m, x: x[:, next(COUNT) % 2 :],
    "a shape": lambda m, x: x * torch.ones(next(SHAPES)),
    "an error": lambda m, x: x if ONCE.setdefault("called", False) else wrong_the_second_time(x),
}


def wrong_the_second_time(x: Tensor) -> Tensor:
    if ONCE.get("seen"):
        raise ValueError("no")
    ONCE["seen"] = True
    return x


@pytest.mark.parametrize("how", ANOTHER)
def test_a_forward_that_is_another_each_time_is_infinite_and_told(how: str) -> None:
    found = network_norm(Own(ANOTHER[how]), (3,)).norm
    assert "Own: its forward does not do the same twice" in found.reason


@pytest.fixture
def ramp() -> Iterator[Any]:
    @functools.lru_cache
    def made(size: int) -> Tensor:
        return torch.arange(float(size))

    yield made
    made.cache_clear()


def test_a_cache_outside_the_module_wants_to_be_filled_before(ramp: Any) -> None:
    model = Own(lambda m, x: x * ramp(3))
    for _ in range(2):
        reason = network_norm(model, (3,)).norm.reason
        assert "clear that, and call the model once before it is bounded" in reason
    ramp.cache_clear()
    model(torch.ones(1, 3))
    assert network_norm(model, (3,)).norm.value == 2


class Everything(nn.Module):
    """Calls that are given all kinds of values."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.mask = nn.Linear(4, 4), torch.tensor([1.0, float("nan"), 0.0, 2.0])

    def forward(self, x: Tensor) -> Tensor:
        x = self.fc(x).clamp(min=float("-inf"), max=float("nan"))
        x = x * torch.tensor(np.array([1.0, float("nan"), 2.0, 3.0])) + self.mask
        x = torch.cat([x, x[:, 1:3], x.to(dtype=torch.float64)], dim=1)
        return nn.functional.pad(x, (0, 1), mode="constant", value=np.float64(0.5))


def test_two_passes_of_one_forward_are_the_same() -> None:
    model = plain(Everything())
    assert difference(traced(model, (4,)), traced(model, (4,))) == ""


def test_passes_of_different_modules_part_at_the_first_different_node() -> None:
    one, other = (traced(plain(nn.Sequential(nn.Linear(3, 3))), (3,)) for _ in range(2))
    assert difference(one, other) == "a parameter"
