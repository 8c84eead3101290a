"""Bounds of dense stacks, against all activation patterns, samples and closed forms."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from lit_intriguing.lipschitz.dense import stack as dense_stack
from lit_intriguing.lipschitz.dense.slope_matrix import proven_definite
from lit_intriguing.lipschitz.dense.stack import LARGEST, pair_norms, stack_norm
from lit_intriguing.lipschitz.network import network_norm

RELU = (0.0, 1.0)


def random_weights(seed: int, widths: list[int]) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    pairs = itertools.pairwise(widths)
    return [torch.randn(n, m, generator=generator, dtype=torch.float64) for m, n in pairs]


def jacobian(weights: list[Tensor], slopes: list[Tensor]) -> Tensor:
    j = weights[0]
    for weight, slope in zip(weights[1:], slopes, strict=True):
        j = weight @ (slope.unsqueeze(1) * j)
    return j


def spectral(matrix: Tensor) -> float:
    return float(torch.linalg.matrix_norm(matrix, 2))


def product(weights: list[Tensor], slopes: list[tuple[float, float]]) -> float:
    stretch = math.prod(max(abs(lo), abs(hi)) for lo, hi in slopes)
    return math.prod(map(spectral, weights)) * stretch


def vertices(lo: float, hi: float, units: int) -> list[Tensor]:
    corners = itertools.product((lo, hi), repeat=units)
    return [torch.tensor(corner, dtype=torch.float64) for corner in corners]


@pytest.mark.parametrize("slopes", [RELU, (-0.1, 1.1), (0.2, 0.5), (-1.0, 1.0), (-0.9, -0.1)])
@pytest.mark.parametrize("seed", range(3))
def test_with_one_hidden_layer_no_pattern_of_slopes_stretches_more(
    slopes: tuple[float, float], seed: int
) -> None:
    weights = random_weights(seed, [5, 6, 3])
    # The norm is convex in the slopes: it is greatest where each is at an end.
    truth = max(spectral(jacobian(weights, [d])) for d in vertices(*slopes, 6))
    bound = stack_norm(weights, [slopes])
    assert bound.kind == "upper"
    assert truth <= bound.value <= min(1.2 * truth, product(weights, [slopes]) * (1 + 1e-9))


def test_with_two_hidden_layers_no_pattern_of_slopes_stretches_more() -> None:
    weights = random_weights(5, [4, 5, 5, 3])
    corners = vertices(*RELU, 5)
    truth = max(spectral(jacobian(weights, [a, b])) for a in corners for b in corners)
    assert truth <= stack_norm(weights, [RELU, RELU]).value <= 1.3 * truth


def test_of_pairs_no_pattern_of_slopes_stretches_more() -> None:
    weights = random_weights(6, [4, 6, 3])
    found = pair_norms(weights, [RELU])
    whole = stack_norm(weights, [RELU]).value
    for i, j in itertools.combinations(range(3), 2):
        rows = [weights[0], weights[1][[i]] - weights[1][[j]]]
        truth = max(spectral(jacobian(rows, [d])) for d in vertices(*RELU, 6))
        assert truth <= float(found[i, j]) <= 1.1 * truth
        assert found[i, j] == found[j, i] <= math.sqrt(2) * whole * (1 + 1e-12)
    assert not found.diagonal().any()


@pytest.mark.integration
@settings(max_examples=15, deadline=None)
@given(
    st.integers(0, 10**6),
    st.lists(st.integers(1, 7), min_size=3, max_size=5),
    st.lists(st.tuples(st.integers(-5, 5), st.integers(5, 15)), min_size=3, max_size=3),
)
def test_random_stacks_lie_between_the_samples_and_the_product(
    seed: int, widths: list[int], intervals: list[tuple[int, int]]
) -> None:
    weights = random_weights(seed, widths)
    slopes = [(lo / 10, hi / 10) for lo, hi in intervals[: len(weights) - 1]]
    bound, pairs = stack_norm(weights, slopes).value, pair_norms(weights, slopes)
    assert bound <= product(weights, slopes) * (1 + 1e-9)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(20):
        drawn = [
            lo + (hi - lo) * torch.rand(len(w), generator=generator, dtype=torch.float64).round()
            for w, (lo, hi) in zip(weights, slopes, strict=False)
        ]
        j = jacobian(weights, drawn)
        assert spectral(j) <= bound * (1 + 1e-14)
        lengths = (j.unsqueeze(0) - j.unsqueeze(1)).norm(dim=2)
        assert bool((lengths <= pairs * (1 + 1e-14)).all())


def test_the_bound_holds_for_distant_inputs_of_a_network_with_gelu() -> None:
    weights = random_weights(8, [6, 8, 4])
    bound = stack_norm(weights, [(-0.13, 1.13)]).value
    x, y = torch.randn(2, 2000, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    change = torch.nn.functional.gelu(x @ weights[0].mT) - torch.nn.functional.gelu(
        y @ weights[0].mT
    )
    assert bool(((change @ weights[1].mT).norm(dim=1) <= bound * (x - y).norm(dim=1)).all())


def test_linear_activations_give_the_norm_of_the_product() -> None:
    weights = random_weights(1, [5, 4, 6, 3])
    slopes = [(1.0, 1.0), (-0.5, -0.5)]
    truth = spectral(-0.5 * weights[2] @ weights[1] @ weights[0])
    bound = stack_norm(weights, slopes).value
    assert truth * (1 - 1e-14) <= bound


def test_a_linear_layer_among_others_is_merged() -> None:
    weights = random_weights(2, [5, 4, 6, 3])
    merged = [weights[1] @ weights[0], weights[2]]
    both = stack_norm(weights, [(1.0, 1.0), RELU]).value
    assert both == pytest.approx(stack_norm(merged, [RELU]).value, rel=1e-6)


def test_it_takes_less_than_the_product_on_wide_inputs_and_follows_the_scale() -> None:
    weights = random_weights(3, [50, 12, 10, 4])
    bound = stack_norm(weights, [RELU, RELU]).value
    assert bound < 0.9 * product(weights, [RELU, RELU])
    weights[1] = weights[1] * 2.0**40
    assert stack_norm(weights, [RELU, RELU]).value == pytest.approx(bound * 2.0**40, rel=1e-6)


def test_dead_units_and_dead_layers_do_no_harm() -> None:
    weights = random_weights(4, [5, 6, 4, 3])
    weights[0][2] = 0.0
    weights[2][:, 1] = 0.0
    alive = [weights[0][[0, 1, 3, 4, 5]], weights[1][:, [0, 1, 3, 4, 5]], weights[2]]
    bound = stack_norm(weights, [RELU, RELU]).value
    assert bound == pytest.approx(stack_norm(alive, [RELU, RELU]).value, rel=1e-6)
    weights[1].zero_()
    assert stack_norm(weights, [RELU, RELU]).value == 0.0
    assert not pair_norms(weights, [RELU, RELU]).any()


def test_two_equal_logits_never_differ() -> None:
    weights = random_weights(4, [5, 6, 3])
    weights[1][1] = weights[1][0]
    assert float(pair_norms(weights, [RELU])[0, 1]) == 0.0


def test_two_logits_that_differ_by_next_to_nothing_have_no_bound_of_zero() -> None:
    weights = random_weights(4, [5, 6, 3])
    weights[1][:2] = 0.0
    weights[1][0, 0] = 1e-200
    assert float(pair_norms(weights, [RELU])[0, 1]) >= 1e-200 * float(weights[0][0].norm())


def test_a_single_layer_has_its_norm() -> None:
    (weight,) = random_weights(0, [5, 3])
    assert stack_norm([weight], []).value == pytest.approx(spectral(weight), rel=1e-12)
    assert float(pair_norms([weight], [])[0, 2]) == pytest.approx(
        float((weight[0] - weight[2]).norm()), rel=1e-12
    )


def test_beyond_the_limit_it_is_the_product() -> None:
    weights = [torch.ones(LARGEST, 1), torch.ones(1, LARGEST)]
    found = stack_norm(weights, [RELU])
    assert found.value == pytest.approx(LARGEST, rel=1e-9)
    assert f"{LARGEST + 1} inputs and hidden units are more than" in found.reason
    weights[1] = torch.cat([weights[1], -weights[1]])
    with pytest.warns(UserWarning, match="a product of constants"):
        pairs = pair_norms(weights, [RELU])
    assert float(pairs[0, 1]) == pytest.approx(2 * LARGEST, rel=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_beyond_the_limit_parts_of_the_stack_are_bounded_jointly(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights, slopes = random_weights(seed, [4, 6, 6, 3]), [RELU, (0.0, 0.25)]
    whole = stack_norm(weights, slopes)
    alone = [stack_norm([weight], []).value for weight in weights]
    monkeypatch.setattr(dense_stack, "LARGEST", 12)
    found = stack_norm(weights, slopes)
    assert found.value == pytest.approx(
        alone[0] * stack_norm(weights[1:], slopes[1:]).value, rel=1e-9
    )
    assert whole.value <= found.value < 0.95 * math.prod(alone) / 4
    assert found.kind == "upper"
    assert found.reason.startswith("a product of constants, joint ones of the layers 2 to 3: 16 ")
    points = [jacobian(weights, [a, b / 4]) for a in vertices(*RELU, 6) for b in vertices(*RELU, 6)]
    assert max(map(spectral, points)) <= found.value


@pytest.mark.parametrize(
    ("widths", "slopes"),
    [
        ([8, 1, 8, 3], [(1.0, 1.0), RELU]),
        ([9, 2, 7, 3], [(-0.5, -0.5), RELU]),
        ([12, 2, 1, 9, 3], [(1.0, 1.0), (2.0, 2.0), RELU]),
    ],
)
def test_a_linear_bottleneck_has_no_more_inputs_than_it_leaves(
    widths: list[int], slopes: list[tuple[float, float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Merged with the layer behind it, it would have as many inputs as that one has units.
    weights = random_weights(0, widths)
    inner = [
        torch.full((n,), lo).double() for n, (lo, _) in zip(widths[1:], slopes[:-1], strict=False)
    ]
    points = [jacobian(weights, [*inner, d]) for d in vertices(*RELU, widths[-2])]
    truth = max(map(spectral, points))
    wide = stack_norm(weights, slopes)
    monkeypatch.setattr(dense_stack, "LARGEST", dense_stack._size(weights))
    found = stack_norm(weights, slopes)
    assert found == wide
    assert found.reason == ""
    assert truth <= found.value <= min(1.3 * truth, product(weights, slopes) * (1 + 1e-9))


@pytest.mark.parametrize("seed", range(20))
def test_merging_makes_no_stack_larger(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    narrow, wide = (torch.randint(n, 6 * n, (2,), generator=generator) for n in (1, 5))
    widths = [30, *narrow.tolist(), *wide.tolist(), 3]
    linear = [1, *torch.randint(0, 2, (2,), generator=generator).tolist(), 0]
    weights = random_weights(seed, widths)
    stack = dense_stack._prepared(weights, [(1.0, 1.0) if one else RELU for one in linear])
    assert stack is None or stack.size <= dense_stack._size(weights)


def test_a_stack_that_stays_wide_is_the_product_with_its_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As where a Gram matrix cannot be factorised: its parts would be itself."""
    monkeypatch.setattr(dense_stack, "LARGEST", 12)
    monkeypatch.setattr(dense_stack, "_narrowed", lambda weight: weight)
    weights = random_weights(0, [20, 3, 2])
    found = stack_norm(weights, [RELU])
    assert found.value == pytest.approx(product(weights, [RELU]), rel=1e-9)
    assert found.reason.startswith("a product of constants: 23 inputs and hidden units are more")


def test_a_network_too_wide_says_so_in_its_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dense_stack, "LARGEST", 8)
    model = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2))
    found = network_norm(model, (4,))
    last = found.table()[1][-1]
    assert last[1] == "joint"
    assert "9 inputs and hidden units are more than the 8" in str(last[-1])
    assert found.joint is not None
    assert found.joint.value == pytest.approx(found.product.value, rel=1e-9)
    assert found.norm.reason == found.joint.reason


@pytest.mark.parametrize("steps", [0, 1, 7])
def test_any_number_of_steps_gives_a_bound(steps: int) -> None:
    weights = random_weights(6, [4, 6, 3])
    truth = max(spectral(jacobian(weights, [d])) for d in vertices(*RELU, 6))
    assert truth <= stack_norm(weights, [RELU], steps=steps).value
    assert truth <= float(pair_norms(weights, [RELU], steps=steps).max()) * math.sqrt(3)
    with pytest.raises(ValueError, match="cannot take -1 steps"):
        stack_norm(weights, [RELU], steps=-1)


def test_without_negative_weights_the_bound_is_the_constant() -> None:
    # Where no weight is negative, the steepest slopes are all units' largest at once.
    weights = [weight.abs() for weight in random_weights(3, [6, 10, 8, 4])]
    truth = spectral(weights[2] @ weights[1] @ weights[0])
    assert truth <= stack_norm(weights, [RELU, RELU]).value <= 1.001 * truth


def test_what_is_not_finite_is_unknown_with_its_reason() -> None:
    weights = random_weights(0, [5, 4, 3])
    assert math.isinf(stack_norm(weights, [(0.0, math.inf)]).value)
    weights[0][0, 0] = math.nan
    found = stack_norm(weights, [RELU])
    assert math.isinf(found.value)
    assert "not a finite number" in found.reason
    assert float(pair_norms(weights, [RELU])[0, 1]) == math.inf


def test_many_classes_need_pairs_by_name_and_the_others_get_the_whole_bound() -> None:
    weights = random_weights(0, [3, 4, 40])
    with pytest.raises(ValueError, match="780 pairs: name those of interest"):
        pair_norms(weights, [RELU])
    found = pair_norms(weights, [RELU], torch.tensor([[0, 1], [1, 0], [5, 5]]))
    rows = [weights[0], weights[1][[0]] - weights[1][[1]]]
    assert float(found[0, 1]) == pytest.approx(stack_norm(rows, [RELU]).value, rel=0.05)
    limit = math.sqrt(2) * stack_norm(weights, [RELU]).value
    assert float(found.max()) <= limit * 1.05


@pytest.mark.parametrize(
    ("weights", "slopes", "message"),
    [
        ([], [], "at least one weight"),
        ([torch.ones(2, 2)], [RELU], "1 weights need 0 slope intervals"),
        ([torch.ones(2, 2), torch.ones(2, 3)], [RELU], "2 outputs cannot feed one of 3 inputs"),
        ([torch.ones(2)], [], "real matrices"),
        ([torch.ones(2, 2), torch.ones(2, 2)], [(1.0, 0.0)], "no slope lies between"),
    ],
)
def test_stacks_that_do_not_fit_are_refused(
    weights: list[Tensor], slopes: list[tuple[float, float]], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        stack_norm(weights, slopes)


@pytest.mark.parametrize("pairs", [torch.tensor([0, 1]), torch.tensor([[0, 9]])])
def test_pairs_that_are_no_classes_are_refused(pairs: Tensor) -> None:
    with pytest.raises(ValueError, match="pairs must"):
        pair_norms(random_weights(0, [3, 4, 5]), [RELU], pairs)


def test_a_matrix_is_proven_definite_only_where_its_error_leaves_it_so() -> None:
    eye = torch.eye(3, dtype=torch.float64)
    singular = torch.ones(3, 3, dtype=torch.float64)
    matrices = torch.stack([eye, singular, singular + 1e-10 * eye, -eye])
    none = torch.zeros_like(matrices)
    assert proven_definite(matrices, none).tolist() == [True, False, True, False]
    assert proven_definite(matrices, none + 1e-9).tolist() == [True, False, False, False]


def test_denormal_numbers_make_no_difference_to_the_bound() -> None:
    """Nor do weights that decay has driven far down; the process's own setting is left alone."""
    weights = [weight.float() for weight in random_weights(0, [40, 30, 30, 5])]
    torch.set_flush_denormal(False)
    try:
        weights[0][:, :15] *= 1e-39  # pixels that are always black
        assert weights[0][0, 0] != 0
        kept = stack_norm(weights, [RELU, RELU], steps=40)
        assert weights[0][0, 0] * 1.5 != 0
    finally:
        torch.set_flush_denormal(True)  # as tests/conftest.py has it
    assert stack_norm(weights, [RELU, RELU], steps=40).value == pytest.approx(kept.value, rel=1e-9)
    assert weights[0][0, 0] * 1.5 == 0
