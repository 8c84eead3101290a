"""The paper's search with SciPy, an image at a time."""

import math

import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from tests.oracle_attacks import convex, scipy_loop
from tests.oracles import Linear

X = torch.rand(12, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
TARGET = 2


@pytest.fixture
def model() -> Linear:
    return Linear(12, 4, seed=3)


def objective(model, x, c, squared) -> torch.Tensor:
    length = (x - X).norm()
    loss = F.cross_entropy(model(x.unsqueeze(0)), torch.tensor([TARGET]))
    return loss + c * (length**2 if squared else length)


@pytest.mark.parametrize("squared", [False, True])
def test_the_minimiser_has_the_least_value_around_it(model, squared) -> None:
    found = scipy_loop.minimise(model, X, TARGET, 0.1, squared=squared)
    assert found.value == pytest.approx(objective(model, found.x, 0.1, squared).item(), rel=1e-12)
    generator = torch.Generator().manual_seed(0)
    for size in (1e-1, 1e-2, 1e-3):
        for _ in range(50):
            step = torch.randn(12, generator=generator, dtype=torch.float64) * size
            near = (found.x + step).clamp(0, 1)
            assert objective(model, near, 0.1, squared) >= found.value - 1e-6


def test_both_penalties_have_the_same_minimiser_at_their_own_c(model) -> None:
    plain = scipy_loop.minimise(model, X, TARGET, 0.3)
    length = (plain.x - X).norm().item()
    squared = scipy_loop.minimise(model, X, TARGET, 0.3 / (2 * length), squared=True)
    torch.testing.assert_close(plain.x, squared.x, atol=1e-3, rtol=0)


def test_a_heavy_penalty_on_the_norm_leaves_the_image_alone(model) -> None:
    assert torch.equal(scipy_loop.minimise(model, X, TARGET, 1e3).x, X)


def test_another_loss_can_be_given(model) -> None:
    found = scipy_loop.minimise(
        model, X, TARGET, 0.5, squared=True, loss=lambda z: z[0, 1] - z[0, 2]
    )
    direction = (model.weight[1] - model.weight[2]).detach()
    torch.testing.assert_close(found.x, (X - direction).clamp(0, 1), atol=1e-5, rtol=0)


@pytest.mark.parametrize("squared", [False, True])
def test_the_search_ends_at_the_boundary_near_the_optimum(model, squared) -> None:
    def reached(x: torch.Tensor) -> bool:
        return int(model(x.unsqueeze(0)).argmax()) == TARGET

    assert not reached(X)
    found = scipy_loop.attack(model, X, TARGET, reached, squared=squared)
    assert reached(found)
    assert bool(((found >= 0) & (found <= 1)).all())
    weights = (p.detach().numpy() for p in (model.weight, model.bias))
    best = torch.from_numpy(convex.nearest(*weights, X.numpy(), TARGET).x)
    ratio = ((found - X).norm() / (best - X).norm()).item()
    assert 1 <= ratio < 1.1


def test_the_clean_image_comes_back_where_nothing_succeeds(model) -> None:
    found = scipy_loop.attack(model, X.float(), TARGET, lambda x: False)
    assert torch.equal(found, X.float())


@pytest.mark.parametrize("boundary", [0.0123, 1.0, 78.9])
def test_the_largest_c_that_succeeds_is_found(model, monkeypatch, boundary) -> None:
    tried = []

    def minimum(model, x, target, c, *, squared):
        tried.append(c)
        return scipy_loop.Minimum(x + 1 / c, 0.0, 1)

    monkeypatch.setattr(scipy_loop, "minimise", minimum)
    scipy_loop.attack(model, X, TARGET, lambda x: (x - X)[0] >= 1 / boundary - 1e-12)
    largest = max(c for c in tried if c <= boundary)
    assert largest == pytest.approx(boundary, rel=1e-3)
    assert math.isclose(min(c for c in tried if c > boundary), boundary, rel_tol=1e-3)
