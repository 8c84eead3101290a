import math

import pytest
import torch
from torch import nn

from lit_intriguing.attacks import BoxLBFGS, GradientAttack, Restarts
from lit_intriguing.sanity import sanity_checks
from tests.sanity.networks import (
    EPS,
    Around,
    Detached,
    digits,
    noisy,
    quantised,
    saturated,
    trained,
)

ATTACK = GradientAttack(EPS, "inf", steps=40)


def warnings_of(model: nn.Module, attack: GradientAttack = ATTACK, **options: object) -> set[str]:
    _, _, images, labels = digits()
    return {
        one.name for one in sanity_checks(model, images, labels, attack, **options) if one.warns
    }


@pytest.mark.parametrize("attack", [ATTACK, GradientAttack(1.0, steps=40)], ids=["linf", "l2"])
def test_an_honest_network_that_was_trained_by_pgd_gives_no_warning(
    attack: GradientAttack,
) -> None:
    assert warnings_of(trained(5), attack, others={"plain": trained(0)}) == set()


def test_an_honest_network_without_a_defence_gives_no_warning() -> None:
    assert warnings_of(trained(0)) == set()


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (Around(trained(5), before=quantised), {"zero_gradients", "unconstrained_failure"}),
        (Detached(trained(5)), {"wrong_gradients"}),
        (Around(trained(5), behind=saturated), {"probabilities", "zero_gradients"}),
        (Around(trained(5), before=noisy), {"randomness"}),
    ],
    ids=["quantised inputs", "a detached branch", "a saturated softmax", "random inputs"],
)
def test_a_planted_fault_is_found(model: nn.Module, expected: set[str]) -> None:
    found = warnings_of(model)
    assert expected <= found
    assert "batch_dependence" not in found


def test_too_few_steps_are_found() -> None:
    short = GradientAttack(EPS, "inf", steps=5, step_size=EPS / 50)
    assert warnings_of(trained(5), short) == {"break_point_angle"}


def test_examples_of_another_network_show_that_gradients_are_hidden() -> None:
    hidden = Around(trained(0), before=quantised)
    assert "transfer_beats" in warnings_of(hidden, others={"plain": trained(0)})


def test_batch_statistics_in_evaluation_are_found() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(trained(5), nn.BatchNorm1d(10, track_running_stats=False))
    assert "batch_dependence" in warnings_of(model)


def test_the_model_and_the_random_states_stay_as_they_were() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.BatchNorm1d(10), nn.Dropout(0.5))
    before, state = {k: v.clone() for k, v in model.state_dict().items()}, torch.get_rng_state()
    warnings_of(model, others={"itself": model})
    assert model.training
    assert all(module.training for module in model.modules())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert torch.equal(state, torch.get_rng_state())
    assert all(one.grad is None for one in model.parameters())


def test_where_every_example_is_fooled_nothing_is_said_of_failures() -> None:
    _, _, images, labels = digits()
    found = sanity_checks(trained(0), images, labels, GradientAttack(1.0, "inf", steps=40))
    values = {one.name: one.value for one in found}
    assert math.isnan(values["break_point_angle"])
    assert math.isnan(values["silent_success"])
    assert not any(one.warns for one in found)


def test_a_network_that_reads_nothing_rightly_gives_no_error() -> None:
    _, _, images, labels = digits()
    found = sanity_checks(trained(0), images, (labels + 1) % 10, ATTACK)
    assert not any(one.warns for one in found)


def test_restarts_are_looked_at_one_by_one() -> None:
    _, _, images, labels = digits()
    attack = GradientAttack(EPS, "inf", steps=40)
    alone, again = (
        {one.name: one.value for one in sanity_checks(trained(5), images, labels, each)}
        for each in (attack, Restarts(attack, 3))
    )
    assert again["increasing_loss"] == alone["increasing_loss"]
    assert again["break_point_angle"] == alone["break_point_angle"]


def test_a_search_for_the_nearest_example_has_no_way_to_judge() -> None:
    _, _, images, labels = digits()
    found = sanity_checks(trained(5), images[:20], labels[:20], BoxLBFGS())
    assert all(math.isnan(one.value) for one in found if one.name.startswith(("break", "incr")))


def test_labels_of_another_number_are_refused() -> None:
    _, _, images, labels = digits()
    with pytest.raises(ValueError, match=r"100 images need labels \(100,\), not \(7,\)"):
        sanity_checks(trained(0), images, labels[:7], ATTACK)


def test_no_images_are_refused() -> None:
    _, _, images, labels = digits()
    with pytest.raises(ValueError, match="nothing to look at: 0 images"):
        sanity_checks(trained(0), images[:0], labels[:0], ATTACK)


def test_a_finding_says_what_to_do() -> None:
    _, _, images, labels = digits()
    found = sanity_checks(Around(trained(5), before=quantised), images, labels, ATTACK)
    (one,) = (one for one in found if one.name == "zero_gradients")
    assert str(one).startswith("zero gradients 1.00: share of examples without a gradient.")


@pytest.mark.parametrize("with_plain", [True, False])
def test_another_model_without_a_gradient_costs_no_other_finding(with_plain: bool) -> None:
    _, _, images, labels = digits()
    hidden = Around(trained(0), before=quantised)
    blind = Around(trained(0), before=lambda x: x.detach())
    plain = {"plain": trained(0)} if with_plain else {}
    found, expected = (
        {one.name: one.value for one in sanity_checks(hidden, images, labels, ATTACK, others=each)}
        for each in ({"blind": blind, **plain}, plain)
    )
    assert found.keys() == expected.keys()
    assert found["transfer_beats"] == pytest.approx(expected["transfer_beats"], nan_ok=True)
    assert math.isnan(found["transfer_beats"]) is not with_plain
