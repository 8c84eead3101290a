"""What attacks, goals, criteria, bounds and results look like at a prompt."""

import math
import pickle
from functools import partial

import pytest
import torch
from torch import Tensor

from lit_intriguing.attacks import (
    Attack,
    BoxLBFGS,
    FromCallable,
    GaussianNoise,
    GradientAttack,
    Outcome,
    RandomTargets,
    Targeted,
    Untargeted,
)
from lit_intriguing.attacks.base import Found
from lit_intriguing.solvers import Stage, Tolerances
from lit_intriguing.types import UNBOUNDED, Bounds, Perturbation


def same(model: object, x: Tensor, criterion: object, **_: object) -> Tensor:
    return x


class Own(Attack):
    def __init__(self, weights: Tensor, hidden: int = 3) -> None:
        self.weights, self._hidden = weights, hidden

    def search(self, model, x, criterion, *, bounds, generator) -> Found:
        return Found(x, torch.zeros(len(x)).long())


SHOWN = {
    "BoxLBFGS()": BoxLBFGS(),
    "BoxLBFGS(mode='paper', batch_size=8)": BoxLBFGS("paper", batch_size=8),
    "BoxLBFGS(mode='paper', tolerances=Tolerances(c=0.01, distance=0.001, slope=0.01, steps=5))": (
        BoxLBFGS("paper", tolerances=Tolerances(steps=5))
    ),
    "BoxLBFGS(stages=(Stage(smoothing=1.0, tolerance=0.1, inside=0.1, steps=2),))": BoxLBFGS(
        stages=[Stage(1.0, 0.1, 0.1, 2)]
    ),
    "GradientAttack(eps=0.5)": GradientAttack(0.5),
    "GradientAttack(eps=0.5, steps=10)": GradientAttack(0.5, steps=10),
    "GradientAttack(eps=0.5, norm=inf, step_size=0.1, random_start=True)": GradientAttack(
        0.5, math.inf, step_size=0.1, random_start=True
    ),
    "GaussianNoise(stddev=0.1)": GaussianNoise(0.1),
    "FromCallable(function=same)": FromCallable(same),
    "FromCallable(function=<partial>, one_by_one=True)": FromCallable(
        partial(same), one_by_one=True
    ),
    "Own(weights=<torch.float32 of shape (2, 3)>)": Own(torch.zeros(2, 3)),
    "RandomTargets()": RandomTargets(),
    "Targeted(4 labels)": Targeted(torch.zeros(4).long()),
    "Untargeted(0 labels)": Untargeted(torch.zeros(0).long()),
    "Bounds(lower=0.0, upper=1.0)": Bounds(),
    "Bounds(lower=-inf, upper=inf)": UNBOUNDED,
    "Bounds(lower=[-1.0, 0.0], upper=[0.0, 2.0])": Bounds([-1.0, 0.0], torch.tensor([0.0, 2.0])),
    "Bounds(lower=0.0, upper=<(1, 2, 3) from 1 to 2>)": Bounds(
        0.0, torch.linspace(1, 2, 6).view(1, 2, 3)
    ),
}


@pytest.mark.parametrize(("text", "thing"), SHOWN.items(), ids=SHOWN)
def test_the_options_that_differ_are_shown(text: str, thing: object) -> None:
    assert repr(thing) == text
    if " at 0x" not in text and "function" not in text:
        assert repr(pickle.loads(pickle.dumps(thing))) == text


def test_a_result_shows_shapes_success_and_mean_distortion_of_the_successes() -> None:
    clean = torch.zeros(4, 1, 2, 2)
    adversarial = clean.clone()
    adversarial[:2] = torch.tensor([0.1, 0.3]).view(2, 1, 1, 1)
    success = torch.tensor([True, True, False, False])
    queries = torch.tensor([4, 6, 8, 8])
    found = Perturbation(clean, adversarial, success, queries, {"c": torch.ones(4)})
    assert repr(found) == (
        "Perturbation(4 examples of (1, 2, 2), success 2/4 = 50.0%, mean distortion 0.2, "
        "6.5 queries each, info: c)"
    )


def test_results_without_success_or_examples_have_a_text() -> None:
    x = torch.zeros(2, 3)
    none = Perturbation(x, x, torch.zeros(2).bool(), torch.ones(2).long())
    assert repr(none) == "Perturbation(2 examples of (3,), success 0/2 = 0.0%, 1.0 queries each)"
    empty = Perturbation(x[:0], x[:0], torch.zeros(0).bool(), torch.ones(0).long())
    assert repr(empty) == "Perturbation(0 examples of (3,))"


def test_each_outcome_has_a_message() -> None:
    assert Outcome(3).message.startswith("Nothing found")
    assert len({outcome.message for outcome in Outcome}) == 5


def test_goals_and_criteria_have_the_class_path_that_manifests_hold() -> None:
    for one in (RandomTargets, Targeted, Untargeted):
        assert one.__module__ == "lit_intriguing.attacks.criteria"
