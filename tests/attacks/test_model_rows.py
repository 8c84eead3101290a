"""Which models are told the rows of their examples: one rule for all attacks."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from lit_intriguing.attacks import BoxLBFGS, FromCallable, Untargeted
from lit_intriguing.attacks.model_rows import takes_rows
from lit_intriguing.attacks.sealed_model import logits_of
from lit_intriguing.splice import tail
from lit_intriguing.types import UNBOUNDED, Bounds

SHIFT = torch.linspace(-0.1, 0.1, 6).unsqueeze(1) * torch.tensor([1.0, -1.0])


def by_default(x: Tensor, rows: Tensor | None = None) -> Tensor:
    shift = SHIFT if rows is None else SHIFT[rows]
    return x[:, :2] + shift


def with_option(x: Tensor, scale: float, rows: Tensor | None = None) -> Tensor:
    return by_default(x, rows) * scale


def anything(x: Tensor, *args: Tensor) -> Tensor:
    assert not args
    return x[:, :2]


def number_of_rows(x: Tensor, rows: int = 28) -> Tensor:
    assert rows == 28
    return x[:, :2]


def first_parameter(rows: Tensor) -> Tensor:
    return rows[:, :2]


def keywords(x: Tensor, **rows: Tensor) -> Tensor:
    assert not rows
    return x[:, :2]


class Holder:
    def logits(self, x: Tensor, rows: Tensor | None = None) -> Tensor:
        return by_default(x, rows)

    def plain(self, x: Tensor) -> Tensor:
        return x[:, :2]


class Declared:
    def __init__(self, takes_rows: bool) -> None:
        self.takes_rows = takes_rows

    def __call__(self, x: Tensor, rows: Tensor | None = None) -> Tensor:
        assert self.takes_rows or rows is None
        return by_default(x, rows) if self.takes_rows else x[:, :2]


class OtherName:
    takes_rows = True

    def __call__(self, x: Tensor, which: Tensor | None = None) -> Tensor:
        return by_default(x, which)


class Undeclared:
    def __call__(self, x: Tensor, rows: Tensor | None = None) -> Tensor:
        return by_default(x, rows)


class Net(nn.Module):
    def forward(self, x: Tensor, rows: Tensor | None = None) -> Tensor:
        assert rows is None
        return x[:, :2]


class DeclaredNet(nn.Module):
    takes_rows = True

    def forward(self, x: Tensor, rows: Tensor | None = None) -> Tensor:
        return by_default(x, rows)


MODELS: dict[str, tuple[Callable[..., Tensor], bool]] = {
    "a function with rows=None": (by_default, True),
    "a lambda with rows=None": (lambda x, rows=None: by_default(x, rows), True),
    "a function with *args": (anything, False),
    "a function with **rows": (keywords, False),
    "a function with rows=28": (number_of_rows, False),
    "a function whose first parameter is rows": (first_parameter, False),
    "a partial": (partial(with_option, scale=2.0), True),
    "a partial that binds rows": (partial(by_default, rows=torch.arange(6)), False),
    "a bound method": (Holder().logits, True),
    "a bound method without rows": (Holder().plain, False),
    "an object without the attribute": (Undeclared(), True),
    "an object with takes_rows = True": (Declared(True), True),
    "an object with takes_rows = False": (Declared(False), False),
    "an object with another name": (OtherName(), True),
    "a module": (Net(), False),
    "a module with takes_rows = True": (DeclaredNet(), True),
    "a tail": (tail(Net(), "", torch.zeros(6, 3)), True),
    "a partial of a tail": (partial(tail(Net(), "", torch.zeros(6, 3))), True),
}
EVERY_MODEL = pytest.mark.parametrize(("model", "expected"), MODELS.values(), ids=MODELS)


def examples() -> Tensor:
    return torch.rand(6, 3, generator=torch.Generator().manual_seed(0)) * 0.4 + 0.3


@EVERY_MODEL
def test_the_rule(model: Callable[..., Tensor], expected: bool) -> None:
    assert takes_rows(model) is expected


@EVERY_MODEL
def test_own_and_external_attacks_give_the_same_rows(
    model: Callable[..., Tensor], expected: bool
) -> None:
    x = examples()
    if model is MODELS["a partial that binds rows"][0]:
        pytest.skip("it takes whole batches alone")
    rows = torch.tensor([4, 1])
    expected_logits = model(x)[rows]
    assert torch.equal(logits_of(model, x[rows], rows), expected_logits)

    def look(stand_in: nn.Module, x: Tensor, criterion: object, **_: object) -> Tensor:
        seen.append(stand_in(x))
        return x

    seen: list[Tensor] = []
    FromCallable(look, one_by_one=True)(model, x, Untargeted(torch.zeros(6).long()))
    assert torch.equal(torch.cat(seen), model(x))


def test_a_function_with_rows_is_attacked_in_blocks_as_in_one() -> None:
    x = examples()
    criterion = Untargeted(by_default(x).argmax(1))
    whole, blocks = (
        BoxLBFGS(batch_size=size)(by_default, x, criterion, bounds=UNBOUNDED) for size in (6, 2)
    )
    assert whole.success.all()
    assert blocks.success.all()
    torch.testing.assert_close(whole.adversarial, blocks.adversarial)
    assert Bounds().contains(x).all()
