import torch

from lit_intriguing.solvers.batch_state import Slots, SlotTable


def test_rows_begin_as_told_and_are_views_to_write_to() -> None:
    numbers = SlotTable(3, torch.zeros(0, dtype=torch.float64), steps=0, weight=torch.inf)
    numbers["steps"].add_(1)
    assert numbers["steps"].tolist() == [1.0, 1.0, 1.0]
    assert numbers["weight"].tolist() == [torch.inf] * 3
    assert numbers["weight"].dtype == torch.float64


def test_loaded_slots_begin_anew() -> None:
    numbers = SlotTable(3, torch.zeros(0, dtype=torch.int64), steps=2, idle=0)
    numbers["steps"].add_(5)
    numbers["idle"].add_(1)
    numbers.load(torch.tensor([0, 2]))
    assert numbers["steps"].tolist() == [2, 7, 2]
    assert numbers["idle"].tolist() == [0, 1, 0]


def test_kept_slots_keep_their_numbers_and_are_still_written_to() -> None:
    numbers = SlotTable(4, torch.zeros(0), steps=0)
    numbers["steps"].copy_(torch.arange(4))
    numbers.keep(torch.tensor([3, 1]))
    numbers["steps"].add_(10)
    assert numbers["steps"].tolist() == [13.0, 11.0]


def test_slots_that_are_kept_stay_in_place_but_for_those_behind_the_last_place_left() -> None:
    slots = Slots(10, 10, torch.device("cpu"))
    slots.finish(torch.tensor([0, 8]))
    kept = slots.worth_keeping()
    assert kept is not None
    slots.keep(kept)
    assert slots.problems.tolist() == [9, 1, 2, 3, 4, 5, 6, 7]
    assert slots.working.all()


def test_slots_are_not_dropped_while_most_of_them_work() -> None:
    slots = Slots(10, 10, torch.device("cpu"))
    slots.finish(torch.tensor([3]))
    assert slots.worth_keeping() is None
