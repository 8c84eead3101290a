"""Rows chosen by their index and by a mask, and how often a search waits for its device."""

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from lit_intriguing.solvers import Stage, nearest_point
from lit_intriguing.solvers.chosen_rows import ChosenRows
from tests.solvers.problems import Classifier

MASKS = [[True, False, True, False], [False] * 4, [True] * 4]


@pytest.fixture(params=[True, False], ids=["index", "mask"])
def indexed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    if not request.param:
        monkeypatch.setattr("lit_intriguing.solvers.chosen_rows._INDEXED", set())
    return request.param


@pytest.mark.parametrize("mask", MASKS, ids=str)
@pytest.mark.parametrize("shape", [(4,), (4, 3)], ids=str)
def test_rows_are_put_back_where_the_mask_holds(
    shape: tuple[int, ...], mask: list[bool], indexed: bool
) -> None:
    old, new = torch.arange(12.0)[: 4 * (len(shape) * 2 - 1)].view(shape), torch.full(shape, -1.0)
    rows, kept = ChosenRows(torch.tensor(mask)), old.clone()
    copy = rows.of(old)
    rows.put(new, copy.mul_(2))
    assert torch.equal(old, kept)
    assert [bool((one == -1).all()) for one in new] == [not one for one in mask]
    assert torch.equal(new[torch.tensor(mask)], 2 * old[torch.tensor(mask)])
    assert not rows.none or not any(mask)
    assert rows.none == (indexed and not any(mask))


def test_rows_that_are_not_finite_stay_where_they_are(indexed: bool) -> None:
    target = torch.zeros(4, 2)
    rows = torch.tensor([[1.0, 1.0], [torch.nan, torch.inf], [2.0, 2.0], [torch.nan, 0.0]])
    chosen = ChosenRows(torch.tensor(MASKS[0]))
    chosen.put(target, chosen.of(rows))
    assert torch.equal(target, torch.tensor([[1.0, 1.0], [0.0, 0.0], [2.0, 2.0], [0.0, 0.0]]))


@pytest.mark.parametrize("mask", MASKS, ids=str)
def test_rows_are_sent_to_their_places(mask: list[bool], indexed: bool) -> None:
    table, rows = torch.zeros(6, 2), torch.ones(4, 2)
    places = torch.tensor([5, 0, 2, 3])
    ChosenRows(torch.tensor(mask)).send(rows, table, places)
    reached = {place for place, one in zip(places.tolist(), mask, strict=True) if one}
    assert {i for i in range(6) if bool(table[i].all())} == reached


class Waits(TorchDispatchMode):
    """Counts the calls for which a host must wait for its device."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        self.count += func in (
            torch.ops.aten.nonzero.default,
            torch.ops.aten._local_scalar_dense.default,
        )
        return func(*args, **(kwargs or {}))


def test_a_step_in_which_no_problem_ends_waits_once_for_its_device(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("lit_intriguing.solvers.chosen_rows._INDEXED", set())
    fun, waits, counts = Classifier(24), Waits(), []

    def constraint(x: Tensor, which: Tensor, smoothing: Tensor) -> tuple[Tensor, Tensor]:
        counts.append(waits.count)
        return fun.constraint(x, which, smoothing)

    stages = [Stage(smoothing=1.0, tolerance=1e-30, inside=1e-2, steps=12)]
    with waits:
        nearest_point(constraint, fun.x, 0.0, 1.0, stages=stages, slots=24, unit=fun.unit)
    steps = [after - before for before, after in pairwise(counts)]
    assert steps[:10] == [1] * 10
