"""The recipe's single-pixel attack, against trying every pixel."""

import torch

from lit_intriguing.attacks import FromCallable, Targeted, Untargeted
from lit_intriguing.types import Bounds
from recipes.attack.single_pixel import single_pixel
from tests.oracles import Linear

PATH = {"class_path": "recipes.attack.single_pixel.single_pixel", "init_args": {"population": 60}}


def test_what_trying_every_pixel_finds_is_found() -> None:
    """The extremes of a linear model's logits lie at a pixel's least and greatest value."""
    torch.manual_seed(0)
    net, x = Linear(16, 3).float(), torch.rand(12, 1, 4, 4)
    labels = net(x).argmax(1)
    possible = torch.zeros(12).bool()
    for place in range(16):
        for value in (0.0, 1.0):
            changed = x.clone().flatten(1)
            changed[:, place] = value
            possible |= net(changed).argmax(1) != labels
    found = FromCallable(PATH)(net, x, Untargeted(labels))
    assert 0 < possible.sum() < 12
    assert torch.equal(found.success, possible)
    assert (found.adversarial != x).flatten(1).sum(1).tolist() == possible.long().tolist()
    assert not found.queries.any()
    assert bool((found.info["forwards"] > 60).all())


def test_all_channels_of_one_pixel_change_inside_their_bounds() -> None:
    torch.manual_seed(0)
    net, bounds = Linear(3 * 9, 3).float(), Bounds([-1.0, 0.0, 2.0], [1.0, 0.5, 5.0])
    lower, upper = bounds.tensors_like(torch.empty(8, 3, 3, 3))
    x = lower + torch.rand(8, 3, 3, 3) * (upper - lower)
    towards = net(x).topk(2).indices[:, 1]
    found = FromCallable(PATH)(net, x, Targeted(towards), bounds=bounds)
    moved = (found.adversarial != x).any(1).flatten(1).sum(1)
    assert moved.tolist() == found.success.long().tolist()
    assert found.success.any()
    assert bool(bounds.contains(found.adversarial).all())
    assert torch.equal(net(found.adversarial).argmax(1)[found.success], towards[found.success])


def test_the_generator_decides() -> None:
    net, x = Linear(64, 3).float(), torch.rand(3, 1, 8, 8)
    attack = FromCallable(lambda *a, **k: single_pixel(*a, population=20, generations=3, **k))
    labels = net(x).argmax(1)
    first, again = (attack(net, x, Untargeted(labels)) for _ in range(2))
    assert torch.equal(first.adversarial, again.adversarial)
