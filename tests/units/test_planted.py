"""Truths that were planted: the verdicts must find them, and find nothing else."""

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from lit_intriguing.units import analyse_units
from tests.units import planted


def test_units_that_are_classes() -> None:
    for seed in range(3):
        found = planted.analysed(*planted.classes(seed, planted.UNITS), seed=seed)
        assert found.verdict == "units"
        assert found.mean is not None
        assert found.mean.p == 0.05
        assert found.top_tenth is not None
        assert found.top_tenth.greater == 0.025


@pytest.mark.parametrize("seeds", [5, pytest.param(50, marks=pytest.mark.slow)])
def test_two_units_of_twenty_are_found_by_the_top_tenth(seeds: int) -> None:
    found = [planted.analysed(*planted.classes(seed, 2), seed=seed) for seed in range(seeds)]
    assert sum(one.top_tenth.greater <= 0.05 for one in found if one.top_tenth) >= 0.9 * seeds
    # The mean over all units misses some, and the effect is small: the verdict must not say units.
    assert all(one.verdict != "random" for one in found)


@pytest.mark.parametrize(
    # The most that chance gives, each with a probability above .99.
    ("seeds", "at_most"),
    [(20, 4), pytest.param(200, 18, marks=pytest.mark.slow)],
)
def test_a_rotated_copy_is_not_told_from_random(seeds: int, at_most: int) -> None:
    found = [planted.analysed(*planted.rotated(seed), seed=seed) for seed in range(seeds)]
    assert sum(one.mean.greater <= 0.05 for one in found if one.mean) <= at_most
    assert sum(one.mean.less <= 0.05 for one in found if one.mean) <= at_most
    assert not any(one.verdict in {"units", "random"} for one in found)


@pytest.mark.parametrize("seeds", [3, pytest.param(50, marks=pytest.mark.slow)])
def test_random_weights_have_no_special_units(seeds: int) -> None:
    digits, labels = load_digits(return_X_y=True)
    data = torch.from_numpy(digits).float() / 16, torch.from_numpy(labels).long()
    said = {"0": 0, "1": 0}
    for seed in range(seeds):
        torch.manual_seed(seed)
        network = nn.Sequential(nn.Linear(64, 40), nn.ReLU())
        report = analyse_units(network, data, "*", control=False, seed=seed)
        for one in report.analyses:
            said[one.layer] += one.verdict == "units"
    assert max(said.values()) <= 2 * seeds / 50 + (seeds < 50)
