import pytest
from torch import nn

from lit_intriguing.lipschitz import operator_norm
from lit_intriguing.lipschitz.norm import ONE
from tests.lipschitz import truth


@pytest.mark.parametrize("layer", [nn.ZeroPad2d(2), nn.ConstantPad1d((1, -2), 7.0)], ids=repr)
def test_constants_and_cropping_stretch_nothing(layer: nn.Module) -> None:
    assert operator_norm(layer) == ONE


@pytest.mark.parametrize("kind", [nn.ReflectionPad1d, nn.ReplicationPad1d, nn.CircularPad1d])
@pytest.mark.parametrize("sides", [(0, 0), (1, 0), (1, 1), (2, 1), (2, 3)])
def test_without_a_shape_it_is_the_worst_of_all_lengths(
    kind: type[nn.Module], sides: tuple[int, int]
) -> None:
    found = []
    for length in range(1, 12):
        try:
            found.append(truth.norm(truth.matrix(kind(sides), (1, length))))
        except (RuntimeError, IndexError):  # too short for this padding
            continue
    assert operator_norm(kind(sides)).value == pytest.approx(max(found), rel=1e-14)


@pytest.mark.parametrize("kind", [nn.ReflectionPad1d, nn.ReplicationPad1d])
def test_a_side_may_crop(kind: type[nn.Module]) -> None:
    found = truth.norm(truth.matrix(kind((-1, 2)), (1, 6)))
    assert operator_norm(kind((-1, 2)), (1, 6)).value == pytest.approx(found, rel=1e-14)


def test_a_circular_pad_that_crops_is_infinite() -> None:
    assert "also crops" in operator_norm(nn.CircularPad1d((-1, 2)), (1, 6)).reason


def test_sides_belong_to_their_dimension() -> None:
    assert operator_norm(nn.ReplicationPad2d((3, 0, 0, 0)), (1, 2, 5)).value == 2.0
    layer = nn.ReplicationPad3d((1, 2, 3, 0, 0, 1))
    found = truth.norm(truth.matrix(layer, (1, 3, 1, 2)))
    assert operator_norm(layer, (1, 3, 1, 2)).value == pytest.approx(found, rel=1e-14)


def test_a_shape_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"ReflectionPad2d: not with shape \(1, 2, 9\)"):
        operator_norm(nn.ReflectionPad2d(3), (1, 2, 9))
    with pytest.raises(ValueError, match=r"wants an example of shape \(C, W\)"):
        operator_norm(nn.CircularPad1d(1), (1, 2, 9))


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.ZeroPad1d((-3, 0)), (2, 3)),
        (nn.ConstantPad1d((-4, 5), 1.0), (2, 4)),
        (nn.ZeroPad2d((0, 1, -2, -1)), (1, 3, 2)),
        (nn.ZeroPad2d((-2, 1, -2, 3)), (1, 3, 2)),
    ],
)
def test_cropping_every_pixel_leaves_nothing(layer: nn.Module, shape: tuple[int, ...]) -> None:
    assert not truth.matrix(layer, shape).any()
    assert operator_norm(layer, shape).value == 0
    assert operator_norm(layer) == ONE


def test_cropping_in_the_middle_keeps_pixels() -> None:
    layer = nn.ZeroPad2d((-1, 3, 2, -2))
    assert truth.norm(truth.matrix(layer, (1, 3, 2))) == 1
    assert operator_norm(layer, (1, 3, 2)) == ONE


def test_a_pad_that_would_add_examples_is_refused() -> None:
    with pytest.raises(ValueError, match="ZeroPad2d: wants an example of 2 dimensions or more"):
        operator_norm(nn.ZeroPad2d(1), (3,))
