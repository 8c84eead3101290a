import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lit_intriguing.lipschitz import operator_norm
from lit_intriguing.models.contrast_normalisation import ContrastNormalisation
from tests.lipschitz import truth


@given(
    eps=st.floats(0.01, 10),
    gamma=st.floats(0, 5, allow_subnormal=False),
    size=st.floats(0.001, 100),
    dim=st.sampled_from([None, 1, 2]),
    seed=st.integers(0, 99),
)
@settings(max_examples=80, deadline=None)
def test_the_papers_constant_holds_for_every_exponent_and_is_reached_at_zero(
    eps: float, gamma: float, size: float, dim: int | None, seed: int
) -> None:
    layer = ContrastNormalisation(eps, gamma, dim)
    norm = operator_norm(layer)
    generator = torch.Generator().manual_seed(seed)
    x = size * torch.randn(4, 3, generator=generator, dtype=torch.float64)
    assert truth.norm(truth.jacobian(layer, x)) <= norm.value * (1 + 1e-12)
    at_zero = truth.norm(truth.jacobian(layer, torch.zeros_like(x)))
    assert at_zero == pytest.approx(norm.value, rel=1e-13)
    assert norm.kind == "exact"


def test_far_from_zero_it_is_far_less_steep_than_its_constant() -> None:
    layer = ContrastNormalisation(eps=1.0, gamma=0.5)
    x = torch.full((4,), 50.0, dtype=torch.float64)
    assert truth.norm(truth.jacobian(layer, x)) < 0.011


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"eps": 0.0}, "eps must be more than zero, not 0.0"),
        ({"eps": math.nan}, "eps must be more than zero"),
        ({"gamma": -0.5}, "gamma must be zero or more, not -0.5"),
        ({"dim": 0}, "that of the batch"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ContrastNormalisation(**settings)


def test_settings_that_were_changed_to_nonsense_are_infinite() -> None:
    layer = ContrastNormalisation()
    layer.eps = 0.0
    assert "eps = 0.0" in operator_norm(layer).reason
    layer.eps, layer.gamma = 1e-300, 10.0
    assert "beyond float64" in operator_norm(layer).reason


def test_it_prints_its_settings() -> None:
    assert repr(ContrastNormalisation(2.0, 0.5)) == (
        "ContrastNormalisation(eps=2.0, gamma=0.5, dim=1)"
    )
