"""Descriptions of what examples depend on."""

import functools
import json

import pytest
import torch
from torch import nn

from lit_intriguing.attacks import GradientAttack, RandomTargets
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
