"""A function gives a right result, or refuses what it cannot take; no error from inside torch."""

import math

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from lit_intriguing.attacks import BoxLBFGS, GradientAttack, Targeted, Untargeted
from lit_intriguing.lipschitz import certified_radius, network_norm
from lit_intriguing.metrics import error_rate, transfer_rates
from lit_intriguing.pools.pool import Pool
from tests.fuzz.values import check_refusal, fuzzed

DTYPES = [
    torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.int64, torch.bool,
    torch.complex64, torch.uint8,
]  # fmt: skip
SHAPES = st.lists(st.integers(0, 4), max_size=4).map(tuple)


@st.composite
def tensors(draw: st.DrawFn, shapes: st.SearchStrategy[tuple[int, ...]] = SHAPES) -> Tensor:
    """Draw a tensor of any type, sometimes with a value that is no number."""
    shape, dtype = draw(shapes), draw(st.sampled_from(DTYPES))
    source = torch.Generator().manual_seed(draw(st.integers(0, 99)))
    values = torch.rand(shape, generator=source) * draw(st.sampled_from([1, 3, -2]))
    if values.numel() and draw(st.integers(0, 4)) == 0:
        values.view(-1)[0] = draw(st.sampled_from([math.nan, math.inf, -math.inf]))
    return values.to(dtype)


USUAL = st.sampled_from([(3, 4), (1, 4), (0, 4), (3, 2, 2), (4,), (), (3, 5)])
MODEL = nn.Sequential(nn.Flatten(), nn.Linear(4, 3)).eval()


@fuzzed(60)
@given(
    x=tensors(USUAL),
    labels=tensors(st.sampled_from([(3,), (1,), (0,), (), (3, 1), (4,)])),
    attack=st.sampled_from([GradientAttack(0.3), GradientAttack(0.2, steps=3), BoxLBFGS()]),
    criterion=st.sampled_from([Targeted, Untargeted]),
    double=st.booleans(),
)
def test_an_attack_stays_in_the_box_or_refuses(
    x: Tensor, labels: Tensor, attack: object, criterion: type, double: bool
) -> None:
    model = MODEL.double() if double else MODEL.float()
    try:
        found = attack(model, x, criterion(labels))  # type: ignore[operator]
    except Exception as error:
        check_refusal(error, (x, labels))
        return
    assert found.adversarial.shape == x.shape
    assert found.adversarial.dtype == x.dtype
    fine = ~x.flatten(1).isnan().any(1) if len(x) else x.bool()
    moved = found.adversarial[fine]
    assert bool(((moved >= 0) & (moved <= 1)).all())
    assert found.success.shape == (len(x),)


@fuzzed(40)
@given(logits=tensors(), labels=tensors())
def test_an_error_rate_is_one_or_is_refused(logits: Tensor, labels: Tensor) -> None:
    try:
        found = error_rate(logits, labels)
    except Exception as error:
        check_refusal(error, (logits, labels))
        return
    assert bool(found.isnan()) or 0 <= float(found) <= 1


@fuzzed(40)
@given(answers=tensors(), labels=tensors(), counted=st.none() | tensors())
def test_transfer_rates_are_shares_or_are_refused(
    answers: Tensor, labels: Tensor, counted: Tensor | None
) -> None:
    try:
        found = transfer_rates(answers, labels, counted)
    except Exception as error:
        check_refusal(error, (answers, labels, counted))
        return
    known = found[~found.isnan()]
    assert bool(((known >= 0) & (known <= 1)).all())


@fuzzed(40)
@given(
    logits=tensors(),
    norm=st.floats(allow_subnormal=False) | tensors(),
    labels=st.none() | tensors(),
)
def test_a_certified_radius_is_at_least_0_or_is_refused(
    logits: Tensor, norm: float | Tensor, labels: Tensor | None
) -> None:
    try:
        found = certified_radius(logits, norm, labels, logit_error=0.0)
    except Exception as error:
        check_refusal(error, (logits, norm, labels))
        return
    assert bool((found >= 0).all())


NETWORKS = [
    nn.Linear(4, 3),
    nn.Sequential(nn.Flatten(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2)),
    nn.Sequential(nn.Conv2d(1, 2, 2), nn.ReLU(), nn.Flatten()),
    nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)).eval(),
]


@fuzzed(30)
@given(
    network=st.sampled_from(NETWORKS),
    shape=st.lists(st.integers(-1, 4), max_size=4).map(tuple) | st.sampled_from([(4,), (1, 3, 3)]),
    dtype=st.sampled_from([torch.float32, torch.float64, torch.bfloat16]),
)
def test_a_network_norm_bounds_what_is_measured_or_is_refused(
    network: nn.Module, shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    network = network.to(dtype)
    try:
        bound = float(network_norm(network, shape).norm.value)
    except Exception as error:
        check_refusal(error, (network, shape))
        return
    finally:
        network.float()
    one, other = torch.randn(2, 16, *shape, generator=torch.Generator().manual_seed(0))
    change = (network(one) - network(other)).flatten(1).norm(dim=1)
    assert bool((change <= 1.001 * bound * (one - other).flatten(1).norm(dim=1) + 1e-5).all())


@fuzzed(40)
@given(capacity=st.integers(-1, 5), rows=st.integers(0, 7), draws=st.integers(-2, 6), x=tensors())
def test_a_pool_gives_back_rows_that_were_put_in_or_refuses(
    capacity: int, rows: int, draws: int, x: Tensor
) -> None:
    source = torch.Generator().manual_seed(0)
    values = torch.arange(rows, dtype=torch.float32)
    try:
        pool = Pool(capacity)
        pool.replace({"x": values, "y": values[:, None].expand(-1, 2)}, source)
        found = pool.draw(draws, source)
    except Exception as error:
        check_refusal(error, (capacity, rows, draws))
        return
    assert len(pool) == min(capacity, rows)
    assert set(found["x"].tolist()) <= set(values.tolist())
    assert torch.equal(found["y"][:, 0], found["x"])
