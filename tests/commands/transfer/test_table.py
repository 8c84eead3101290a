import math

import pytest
import torch

from lit_intriguing.commands.transfer.table import Cell
from lit_intriguing.model_sets.distortions import Distortions


@pytest.mark.parametrize(("method", "expected"), [("wilson", (5.5, 17.4)), ("exact", (4.9, 17.6))])
def test_intervals_are_those_of_the_textbook(method, expected):
    # 10 of 100: Wilson 0.0552 to 0.1744, Clopper-Pearson 0.0490 to 0.1762.
    found = Cell(10, 100).interval(0.95, method)
    assert found == pytest.approx(expected, abs=0.06)


def test_a_cell_without_an_error_has_no_interval():
    for mark in ("failed", "empty set"):
        assert Cell(0, 0, mark).error is None
        assert Cell(0, 0, mark).interval(0.95, "wilson") is None


def test_distortions_leave_out_images_that_were_not_changed():
    found = Distortions.of(torch.tensor([0.0, 1.0, 2.0, 6.0]))
    assert (found.images, found.mean, found.median) == (3, 3.0, 2.0)
    assert found.deviation == pytest.approx(math.sqrt(7))
    assert math.isnan(Distortions.of(torch.zeros(2)).mean)
