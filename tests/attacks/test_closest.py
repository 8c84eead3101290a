"""The nearest of several attacks or runs, example by example."""

import pytest
import torch
from torch import Tensor, nn

from lit_intriguing.attacks import (
    BoxLBFGS,
    Closest,
    FromCallable,
    GradientAttack,
    Restarts,
    Untargeted,
)
from lit_intriguing.types import Bounds


def network() -> nn.Module:
    with torch.random.fork_rng([]):
        torch.manual_seed(5)
        return nn.Sequential(nn.Linear(6, 12), nn.Tanh(), nn.Linear(12, 3)).eval()


def examples() -> tuple[Tensor, Untargeted]:
    x = torch.rand(20, 6, generator=torch.Generator().manual_seed(1))
    return x, Untargeted(network()(x).argmax(1))


def test_each_example_is_the_nearest_success_of_all_attacks() -> None:
    attacks = [GradientAttack(0.4, steps=4), GradientAttack(1.5), GradientAttack(0.1, "inf")]
    x, criterion = examples()
    alone = [attack(network(), x, criterion) for attack in attacks]
    found = Closest(attacks)(network(), x, criterion)
    which = found.info["attack"]
    assert len(which.unique()) >= 3
    for row in range(len(x)):
        reached = [(float(f.distortion[row]), i) for i, f in enumerate(alone) if f.success[row]]
        assert bool(found.success[row]) == bool(reached)
        assert int(which[row]) == (min(reached)[1] if reached else -1)
        expected = alone[which[row]].adversarial[row] if reached else x[row]
        assert torch.equal(found.adversarial[row], expected)
    assert torch.equal(found.queries, sum(f.queries for f in alone))


def test_the_rows_go_to_the_model_and_the_bounds_to_the_attacks() -> None:
    x, criterion = examples()
    shift = torch.randn(20, 6, generator=torch.Generator().manual_seed(2)) * 0.01

    def model(x: Tensor, rows: Tensor | None = None) -> Tensor:
        return network()(x + (shift if rows is None else shift[rows]))

    found = Closest([BoxLBFGS(batch_size=3)])(model, x, criterion, bounds=Bounds(-0.5, 1.5))
    expected = BoxLBFGS(batch_size=3)(model, x, criterion, bounds=Bounds(-0.5, 1.5))
    assert torch.equal(found.adversarial, expected.adversarial)
    assert found.success.all()


def test_more_restarts_find_nearer_examples() -> None:
    attack = GradientAttack(1.0, steps=3, random_start=True)
    x, criterion = examples()
    once, often = (Restarts(attack, times)(network(), x, criterion) for times in (1, 6))
    alone = attack(network(), x, criterion)
    assert torch.equal(once.adversarial, alone.adversarial)
    both = once.success
    assert often.success[both].all()
    assert (often.distortion <= once.distortion)[both].all()
    assert often.distortion[both].mean() < 0.99 * once.distortion[both].mean()
    assert torch.equal(often.queries, 6 * alone.queries)
    assert torch.equal(often.adversarial, Restarts(attack, 6)(network(), x, criterion).adversarial)


def test_an_attack_that_fails_altogether_leaves_the_others_examples() -> None:
    x, criterion = examples()
    nothing = FromCallable(lambda model, x, criterion, **_: [None] * len(x))
    found = Closest([nothing, BoxLBFGS()])(network(), x, criterion)
    assert (found.info["attack"] == 1).all()
    assert Closest([nothing])(network(), x, criterion).info["attack"].tolist() == [-1] * 20


def test_batches_without_examples_have_the_same_columns() -> None:
    x = examples()[0][:0]
    for attack in (Closest([BoxLBFGS()]), Restarts(BoxLBFGS(), 2)):
        assert attack(network(), x, Untargeted([])).info["attack"].dtype == torch.int64


def test_options_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="attacks must hold at least one"):
        Closest([])
    with pytest.raises(ValueError, match="times must be at least 1, not 0"):
        Restarts(BoxLBFGS(), 0)
    assert repr(Restarts(BoxLBFGS(), 2)) == "Restarts(attack=BoxLBFGS(), times=2)"
