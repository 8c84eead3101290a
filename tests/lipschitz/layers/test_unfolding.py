import pytest
from torch import nn

from lit_intriguing.lipschitz import operator_norm
from tests.lipschitz import truth


def test_each_pixel_is_copied_into_its_windows_and_back() -> None:
    assert operator_norm(nn.Unfold(3)).value == 3.0
    assert operator_norm(nn.Unfold(3), (1, 3, 4)).value == pytest.approx(2**0.5)
    assert operator_norm(nn.Fold((3, 4), 3)).value == pytest.approx(2**0.5)
    assert truth.norm(truth.matrix(nn.Fold((3, 4), 3), (9, 2))) == pytest.approx(2**0.5)


def test_a_shape_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(C \* 9, 2\), not \(9, 3\)"):
        operator_norm(nn.Fold((3, 4), 3), (9, 3))
    with pytest.raises(ValueError, match="no window fits"):
        operator_norm(nn.Fold(2, 3))
    with pytest.raises(ValueError, match="gives no output"):
        operator_norm(nn.Unfold(3), (1, 2, 9))
