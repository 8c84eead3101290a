"""`minimise_box` against SciPy, known minima, and functions made to break it."""

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from torch import Tensor
from torch.nn.functional import cross_entropy

from lit_intriguing.solvers import BoxSolution, Status, minimise_box
from tests.solvers.problems import Quadratics, tanh_network

Fun = Callable[[Tensor, Tensor], Tensor]


def scipy_value(fun: Fun, x0: Tensor, row: int, lower: float, upper: float) -> float:
    """The least value that L-BFGS-B finds for one row, in double precision."""

    def value_and_gradient(flat: object) -> tuple[float, object]:
        x = torch.as_tensor(flat).double().unsqueeze(0).requires_grad_()
        value = fun(x, torch.tensor([row]))
        (gradient,) = torch.autograd.grad(value.sum(), x)
        return value.item(), gradient.squeeze(0).numpy()

    found = minimize(
        value_and_gradient,
        x0[row].double().numpy(),
        jac=True,
        method="L-BFGS-B",
        bounds=[(lower, upper)] * x0.shape[1],
        options={"ftol": 1e-15, "gtol": 1e-10, "maxiter": 10_000, "maxfun": 100_000},
    )
    return float(found.fun)


def rosenbrock(x: Tensor, rows: Tensor) -> Tensor:
    a = 1 + 0.1 * rows.to(x).unsqueeze(1)
    valleys = 100 * (x[:, 1:] - x[:, :-1].square()).square() + (a - x[:, :-1]).square()
    return valleys.sum(1)


@pytest.mark.parametrize("dimensions", [1, 2, 30])
@pytest.mark.parametrize("condition", [1.0, 1e4])
def test_quadratics_in_a_box_reach_the_value_of_scipy(dimensions: int, condition: float) -> None:
    fun, x0 = Quadratics(8, dimensions, condition=condition), torch.full((8, dimensions), 0.5)
    found = minimise_box(fun, x0.double(), 0.0, 1.0, gtol=1e-8)
    assert found.converged.all()
    expected = [scipy_value(fun, x0, row, 0, 1) for row in range(8)]
    torch.testing.assert_close(
        found.value, torch.tensor(expected, dtype=torch.float64), rtol=1e-9, atol=1e-11
    )


@pytest.mark.parametrize("limits", [(-math.inf, math.inf), (-1.5, 0.8), (-math.inf, 0.5)])
def test_curved_valleys_reach_the_value_of_scipy(limits: tuple[float, float]) -> None:
    x0 = torch.full((5, 4), -1.2, dtype=torch.float64)
    found = minimise_box(rosenbrock, x0, *limits, gtol=1e-7)
    assert found.converged.all()
    expected = [scipy_value(rosenbrock, x0, row, *limits) for row in range(5)]
    assert (found.value - torch.tensor(expected, dtype=torch.float64)).max() <= 1e-8
    torch.testing.assert_close(found.value, rosenbrock(found.x, torch.arange(5)))


@pytest.mark.parametrize("c", [0.3, 0.03, 0.003])
def test_the_papers_objective_at_fixed_c_reaches_the_value_of_scipy_on_a_network(c: float) -> None:
    """Szegedy et al. 2013, section 4.1: c |r|^2 + cross-entropy in [0, 1], not convex."""
    net = tanh_network(30, 5, gain=2.0).double()
    clean = torch.rand(12, 30, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    targets = (net(clean).argmax(1) + 1) % 5

    def objective(x: Tensor, rows: Tensor) -> Tensor:
        loss = cross_entropy(net(x), targets[rows], reduction="none")
        return c * (x - clean[rows]).square().sum(1) + loss

    found = minimise_box(objective, clean, 0.0, 1.0, gtol=1e-8)
    assert found.converged.all()
    expected = torch.tensor([scipy_value(objective, clean, row, 0, 1) for row in range(12)])
    gap = (found.value - expected) / expected
    assert gap.median() <= 1e-9
    # From one start two solvers may end in two minima, on either side.
    assert (gap.abs() <= 1e-7).sum() >= 9


def test_a_separable_problem_ends_at_its_clipped_centre() -> None:
    fun = Quadratics(50, 20, condition=1.0)
    found = minimise_box(fun, torch.zeros(50, 20).double(), 0.0, 1.0, gtol=1e-9)
    torch.testing.assert_close(found.x, fun.centre.clamp(0, 1))


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_float32_ends_at_the_value_of_float64(scale: float) -> None:
    double = Quadratics(20, 15, scale=scale)
    single = Quadratics(20, 15, scale=scale, dtype=torch.float32)
    x0 = torch.zeros(20, 15)
    expected = minimise_box(double, x0.double(), 0.0, 1.0, gtol=1e-7 * scale)
    found = minimise_box(single, x0, 0.0, 1.0, gtol=1e-5 * scale)
    assert found.converged.all()
    gap = (double(found.x.double(), torch.arange(20)) - expected.value) / expected.value
    assert gap.abs().max() < 1e-6


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_results_have_the_dtype_of_the_points(dtype: torch.dtype) -> None:
    centre = torch.tensor([[0.5, 2.0], [-1.0, 0.25]])
    found = minimise_box(
        lambda x, rows: (x - centre[rows].to(x)).square().sum(1).double(),
        torch.zeros(2, 2, dtype=dtype),
        0.0,
        torch.ones(2),
    )
    assert found.x.dtype == found.value.dtype == found.gradient_norm.dtype == dtype
    torch.testing.assert_close(found.x.float(), centre.clamp(0, 1), atol=1e-2, rtol=0)


def test_a_minimum_far_from_the_start_is_found_in_float32() -> None:
    weight = torch.logspace(-2, -1, 20)

    def far(x: Tensor, rows: Tensor) -> Tensor:
        return (weight * (x - 1000)).square().sum(1)

    found = minimise_box(far, torch.zeros(1, 20), gtol=1e-4)
    assert found.value.item() < 1e-3


def test_a_row_gives_the_function_its_own_number_under_refill_and_compaction() -> None:
    fun, seen = Quadratics(50, 4, condition=1e3), torch.zeros(50, dtype=torch.int64)

    def watched(x: Tensor, rows: Tensor) -> Tensor:
        assert len(x) == len(rows) <= 9
        assert len(rows.unique()) == len(rows)
        seen[rows] += 1
        return fun(x, rows)

    finished: list[int] = []
    found = minimise_box(
        watched, torch.zeros(50, 4).double(), 0.0, 1.0, slots=9, on_finished=finished.append
    )
    assert sum(finished) == 50
    assert (found.evaluations <= seen).all()
    expected = minimise_box(fun, torch.zeros(50, 4).double(), 0.0, 1.0)
    torch.testing.assert_close(found.value, expected.value)


def test_the_value_and_the_gradient_norm_are_those_of_the_point() -> None:
    fun = Quadratics(10, 5, condition=1e3)
    found = minimise_box(fun, torch.zeros(10, 5).double(), 0.0, 1.0, max_steps=5)
    x = found.x.clone().requires_grad_()
    value = fun(x, torch.arange(10))
    (gradient,) = torch.autograd.grad(value.sum(), x)
    torch.testing.assert_close(found.value, value.detach())
    norm = ((found.x - gradient).clamp(0, 1) - found.x).abs().amax(1)
    torch.testing.assert_close(found.gradient_norm, norm)


def test_each_kind_of_ending_has_its_status() -> None:
    def several(x: Tensor, rows: Tensor) -> Tensor:
        values = torch.where(rows == 0, x.square().sum(1), rosenbrock(x, rows * 0))
        return values * torch.where(rows == 3, math.nan, 1.0)

    x0 = torch.full((4, 2), -1.0)
    x0[2] = 1.0
    found = minimise_box(several, x0, -2.0, 2.0, gtol=1e-12, max_steps=8)
    assert [Status(int(s)) for s in found.status] == [
        Status.CONVERGED,
        Status.STEPS,
        Status.CONVERGED,
        Status.NOT_FINITE,
    ]
    assert found.converged.tolist() == [True, False, True, False]
    assert found.evaluations[1] == 8
    assert torch.equal(found.x[3], x0[3])
    assert found.value[3].isnan()
    assert found.gradient_norm[3].isnan()


def test_a_gradient_that_cannot_vanish_ends_at_the_precision_of_the_dtype() -> None:
    fun = Quadratics(3, 8, condition=1e6, dtype=torch.float32)
    found = minimise_box(fun, torch.full((3, 8), 3.0), gtol=0.0)
    assert (found.status == Status.PRECISION).all()
    assert found.converged.all()
    assert (found.evaluations < 1000).all()


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_rows_that_are_not_finite_harm_no_other(bad: float) -> None:
    fun = Quadratics(9, 5)

    def spoilt(x: Tensor, rows: Tensor) -> Tensor:
        return fun(x, rows) + torch.where(rows % 3 == 1, bad, 0.0)

    x0 = torch.zeros(9, 5).double()
    found, clean = (minimise_box(f, x0, 0.0, 1.0, slots=4) for f in (spoilt, fun))
    broken = torch.arange(9) % 3 == 1
    assert torch.equal(found.status == Status.NOT_FINITE, broken)
    torch.testing.assert_close(found.x[~broken], clean.x[~broken])
    assert (found.x[broken] == 0).all()


def test_a_row_that_is_not_finite_beyond_a_wall_stays_before_it() -> None:
    found = minimise_box(lambda x, rows: x.sum(1) + (x - 0.3).log().sum(1) * 0, torch.ones(2, 3))
    assert (found.x > 0.3).all()
    assert found.value.isfinite().all()


@pytest.mark.parametrize("value", [0.0, 5.0, 1e30])
def test_constant_functions_end_at_once(value: float) -> None:
    x0 = torch.rand(4, 3, generator=torch.Generator().manual_seed(0))
    found = minimise_box(lambda x, rows: (x * 0).sum(1) + value, x0, 0.0, 1.0)
    assert torch.equal(found.x, x0)
    assert found.evaluations.tolist() == [1] * 4
    assert (found.status == Status.CONVERGED).all()


def test_an_unbounded_fall_ends() -> None:
    found = minimise_box(lambda x, rows: x.sum(1), torch.zeros(2, 3), max_steps=100)
    assert found.value.isfinite().all()
    assert (found.value < -100).all()
    assert (found.status == Status.STEPS).all()


def test_no_coordinates_are_no_work() -> None:
    found = minimise_box(lambda x, rows: x.sum(1), torch.zeros(3, 0), 0.0, 1.0)
    assert found.x.shape == (3, 0)
    assert found.converged.all()


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 10**6),
    rows=st.integers(1, 6),
    dimensions=st.integers(1, 12),
    slots=st.integers(1, 7),
    history=st.integers(1, 12),
    scale=st.sampled_from([1e-12, 1e-3, 1.0, 1e3, 1e12]),
    width=st.sampled_from([0.0, 1e-7, 1.0, 1e6, math.inf]),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_solutions_lie_in_the_box_and_never_above_the_start(
    seed: int,
    rows: int,
    dimensions: int,
    slots: int,
    history: int,
    scale: float,
    width: float,
    dtype: torch.dtype,
) -> None:
    source = torch.Generator().manual_seed(seed)
    fun = Quadratics(rows, dimensions, condition=1e3, scale=scale, seed=seed, dtype=dtype)
    lower = torch.randn(dimensions, generator=source).to(dtype) / 3
    # Some coordinates are fixed, some have no limit on one side or the other.
    fixed = torch.rand(dimensions, generator=source) < 0.5
    upper = torch.where(fixed, lower, lower + width)
    lower = lower.masked_fill(torch.rand(lower.shape, generator=source) < 0.2, -math.inf)
    x0 = torch.randn(rows, dimensions, generator=source).to(dtype)
    found = minimise_box(fun, x0, lower, upper, history=history, slots=slots, max_steps=60)
    assert ((found.x >= lower) & (found.x <= upper)).all()
    start = fun(x0.clamp(lower, upper), torch.arange(rows))
    # Each step may rise by rounding, four units of it in the last place.
    assert (found.value <= start * (1 + 60 * 4 * torch.finfo(dtype).eps)).all()
    assert (found.evaluations <= 60).all()


def solution(**options: object) -> BoxSolution:
    return minimise_box(lambda x, rows: x.square().sum(1), torch.ones(2, 3), **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"history": 0}, "history must be at least 1, not 0"),
        ({"max_steps": 0}, "max_steps must be at least 1, not 0"),
        ({"slots": 0}, "slots must be at least 1, not 0"),
        ({"gtol": -1.0}, "gtol must be at least 0, not -1.0"),
        ({"gtol": math.nan}, "gtol must be at least 0, not nan"),
        ({"lower": 1.0, "upper": 0.0}, "lies above"),
        ({"lower": torch.zeros(2)}, r"lower has shape \(2,\)"),
    ],
)
def test_options_out_of_range_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        solution(**options)


@pytest.mark.parametrize("x0", [torch.ones(3), torch.ones(2, 3, 1), torch.ones(2, 3).long()])
def test_points_of_another_kind_are_refused(x0: Tensor) -> None:
    with pytest.raises(ValueError, match=r"x0 must be floating point of shape \(N, D\), not torch"):
        minimise_box(lambda x, rows: x.sum(1), x0)


@pytest.mark.parametrize(
    ("fun", "message"),
    [
        (lambda x, rows: x.sum(), r"one value a problem, shape \(2,\), not \(\)"),
        (lambda x, rows: x.sum(1, keepdim=True), r"not \(2, 1\)"),
        (lambda x, rows: x.detach().sum(1), "no gradient by the points.*no argmax, no detach"),
        (lambda x, rows: torch.ones(2, requires_grad=True) * 2, "no gradient by the points"),
    ],
)
def test_functions_without_a_value_and_a_gradient_a_row_are_refused(fun: Fun, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        minimise_box(fun, torch.ones(2, 3))


def test_nothing_given_is_changed() -> None:
    x0, lower = torch.rand(3, 4, requires_grad=True), torch.zeros(4)
    kept, parameter = x0.detach().clone(), torch.ones(4, requires_grad=True)
    random = torch.get_rng_state()
    with torch.no_grad():
        found = minimise_box(lambda x, rows: (x * parameter).sum(1), x0, lower, 1.0)
    assert torch.equal(x0, kept)
    assert parameter.grad is None
    assert x0.grad is None
    assert not found.x.requires_grad
    assert torch.equal(torch.get_rng_state(), random)
    assert lower.tolist() == [0.0] * 4


def test_gradient_smaller_than_the_rounding_of_the_point_counts() -> None:
    start = torch.full((1, 2), 0.75)
    found = minimise_box(lambda x, rows: 1e-15 * (x - 0.25).square().sum(1), start, gtol=0.0)
    torch.testing.assert_close(found.x, torch.full((1, 2), 0.25))


def test_steps_grow_where_there_is_no_curvature() -> None:
    found = minimise_box(lambda x, rows: x.sum(1), torch.zeros(1, 4), -1e6, 1.0, max_steps=40)
    assert bool((found.x == -1e6).all())
    assert bool(found.converged.all())


def test_solver_works_under_inference_mode() -> None:
    with torch.inference_mode():
        found = minimise_box(lambda x, rows: (x - 0.25).square().sum(1), torch.zeros(1, 2))
    torch.testing.assert_close(found.x, torch.full((1, 2), 0.25))


def jennrich_sampson(x: Tensor, rows: Tensor) -> Tensor:
    """Least at 124.362, behind walls as steep as `exp(10 x)`."""
    i = torch.arange(1, 11, dtype=x.dtype)
    return ((2 + 2 * i) - (torch.exp(i * x[:, :1]) + torch.exp(i * x[:, 1:]))).square().sum(1)


def brown_badly_scaled(x: Tensor, rows: Tensor) -> Tensor:
    """Least at (1e6, 2e-6), where it is 0."""
    first, second = x.unbind(1)
    return (first - 1e6).square() + (second - 2e-6).square() + (first * second - 2).square()


@pytest.mark.parametrize("limit", [0.9, 1.0, math.inf])
def test_steep_walls_are_no_end(limit: float) -> None:
    starts = [(0.3, 0.4), (0.3, 0.25), (0.1, 0.5), (0.0, 0.0), (0.45, -0.2)]
    x0 = torch.tensor(starts, dtype=torch.float64)
    found = minimise_box(jennrich_sampson, x0, -limit, limit)
    assert found.converged.all()
    torch.testing.assert_close(
        found.value, torch.full_like(found.value, 124.36218), rtol=1e-6, atol=0
    )
    assert found.evaluations.max() <= 200


def test_variables_of_very_different_size_are_found() -> None:
    found = minimise_box(brown_badly_scaled, torch.ones(1, 2, dtype=torch.float64))
    assert found.value.item() < 1e-6
    assert found.evaluations.item() <= 200


def test_a_kink_with_a_steep_gradient_is_stuck_and_not_converged() -> None:
    def kink(x: Tensor, rows: Tensor) -> Tensor:
        # At the kink itself the gradient is (1, 1).
        return 1000 * (x - math.pi / 10).abs().sum(1) + x.sum(1)

    found = minimise_box(kink, torch.full((1, 2), 0.7, dtype=torch.float64))
    assert found.status.item() == Status.STUCK
    assert not found.converged.item()
    assert "not small" in found.messages[0]
    assert found.value.item() < 1000 * 0.3


@pytest.mark.parametrize(
    ("limit", "most"), [(0.5, 8), (math.inf, 70)], ids=["both limits", "no limit"]
)
def test_valleys_cost_little(limit: float, most: int) -> None:
    x0 = torch.tensor([[-1.2, 1.0]], dtype=torch.float64)
    found = minimise_box(rosenbrock, x0, -4 * limit, limit)
    assert found.converged.item()
    assert found.evaluations.item() <= most


def test_limits_are_found_in_a_step_from_inside() -> None:
    centre = torch.linspace(-3, 4, 50, dtype=torch.float64)
    found = minimise_box(
        lambda x, rows: (x - centre).square().sum(1), torch.full((1, 50), 0.5).double(), 0.0, 1.0
    )
    torch.testing.assert_close(found.x[0], centre.clamp(0, 1))
    assert found.evaluations.item() <= 4


ODD: dict[str, Fun] = {
    "kink": lambda x, rows: 300 * (x - 0.123).abs().sum(1) + x[:, 0],
    "largest": lambda x, rows: 100 * (x - 0.3).abs().amax(1) + 0.5 * x.sum(1),
    "walls": lambda x, rows: (20 * x).exp().sum(1) + (-30 * (x + 0.1)).exp().sum(1),
    "stairs": lambda x, rows: (7 * x).floor().sum(1) + x.sum(1),
    "root": lambda x, rows: (x - 0.2).abs().sqrt().sum(1),
    "steep line": lambda x, rows: 1e6 * x.sum(1) + 1e12,
    "Jennrich-Sampson": lambda x, rows: jennrich_sampson(x[:, :2], rows) + x.square().sum(1),
}


@pytest.mark.parametrize("fun", ODD.values(), ids=ODD)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("limit", [0.8, math.inf])
def test_converged_is_said_at_stationary_points_alone(
    fun: Fun, dtype: torch.dtype, limit: float
) -> None:
    x0 = torch.rand(12, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64).to(
        dtype
    )
    x0 = (1.6 * x0 - 0.8) * 0.9
    found = minimise_box(fun, x0, -limit, limit, max_steps=300)
    norms = []
    for points in (found.x, x0):
        x = points.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(fun(x, torch.arange(12)).sum(), x)
        norms.append(((points - gradient).clamp(-limit, limit) - points).abs().amax(1))
    eps = torch.finfo(dtype).eps
    small = torch.maximum(eps ** (1 / 3) * (1 + found.value.abs()), 1000 * eps * norms[1])
    assert (norms[0][found.converged] <= small.clamp(min=1e-5)[found.converged]).all()
