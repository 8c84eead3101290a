import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from lit_intriguing.lipschitz import network_norm, operator_norm
from lit_intriguing.lipschitz.norm import ONE
from tests.lipschitz import truth

gammas = st.lists(st.floats(-10, 10, allow_subnormal=False), min_size=2, max_size=12)


def centred(gamma: Tensor) -> float:
    """The norm of `diag(gamma) (I - 1 1' / n)` by its singular values."""
    n = len(gamma)
    return truth.norm(gamma[:, None] * (torch.eye(n, dtype=torch.float64) - 1 / n))


def with_gamma(layer: nn.Module, gamma: list[float]) -> nn.Module:
    layer = layer.double()
    layer.weight.data = torch.tensor(gamma, dtype=torch.float64)
    return layer


@given(gammas)
@settings(max_examples=100, deadline=None)
def test_layer_norm_is_the_norm_of_the_centred_gammas(gamma: list[float]) -> None:
    norm = operator_norm(with_gamma(nn.LayerNorm(len(gamma), eps=0.25), gamma))
    true = 2 * centred(torch.tensor(gamma, dtype=torch.float64))
    assert true * (1 - 1e-13) <= norm.value <= true * (1 + 1e-12) + 1e-300
    assert norm.kind == "exact"


@given(gamma=gammas, scale=st.sampled_from([0.0, 1e-3, 1.0, 100.0]), seed=st.integers(0, 99))
@settings(max_examples=50, deadline=None)
def test_no_jacobian_of_layer_norm_is_steeper_and_equal_numbers_reach_it(
    gamma: list[float], scale: float, seed: int
) -> None:
    layer = with_gamma(nn.LayerNorm(len(gamma)), gamma)
    generator = torch.Generator().manual_seed(seed)
    x = 3 + scale * torch.randn(len(gamma), generator=generator, dtype=torch.float64)
    found, bound = truth.norm(truth.jacobian(layer, x)), operator_norm(layer).value
    assert found <= bound * (1 + 1e-12)
    if scale == 0:
        assert found >= bound * (1 - 1e-10)


def test_tiny_gammas_do_not_vanish_when_squared() -> None:
    norm = operator_norm(with_gamma(nn.LayerNorm(2, eps=1.0), [1e-200, 1e-200]))
    assert norm.value == pytest.approx(1e-200)


def test_one_number_normalises_to_a_constant() -> None:
    assert operator_norm(nn.LayerNorm(1)).value == 0.0
    assert operator_norm(nn.GroupNorm(3, 3), (3,)).value == 0.0


def test_a_wide_layer_norm_without_weights_is_one_over_the_root_of_eps() -> None:
    layer = nn.LayerNorm(4096, eps=1e-5, elementwise_affine=False)
    assert operator_norm(layer).value == pytest.approx(1e-5**-0.5, rel=1e-14)
    assert operator_norm(layer).value >= 1e-5**-0.5


def test_group_norm_takes_the_worst_group() -> None:
    layer = with_gamma(nn.GroupNorm(2, 4, eps=1.0), [1.0, -2.0, 0.5, 3.0])
    worst = centred(torch.tensor([0.5, 3.0], dtype=torch.float64))
    assert operator_norm(layer, (4,)).value == pytest.approx(worst, rel=1e-13)
    for shape in ((4, 2), (4, 3, 3), None):
        assert operator_norm(layer, shape).value == pytest.approx(3.0, rel=1e-14)
    level = torch.ones(4, 2, dtype=torch.float64)
    assert truth.norm(truth.jacobian(layer, level)) == pytest.approx(3.0, rel=1e-12)


def test_instance_norm_has_statistics_of_the_example_or_of_the_run() -> None:
    own = with_gamma(nn.InstanceNorm2d(2, eps=0.25, affine=True), [1.0, -3.0]).eval()
    assert operator_norm(own, (2, 3, 3)).value == pytest.approx(6.0, rel=1e-14)
    run = with_gamma(nn.InstanceNorm2d(2, eps=0.0, affine=True, track_running_stats=True), [1, -3])
    run.running_var.fill_(4.0)
    assert operator_norm(run).value == pytest.approx(1.5, rel=1e-14)
    found = truth.norm(truth.matrix(run.eval(), (2, 3, 3)))
    assert found == pytest.approx(1.5, rel=1e-14)


@pytest.mark.parametrize("kind", [nn.BatchNorm1d, nn.BatchNorm2d, nn.SyncBatchNorm])
def test_batch_norm_takes_its_steepest_channel_whatever_its_mode(kind: type[nn.Module]) -> None:
    layer = with_gamma(kind(3, eps=0.0), [1.0, -6.0, 4.0])
    layer.running_var.copy_(torch.tensor([1.0, 9.0, 1.0]))
    for mode in (True, False):
        shape = (3, 2) if kind is nn.BatchNorm1d else (3, 2, 2)
        assert operator_norm(layer.train(mode), shape).value == pytest.approx(4.0, rel=1e-14)


@pytest.mark.parametrize("layer", [nn.RMSNorm(4, 0.25), nn.RMSNorm((2, 2), 0.25)], ids=repr)
def test_rms_norm_is_steepest_at_zero(layer: nn.Module) -> None:
    layer.weight.data.view(-1)[2] = -5.0
    assert operator_norm(layer).value == pytest.approx(10.0, rel=1e-14)
    zero = torch.zeros(*layer.normalized_shape, dtype=torch.float64)
    assert truth.norm(truth.jacobian(layer.double(), zero)) == pytest.approx(10.0, rel=1e-14)


@pytest.mark.parametrize("affine", [True, False])
def test_rms_norm_without_eps_is_infinite_for_its_slope_depends_on_the_inputs_type(
    affine: bool,
) -> None:
    layer = nn.RMSNorm(4, elementwise_affine=affine)
    norm = operator_norm(layer, (4,))
    assert norm.value == math.inf
    assert "depends on the type of the input" in norm.reason
    zero = torch.zeros(4, dtype=torch.float64)
    assert truth.norm(truth.jacobian(layer.double(), zero)) == pytest.approx(2.0**26)


@pytest.mark.parametrize("size", [2, 3, 5, 6, 9])
@pytest.mark.parametrize("beta", [0.25, 0.75, 1.0, 2.5])
def test_a_climb_finds_no_steeper_point_of_local_response_norm(size: int, beta: float) -> None:
    layer = nn.LocalResponseNorm(size, alpha=float(size), beta=beta, k=0.5)
    norm = operator_norm(layer, (12, 1))
    generator = torch.Generator().manual_seed(size)
    x = torch.randn(12, 1, generator=generator, dtype=torch.float64).requires_grad_()
    climb, found = torch.optim.Adam([x], lr=0.05), 0.0
    for _ in range(40):
        steepest = torch.linalg.matrix_norm(_response_jacobian(x.flatten(), size, beta, 0.5), 2)
        found = max(found, float(steepest.detach()))
        climb.zero_grad()
        (-steepest).backward()
        climb.step()
    assert truth.norm(truth.jacobian(layer, x.detach())) == pytest.approx(
        truth.norm(_response_jacobian(x.detach().flatten(), size, beta, 0.5))
    )
    assert found <= norm.value
    assert 0.5**-beta <= norm.value <= 1.75 * 0.5**-beta
    assert norm.kind == "upper"


def _response_jacobian(x: Tensor, size: int, beta: float, k: float) -> Tensor:
    """With `alpha = size`, so that sums of squares count once."""
    ahead = torch.arange(len(x)) - torch.arange(len(x))[:, None]
    windows = ((ahead >= -(size // 2)) & (ahead <= (size - 1) // 2)).double()
    inner = k + windows @ x.square()
    fall = 2 * beta * (x * inner ** (-beta - 1))[:, None] * windows * x
    return torch.diag(inner**-beta) - fall


@pytest.mark.parametrize(("size", "channels"), [(1, 5), (5, 3), (9, 5), (4, 2)])
def test_local_response_norm_is_exact_where_windows_do_not_overlap_in_part(
    size: int, channels: int
) -> None:
    layer = nn.LocalResponseNorm(size, alpha=1.0, beta=0.75, k=2.0)
    norm = operator_norm(layer, (channels, 2))
    assert norm.kind == "exact"
    assert norm.value == pytest.approx(2**-0.75, rel=1e-14)
    zero = torch.zeros(channels, 2, dtype=torch.float64)
    assert truth.norm(truth.jacobian(layer, zero)) == pytest.approx(norm.value, rel=1e-14)


def test_alexnets_local_response_norm_is_proven_to_contract() -> None:
    norm = operator_norm(nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=2.0), (96, 27, 27))
    assert norm.kind == "upper"
    assert 2**-0.75 < norm.value < 0.73


def test_local_response_norm_without_an_exponent_is_nothing() -> None:
    assert operator_norm(nn.LocalResponseNorm(5, beta=0.0)) == ONE
    assert operator_norm(nn.LocalResponseNorm(5, alpha=0.0, beta=1.0, k=4.0)).value < 0.2501


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (nn.LayerNorm(3, eps=0.0), "with eps = 0.0 its slope grows without limit"),
        (nn.GroupNorm(1, 3, eps=0.0), "with eps = 0.0"),
        (nn.InstanceNorm1d(3, eps=0.0), "with eps = 0.0"),
        (nn.RMSNorm(3, eps=0.0), "with eps = 0.0"),
        (nn.BatchNorm1d(3, track_running_stats=False), "it has no running statistics"),
        (nn.LocalResponseNorm(3, k=0.0), "with k = 0.0"),
        (nn.LocalResponseNorm(3, alpha=-1.0), "alpha = -1.0"),
        (nn.LocalResponseNorm(3, beta=-1.0), "beta = -1.0"),
        (nn.LocalResponseNorm(1, beta=10.0, k=1e-300), "beyond float64"),
        (nn.LocalResponseNorm(3, beta=1e200), "beyond float64"),
        (nn.LazyBatchNorm1d(), "no rule"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_not_bounded_is_infinite_with_its_reason(layer: nn.Module, reason: str) -> None:
    assert operator_norm(layer).value == math.inf
    assert reason in operator_norm(layer).reason


def test_numbers_that_are_not_finite_are_named() -> None:
    layer = nn.BatchNorm1d(2)
    layer.running_var[1] = math.nan
    assert "running variance contains NaN" in operator_norm(layer).reason
    layer.running_var[1] = -1.0
    assert "not positive" in operator_norm(layer).reason
    layer = nn.LayerNorm(2)
    layer.weight.data[0] = math.inf
    assert "NaN or infinity" in operator_norm(layer).reason


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (nn.BatchNorm2d(3), (4, 5, 5), "wants an example of 3 channels"),
        (nn.BatchNorm1d(3), (3, 5, 5), r"wants an example of shape \(C,\) or \(C, W\)"),
        (nn.BatchNorm2d(3), (3,), r"wants an example of shape \(C, H, W\)"),
        (nn.BatchNorm3d(3), (3, 5, 5), r"wants an example of shape \(C, D, H, W\)"),
        (nn.InstanceNorm1d(1), (8,), r"wants an example of shape \(C, W\)"),
        (nn.InstanceNorm2d(1), (8, 1), r"wants an example of shape \(C, H, W\)"),
        (nn.InstanceNorm3d(2, affine=True), (2, 8, 1), r"of shape \(C, D, H, W\)"),
        (nn.GroupNorm(1, 3), (4, 5), "wants an example of 3 channels"),
        (nn.LayerNorm((2, 3)), (3, 2), r"LayerNorm: wants examples that end in \(2, 3\)"),
        (nn.RMSNorm(3), (3, 2), r"RMSNorm: wants examples that end in \(3,\)"),
        (nn.LocalResponseNorm(3), (3,), r"wants an example of shape \(C, ...\)"),
    ],
)
def test_a_shape_that_does_not_fit_is_refused(
    layer: nn.Module, shape: tuple[int, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        operator_norm(layer, shape)


def test_examples_that_torch_would_take_for_channels_of_one_example_are_not_bounded() -> None:
    layer = nn.InstanceNorm1d(1).double()
    batch = torch.zeros(1, 8, dtype=torch.float64)  # which a rule for (1, 1, 8) would call constant
    moved = batch + 1e-6 * torch.tensor([1, -1, 0, 0, 0, 0, 0, 0])
    stretch = (layer(moved) - layer(batch)).norm() / (moved - batch).norm()
    assert float(stretch) == pytest.approx(1e-5**-0.5)
    with pytest.raises(ValueError, match=r"of shape \(C, W\), not \(8,\)"):
        operator_norm(layer, (8,))
    merged = nn.Sequential(nn.Flatten(0, 1), nn.InstanceNorm1d(4))
    assert "of shape (C, W), not (8,)" in network_norm(merged, (4, 8)).norm.reason
