"""The exact smallest perturbation for softmax regression."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from tests.oracle_attacks import convex


def problem(seed: int, features: int, classes: int, scale: float = 1.0, black_and_white=False):
    """Weights, biases, a point of the box, and a target that some point of the box reaches."""
    numbers = np.random.default_rng(seed)
    weight = numbers.normal(size=(classes, features)) * scale
    bias = numbers.normal(size=classes) * 0.1 * scale
    x = numbers.random(features)
    other = numbers.random(features)
    target = int((weight @ other + bias).argmax())
    return weight, bias, x.round() if black_and_white else x, target


def conditions(weight, bias, x, target, found) -> float:
    """The most by which a condition of optimality fails, written out again."""
    others = [label for label in range(len(weight)) if label != target]
    pull = sum(
        m * (weight[target] - weight[label])
        for m, label in zip(found.multipliers, others, strict=True)
    )
    logits = weight @ found.x + bias
    margins = np.array([logits[target] - logits[label] for label in others])
    worst = [0.0, *-margins, *-found.multipliers, *abs(found.multipliers * margins)]
    # Stationarity: a pixel off the edges balances the pull, one on an edge is pressed against it.
    for pixel, clean, force in zip(found.x, x, pull, strict=True):
        slope = pixel - clean - force
        worst += [pixel - 1, -pixel]
        worst.append(-slope if pixel == 0 else slope if pixel == 1 else abs(slope))
    return max(worst)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10**6),
    st.integers(2, 40),
    st.integers(2, 10),
    st.sampled_from([1e-3, 1.0, 1e3]),
    st.booleans(),
)
@example(7, 2, 7, 1e-3, False)  # Newton's steps go round
def test_the_conditions_of_optimality_hold(seed, features, classes, scale, black_and_white) -> None:
    weight, bias, x, target = problem(seed, features, classes, scale, black_and_white)
    found = convex.nearest(weight, bias, x, target)
    assert found.residual <= 1e-10
    assert conditions(weight, bias, x, target, found) <= 1e-8


@pytest.mark.parametrize("seed", range(6))
def test_scipy_finds_nothing_nearer(seed: int) -> None:
    weight, bias, x, target = problem(seed, 8, 5)
    margins = weight[target] - np.delete(weight, target, 0)
    offsets = bias[target] - np.delete(bias, target)
    other = minimize(
        lambda point: 0.5 * np.sum((point - x) ** 2),
        x,
        jac=lambda point: point - x,
        bounds=[(0, 1)] * len(x),
        constraints={
            "type": "ineq",
            "fun": lambda point: margins @ point + offsets,
            "jac": lambda point: margins,
        },
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 500},
    )
    assert other.success
    found = convex.nearest(weight, bias, x, target)
    np.testing.assert_allclose(found.x, other.x, atol=1e-6)


def test_two_classes_away_from_the_edges_have_the_closed_form() -> None:
    weight, bias = np.array([[1.0, 2.0], [0.0, 0.0]]), np.array([-1.0, 0.0])
    x = np.array([0.2, 0.2])
    found = convex.nearest(weight, bias, x, target=0)
    # x + w (1 - w.x) / |w|^2
    np.testing.assert_allclose(found.x, x + weight[0] * (1 - 0.6) / 5, rtol=1e-12)


def test_an_image_with_the_label_already_stays() -> None:
    weight, bias, x, _ = problem(0, 6, 3)
    found = convex.nearest(weight, bias, x, int((weight @ x + bias).argmax()))
    assert (found.x == x).all()


def test_a_label_out_of_reach_is_an_error() -> None:
    weight, bias = np.array([[1.0, 1.0], [0.0, 0.0]]), np.array([-3.0, 0.0])
    with pytest.raises(ValueError, match="no solution: after 200 steps a condition still fails"):
        convex.nearest(weight, bias, np.array([0.5, 0.5]), target=0)
