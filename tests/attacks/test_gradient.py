"""Gradient steps against the linear model, whose gradients and optima have closed forms."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lit_intriguing.attacks import GradientAttack, Targeted, Untargeted
from lit_intriguing.attacks.gradient import (
    descent_direction,
    has_direction,
    input_gradient,
    project,
    random_in_ball,
    row_lengths,
)
from lit_intriguing.types import UNBOUNDED, Bounds
from tests.oracles import Linear, cross_entropy_gradient, nearest_in_ball, steepest

FEATURES, CLASSES, N = 6, 4, 7
NORMS = pytest.mark.parametrize("norm", [2.0, math.inf], ids=["L2", "Linf"])
SHAPE = (FEATURES // 2, 2)


def examples(rows: int = N, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(rows, *SHAPE, generator=generator, dtype=torch.float64)
    return x.to(dtype), torch.randint(CLASSES, (rows,), generator=generator)


def lengths(perturbation: Tensor, norm: float) -> Tensor:
    return torch.linalg.vector_norm(perturbation.double().flatten(1), ord=norm, dim=1)


def test_input_gradient_is_the_closed_form_and_touches_no_parameter() -> None:
    model, (x, y) = Linear(FEATURES, CLASSES), examples()
    expected = cross_entropy_gradient(model, x, y)
    torch.testing.assert_close(input_gradient(model, x, Targeted(y)), expected)
    torch.testing.assert_close(input_gradient(model, x, Untargeted(y)), -expected)
    assert all(p.grad is None for p in model.parameters())
    assert not x.requires_grad


@NORMS
@pytest.mark.parametrize(("criterion", "sign"), [(Targeted, 1), (Untargeted, -1)])
def test_one_step_on_a_linear_model_is_eps_along_the_closed_form(
    norm: float, criterion: type, sign: int
) -> None:
    model, (x, y) = Linear(FEATURES, CLASSES), examples()
    found = GradientAttack(0.3, norm)(model, x, criterion(y), bounds=UNBOUNDED)
    expected = x + 0.3 * steepest(sign * cross_entropy_gradient(model, x, y), norm)
    torch.testing.assert_close(found.adversarial, expected)
    assert found.queries.tolist() == [1] * N
    assert not found.info["stuck"].any()


@NORMS
@pytest.mark.parametrize("options", [{"steps": 5}, {"steps": 40, "step_size": 0.3}])
def test_many_steps_reach_the_optimal_point_of_the_ball(norm: float, options: dict) -> None:
    # With two classes the loss falls with the margin alone, whose optimum is one step away.
    model, (x, _) = Linear(FEATURES, 2), examples()
    y = torch.arange(N) % 2
    toward = model.weight.detach()[y] - model.weight.detach()[1 - y]
    best = x + 0.3 * steepest(-toward.view_as(x), norm)
    # From a random start, what points aside halves with each step as long as the ball is wide.
    attack = GradientAttack(0.3, norm, random_start="step_size" in options, **options)
    found = attack(model, x, Targeted(y), bounds=UNBOUNDED)
    torch.testing.assert_close(found.adversarial, best, rtol=1e-6, atol=1e-6)
    assert found.queries.tolist() == [options["steps"]] * N


def test_many_steps_in_linf_reach_the_optimal_corner_of_ball_and_bounds() -> None:
    model, (x, _) = Linear(FEATURES, 2), examples()
    y = torch.arange(N) % 2
    toward = model.weight.detach()[y] - model.weight.detach()[1 - y]
    best = (x + 0.3 * toward.view_as(x).sign()).clamp(0, 1)
    found = GradientAttack(0.3, math.inf, steps=10)(model, x, Targeted(y))
    torch.testing.assert_close(found.adversarial, best)


@NORMS
@pytest.mark.parametrize("options", [{"steps": 5}, {"steps": 1, "step_size": 2.0}])
@pytest.mark.parametrize("random_start", [False, True])
def test_result_never_leaves_the_ball(norm: float, options: dict, random_start: bool) -> None:
    model, (x, y) = Linear(FEATURES, CLASSES), examples()
    attack = GradientAttack(0.3, norm, random_start=random_start, **options)
    found = attack(model, x, Untargeted(y), bounds=UNBOUNDED)
    moved = lengths(found.adversarial - x, norm)
    assert (moved <= 0.3 * (1 + 1e-12)).all()
    assert (moved > 0.1).all()


FLOATS = st.floats(-(2.0**10), 2.0**10, width=32, allow_subnormal=False)
ROWS = st.lists(st.tuples(FLOATS, FLOATS, FLOATS), min_size=1, max_size=4)


@NORMS
@settings(deadline=None, max_examples=60)
@given(rows=ROWS, eps=st.floats(2.0**-10, 2.0**10, width=32))
def test_projection_is_the_nearest_point_of_the_ball(norm: float, rows: list, eps: float) -> None:
    perturbation = torch.tensor(rows)
    projected = project(perturbation, eps, norm)
    expected = nearest_in_ball(perturbation, eps, norm).float()
    torch.testing.assert_close(projected, expected, rtol=1e-5, atol=1e-6 * eps)
    inside = lengths(perturbation, norm) <= eps * (1 - 1e-6)
    # A number at the edge of the normal range may be rounded below it, and then counts as zero.
    smallest = torch.finfo(torch.float32).tiny
    torch.testing.assert_close(projected[inside], perturbation[inside], rtol=3e-7, atol=smallest)


@NORMS
@settings(deadline=None, max_examples=40)
@given(
    eps=st.floats(2.0**-20, 2.0**20, width=32),
    seed=st.integers(0, 2**32),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_random_start_lies_inside_the_ball(
    norm: float, eps: float, seed: int, dtype: torch.dtype
) -> None:
    x = torch.zeros(5, *SHAPE, dtype=dtype)
    start = random_in_ball(x, eps, norm, torch.Generator().manual_seed(seed))
    assert start.shape == x.shape
    assert start.dtype == dtype
    assert (lengths(start, norm) <= eps * (1 + 1e-6)).all()


@NORMS
def test_random_start_is_uniform_in_the_ball(norm: float) -> None:
    x = torch.zeros(4000, 3)
    start = random_in_ball(x, 2.0, norm, torch.Generator().manual_seed(0))
    # The share of the ball's volume within a point's own radius is uniform on [0, 1].
    share = ((lengths(start, norm) / 2) ** 3).sort().values
    even = torch.arange(1, 4001) / 4000
    # Kolmogorov and Smirnov: exceeded once in a thousand.
    assert (share - even).abs().max() < 1.95 / 4000**0.5
    # The variance of one coordinate: eps^2 / (n + 2) in the L2 ball, eps^2 / 3 in the cube.
    variance = 4 / 5 if norm == 2 else 4 / 3
    assert start.var(0).tolist() == pytest.approx([variance] * 3, rel=0.1)
    assert start.mean(0).tolist() == pytest.approx([0] * 3, abs=0.1)


LIMITS = st.tuples(*(st.tuples(FLOATS, FLOATS),) * 4)


def box(limits: tuple, kind: str) -> Bounds:
    lower, upper = [min(pair) for pair in limits], [max(pair) for pair in limits]
    if kind == "number":
        return Bounds(lower[0], upper[0])
    if kind == "channel":
        return Bounds(lower[:2], upper[:2])
    return Bounds(torch.tensor(lower).view(2, 2), torch.tensor(upper).view(2, 2))


@NORMS
@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("kind", ["number", "channel", "element"])
@settings(deadline=None, max_examples=15)
@given(limits=LIMITS, inside=st.lists(st.integers(0, 8), min_size=12, max_size=12))
def test_bounds_are_never_left_by_a_single_rounding(
    norm: float, steps: int, kind: str, limits: tuple, inside: list
) -> None:
    bounds = box(limits, kind)
    share = torch.tensor(inside).view(3, 2, 2) / 8
    lower, upper = bounds.tensors_like(share)
    x = bounds.clamp(lower + share * (upper - lower))
    attack = GradientAttack(100.0, norm, steps, random_start=steps > 1)
    model = Linear(4, 3).float()
    found = attack(model, x, Untargeted(torch.tensor([0, 1, 2])), bounds=bounds)
    assert bounds.contains(found.adversarial).all()


@NORMS
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [1e30, 1.0, 1e-14, 1e-20, 1e-30])
def test_direction_survives_gradients_of_any_size(
    norm: float, dtype: torch.dtype, scale: float
) -> None:
    x = examples(dtype=dtype)[0]
    gradient = torch.randn(x.shape, generator=torch.Generator().manual_seed(0), dtype=dtype)
    expected = (x.double() + 0.3 * steepest(gradient, norm)).to(dtype)
    moved = GradientAttack(0.3, norm).one_step(x, gradient * scale, UNBOUNDED)
    torch.testing.assert_close(moved, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("scale", [1e-20, 1e-30])
@NORMS
def test_model_with_tiny_gradients_is_attacked_all_the_same(norm: float, scale: float) -> None:
    model, (x, y) = Linear(FEATURES, CLASSES, scale=scale).float(), examples(dtype=torch.float32)
    found = GradientAttack(0.3, norm)(model, x, Untargeted(y), bounds=UNBOUNDED)
    expected = x + 0.3 * steepest(-cross_entropy_gradient(model, x, y), norm)
    torch.testing.assert_close(found.adversarial, expected.float(), rtol=1e-4, atol=1e-5)
    assert not found.info["stuck"].any()


DIRECTIONS = {
    "usual": [1.0, -2.0, 0.0],
    "tiny": [1e-25, 0.0, -1e-25],
    "huge": [1e30, -1e30, 0.0],
    "zero": [0.0, 0.0, 0.0],
    "nan": [math.nan, 1.0, 1.0],
    "infinite": [1.0, -math.inf, 1.0],
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("rows", [["usual"], list(DIRECTIONS), ["zero"], ["usual", "nan"]])
def test_fast_path_on_the_cpu_agrees_with_the_general_one(
    dtype: torch.dtype, rows: list[str]
) -> None:
    gradient = torch.tensor([DIRECTIONS[row] for row in rows], dtype=dtype)
    x = torch.rand(len(rows), 3, dtype=dtype, generator=torch.Generator().manual_seed(0))
    for bounds in (UNBOUNDED, Bounds()):
        moved = GradientAttack(0.3).one_step(x, gradient, bounds)
        general = bounds.clamp(x + 0.3 * descent_direction(gradient, 2))
        torch.testing.assert_close(moved, general, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1.0, 1e4])
def test_fast_path_holds_in_half_precision(scale: float) -> None:
    gradient = (torch.tensor([[1.0, -2.0, 3.0]]) * scale).half()
    x = torch.rand(1, 3, generator=torch.Generator().manual_seed(0)).half()
    moved = GradientAttack(0.5).one_step(x, gradient, UNBOUNDED)
    expected = x + 0.5 * steepest(gradient, 2)
    torch.testing.assert_close(moved, expected.half(), rtol=5e-3, atol=5e-3)


@NORMS
def test_rows_without_a_usable_gradient_stay_and_harm_no_other(norm: float) -> None:
    gradient = torch.tensor(list(DIRECTIONS.values()))
    x = torch.rand(len(gradient), 3, generator=torch.Generator().manual_seed(0))
    kept = x.clone()
    moved = GradientAttack(0.3, norm).one_step(x, gradient, UNBOUNDED)
    usable = has_direction(gradient)
    assert usable.tolist() == [True, True, True, False, False, False]
    assert torch.equal(moved[~usable], kept[~usable])
    alone = GradientAttack(0.3, norm).one_step(x[:1], gradient[:1], UNBOUNDED)
    torch.testing.assert_close(moved[:1], alone)
    assert torch.equal(x, kept)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_a_direction_needs_finite_entries_of_which_one_is_not_zero(dtype: torch.dtype) -> None:
    tiny, most = torch.finfo(dtype).tiny, torch.finfo(dtype).max
    rows = {
        (0.0, -0.0, -tiny): True,
        (-most, most, 0.0): True,
        (0.0, -0.0, 0.0): False,
        (1.0, math.nan, 2.0): False,
        (math.nan, math.inf, 0.0): False,
        (0.0, -math.inf, 0.0): False,
    }
    gradient = torch.tensor([list(row) for row in rows], dtype=dtype)
    assert has_direction(gradient.view(-1, 3, 1)).tolist() == list(rows.values())
    assert has_direction(gradient[:2, :0]).tolist() == [False, False]


@NORMS
@pytest.mark.parametrize("lengths", [False, True])
def test_ascent_is_the_step_against_the_opposite_gradient(norm: float, lengths: bool) -> None:
    gradient = torch.tensor(list(DIRECTIONS.values()))
    x = torch.rand(len(gradient), 3, generator=torch.Generator().manual_seed(0))
    attack, known = GradientAttack(0.3, norm), row_lengths(gradient) if lengths else None
    moved = attack.one_step(x, gradient, Bounds(), ascend=True, lengths=known)
    assert torch.equal(moved, attack.one_step(x, -gradient, Bounds()))


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_sign_of_an_entry_counts_however_small_it_is(dtype: torch.dtype) -> None:
    gradient = torch.tensor([[60_000.0, 1e-7, -1e-7, 0.0]]).to(dtype)
    moved = GradientAttack(0.5, math.inf).one_step(torch.zeros(1, 4).to(dtype), gradient, UNBOUNDED)
    assert moved.tolist() == [[-0.5, -0.5, 0.5, 0.0]]


def test_stuck_rows_are_told() -> None:
    def model(x: Tensor) -> Tensor:
        return torch.cat([x[:, :1] * torch.tensor([[1.0], [0.0]]), torch.zeros(2, 1)], 1)

    x = torch.full((2, 3), 0.5)
    found = GradientAttack(0.2, steps=3)(model, x, Untargeted(torch.tensor([0, 0])))
    assert found.info["stuck"].tolist() == [False, True]
    assert torch.equal(found.adversarial[1], x[1])


@pytest.mark.parametrize("model", [lambda x: x.detach(), lambda x: (x == x.amax(1, True)) * 1.0])
def test_model_without_gradient_is_told(model: object) -> None:
    with pytest.raises(ValueError, match=r"no gradient by its input.*no argmax, no detach"):
        GradientAttack(0.1)(model, torch.rand(2, 3), Targeted(torch.tensor([0, 0])))


def test_model_that_ignores_its_input_is_told() -> None:
    parameter = torch.zeros(2, 3, requires_grad=True)
    with pytest.raises(ValueError, match="no gradient by its input"):
        GradientAttack(0.1)(
            lambda x: parameter * 2, torch.rand(2, 3), Targeted(torch.zeros(2).long())
        )


def test_step_size_is_eps_for_one_step_and_madrys_choice_for_many() -> None:
    assert GradientAttack(0.3).step_size == 0.3
    assert GradientAttack(0.4, steps=10).step_size == pytest.approx(0.1)
    assert GradientAttack(0.4, steps=10, step_size=0.2).step_size == 0.2


@pytest.mark.parametrize("norm", [2, math.inf])
def test_gaussian_start_is_where_the_first_gradient_is_taken(norm: float) -> None:
    x, seen = torch.full((3, 400), 0.5), []

    def model(z: torch.Tensor) -> torch.Tensor:
        seen.append(z.detach().clone())
        return z[:, :2]

    attack = GradientAttack(0.3, norm, steps=2, start_stddev=0.01)
    found = attack(model, x, Targeted(torch.zeros(3).long()))
    assert 0.008 < (seen[0] - x).std() < 0.012
    assert (lengths(found.adversarial - x, norm) <= 0.3 + 1e-5).all()


@pytest.mark.parametrize(
    ("options", "shared"),
    [
        ({}, True),
        ({"norm": math.inf}, True),
        ({"steps": 2}, False),
        ({"random_start": True}, False),
        ({"start_stddev": 0.001}, False),
        ({"step_size": 0.05}, True),
        ({"step_size": 0.2}, False),
    ],
)
def test_only_a_single_step_inside_the_ball_needs_no_more_than_the_clean_gradient(
    options: dict, shared: bool
) -> None:
    assert GradientAttack(0.1, **options).needs_one_clean_gradient is shared


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"eps": 0.0}, "eps must be positive and finite: 0.0"),
        ({"eps": -1.0}, "eps must be positive"),
        ({"eps": math.inf}, "eps must be positive and finite: inf"),
        ({"eps": math.nan}, "eps must be positive and finite: nan"),
        ({"eps": 1.0, "step_size": 0.0}, "step_size must be positive"),
        ({"eps": 1.0, "steps": 0}, "steps must be at least 1, not 0"),
        ({"eps": 1.0, "norm": 1.0}, "norm must be 2 or inf, not 1.0"),
        ({"eps": 1.0, "start_stddev": -0.1}, "start_stddev must be finite and at least 0: -0.1"),
        ({"eps": 1.0, "start_stddev": 0.1, "random_start": True}, "random_start or start_stddev"),
    ],
)
def test_options_out_of_range_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GradientAttack(**options)
