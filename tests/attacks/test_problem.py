"""A batch under attack as flat points, and back."""

import math

import pytest
import torch
from torch import Tensor

from lit_intriguing.attacks.criteria import Targeted
from lit_intriguing.attacks.problem import Problem
from lit_intriguing.attacks.sealed_model import logits_of
from lit_intriguing.types import UNBOUNDED, Bounds
from tests.oracles import Linear

SHAPE = (2, 3, 1)
MODEL = Linear(6, 4)


def examples(rows: int = 5, dtype: torch.dtype = torch.float64) -> Tensor:
    source = torch.Generator().manual_seed(1)
    return torch.rand(rows, *SHAPE, generator=source, dtype=torch.float64).to(dtype)


def problem(bounds: Bounds | None = None, **options: object) -> Problem:
    x = examples(**options)
    return Problem(MODEL.to(x.dtype), x, bounds or Bounds(), block=2)


def teardown_function() -> None:
    MODEL.double()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_points_are_flat_and_at_least_float32_and_the_way_back_is_exact(dtype: torch.dtype) -> None:
    whole = problem(dtype=dtype)
    wide = dtype if dtype == torch.float64 else torch.float32
    assert whole.flat.shape == (5, 6)
    assert whole.flat.dtype == wide
    assert torch.equal(whole.shaped(whole.flat), whole.x)
    assert whole.logits().dtype == dtype


@pytest.mark.parametrize(
    ("bounds", "lower", "upper"),
    [
        (Bounds(), 0.0, 1.0),
        (UNBOUNDED, -math.inf, math.inf),
        (Bounds([0.0, -1.0], [1.0, 2.0]), [0, 0, 0, -1, -1, -1], [1, 1, 1, 2, 2, 2]),
        (Bounds(0.0, torch.arange(6.0).view(SHAPE)), 0.0, list(range(6))),
        (Bounds(torch.tensor(-1.0), torch.tensor([2.0, 3.0])), -1.0, [2, 2, 2, 3, 3, 3]),
    ],
)
def test_limits_are_one_number_or_one_a_coordinate(
    bounds: Bounds, lower: object, upper: object
) -> None:
    whole = problem(bounds)
    for limit, expected in ((whole.lower, lower), (whole.upper, upper)):
        assert (limit.tolist() if isinstance(limit, Tensor) else limit) == expected


def test_limits_are_those_of_the_examples_own_dtype() -> None:
    whole = problem(Bounds(0.1, 0.9), dtype=torch.float16)
    assert whole.lower == torch.tensor(0.1).half().item()
    assert whole.upper == torch.tensor(0.9).half().item()


def test_logits_come_in_blocks_without_gradients() -> None:
    sizes: list[int] = []

    def model(x: Tensor) -> Tensor:
        sizes.append(len(x))
        assert not torch.is_grad_enabled()
        return MODEL(x)

    whole = Problem(model, examples(), Bounds(), block=2)
    torch.testing.assert_close(whole.logits(), MODEL(examples()).detach())
    assert sizes == [2, 2, 1]


def test_a_part_of_the_batch_keeps_its_rows_in_the_model() -> None:
    class Shifted:
        takes_rows = True

        def __call__(self, x: Tensor, rows: Tensor) -> Tensor:
            return MODEL(x) + rows.unsqueeze(1)

    x, part = examples(), torch.tensor([4, 1, 3])
    aimed = Problem(Shifted(), x, Bounds(), block=2).toward(part, torch.tensor([0, 1, 2]))
    assert len(aimed) == 3
    expected = (MODEL(x) + torch.arange(5).unsqueeze(1))[part].detach()
    torch.testing.assert_close(aimed.logits(), expected)
    torch.testing.assert_close(aimed.logits(), logits_of(Shifted(), x[part], part).detach())
    loss, margin = aimed.cross_entropy(aimed.flat[[2, 0]], torch.tensor([2, 0]))
    criterion = Targeted(torch.tensor([2, 0]))
    torch.testing.assert_close(loss.detach(), criterion.loss(expected[[2, 0]]))
    torch.testing.assert_close(margin, criterion.margin(expected[[2, 0]]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_margin_must_exceed_what_rounding_may_change(dtype: torch.dtype) -> None:
    eps = torch.finfo(dtype).eps
    z = torch.tensor([[1000.0, 1000.0, 0.0], [1000.0, 999.0, 0.0]], dtype=dtype)
    aimed = Problem(lambda x: x, z, UNBOUNDED, block=9).toward(
        torch.arange(2), torch.tensor([0, 0])
    )
    margin = aimed.margin(z)
    assert 0 < margin[0] <= 100 * 1000 * eps
    assert margin[1] < 0
    _, sharp = aimed.smooth_margin(z, torch.arange(2), torch.ones(2, dtype=dtype))
    assert torch.equal(sharp, margin)
