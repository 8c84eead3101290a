"""LargerDivergence: the divergence against its definition, and an attack that ascends it."""

import pytest
import torch
from torch import Tensor

from lit_intriguing.attacks import GradientAttack, LargerDivergence
from lit_intriguing.attacks.divergence import Diverged, divergence
from lit_intriguing.types import UNBOUNDED

N, C = 5, 3


def logits(seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(N, C, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def test_divergence_is_that_of_torchs_distributions() -> None:
    p, q = (torch.distributions.Categorical(logits=logits(seed)) for seed in (0, 1))
    wanted = torch.distributions.kl_divergence(p, q)
    torch.testing.assert_close(divergence(logits(0), logits(1)), wanted)
    assert torch.equal(divergence(logits(0), logits(0)), torch.zeros(N, dtype=torch.float64))


def test_divergence_of_half_precision_is_computed_in_single_and_of_large_logits_finite() -> None:
    low = [logits(seed).bfloat16() for seed in (0, 1)]
    found = divergence(*low)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), divergence(*(one.double() for one in low)))
    assert divergence(1e4 * logits(0), 1e4 * logits(1)).isfinite().all()


def test_criterion_is_met_where_the_prediction_is_another_than_the_clean_one() -> None:
    criterion = LargerDivergence()(torch.zeros(N).long(), logits(0), torch.Generator())
    assert not criterion.met(logits(0)).any()
    same = logits(0).argmax(1) == logits(1).argmax(1)
    assert torch.equal(criterion.met(logits(1)), ~same)
    assert torch.equal(criterion.margin(logits(1)) < 0, ~same)
    assert torch.equal(criterion.loss(logits(1)), -divergence(logits(0), logits(1)))
    some = criterion.select(torch.tensor([3, 1]))
    assert torch.equal(some.loss(logits(1)[[3, 1]]), criterion.loss(logits(1))[[3, 1]])


@pytest.mark.parametrize("norm", [2, float("inf")])
def test_an_attack_that_starts_beside_the_example_ascends_further_than_noise(norm: float) -> None:
    weight = torch.randn(4, C, generator=torch.Generator().manual_seed(2))

    def model(x: Tensor) -> Tensor:
        return x @ weight

    x = torch.randn(N, 4, generator=torch.Generator().manual_seed(3))
    steps = {"steps": 10, "norm": norm}
    beside = GradientAttack(0.5, start_stddev=0.001, **steps)
    found = beside(model, x, Diverged(model(x)), bounds=UNBOUNDED).adversarial
    noise = x + torch.randn(x.shape, generator=torch.Generator().manual_seed(4)).sign() * 0.25
    assert (divergence(model(x), model(found)) > divergence(model(x), model(noise))).all()
