"""Rows are independent, whatever slots they share and when those are filled again."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from lit_intriguing.attacks.box_lbfgs import FAST
from lit_intriguing.solvers import largest_penalty, minimise_box, nearer_of_two, nearest_point
from tests.solvers.problems import Classifier, Quadratics

Solve = Callable[[int, Tensor], dict[str, Tensor]]
ORDER = torch.randperm(24, generator=torch.Generator().manual_seed(3))


def minimised(slots: int, rows: Tensor) -> dict[str, Tensor]:
    fun = Quadratics(24, 6)
    found = minimise_box(
        lambda x, which: fun(x, rows[which]), torch.zeros(len(rows), 6).double(), 0.0, 1.0,
        slots=slots, gtol=1e-6,
    )  # fmt: skip
    return vars(found)


def nearest(slots: int, rows: Tensor) -> dict[str, Tensor]:
    fun = Classifier(24)
    return vars(
        nearest_point(
            lambda x, which, s: fun.constraint(x, rows[which], s), fun.x[rows], 0.0, 1.0,
            stages=FAST, slots=slots, unit=fun.unit[rows],
        )
    )  # fmt: skip


def nearer(slots: int, rows: Tensor) -> dict[str, Tensor]:
    fun = Classifier(24)
    return vars(
        nearer_of_two(
            lambda x, which, s: fun.constraint(x, rows[which], s), fun.x[rows], 0.0, 1.0,
            stages=FAST, slots=slots, unit=fun.unit[rows], easy=9,
        )
    )  # fmt: skip


def penalised(squared: bool) -> Solve:
    def solve(slots: int, rows: Tensor) -> dict[str, Tensor]:
        fun = Classifier(24)
        return vars(
            largest_penalty(
                lambda x, which: fun.loss(x, rows[which]), fun.x[rows], 0.0, 1.0,
                slots=slots, squared=squared,
            )
        )  # fmt: skip

    return solve


SOLVERS = {
    "minimise_box": minimised,
    "nearest_point": nearest,
    "nearer_of_two": nearer,
    "largest_penalty, squared": penalised(True),
    "largest_penalty, norm": penalised(False),
}
EVERY_SOLVER = pytest.mark.parametrize("solve", SOLVERS.values(), ids=SOLVERS)


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, value in found.items():
        torch.testing.assert_close(
            value, expected[name], rtol=1e-6, atol=1e-7, equal_nan=True, msg=name
        )


@EVERY_SOLVER
@pytest.mark.parametrize("slots", [1, 7, 24, 1000])
def test_rows_do_not_depend_on_the_slots_they_share(solve: Solve, slots: int) -> None:
    whole = solve(13, torch.arange(24))
    assert_same(solve(slots, torch.arange(24)), whole)


@EVERY_SOLVER
def test_permuted_batch_gives_permuted_results(solve: Solve) -> None:
    straight = solve(9, torch.arange(24))
    assert_same(solve(9, ORDER), {name: value[ORDER] for name, value in straight.items()})


@EVERY_SOLVER
def test_one_by_one_gives_what_the_batch_gives(solve: Solve) -> None:
    whole = solve(40, torch.arange(24))
    for row in range(7):
        alone = solve(1, torch.tensor([row]))
        assert_same(alone, {name: value[row : row + 1] for name, value in whole.items()})


@EVERY_SOLVER
def test_the_same_call_twice_is_bit_identical(solve: Solve) -> None:
    first, second = (solve(7, torch.arange(24)) for _ in range(2))
    for name, value in first.items():
        assert torch.equal(value.nan_to_num(-7.0), second[name].nan_to_num(-7.0)), name


@EVERY_SOLVER
@pytest.mark.parametrize("slots", [5, 24])
def test_rows_chosen_by_a_mask_give_what_an_index_gives(
    solve: Solve, slots: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_index = solve(slots, torch.arange(24))
    monkeypatch.setattr("lit_intriguing.solvers.chosen_rows._INDEXED", set())
    for name, value in solve(slots, torch.arange(24)).items():
        assert torch.equal(value.nan_to_num(-7.0), by_index[name].nan_to_num(-7.0)), name


@EVERY_SOLVER
def test_no_problem_is_no_work(solve: Solve) -> None:
    found = solve(7, torch.arange(0))
    assert all(len(value) == 0 for value in found.values())
    dtypes = {name: value.dtype for name, value in solve(7, torch.arange(2)).items()}
    assert {name: value.dtype for name, value in found.items()} == dtypes


def test_what_nearest_point_tells_belongs_to_the_point_it_hands_back() -> None:
    fun = Classifier(60)
    found = nearest_point(fun.constraint, fun.x, 0.0, 1.0, stages=FAST, unit=fun.unit)
    torch.testing.assert_close(found.square, (found.x - fun.x).square().sum(1))
    assert found.feasible.all()
    assert (fun.margin(found.x, torch.arange(60)) < 0).all()
