import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lit_intriguing.errors import UserError
from lit_intriguing.models.localisation import localisation


def image(side: int) -> torch.Tensor:
    return torch.zeros(side, side)


def test_a_stroke_within_the_window_counts_as_wholly_local_whatever_its_signs() -> None:
    stroke = image(28)
    stroke[5:15, 7], stroke[5:15, 8] = 2.0, -3.0
    assert localisation(stroke.view(1, -1)).item() == pytest.approx(1.0)


def test_uniform_weights_give_the_window_s_share_of_the_area() -> None:
    assert localisation(torch.ones(1, 784)).item() == pytest.approx(100 / 784)


def test_two_distant_halves_give_one_half() -> None:
    halves = image(28)
    halves[0, 0] = halves[27, 27] = 1.0
    assert localisation(halves.view(1, -1)).item() == pytest.approx(0.5)


def test_the_best_window_of_all_places_is_taken() -> None:
    filters = torch.randn(3, 64, generator=torch.Generator().manual_seed(0))
    for value, one in zip(localisation(filters), filters.square().view(3, 8, 8), strict=True):
        sums = [one[r : r + 3, c : c + 3].sum() for r in range(6) for c in range(6)]
        assert value.item() == pytest.approx((max(sums) / one.sum()).item(), rel=1e-5)


@given(st.integers(0, 2**31), st.floats(1e-3, 1e3))
def test_it_does_not_depend_on_the_scale(seed: int, scale: float) -> None:
    filters = torch.randn(2, 49, generator=torch.Generator().manual_seed(seed))
    assert torch.allclose(localisation(filters * scale), localisation(filters), atol=1e-5)


def test_a_filter_of_zeros_is_not_local_and_no_filters_give_none() -> None:
    assert localisation(torch.zeros(1, 64)).tolist() == [0.0]
    assert localisation(torch.zeros(0, 64)).shape == (0,)


@pytest.mark.parametrize("shape", [(3, 60), (3, 1), (3, 8, 8)])
def test_filters_that_are_no_square_images_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match=r"not square images"):
        localisation(torch.ones(shape))
