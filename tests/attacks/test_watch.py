"""An attack that is watched finds the same, and the last point of each trace is its result."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lit_intriguing.attacks import (
    Attack,
    BoxLBFGS,
    Closest,
    FromCallable,
    GaussianNoise,
    GradientAttack,
    HostLoss,
    Restarts,
    Survives,
    Targeted,
    Untargeted,
)
from lit_intriguing.attacks.attack_tensors import attack_chunk
from lit_intriguing.attacks.watch import Watch
from lit_intriguing.types import distortion

FEATURES, CLASSES, ROWS = 6, 4, 20


class Watched(nn.Module):
    """A small network that counts its calls."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.hidden = nn.Sequential(nn.Linear(FEATURES, 16), nn.Tanh())
        self.output = nn.Linear(16, CLASSES)
        self.calls = 0
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        logits: Tensor = self.output(self.hidden(x))
        return logits


def steps_on(model: Any, x: Tensor, criterion: Any, part: slice, **options: Any) -> Tensor:
    """Two gradient steps of another library, on part of the batch at a time."""
    result = x.clone()
    for _ in range(2):
        point = result[part].clone().requires_grad_()
        loss = criterion.select(torch.arange(len(x))[part]).loss(model(point)).sum()
        (gradient,) = torch.autograd.grad(loss, point)
        result[part] = (point - 0.05 * gradient.sign()).clamp(0, 1).detach()
    return result


def whole(model: Any, x: Tensor, criterion: Any, **options: Any) -> Tensor:
    return steps_on(model, x, criterion, slice(None))


def half(model: Any, x: Tensor, criterion: Any, **options: Any) -> Tensor:
    return steps_on(model, x, criterion, slice(1, None, 2))


RANDOM = GradientAttack(0.4, steps=3, random_start=True)
ATTACKS = {
    "fast": BoxLBFGS(),
    "queue": BoxLBFGS(batch_size=7),
    "paper": BoxLBFGS("paper"),
    "PGD": RANDOM,
    "noise": GaussianNoise(0.2),
    "survives": Survives(BoxLBFGS()),
    "restarts": Restarts(RANDOM, 3),
    "closest": Closest([BoxLBFGS(), RANDOM]),
    "function": FromCallable(whole),
    "function one by one": FromCallable(whole, one_by_one=True),
    "function on half": FromCallable(half),
}
EVERY = pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)


def examples() -> tuple[Watched, Tensor, Tensor]:
    network = Watched()
    x = torch.rand(ROWS, FEATURES, generator=torch.Generator().manual_seed(1))
    return network, x, network(x).argmax(1).detach()


@EVERY
@pytest.mark.parametrize("goal", [Untargeted, lambda y: Targeted((y + 1) % CLASSES)])
def test_it_changes_nothing_and_the_last_point_is_the_result(
    attack: Attack, goal: Callable[[Tensor], Any]
) -> None:
    network, x, labels = examples()
    before = network.calls
    alone = attack(network, x, goal(labels))
    without, before = network.calls - before, network.calls
    watch = Watch(5)
    found = attack(network, x, goal(labels), watch=watch)
    assert network.calls - before == without
    assert torch.equal(alone.adversarial, found.adversarial)
    assert torch.equal(alone.success, found.success)
    assert torch.equal(alone.queries, found.queries)
    assert [trace.example for trace in watch.traces] == [0, 5, 10, 14, 19]
    with torch.no_grad():
        losses = goal(labels).loss(network(found.adversarial))
    for trace in watch.traces:
        row = trace.example
        assert bool(trace.success[-1]) == bool(found.success[row])
        torch.testing.assert_close(trace.distortion[-1], found.distortion[row])
        torch.testing.assert_close(trace.loss[-1], losses[row])


def test_each_step_is_seen_once_with_its_distortion_and_loss() -> None:
    network, x, labels = examples()
    watch = Watch(ROWS)
    GradientAttack(0.3, steps=1)(network, x, Untargeted(labels), watch=watch)
    for trace, start in zip(watch.traces, x, strict=True):
        assert trace.distortion[0] == 0
        assert trace.distortion[1].item() == pytest.approx(0.3 / math.sqrt(FEATURES), rel=0.2)
        with torch.no_grad():
            loss = Untargeted(labels[trace.example :][:1]).loss(network(start[None]))
        torch.testing.assert_close(trace.loss[:1], loss)
        assert trace.loss[1] < trace.loss[0]


def test_a_part_of_the_batch_is_recognised_and_twins_are_left_out() -> None:
    network, x, labels = examples()
    x[3] = x[1]
    watch = Watch(ROWS)
    FromCallable(half)(network, x, Untargeted(labels), watch=watch)
    calls = [len(trace.loss) for trace in watch.traces]
    # Two steps and the verification of each odd example, the verification alone of the others.
    assert calls == [1, 1, 1, 1, *[1, 3] * 8]


def test_a_watch_that_is_used_again_forgets_what_it_saw() -> None:
    network, x, labels = examples()
    watch = Watch(2)
    GaussianNoise(0.1)(network, x, Untargeted(labels), watch=watch)
    GaussianNoise(0.2)(network, x[:9], Untargeted(labels[:9]), watch=watch)
    assert [(trace.example, len(trace.loss)) for trace in watch.traces] == [(0, 1), (8, 1)]
    GaussianNoise(0.2)(network, x[:0], Untargeted(labels[:0]), watch=watch)
    assert list(watch.traces) == []


def test_more_examples_than_there_are_and_none_at_all() -> None:
    network, x, labels = examples()
    watch = Watch(99)
    GaussianNoise(0.1)(network, x[:3], Untargeted(labels[:3]), watch=watch)
    assert [trace.example for trace in watch.traces] == [0, 1, 2]
    with pytest.raises(ValueError, match="examples must be at least 1"):
        Watch(0)


def test_a_goal_without_a_border_has_its_loss_followed_and_never_succeeds() -> None:
    network, x, labels = examples()

    def column(points: Tensor) -> Tensor:
        return -nn.functional.cross_entropy(network(points), labels, reduction="none")[:, None]

    watch, goal = Watch(2), HostLoss()
    criterion = goal(labels, network(x), torch.Generator())
    GradientAttack(0.3, steps=4)(column, x, criterion, watch=watch)
    for trace in watch.traces:
        assert len(trace.loss) == 4
        assert trace.loss[-1] < trace.loss[0]
        assert not trace.success.any()


@pytest.mark.parametrize("layer", ["", "hidden"])
def test_the_traces_of_a_chunk_have_the_numbers_of_its_images(layer: str) -> None:
    network, x, labels = examples()
    labels[0] = (labels[0] + 1) % CLASSES  # misclassified: not attacked
    watch = Watch(3)
    found = attack_chunk(
        network, BoxLBFGS(), x, labels, torch.Generator().manual_seed(0), layer=layer, watch=watch
    )
    moved = distortion(found.clean, found.adversarial)
    assert [trace.example for trace in watch.traces] == [1, 10, 19]
    for trace in watch.traces:
        torch.testing.assert_close(trace.distortion[-1], moved[trace.example])
        assert bool(trace.success[-1]) == bool(found.success[trace.example])
