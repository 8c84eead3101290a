import math

import pytest
import torch

from lit_intriguing.units.statistics import (
    Effect,
    HaarTest,
    effect,
    mean_test,
    top_tenth_test,
    verdict,
)


def test_p_counts_ties_on_both_sides() -> None:
    test = HaarTest(1.0, torch.tensor([0.0, 1.0, 2.0]))
    assert (test.greater, test.less, test.p) == (0.75, 0.75, 1.0)
    assert HaarTest(3.0, torch.zeros(39)).p == 0.05
    assert HaarTest(-3.0, torch.zeros(99)).p == 0.02
    assert HaarTest(3.0, torch.zeros(19)).p == 0.1


def test_sums_in_another_order_are_ties() -> None:
    assert HaarTest(0.1 + 0.2, torch.tensor([0.3], dtype=torch.float64)).p == 1.0


def test_p_is_uniform_where_nothing_distinguishes() -> None:
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(2000, 20, 3, generator=generator).double()
    ps = torch.tensor([mean_test(one[0], one[1:]).greater for one in drawn])
    for level in (0.05, 0.25, 0.5):
        assert float((ps <= level + 1e-9).double().mean()) == pytest.approx(level, abs=0.035)


def test_top_tenth_takes_the_best_of_each_basis() -> None:
    units = torch.zeros(20)
    units[3:5] = 1.0
    random = torch.zeros(2, 20)
    random[0, 0] = 1.0
    test = top_tenth_test(units, random)
    assert test.statistic == 1.0
    assert test.random.tolist() == [0.5, 0.0]
    assert top_tenth_test(torch.ones(3), torch.zeros(1, 3)).statistic == 1.0


def test_effect_is_in_standard_deviations_of_single_directions() -> None:
    generator = torch.Generator().manual_seed(0)
    random = 3 + 2 * torch.randn(39, 500, generator=generator)
    found = effect(4 + 2 * torch.randn(500, generator=generator), random)
    assert found.value == pytest.approx(0.5, abs=0.1)
    assert found.low < found.value < found.high
    # Of the mean of 500: 1.96 / sqrt(500) on each side, less than a tenth more for the bases.
    assert found.high - found.low == pytest.approx(2 * 1.96 / math.sqrt(500), rel=0.15)


def test_intervals_cover_as_often_as_they_say() -> None:
    generator = torch.Generator().manual_seed(1)
    covered = 0
    for seed in range(200):
        random = torch.randn(39, 60, generator=generator)
        units = 0.7 + torch.randn(60, generator=generator)
        found = effect(units, random, resamples=300, seed=seed)
        covered += found.low <= 0.7 <= found.high
    assert 0.89 * 200 <= covered <= 0.99 * 200


def test_directions_that_do_not_vary() -> None:
    same = effect(torch.ones(4), torch.ones(3, 4))
    assert (same.value, same.low, same.high) == (0, 0, 0)
    above = effect(torch.full((4,), 2.0), torch.ones(3, 4))
    assert (above.value, above.low, above.high) == (math.inf,) * 3


def test_many_units_are_resampled_in_parts() -> None:
    random = torch.randn(39, 9000, generator=torch.Generator().manual_seed(0))
    found = effect(random[0], random[1:], resamples=1000)
    assert found.high - found.low == pytest.approx(2 * 1.96 / math.sqrt(9000), rel=0.2)


@pytest.mark.parametrize(
    ("p", "low", "high", "said"),
    [
        (0.05, 0.51, 2.0, "units"),
        (0.06, 0.51, 2.0, "undecided"),
        (0.05, 0.5, 2.0, "undecided"),
        (0.05, -2.0, -0.51, "random"),
        (0.05, 0.2, 0.5, "no distinction"),
        (1.0, -0.5, 0.5, "no distinction"),
        (0.01, -0.6, 0.1, "undecided"),
        (math.nan, math.nan, math.nan, "undecided"),
    ],
)
def test_verdict(p: float, low: float, high: float, said: str) -> None:
    assert verdict(p, Effect((low + high) / 2, low, high)) == said
