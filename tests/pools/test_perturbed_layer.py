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
    Restarts,
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


@pytest.mark.parametrize("value", ["batch", 1, None, 0.5])
def test_units_of_the_lengths_must_be_known(value: object) -> None:
    with pytest.raises(ValueError, match=r"relative must be True, False or 'example', not "):
        PerturbedLayer(ATTACK, relative=value)


@pytest.mark.parametrize(
    "attack",
    [
        BoxLBFGS(),
        GradientAttack(0.1, steps=2),
        GradientAttack(0.1, random_start=True),
        GradientAttack(0.1, start_stddev=0.01),
        GradientAttack(0.1, step_size=0.2),
    ],
)
def test_units_of_each_examples_norm_are_for_one_step(attack: object) -> None:
    with pytest.raises(
        ValueError, match=r"one step, not for .*: take steps=1, a step_size of at .*relative=True"
    ):
        PerturbedLayer(attack, relative="example")
    PerturbedLayer(GradientAttack(0.1, steps=1), relative="example")
    PerturbedLayer(attack, relative=True)


@pytest.mark.parametrize("share", [0.0, -0.5, math.inf, math.nan, True, "half"])
def test_share_that_is_left_of_a_length_must_be_positive_and_finite(share: object) -> None:
    with pytest.raises(ValueError, match=r"anneal_to must be positive and finite, not "):
        PerturbedLayer(ATTACK, anneal_to=share)


@pytest.mark.parametrize(
    "attack", [BoxLBFGS(), GaussianNoise(0.1), Restarts(GradientAttack(0.1, random_start=True), 2)]
)
def test_only_eps_of_gradient_attacks_and_greatest_lengths_are_annealed(attack: object) -> None:
    with pytest.raises(ValueError, match=r"anneal_to is for the eps of GradientAttack, .*not for"):
        PerturbedLayer(attack, anneal_to=0.5)


def test_an_annealed_attack_of_one_step_stays_one_of_one_step() -> None:
    plan = PerturbedLayer(GradientAttack(0.217), anneal_to=0.5)
    for done in range(1000):
        now = plan.annealed(done / 1000)
        assert now.shares_clean_gradient
        assert now.attack.eps == pytest.approx(0.217 * (1 - 0.5 * done / 1000))
    assert PerturbedLayer(ATTACK).annealed(0.5) == PerturbedLayer(ATTACK)


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


@pytest.mark.parametrize("length", [0.0, -1.0, math.inf, math.nan, True, "long"])
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
