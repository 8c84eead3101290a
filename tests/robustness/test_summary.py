"""The numbers of an evaluation: their names, and what they say."""

import math

import torch
from torch import Tensor

from lit_intriguing.robustness import Evaluation, Trial
from lit_intriguing.robustness.summary import (
    class_table,
    scalar_names,
    scalars,
    size_table,
    trial_table,
)

SIZES = {"l2": (0.5, 1.5)}
LABELS = torch.tensor([0, 0, 1, 1])


def trial(name: str, far: list[float], size: float | None = None) -> Trial:
    away = torch.tensor(far, dtype=torch.float64)
    return Trial(
        name, None if size is None else "l2", size,
        tried=torch.tensor([False, True, True, True]), fooled=away.isfinite(),
        distances={"l2": away, "linf": away}, queries=torch.tensor([0, 4, 4, 4]),
    )  # fmt: skip


def found(certified: dict[str, Tensor] | None = None) -> Evaluation:
    first = trial("one", [math.inf, 0.4, 2.0, math.inf])
    second = trial("two", [math.inf, math.inf, 1.0, math.inf], 1.5)
    predictions = torch.tensor([1, 0, 1, 1])
    return Evaluation(LABELS, predictions, [first, second], certified or {})


def test_scalars_say_the_worst_case_that_of_each_attack_and_that_of_a_class() -> None:
    values = scalars(found(), SIZES, shared=False)
    assert values["clean"] == 0.25
    assert (values["l2_0.5"], values["l2_1.5"]) == (0.5, 0.75)
    assert (values["l2_0.5_worst_class"], values["l2_1.5_worst_class"]) == (1.0, 1.0)
    assert (values["one/l2_1.5"], values["two/l2_1.5"]) == (0.5, 0.5)
    assert values["gradients"] == 6.0
    assert (values["l2_q10"], values["l2_q50"]) == (0.4, 1.0)
    assert math.isnan(values["l2_q90"])  # not so many are fooled


def test_with_work_shared_the_error_by_an_attack_is_that_of_those_up_to_it() -> None:
    values = scalars(found(), SIZES, shared=True)
    assert (values["one/l2_1.5"], values["two/l2_1.5"]) == (0.5, 0.75)
    columns, _ = size_table(found(), SIZES, shared=True)
    assert columns[3:5] == ["up to one, %", "up to two, %"]


def test_all_names_are_announced_and_certified_ones_come_with_bounds() -> None:
    radii = {"l2": torch.tensor([0.0, 0.3, 0.9, 1.2], dtype=torch.float64)}
    values = scalars(found(radii), SIZES, shared=True)
    assert set(values) == set(scalar_names(["one", "two"], SIZES))
    assert (values["certified/l2_0.5"], values["certified/l2_1.5"]) == (0.5, 1.0)


def test_tables_have_a_row_for_each_size_class_and_run() -> None:
    _, rows = size_table(found(), SIZES, shared=False)
    assert rows == [
        ["l2", 0.5, 50.0, 50.0, 25.0, "", 0, 100.0],
        ["l2", 1.5, 75.0, 50.0, 50.0, "", 0, 100.0],
    ]
    columns, rows = class_table(found(), SIZES)
    assert columns == ["class", "examples", "clean, %", "l2 0.5, %", "l2 1.5, %"]
    assert rows == [[0, 2, 50.0, 100.0, 100.0], [1, 2, 0.0, 0.0, 50.0]]
    _, rows = trial_table(found())
    assert rows[0] == ["one", "nearest", "", 3, 100 * 2 / 3, 1.2, "l2", 4.0]
    assert rows[1] == ["two", "l2", 1.5, 3, 100 / 3, 1.0, "l2", 4.0]
