from collections.abc import Callable
from random import Random

import pytest

from tests.lipschitz.random import random_plain_layers
from tests.lipschitz.random.random_plain_layers import AFFINE, FAMILIES, RAISING, ROUNDING, Case


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
def test_no_constant_is_below_the_truth(family: Callable[[Random], Case]) -> None:
    random = Random(f"{family.__name__} in the tests")
    ratios = [random_plain_layers.ratio(family, random) for _ in range(15)]
    assert max(ratios) <= 1 + ROUNDING
    if family in (*AFFINE, *RAISING):
        assert min(ratios) >= 1 - 1e-6


def test_the_table_has_a_row_a_family(capsys: pytest.CaptureFixture[str]) -> None:
    random_plain_layers.main(len(FAMILIES))
    assert len(capsys.readouterr().out.splitlines()) == len(FAMILIES) + 1
