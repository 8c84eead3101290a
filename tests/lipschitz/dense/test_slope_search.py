"""The search for multipliers, against autograd, dense eigenvalues and the whole matrix."""

import pytest
import torch
from torch import Tensor

from lit_intriguing.lipschitz.dense.slope_matrix import SlopeMatrix
from lit_intriguing.lipschitz.dense.slope_search import (
    best_multipliers,
    eliminated,
    gradient_along,
    left_for_inputs,
    top_vectors,
)

SLOPES = ((-0.2, 1.1), (0.1, 0.8))


def problem(batch: int = 1, slopes: tuple[tuple[float, float], ...] = SLOPES) -> SlopeMatrix:
    generator = torch.Generator().manual_seed(7)
    sizes = [(6, 5), (4, 6), (3, 4)]
    drawn = [torch.randn(s, generator=generator, dtype=torch.float64) for s in sizes]
    scales = torch.arange(1, batch + 1, dtype=torch.float64).view(-1, 1, 1)
    output = scales * (drawn[2].mT @ drawn[2] + torch.eye(4, dtype=torch.float64))
    return SlopeMatrix(tuple(drawn[:2]), slopes, output)


def least_from_elimination(matrix: SlopeMatrix, multipliers: Tensor) -> Tensor:
    factors, feasible = eliminated(matrix, multipliers)
    assert bool(feasible.all())
    eye = torch.eye(matrix.inputs, dtype=torch.float64).expand(len(multipliers), -1, -1)
    left = left_for_inputs(matrix, multipliers, factors, eye)
    return torch.linalg.eigvalsh(left)[:, -1]


def test_elimination_leaves_what_the_whole_matrix_says() -> None:
    matrix = problem(3)
    multipliers = best_multipliers(matrix, 0)
    expected = matrix.least(multipliers)
    torch.testing.assert_close(least_from_elimination(matrix, multipliers), expected)


def test_multipliers_outside_are_distinguished_from_those_inside() -> None:
    matrix = problem(2)
    multipliers = best_multipliers(matrix, 0)
    multipliers[1] /= 100
    assert eliminated(matrix, multipliers)[1].tolist() == [True, False]


def test_the_gradient_agrees_with_autograd() -> None:
    matrix = problem(2)
    multipliers = best_multipliers(matrix, 0).requires_grad_()
    v = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    factors, _ = eliminated(matrix, multipliers)
    (v * left_for_inputs(matrix, multipliers, factors, v)).sum().backward()
    assert multipliers.grad is not None
    fixed = multipliers.detach()
    found = gradient_along(matrix, fixed, eliminated(matrix, fixed)[0], v)
    torch.testing.assert_close(found, multipliers.grad)


@pytest.mark.parametrize("slopes", [SLOPES, ((0.0, 1.0),) * 2, ((-1.0, 1.0),) * 2])
def test_steps_lower_the_least_t_and_problems_are_apart(
    slopes: tuple[tuple[float, float], ...],
) -> None:
    matrix = problem(2, slopes)
    before, after = (matrix.least(best_multipliers(matrix, n)) for n in (0, 100))
    assert bool((after < 0.97 * before).all())
    # The second problem is twice the first.
    assert float(after[1]) == pytest.approx(2 * float(after[0]), rel=1e-2)
    alone = SlopeMatrix(matrix.weights, matrix.slopes, matrix.output[1:])
    assert float(alone.least(best_multipliers(alone, 100))) == pytest.approx(
        float(after[1]), rel=1e-2
    )


def test_top_vectors_are_those_of_dense_eigenvalues() -> None:
    generator = torch.Generator().manual_seed(2)
    half = torch.randn(2, 12, 12, generator=generator, dtype=torch.float64)
    squares = half @ half.mT
    guess = torch.randn(2, 12, 3, generator=generator, dtype=torch.float64)
    values, vectors = top_vectors(lambda v: squares @ v, guess, blocks=3)
    torch.testing.assert_close(values, torch.linalg.eigvalsh(squares)[:, -3:])
    torch.testing.assert_close(squares @ vectors, vectors * values.unsqueeze(1))


def test_the_global_random_state_is_left_alone() -> None:
    state = torch.get_rng_state()
    best_multipliers(problem(), 3)
    assert torch.equal(state, torch.get_rng_state())
