"""The smooth margin against its definition, finite differences and its limits."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lit_intriguing.attacks.criteria import Targeted
from lit_intriguing.attacks.problem import smooth_margin


def logits(rows: int, classes: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    source = torch.Generator().manual_seed(seed)
    return torch.randn(rows, classes, generator=source, dtype=torch.float64).to(dtype) * 3


def by_definition(z: Tensor, target: int, temperature: float) -> tuple[float, float]:
    others = [value for label, value in enumerate(z.tolist()) if label != target]
    largest = max(others)
    total = sum(math.exp((value - largest) / temperature) for value in others)
    sharp = largest - z[target].item()
    return sharp + temperature * math.log(total), sharp


@settings(deadline=None, max_examples=80)
@given(
    rows=st.integers(0, 5),
    classes=st.integers(2, 12),
    seed=st.integers(0, 10**6),
    scale=st.sampled_from([1e-3, 1.0, 1e3]),
    temperature=st.sampled_from([1e-6, 1e-2, 1.0, 1e3]),
)
def test_both_margins_are_as_defined(
    rows: int, classes: int, seed: int, scale: float, temperature: float
) -> None:
    z = logits(rows, classes, seed) * scale
    targets = torch.arange(rows) % classes
    smooth, sharp = smooth_margin(z, targets, torch.full((rows,), temperature, dtype=torch.float64))
    for row in range(rows):
        expected = by_definition(z[row], int(targets[row]), temperature)
        got = smooth[row].item(), sharp[row].item()
        assert got == pytest.approx(expected, rel=1e-12, abs=1e-12)
    assert (smooth >= sharp).all()
    torch.testing.assert_close(sharp, Targeted(targets).margin(z))


@pytest.mark.parametrize("classes", [2, 3, 10])
@pytest.mark.parametrize("temperature", [0.05, 1.0, 30.0])
def test_the_gradient_is_that_of_finite_differences(classes: int, temperature: float) -> None:
    z, targets = logits(4, classes).requires_grad_(), torch.arange(4) % classes
    warmth = torch.full((4,), temperature, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda z: smooth_margin(z, targets, warmth)[0], (z,))


def test_the_sharp_margin_has_no_gradient_and_the_smooth_one_is_weighed() -> None:
    z, targets = logits(3, 4).requires_grad_(), torch.tensor([0, 1, 2])
    smooth, sharp = smooth_margin(z, targets, torch.ones(3).double())
    assert not sharp.requires_grad
    weights = torch.tensor([1.0, 0.0, -2.0]).double()
    (weighed,) = torch.autograd.grad(smooth, z, weights)
    smooth, _ = smooth_margin(z, targets, torch.ones(3).double())
    (plain,) = torch.autograd.grad(smooth.sum(), z)
    torch.testing.assert_close(weighed, plain * weights.unsqueeze(1))


def test_two_classes_are_sharp_at_any_temperature() -> None:
    z = logits(5, 2)
    smooth, sharp = smooth_margin(z, torch.ones(5).long(), torch.full((5,), 1e3).double())
    torch.testing.assert_close(smooth, sharp)
    torch.testing.assert_close(sharp, z[:, 0] - z[:, 1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_large_logits_over_a_small_temperature_do_not_overflow(dtype: torch.dtype) -> None:
    z = logits(5, 6, dtype=dtype).mul(1e30).requires_grad_()
    smooth, sharp = smooth_margin(z, torch.zeros(5).long(), torch.full((5,), 1e-3, dtype=dtype))
    (gradient,) = torch.autograd.grad(smooth.sum(), z)
    torch.testing.assert_close(smooth.detach(), sharp)
    assert gradient.isfinite().all()
    assert (gradient[:, 0] == -1).all()
    torch.testing.assert_close(gradient.sum(1), torch.zeros(5, dtype=dtype))


def test_the_logits_are_left_as_they_were() -> None:
    z = logits(5, 6)
    kept = z.clone()
    smooth_margin(z, torch.zeros(5).long(), torch.ones(5).double())
    assert torch.equal(z, kept)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_row_that_is_not_finite_is_no_success_and_harms_no_other(bad: float) -> None:
    z = logits(3, 4)
    expected = smooth_margin(z, torch.zeros(3).long(), torch.ones(3).double())
    z[1, 2] = bad
    found = smooth_margin(z, torch.zeros(3).long(), torch.ones(3).double())
    for margin, clean in zip(found, expected, strict=True):
        assert torch.equal(margin[[0, 2]], clean[[0, 2]])
        assert not margin[1] < 0
