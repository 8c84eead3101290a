"""What schemes add to the host's loss, against the formulas of the papers, and bad arguments."""

from typing import Any

import pytest
import torch
from torch import Tensor

from lit_intriguing.attacks import HostLoss, LargerDivergence, TrueLabels
from lit_intriguing.schemes import MART, TRADES, VAT, ExamplesAlone

N, C = 6, 4


def logits(seed: int) -> Tensor:
    return torch.randn(N, C, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


CLEAN, PERTURBED, LABELS = logits(0), logits(1), torch.tensor([0, 1, 2, 3, 0, 1])


def kl(p: Tensor, q: Tensor) -> Tensor:
    return (p * (p / q).log()).sum()


def test_trades_adds_beta_times_the_mean_divergence() -> None:
    p, q = CLEAN.softmax(1), PERTURBED.softmax(1)
    mean = torch.stack([kl(p[n], q[n]) for n in range(N)]).mean()
    torch.testing.assert_close(TRADES(2.5).added(CLEAN, PERTURBED, LABELS), 2.5 * mean)
    assert TRADES(0).added(CLEAN, PERTURBED, LABELS) == 0


def test_vat_adds_alpha_times_the_mean_divergence_from_a_constant_prediction() -> None:
    clean, perturbed = CLEAN.clone().requires_grad_(), PERTURBED.clone().requires_grad_()
    added = VAT(2.5).added(clean, perturbed, LABELS)
    torch.testing.assert_close(added, TRADES(2.5).added(CLEAN, PERTURBED, LABELS))
    gradients = torch.autograd.grad(added, (clean, perturbed), allow_unused=True)
    assert gradients[0] is None
    assert gradients[1].abs().sum() > 0


def test_mart_adds_the_margin_and_beta_times_the_weighted_divergence() -> None:
    p, q = CLEAN.softmax(1), PERTURBED.softmax(1)
    each = []
    for n, label in enumerate(LABELS.tolist()):
        wrong = max(float(q[n, k]) for k in range(C) if k != label)
        margin = -torch.log(torch.tensor(1.0001 - wrong, dtype=torch.float64))
        each.append(margin + 5 * kl(p[n], q[n]) * (1 - p[n, label]))
    found = MART(5).added(CLEAN, PERTURBED, LABELS)
    torch.testing.assert_close(found, torch.stack(each).mean())
    assert MART().added(CLEAN[:0], PERTURBED[:0], LABELS[:0]) == 0


def test_gradients_stay_finite_where_a_wrong_class_is_certain() -> None:
    sure = torch.full((1, C), -200.0).scatter(1, torch.tensor([[1]]), 200.0).requires_grad_()
    clean = torch.zeros(1, C, requires_grad=True)
    for scheme in (MART(), TRADES()):
        added = scheme.added(clean, sure, torch.tensor([0]))
        assert all(one.isfinite().all() for one in torch.autograd.grad(added, (clean, sure)))


def test_goals_without_one_given() -> None:
    assert TRADES().default_goal(True) == LargerDivergence()
    assert VAT().default_goal(True) == LargerDivergence()
    assert MART().default_goal(True) == TrueLabels()
    assert ExamplesAlone().default_goal(True) == TrueLabels()
    assert ExamplesAlone().default_goal(False) == HostLoss(fresh=True)


@pytest.mark.parametrize("kind", [TRADES, MART], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("beta", [-1.0, float("inf"), float("nan"), "6", True], ids=repr)
def test_a_bad_beta_is_refused_by_its_name(kind: Any, beta: Any) -> None:
    with pytest.raises(ValueError, match="beta must be"):
        kind(beta)


@pytest.mark.parametrize("alpha", [-1.0, float("nan"), "1"], ids=repr)
def test_a_bad_alpha_is_refused_by_its_name(alpha: Any) -> None:
    with pytest.raises(ValueError, match="alpha must be"):
        VAT(alpha)
