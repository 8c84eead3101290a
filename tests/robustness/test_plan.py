"""Which attacks run at which sizes, and what is refused."""

import math

import pytest

from lit_intriguing.attacks import (
    Attack,
    BoxLBFGS,
    Closest,
    GaussianNoise,
    GradientAttack,
    Restarts,
)
from lit_intriguing.robustness.plan import plan, usual_attacks
from lit_intriguing.robustness.sizes import checked_sizes
from lit_intriguing.types import Bounds

SIZES = checked_sizes({"l2": [0.5, 1.0], "linf": [0.1]})


def test_an_attack_that_minimises_runs_once_and_one_in_a_ball_at_each_size() -> None:
    attacks = {"near": BoxLBFGS(), "pgd": GradientAttack(9.0, steps=4), "noise": GaussianNoise(0.1)}
    runs = plan(attacks, SIZES, Bounds())
    assert [(run.name, run.norm, run.size) for run in runs] == [
        ("near", None, None), ("pgd", "l2", 0.5), ("pgd", "l2", 1.0), ("noise", None, None),
    ]  # fmt: skip
    second = runs[2].attack
    assert isinstance(second, GradientAttack)
    assert (second.eps, second.steps) == (1.0, 4)
    assert second.step_size == pytest.approx(2.5 / 4)


def test_the_usual_attacks_search_in_linf_only_where_its_sizes_are_asked_for() -> None:
    assert list(usual_attacks(checked_sizes(None))) == ["lbfgs"]
    assert [one.ball_norm for one in usual_attacks(SIZES).values()] == [None, math.inf]


def test_attacks_made_of_attacks_have_the_ball_of_their_parts() -> None:
    inside = GradientAttack(1.0, "inf")
    assert Restarts(inside, 3).ball_norm == math.inf
    assert Closest([inside, inside]).ball_norm == math.inf
    assert Closest([inside, BoxLBFGS()]).ball_norm is None
    other = Closest([Restarts(inside, 3)]).at(0.25, Bounds())
    assert isinstance(other, Closest)
    assert isinstance(other.attacks[0], Restarts)
    assert other.attacks[0].attack.eps == 0.25


def test_an_attack_without_a_ball_refuses_a_radius() -> None:
    with pytest.raises(ValueError, match="searches in no ball"):
        BoxLBFGS().at(1.0, Bounds())


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"l2": [1.0, 0.5]}, "those of l2 are 1, 0.5: write 0.5, 1"),
        ({"l2": [0.5, 0.5]}, "write 0.5"),
        ({"l2": [0.0, 1.0]}, "positive and finite, and l2 has 0"),
        ({"l2": [math.nan]}, "positive and finite"),
        ({"l2": []}, "sizes is empty"),
        ({}, "sizes is empty"),
        ({"linff": [1.0]}, "Did you mean 'linf'"),
    ],
)
def test_sizes_that_cannot_be_meant_are_refused_with_a_way_out(
    sizes: dict[str, list[float]], message: str
) -> None:
    with pytest.raises(ValueError, match=message.replace(".", r"\.")):
        checked_sizes(sizes)


@pytest.mark.parametrize(
    ("attacks", "message"),
    [
        ({}, "attacks is empty"),
        ({"a/b": BoxLBFGS()}, "the name 'a/b' cannot be used"),
        ({"certified": BoxLBFGS()}, "cannot be used"),
        ({"pgd": GradientAttack(1.0, "inf")}, "searches in a ball of linf, and there are no sizes"),
    ],
)
def test_attacks_that_do_not_fit_the_sizes_are_refused(
    attacks: dict[str, BoxLBFGS], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        plan(attacks, checked_sizes({"l2": [1.0]}), Bounds())


class InL1(GradientAttack):
    ball_norm = 1.0


@pytest.mark.parametrize(
    ("attack", "message"),
    [
        (InL1(0.5), "searches in a ball of another norm than l2 and linf"),
        (
            Closest([GradientAttack(1.0), GradientAttack(0.1, "inf")]),
            "name each of them in attacks",
        ),
        (Closest([GradientAttack(1.0), BoxLBFGS()]), "name each of them in attacks"),
    ],
    ids=["l1", "two norms", "a ball and the nearest"],
)
def test_attacks_that_have_no_one_size_are_refused(attack: Attack, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plan({"mine": attack}, checked_sizes({"l2": [0.5], "linf": [0.1]}), Bounds())
