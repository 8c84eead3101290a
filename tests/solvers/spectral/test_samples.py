import itertools
import math

import pytest
import torch
from torch import Tensor

from lit_intriguing.solvers.spectral import Symbol, sampled, symbol
from lit_intriguing.solvers.spectral import samples as module
from lit_intriguing.solvers.spectral.samples import Samples, greatest_sample, margin, samples_above


def drawn(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(3))


def norms(found: Symbol, sizes: tuple[int, ...], thetas: tuple[float, ...]) -> Tensor:
    """Dense SVDs at all samples, `(G, M_1, ...)`."""
    lines = [torch.arange(m, dtype=torch.float64) + t for m, t in zip(sizes, thetas, strict=True)]
    angles = torch.cartesian_prod(*lines).reshape(-1, len(lines))
    angles = 2 * math.pi * angles / torch.tensor(sizes)
    every = [
        torch.linalg.matrix_norm(found.at(angles, torch.full((len(angles),), group)), 2)
        for group in range(len(found.taps))
    ]
    return torch.stack(every).reshape(-1, *sizes)


def peaked(frequency: float) -> Tensor:
    """A kernel whose norm stands out at a frequency, and at its opposite, in one direction."""
    wave = torch.cos(frequency * torch.arange(5, dtype=torch.float64))
    return drawn(6, 6, 5, 5) + 3 * torch.einsum("ij,k,l->ijkl", torch.ones(6, 6), wave, wave)


def near_isometry() -> Tensor:
    """A shift by one pixel, and little noise: all singular values are nearly equal."""
    weight = 1e-3 * drawn(8, 8, 3, 3)
    weight[:, :, 1, 2] += torch.linalg.qr(drawn(8, 8)).Q
    return weight


CASES = {
    "random": (drawn(8, 8, 3, 3), 1, (1, 1), (24, 24)),
    "float32": (drawn(8, 8, 3, 3).float().double(), 1, (1, 1), (24, 24)),
    "peak between coarse samples": (peaked(2.31), 1, (1, 1), (61, 61)),
    "nearly equal singular values": (near_isometry(), 1, (1, 1), (30, 30)),
    "uneven sides": (drawn(5, 7, 3, 5), 1, (1, 1), (11, 90)),
    "stride 2": (drawn(6, 4, 4, 3), 1, (2, 2), (40, 31)),
    "groups": (drawn(9, 2, 3, 3), 3, (1, 1), (29, 28)),
    "depthwise": (drawn(12, 1, 3, 3), 12, (1, 1), (33, 33)),
    "one tap across": (drawn(4, 4, 1, 3), 1, (1, 1), (1, 120)),
    "one dimension": (drawn(3, 4, 9), 1, (1,), (200,)),
    "three dimensions": (drawn(2, 3, 3, 3, 2), 1, (1, 1, 1), (12, 13, 14)),
    "small": (1e-8 * drawn(4, 4, 3, 3), 1, (1, 1), (25, 25)),
    "large": (1e8 * drawn(4, 4, 3, 3), 1, (1, 1), (25, 25)),
    "a cosine, which falls as fast as may be": (
        torch.ones(1, 1, 2, 2, dtype=torch.float64), 1, (1, 1), (50, 50)
    ),
}  # fmt: skip


@pytest.mark.parametrize("theta", [0.0, 0.5, 0.3])
@pytest.mark.parametrize("case", CASES)
def test_the_greatest_sample_is_that_of_dense_svds(case: str, theta: float) -> None:
    weight, groups, strides, sizes = CASES[case]
    thetas = tuple(theta if size > 1 else 0.0 for size in sizes)
    found = symbol(weight, groups, strides, [1] * len(sizes))
    truth = float(norms(found, sizes, thetas).max())
    assert truth * (1 - 1e-13) <= sampled(found, sizes, thetas) <= truth * (1 + 1e-5)


@pytest.mark.parametrize("factor", [1e-3, 0.97, 1.0, 2.0])
@pytest.mark.parametrize("estimate", [0.0, 0.5, 0.999, 1.5])
def test_wrong_targets_and_estimates_cost_time_or_tightness_alone(
    factor: float, estimate: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = module.top_values
    monkeypatch.setattr(
        module, "top_values", lambda x, steps=16: right(x, steps) * (estimate if steps < 99 else 1)
    )
    found = symbol(drawn(8, 8, 3, 3), 1, (1, 1), (1, 1))
    truth = float(norms(found, (20, 20), (0.5, 0.5)).max())
    samples = Samples(found, (20, 20), (0.5, 0.5), [0])
    tau = greatest_sample(found, samples, factor * truth, 1e-6)
    assert tau + margin(found, tau) >= truth * (1 - 1e-13)
    assert not len(samples.open())
    if factor <= 1 and estimate <= 1:
        assert tau <= truth * (1 + 1e-5)


@pytest.mark.parametrize("share", [0.9, 0.99, 0.999])
@pytest.mark.parametrize("place", [0.5, 7.5, 37.5, 41.2])
def test_a_norm_that_falls_as_fast_as_may_be_hides_no_sample(place: float, share: float) -> None:
    """The norm is a cosine; in the middle between two samples nothing is left of the margin."""
    turn = torch.tensor(-2j * math.pi * place / 64, dtype=torch.complex128).exp()
    weight = torch.stack([torch.ones_like(turn), turn])[None, None]
    found = symbol(weight, 1, (1,), (1,))
    truth = float(norms(found, (64,), (0.0,)).max())
    tau = greatest_sample(found, Samples(found, (64,), (0.0,), [0]), share * truth, 1e-6)
    assert truth * (1 - 1e-13) <= tau + margin(found, tau) <= truth * (1 + 1e-5)


def test_few_of_the_samples_of_a_wide_layer_are_factorised(monkeypatch) -> None:
    looked = []
    right = module.definite
    monkeypatch.setattr(
        module, "definite", lambda *x, **how: looked.append(len(x[0])) or right(*x, **how)
    )
    found = symbol(drawn(48, 48, 3, 3), 1, (1, 1), (1, 1))
    sampled(found, (65, 65))
    assert sum(looked) < 0.3 * 65 * 33


def isometry_with_bumps(bumps: list[tuple[float, float]], noise: float) -> Tensor:
    """A shift by one pixel with noise, and one direction that peaks at each of some frequencies."""
    weight = noise * drawn(72, 72, 3, 3)
    weight[:, :, 1, 1] += torch.linalg.qr(drawn(72, 72)).Q
    for k, (frequency, height) in enumerate(bumps):
        wave = torch.cos(frequency * (torch.arange(3, dtype=torch.float64) - 1))
        vectors = drawn(2, 72, 72)[:, :, k]
        weight += height * torch.einsum("i,j,k,l->ijkl", *vectors, wave, wave) / 72
    return weight


WIDE = {
    "random": drawn(72, 72, 3, 3),
    "nearly an isometry": isometry_with_bumps([], 1e-4),
    "nearly equal peaks": isometry_with_bumps([(0.7, 0.1), (2.1, 0.1003), (1.4, 0.0999)], 1e-3),
}


@pytest.mark.parametrize("case", WIDE)
def test_wide_layers_that_are_flat_are_bounded_with_single_precision(
    case: str, monkeypatch
) -> None:
    passed = []
    right = module.definite_in_single

    def counted(squares: Tensor, levels: Tensor) -> Tensor:
        found = right(squares, levels)
        passed.append(int(found.sum()))
        return found

    monkeypatch.setattr(module, "definite_in_single", counted)
    found = symbol(WIDE[case], 1, (1, 1), (1, 1))
    truth = float(norms(found, (20, 21), (0.0, 0.5)).max())
    assert truth * (1 - 1e-13) <= sampled(found, (20, 21), (0.0, 0.5)) <= truth * (1 + 1e-5)
    assert sum(passed) > 20


def test_samples_are_level_where_no_height_seen_lets_one_answer_for_its_neighbours() -> None:
    found = symbol(drawn(8, 8, 3, 3), 1, (1, 1), (1, 1))
    samples = Samples(found, (65, 65), (0.0, 0.0), [0])
    assert not samples.level  # none was seen
    samples.widths(torch.tensor([0.999, 1.0], dtype=torch.float64), 1.0)
    assert samples.flat
    assert samples.level
    samples.widths(torch.tensor([0.99], dtype=torch.float64), 1.0)
    assert samples.flat
    assert not samples.level
    samples.widths(torch.tensor([0.5], dtype=torch.float64), 1.0)
    assert not samples.flat
    assert not samples.level


def test_gram_matrices_rounded_to_single_precision_are_those_of_float64() -> None:
    for weight in (drawn(8, 9, 3, 3), torch.complex(drawn(8, 9, 3, 3), drawn(8, 9, 3, 3) ** 2)):
        found = symbol(weight, 1, (1, 1), (1, 1))
        where = drawn(7, 2), torch.zeros(7, dtype=torch.long)
        exact = found.squares_at(*where)
        assert torch.equal(found.squares_at(*where, single=True), exact.to(torch.complex64))


@pytest.mark.parametrize("theta", [0.0, 0.5, 0.3])
def test_a_ball_and_its_mirror_image_are_closed_and_nothing_else(theta: float) -> None:
    sizes, counts = (19, 24), (3, 2)
    found = symbol(drawn(2, 2, *counts), 1, (1, 1), (1, 1))
    samples = Samples(found, sizes, (theta, theta), [0])
    before = {tuple(row) for row in samples.open()[:, 1:].tolist()}
    real = theta != 0.3
    assert len(before) < 0.7 * 456 if real else len(before) == 456
    heights = torch.tensor([0.5], dtype=torch.float64)
    count = samples.widths(heights, 1.0)
    limit = float(samples.limits(count, 1.0))
    centre = samples.open()[5:6]
    samples.close(centre, count)
    after = {tuple(row) for row in samples.open()[:, 1:].tolist()}
    steps = [math.pi * (q - 1) / m for q, m in zip(counts, sizes, strict=True)]
    lean = sum(steps) / 2
    distance = math.acos(limit * math.cos(lean)) - lean
    ball = set()
    for offset in itertools.product(range(-9, 10), range(-12, 13)):
        if sum(abs(o) * s for o, s in zip(offset, steps, strict=True)) <= distance + 1e-9:
            j = [int(c) + o for c, o in zip(centre[0, 1:], offset, strict=True)]
            ball.add(tuple(a % m for a, m in zip(j, sizes, strict=True)))
            if real:
                ball.add(tuple(int(-a - 2 * theta) % m for a, m in zip(j, sizes, strict=True)))
    assert len(ball) > 10
    assert after == before - ball


@pytest.mark.parametrize("above", [1.0, 1.01, 1.3, math.inf])
def test_no_sample_above_the_target_is_missed(above: float) -> None:
    found = symbol(drawn(6, 6, 3, 3), 1, (1, 1), (1, 1))
    every = norms(found, (26, 25), (0.5, 0.0))[0]
    supremum = float(norms(found, (250, 250), (0.0, 0.0)).max()) * 1.001
    tau = 0.98 * float(every.max())
    lean = math.acos(tau / (supremum * above)) if above < math.inf else math.inf
    samples = Samples(found, (26, 25), (0.5, 0.0), [0], lean)
    index = samples_above(found, samples, tau)[:, 1:]
    kept = {tuple(row) for row in index.tolist()}
    mirrored = {((-a - 1) % 26, -b % 25) for a, b in kept}
    true = {tuple(row) for row in (every > tau).nonzero().tolist()}
    assert kept | mirrored == true


def test_groups_that_do_not_fit_at_once_come_one_after_another(monkeypatch) -> None:
    weight, groups, strides, sizes = CASES["groups"]
    found = symbol(weight, groups, strides, (1, 1))
    whole = sampled(found, sizes)
    monkeypatch.setattr(module, "MOST", 29 * 28)
    assert sampled(found, sizes) == pytest.approx(whole, rel=3e-6)


def test_marks_that_do_not_fit_at_once_are_set_all_the_same(monkeypatch) -> None:
    monkeypatch.setattr(module, "MARKS", 25)
    found = symbol(drawn(3, 3, 3, 3), 1, (1, 1), (1, 1))
    truth = float(norms(found, (31, 30), (0.0, 0.5)).max())
    assert truth <= sampled(found, (31, 30), (0.0, 0.5)) <= truth * (1 + 1e-5)


def test_of_very_many_samples_all_frequencies_are_bounded(monkeypatch) -> None:
    found = symbol(drawn(3, 3, 3, 3), 1, (1, 1), (1, 1))
    truth = sampled(found, (40, 40))
    monkeypatch.setattr("lit_intriguing.solvers.spectral.bounds.VERY_MANY", 1000)
    assert truth * (1 - 1e-5) <= sampled(found, (40, 40)) <= truth * 1.02


@pytest.mark.parametrize("theta", [0.0, 0.5])
def test_where_samples_are_few_in_one_dimension_the_supremum_helps(theta: float) -> None:
    found = symbol(drawn(5, 5, 3, 3), 1, (1, 1), (1, 1))
    truth = float(norms(found, (3, 2000), (theta, theta)).max())
    assert truth * (1 - 1e-13) <= sampled(found, (3, 2000), (theta, theta)) <= truth * (1 + 1e-5)
