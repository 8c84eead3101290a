"""Random numbers of Python and NumPy are noticed and put back; so is what objects keep."""

import math
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lit_intriguing.lipschitz import network_norm
from lit_intriguing.lipschitz.graphs.surroundings import Surroundings
from tests.lipschitz.graphs.test_tracing import Own

DRAWS: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "python, a factor": lambda m, x: x * random.random(),
    "python, a branch": lambda m, x: x if random.random() < 1 - 1e-9 else 100 * x,
    "numpy, a factor": lambda m, x: x * float(np.random.rand()),
    "numpy, a tensor": lambda m, x: x * torch.from_numpy(np.random.rand(3)),
    "a generator of Python's": lambda m, x: x * m.python.random(),
    "a generator of NumPy's": lambda m, x: x * m.numpy.random(),
    "an old one of NumPy's": lambda m, x: x * m.old.rand(),
    "a seed in the forward": lambda m, x: random.seed(len(x)) or x * random.random(),
}


@pytest.mark.parametrize("how", DRAWS)
def test_random_numbers_of_python_or_numpy_make_the_bound_infinite_and_are_put_back(
    how: str,
) -> None:
    generators = {"python": random.Random(1), "numpy": np.random.default_rng(1)}
    model = Own(DRAWS[how], old=np.random.RandomState(1), **generators)
    random.seed(0), np.random.seed(0)
    assert "draws random numbers of Python or NumPy" in network_norm(model, (3,)).norm.reason
    after = random.random(), np.random.rand()
    random.seed(0), np.random.seed(0)
    assert after == (random.random(), np.random.rand())
    assert model.python.random() == random.Random(1).random()
    assert model.numpy.random() == np.random.default_rng(1).random()
    assert model.old.rand() == np.random.RandomState(1).rand()


def test_generators_that_are_only_kept_do_not_count() -> None:
    held = {"system": random.SystemRandom(), "numpy": np.random.default_rng(1)}
    assert network_norm(Own(lambda m, x: 2 * x, **held), (3,)).norm.value == 2


class Cache:
    """An object of the author's own."""

    def __init__(self) -> None:
        self.value: Tensor | None = None
        self.values: dict[str, Tensor] = {}
        self.order: list[str] = []


def kept(m: Any, x: Tensor) -> Tensor:
    if m.cache.value is None:
        m.cache.value = torch.ones(3)
        m.cache.values["one"] = x
        m.cache.order.append("one")
        m.cache.new = x
    return x * m.cache.value  # type: ignore[no-any-return]


def test_what_a_forward_keeps_in_an_object_of_the_modules_does_not_stay_there() -> None:
    cache = Cache()
    containers = cache.values, cache.order
    model = Own(kept, cache=cache)
    assert network_norm(model, (3,)).norm.value == 1
    assert vars(cache) == {"value": None, "values": {}, "order": []}
    assert (cache.values, cache.order) == containers
    assert cache.values is containers[0]
    model(torch.ones(1, 3))
    assert network_norm(model, (3,)).norm.value == 1
    assert torch.equal(cache.value, torch.ones(3))


def test_what_did_not_change_is_not_written_to() -> None:
    class Watched:
        def __init__(self) -> None:
            self.values = Untouched({"a": 1})

    class Untouched(dict):  # type: ignore[type-arg]
        def clear(self) -> None:
            raise AssertionError

    module = nn.Module()
    module.held = Watched()
    around = Surroundings(module)
    around.restore()
    assert not around.drawn
    assert math.isfinite(module.held.values["a"])
