import pytest
import torch

from lit_intriguing.errors import UserError
from lit_intriguing.units.directions import (
    RunningCovariance,
    checked_directions,
    haar_rotations,
    layer_generator,
    principal_components,
)


def test_rotations_are_orthonormal_and_repeatable() -> None:
    bases, again = (haar_rotations(30, 4, generator=layer_generator("fc", 3)) for _ in range(2))
    torch.testing.assert_close(bases @ bases.mT, torch.eye(30).expand(4, -1, -1), atol=1e-5, rtol=0)
    assert torch.equal(bases, again)
    other = haar_rotations(30, 4, generator=layer_generator("fc2", 3))
    assert not torch.equal(bases, other)


def test_each_entry_has_the_moments_of_the_haar_measure() -> None:
    # Without the sign fix, LAPACK's Q has a diagonal of one sign: its mean is far from 0.
    bases = haar_rotations(3, 20_000, generator=torch.Generator().manual_seed(0))
    assert bases.mean(0).abs().max() < 0.02
    torch.testing.assert_close(bases.square().mean(0), torch.full((3, 3), 1 / 3), atol=0.02, rtol=0)
    # E of the fourth power on the sphere: 3 / (D (D + 2)).
    torch.testing.assert_close(bases.pow(4).mean(0), torch.full((3, 3), 1 / 5), atol=0.02, rtol=0)


def test_fewer_vectors_are_a_part_of_a_basis() -> None:
    some = haar_rotations(5, 2, vectors=3, generator=torch.Generator().manual_seed(0))
    assert some.shape == (2, 3, 5)
    torch.testing.assert_close(some @ some.mT, torch.eye(3).expand(2, -1, -1), atol=1e-6, rtol=0)


def test_covariance_in_parts_is_that_of_the_whole() -> None:
    x = torch.randn(50, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 100
    parts = RunningCovariance(4), RunningCovariance(4), RunningCovariance(4)
    for part, rows in zip(parts, ([0, 7], [7, 20], [20, 50]), strict=True):
        part.add(x[slice(*rows)])
    parts[0].add(x[:0])
    parts[0].merge(parts[1])
    parts[0].merge(RunningCovariance(4))
    whole = RunningCovariance(4)
    whole.load_state_dict(parts[0].state_dict())
    whole.merge(parts[2])
    # Correlations are rounded to six decimals.
    torch.testing.assert_close(whole.result(), torch.cov(x.T, correction=0), rtol=1e-6, atol=1e-6)


def test_covariance_does_not_depend_on_the_order_of_the_batches() -> None:
    x = 3 + torch.randn(60, 5, generator=torch.Generator().manual_seed(1))
    x[:, 4] = 0  # a dead unit
    found = []
    for order in (range(0, 60, 10), range(50, -1, -10)):
        one = RunningCovariance(5)
        for at in order:
            one.add(x[at : at + 10])
        found.append(one)
    assert not torch.equal(found[0].scatter, found[1].scatter)
    assert torch.equal(found[0].result(), found[1].result())
    assert torch.equal(found[0].result()[4], torch.zeros(5, dtype=torch.float64))


def test_principal_components_come_by_variance_with_both_signs() -> None:
    components = principal_components(torch.diag(torch.tensor([1.0, 9.0, 4.0])))
    assert components.shape == (6, 3)
    assert components.abs().argmax(1).tolist() == [1, 1, 2, 2, 0, 0]
    assert torch.equal(components[::2], -components[1::2])


@pytest.mark.parametrize(
    "directions", [torch.ones(2, 3), torch.ones(4), torch.zeros(1, 4), torch.empty(0, 4)]
)
def test_own_directions_that_do_not_fit(directions: torch.Tensor) -> None:
    with pytest.raises(UserError, match="'fc'"):
        checked_directions(directions, 4, "fc")
