"""What can be asked for a layer."""

import dataclasses
import math

import pytest

from lit_intriguing.attacks import (
    BoxLBFGS,
    GaussianNoise,
    GradientAttack,
    HostLoss,
    RandomTargets,
    TrueLabels,
)
from lit_intriguing.pools import PerturbedLayer

ATTACK = GradientAttack(0.1)


def test_defaults_are_the_papers_pool() -> None:
    plan = PerturbedLayer(ATTACK)
    assert (plan.pool, plan.mix, plan.refresh, plan.every_n_steps) == (2000, 200, 200, 1)
    assert plan.stale
    assert plan.shield
    assert plan.aim == RandomTargets()
    assert PerturbedLayer(ATTACK, goal=TrueLabels()).aim == TrueLabels()


@pytest.mark.parametrize(
    ("attack", "shares"),
    [
        (GradientAttack(0.1), True),
        (GradientAttack(0.1, math.inf), True),
        (GradientAttack(0.1, steps=2), False),
        (GradientAttack(0.1, random_start=True), False),
        (GaussianNoise(0.1), False),
    ],
)
def test_only_one_step_attacks_share_the_clean_gradient(attack: object, shares: bool) -> None:
    assert PerturbedLayer(attack).shares_clean_gradient is shares


@pytest.mark.parametrize("name", ["pool", "mix", "refresh", "every_n_steps"])
def test_counts_must_be_positive(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be at least 1, not 0"):
        PerturbedLayer(ATTACK, **{name: 0})


@pytest.mark.parametrize("weight", [0.0, -1.0, math.inf, math.nan])
def test_weight_must_be_positive_and_finite(weight: float) -> None:
    with pytest.raises(ValueError, match=f"weight must be positive and finite, not {weight}"):
        PerturbedLayer(ATTACK, weight=weight)


@pytest.mark.parametrize("name", ["mix", "refresh"])
def test_counts_must_fit_the_pool(name: str) -> None:
    sizes = {"mix": 5, "refresh": 5, name: 11}
    with pytest.raises(ValueError, match=f"{name}=11 exceeds pool=10 examples"):
        PerturbedLayer(ATTACK, pool=10, **sizes)


@pytest.mark.parametrize("options", [{"at_layer": True}, {"stale": False, "shield": False}])
def test_input_refuses_what_only_a_hidden_layer_can_do(options: dict) -> None:
    plan = PerturbedLayer(ATTACK, **options)
    plan.check("hidden")
    with pytest.raises(ValueError, match=r"layer ''\) at_layer and shield have no meaning"):
        plan.check("")


def test_options_cannot_be_changed_later() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        PerturbedLayer(ATTACK).weight = 2.0


@pytest.mark.parametrize("length", [0.0, -1.0, math.inf, math.nan, "long"])
def test_the_greatest_length_must_be_positive_and_finite(length: object) -> None:
    with pytest.raises(ValueError, match="max_length must be positive and finite"):
        PerturbedLayer(BoxLBFGS(), max_length=length)


@pytest.mark.parametrize(
    "options",
    [{"attack": GradientAttack(1.0)}, {"attack": GradientAttack(1.0), "goal": HostLoss()}],
    ids=["gradient steps", "the host's loss"],
)
def test_an_attack_of_a_fixed_length_takes_no_greatest_length(options: dict) -> None:
    with pytest.raises(ValueError, match="the length of GradientAttack is its eps"):
        PerturbedLayer(**options, max_length=1.0)
