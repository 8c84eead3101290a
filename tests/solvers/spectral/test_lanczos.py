import math

import pytest
import torch

from lit_intriguing.solvers.spectral.lanczos import (
    Krylov,
    miss,
    probable_bound,
    probable_norm,
    top_eigenvector,
)


def matrix(size: int = 200) -> torch.Tensor:
    generator = torch.Generator().manual_seed(4)
    return torch.randn(size, size, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize("seed", range(20))
def test_the_probable_bound_lies_above_the_norm_and_close_to_it(seed: int) -> None:
    a = matrix()
    truth = float(torch.linalg.matrix_norm(a, 2))
    found = probable_norm(lambda x: a @ x, lambda y: a.T @ y, 200, seed=seed)
    assert truth <= found <= 1.001 * truth


def test_the_bound_holds_after_any_number_of_steps_and_falls() -> None:
    square = matrix() @ matrix().T
    truth = float(torch.linalg.eigvalsh(square)[-1])
    krylov = Krylov(lambda x: square @ x, matrix()[0] + 1, 60)
    bounds = []
    while not krylov.exhausted:
        krylov.step()
        assert krylov.ritz() <= truth * (1 + 1e-12)
        bounds.append(probable_bound(krylov, 200, 1e-9))
    assert min(bounds) >= truth
    assert bounds[-1] < bounds[20] < bounds[5]


def test_a_component_is_as_short_as_stated_with_the_stated_risk() -> None:
    generator = torch.Generator().manual_seed(1)
    draws = torch.randn(200_000, 10, generator=generator, dtype=torch.float64)
    component = (draws[:, 0] / draws.norm(dim=1)).abs()
    share = float((component < miss(10, 0.05)).double().mean())
    assert 0.04 < share < 0.05 + 4 * math.sqrt(0.05 / 200_000)


@pytest.mark.parametrize("size", [1, 2, 5])
def test_tiny_spaces_and_operators_of_zero_end(size: int) -> None:
    assert probable_norm(lambda x: 3 * x, lambda y: 3 * y, size) == pytest.approx(3, rel=1e-3)
    assert probable_norm(torch.zeros_like, torch.zeros_like, size) <= 1e-100


def test_the_top_eigenvector_is_found() -> None:
    square = matrix() @ matrix().T
    value, vector = top_eigenvector(
        lambda x: square @ x, torch.ones(len(square), dtype=square.dtype)
    )
    assert value == pytest.approx(float(torch.linalg.eigvalsh(square)[-1]), rel=1e-7)
    torch.testing.assert_close(square @ vector, value * vector, rtol=0, atol=1e-3 * value)
