"""An attack on tensors, chunk by chunk."""

import pytest
import torch
from torch import Tensor, nn

from lit_intriguing.attacks import (
    GaussianNoise,
    GradientAttack,
    SecondLikeliest,
    TargetClass,
    TrueLabels,
)
from lit_intriguing.attacks.base import Attack, Found
from lit_intriguing.commands.attack import attack_tensors
from lit_intriguing.errors import UserError
from lit_intriguing.types import UNBOUNDED, Bounds, distortion

ATTACK = GradientAttack(eps=1.0, steps=5)


def network() -> nn.Sequential:
    """Nine numbers, three classes, with a layer that behaves otherwise in training."""
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(9, 6), nn.Tanh(), nn.Dropout(0.5), nn.Linear(6, 3)).eval()


def rows(count: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(count, 9, generator=generator)
    return images, torch.randint(0, 3, (count,), generator=generator)


class Told(Attack):
    """Moves nothing and tells a `c` and a status."""

    def search(self, model, x, criterion, *, bounds, generator) -> Found:
        ones = torch.ones(len(x))
        return Found(x, ones.long(), {"c": ones, "status": ones.to(torch.int8), "odd": ones[:0]})


def test_each_chunk_is_what_it_would_be_alone() -> None:
    images, labels = rows(10)
    model = network()
    both = attack_tensors(model, ATTACK, images, labels, chunk=6)
    first = attack_tensors(model, ATTACK, images[:6], labels[:6], chunk=6)
    for name, column in first.columns().items():
        assert torch.equal(both.columns()[name][:6], column), name
    assert len(both.labels) == 10


def test_chunks_draw_different_targets_and_another_seed_does_too() -> None:
    images, labels = rows(1)
    images, labels = images.repeat(60, 1), labels.repeat(60)
    found = attack_tensors(network(), ATTACK, images, labels, chunk=30).targets
    other = attack_tensors(network(), ATTACK, images, labels, chunk=30, seed=1).targets
    assert not torch.equal(found[:30], found[30:])
    assert not torch.equal(found, other)
    assert bool((found != labels).all())


def test_wrongly_read_rows_are_left_alone_and_the_others_have_the_same_targets() -> None:
    images, labels = rows(40)
    model = network()
    right = model(images).argmax(1) == labels
    assert 0 < right.sum() < 40
    some = attack_tensors(model, ATTACK, images, labels)
    every = attack_tensors(model, ATTACK, images, labels, only_correct=False)
    assert torch.equal(some.attacked, right)
    assert bool(every.attacked.all())
    assert torch.equal(some.targets, every.targets)
    assert torch.equal(some.adversarial[~right], images[~right])
    assert not bool(some.success[~right].any())
    assert bool((some.distortion[~right] == 0).all())
    assert bool((some.queries[~right] == 0).all())
    assert torch.equal(some.adversarial_predictions[~right], some.predictions[~right])


def test_success_and_distortion_hold_on_the_rows_handed_back() -> None:
    images, labels = rows(40)
    model = network()
    made = attack_tensors(model, GradientAttack(eps=3.0, steps=20), images, labels)
    answers = model(made.adversarial).argmax(1)
    assert torch.equal(made.success, (answers == made.targets) & made.attacked)
    assert torch.equal(made.adversarial_predictions, answers)
    assert made.success.any()
    assert torch.equal(made.distortion, distortion(images, made.adversarial))
    assert made.adversarial.min() >= 0
    assert made.adversarial.max() <= 1


def test_what_the_attack_tells_is_unknown_where_it_was_not_asked() -> None:
    images, labels = rows(40)
    made = attack_tensors(network(), Told(), images, labels, chunk=7)
    assert torch.equal(made.info["c"].isnan(), ~made.attacked)
    assert torch.equal(made.info["status"] == -1, ~made.attacked)
    assert made.info["status"].dtype == torch.int8
    assert "odd" not in made.info


def test_without_a_row_read_rightly_nothing_is_attacked() -> None:
    images, _ = rows(5)
    model = network()
    wrong = (model(images).argmax(1) + 1) % 3
    made = attack_tensors(model, ATTACK, images, wrong)
    assert not made.attacked.any()
    assert torch.equal(made.adversarial, images)


def test_an_untargeted_goal_has_no_targets() -> None:
    images, labels = rows(5)
    made = attack_tensors(network(), ATTACK, images, labels, goal=TrueLabels())
    assert made.targets.tolist() == [-1] * 5


def test_examples_of_the_class_that_is_aimed_at_are_left_as_they_are() -> None:
    images, labels = rows(30)
    model = network()
    made = attack_tensors(model, ATTACK, images, labels, goal=TargetClass(1), only_correct=False)
    there = (labels == 1) | (made.predictions == 1)
    assert there.any()
    assert not there.all()
    assert torch.equal(made.attacked, ~there)
    assert torch.equal(made.adversarial[there], images[there])
    assert not made.success[there].any()


def test_a_hidden_layer_is_attacked_from_its_activation_up_without_bounds() -> None:
    images, labels = rows(40)
    model = network()
    made = attack_tensors(
        model, GradientAttack(eps=2.0, steps=10), images, labels, layer="1", goal=SecondLikeliest()
    )
    assert torch.equal(made.clean, model[:2](images))
    assert torch.equal(made.adversarial_predictions, model[2:](made.adversarial).argmax(1))
    assert made.success.any()
    assert made.adversarial.abs().max() > 1  # beyond what tanh gives


def test_given_bounds_replace_the_defaults() -> None:
    images, labels = rows(20)
    noise = GaussianNoise(1.0)
    free = attack_tensors(network(), noise, images, labels, bounds=UNBOUNDED, only_correct=False)
    assert free.adversarial.min() < 0
    narrow = attack_tensors(
        network(), noise, images, labels, bounds=Bounds(0, 2), only_correct=False
    )
    assert 1 < narrow.adversarial.max() <= 2


def test_nothing_is_left_behind() -> None:
    images, labels = rows(8)
    model = network().train()
    model[2].eval()
    torch.manual_seed(5)
    before = torch.get_rng_state()
    with torch.inference_mode():
        made = attack_tensors(model, ATTACK, images, labels, layer="0")
    assert torch.equal(torch.get_rng_state(), before)
    assert [one.training for one in model] == [True, True, False, True]
    assert all(one.grad is None for one in model.parameters())
    assert not any(one._forward_hooks for one in model.modules())
    again = attack_tensors(model, ATTACK, images, labels, layer="0")
    assert torch.equal(made.adversarial, again.adversarial)


class Global(Attack):
    """Draws from the global generator, as foreign attacks do."""

    def search(self, model, x, criterion, *, bounds, generator) -> Found:
        return Found(torch.rand_like(x), torch.zeros(len(x)).long())


def test_attacks_that_draw_globally_are_repeatable_too() -> None:
    images, labels = rows(9)
    first, second = (
        attack_tensors(network(), Global(), images, labels, chunk=4).adversarial for _ in range(2)
    )
    assert torch.equal(first, second)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (torch.zeros(2, 9, dtype=torch.uint8), torch.zeros(2).long(), "images are torch.uint8"),
        (torch.zeros(2, 9), torch.zeros(2), "true label of each example, integers of shape"),
        (torch.zeros(2, 9), torch.zeros(3).long(), r"integers of shape \(2,\)"),
        (torch.zeros(2, 9), torch.tensor([0, 3]), "from 0 to 3, but the model has 3 classes"),
        (torch.zeros(2, 9), torch.tensor([-1, 2]), "from -1 to 2, but the model"),
        (torch.zeros(0, 9), torch.zeros(0).long(), "nothing to attack: 0 examples"),
        (torch.full((2, 9), 7.0), torch.tensor([0, 1]), "range from 7 to 7 and leave the bounds"),
    ],
)
def test_unsuitable_rows_are_refused(images: Tensor, labels: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        attack_tensors(network(), ATTACK, images, labels, only_correct=False)


def test_an_unknown_layer_is_named_with_the_nearest() -> None:
    with pytest.raises(UserError, match=r"no layer '11'\. Nearest names: 1"):
        attack_tensors(network(), ATTACK, *rows(2), layer="11")


def test_a_model_without_logits_is_refused() -> None:
    with pytest.raises(UserError, match=r"must return logits of shape \(N, C\)"):
        attack_tensors(nn.Flatten(0), ATTACK, *rows(2))
