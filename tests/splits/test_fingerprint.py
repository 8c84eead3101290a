"""Descriptions of what examples depend on."""

import functools
import json
import os
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from lit_intriguing.attacks import FromCallable, GradientAttack, RandomTargets
from lit_intriguing.attacks.base import Attack, Found
from lit_intriguing.splits.fingerprint import described, differences, fingerprint, of_model
from lit_intriguing.types import Bounds


class Wrapped(Attack):
    """An attack around another, with a bar and a cache."""

    def __init__(self, inner: Attack, progress: bool = False) -> None:
        self.inner, self.progress, self._cache = inner, progress, object()

    def search(self, model, x, criterion, *, bounds, generator) -> Found:
        raise NotImplementedError


def test_an_attack_is_described_with_the_one_inside_it() -> None:
    told = described(Wrapped(GradientAttack(eps=1.5)))
    assert told["inner"]["eps"] == 1.5
    assert told["class"].endswith("test_fingerprint.Wrapped")
    assert set(told) == {"class", "inner"}
    assert told == described(Wrapped(GradientAttack(eps=1.5), progress=True))
    assert told != described(Wrapped(GradientAttack(eps=1.6)))


@pytest.mark.parametrize(
    ("thing", "text"),
    [
        (GradientAttack(1.0, norm=float("inf")), '"norm": "inf"'),
        (RandomTargets(), "RandomTargets"),
        (Bounds([0.0, -1.0], torch.ones(2)), '"lower": [0.0, -1.0], "upper": [1.0, 1.0]'),
        (functools.partial(max, 3), "builtins.max"),
        (torch.relu, "relu"),
        (nn.ReLU, "torch.nn.modules.activation.ReLU"),
        (nn.Linear(2, 2), "weights"),
        (object(), "builtins.object"),
        ({1, 2}, "[1, 2]"),
    ],
    # Texts of objects hold addresses, which no two processes share.
    ids=["attack", "goal", "bounds", "partial", "builtin", "class", "module", "object", "set"],
)
def test_anything_is_named_in_plain_values(thing: object, text: str) -> None:
    assert text in json.dumps(described(thing))


def test_a_used_box_is_described_as_a_new_one() -> None:
    used = Bounds()
    assert used.finite
    assert described(used) == described(Bounds())


def test_fingerprints_tell_values_shapes_and_types_apart() -> None:
    zeros = torch.zeros(4)
    others = [torch.ones(4), zeros.view(2, 2), zeros.int(), zeros[:3], torch.zeros(())]
    assert fingerprint(zeros) == fingerprint(torch.zeros(8)[::2])
    assert len({fingerprint(one) for one in [zeros, *others]}) == 6


def test_a_model_is_named_by_weights_and_structure() -> None:
    torch.manual_seed(0)
    first = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    second = nn.Sequential(nn.Linear(2, 2), nn.Tanh())
    second.load_state_dict(first.state_dict())
    assert of_model(first)["weights"] == of_model(second)["weights"]
    assert next(differences(of_model(first), of_model(second))).startswith("structure ")
    with torch.no_grad():
        second[0].bias[0] += 1
    assert of_model(first)["weights"] != of_model(second)["weights"]


def test_differences_name_what_one_side_lacks() -> None:
    assert list(differences({"a": {"b": 1}}, {"a": {"c": 2}})) == ["a.b 1 -> None", "a.c None -> 2"]


class Sized:
    """What `FromCallable` makes of a class: its text is an address."""

    def __init__(self, eps: float) -> None:
        self.eps, self.itself = eps, self

    def __call__(self, model, x, criterion, *, bounds, generator):
        return x + self.eps


def test_a_function_of_ones_own_is_described_with_its_options() -> None:
    one, again, other = (described(FromCallable(Sized, {"eps": eps})) for eps in (0.1, 0.1, 0.3))
    assert one == again != other
    assert one["function"]["eps"] == 0.1
    assert one["function"]["itself"] == "number 0"


def times(weight: float) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda x: weight * x


ONE, OTHER = nn.Linear(2, 2), nn.Linear(2, 2)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (times(1.0), times(2.0)),
        (lambda x: ONE(x), lambda x: OTHER(x)),
        (lambda x, of=ONE: of(x), lambda x, of=OTHER: of(x)),
        (ONE.forward, OTHER.forward),
        (functools.partial(ONE.forward), functools.partial(OTHER.forward)),
        (functools.partial(max, 1), functools.partial(max, 2)),
    ],
    ids=["closure", "global", "default", "method", "partial method", "partial"],
)
def test_functions_are_told_apart_by_what_they_hold(one: object, other: object) -> None:
    assert described(one) != described(other)
    assert json.dumps(described(one)) == json.dumps(described(one))
    assert "0x" not in json.dumps(described(one))


def test_closures_of_the_same_values_are_described_alike() -> None:
    assert described(times(3.0)) == described(times(3.0))


def test_a_function_that_calls_itself_is_described() -> None:
    def down(x: int) -> int:
        return down(x - 1) if x else 0

    assert described(down)["with"]["down"] == "number 0"


def test_large_arrays_are_told_apart_in_the_middle() -> None:
    array = np.zeros(5000)
    changed = array.copy()
    changed[2500] = 1
    assert described(array) == described(array.copy()) != described(changed)
    assert described(array) != described(array.astype(np.float32))
    assert described(np.arange(3)) == [0, 1, 2]


def test_descriptions_are_the_same_in_each_process() -> None:
    """Sets of text have an order, and functions and modules addresses, that change."""
    code = (
        "import json, torch; from torch import nn\n"
        "from lit_intriguing.splits.fingerprint import described, of_model\n"
        "class Around(nn.Module):\n"
        "    def extra_repr(self): return str(torch.nn.functional.relu) + str(object())\n"
        "names = {'cat', 'dog', 'bee', 'ant', 'owl'}\n"
        "within = lambda x: x in {'cat', 'dog', 'bee', 'ant', 'owl'}\n"
        "print(json.dumps([described([names, frozenset(names), within]), of_model(Around())]))\n"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(found) == 1
    assert described({10, 9, "b", "a"}) == [9, 10, "a", "b"]
