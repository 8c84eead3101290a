"""A second search: never farther than the first, and only where the first was hard."""

import torch
from torch import Tensor

from lit_intriguing.attacks.box_lbfgs import FAST
from lit_intriguing.solvers import nearer_of_two, nearest_point
from tests.solvers.problems import Classifier


class Ripples(Classifier):
    """A classifier's constraint with ripples: many local minima."""

    def constraint(self, x: Tensor, rows: Tensor, smoothing: Tensor) -> tuple[Tensor, Tensor]:
        smooth, sharp = super().constraint(x, rows, smoothing)
        ripples = (
            0.3 * self.unit[rows] * ((40 * x).sin().mean(1) - (40 * self.x[rows]).sin().mean(1))
        )
        return smooth + ripples, sharp + ripples.detach()


def test_the_second_search_finds_nearer_points_and_never_farther_ones() -> None:
    fun = Ripples(40)
    options = {"stages": FAST, "unit": fun.unit}
    one = nearest_point(fun.constraint, fun.x, 0.0, 1.0, **options)
    two = nearer_of_two(fun.constraint, fun.x, 0.0, 1.0, easy=0, **options)
    assert torch.equal(two.success, one.success)
    found = two.success.nonzero().squeeze(1)
    assert len(found) >= 30
    assert (two.square <= one.square).all()
    assert (two.square < 0.9 * one.square).sum() >= 5
    torch.testing.assert_close(two.square[found], (two.x - fun.x).square().sum(1)[found])
    _, margin = fun.constraint(two.x, torch.arange(40), 0.05 * fun.unit)
    torch.testing.assert_close(two.margin[found], margin[found])
    assert (two.evaluations > one.evaluations)[found].all()
    assert torch.equal(two.evaluations[~one.success], one.evaluations[~one.success])


def test_what_was_easy_is_searched_once() -> None:
    fun = Ripples(40)
    options = {"stages": FAST, "unit": fun.unit}
    one = nearest_point(fun.constraint, fun.x, 0.0, 1.0, **options)
    easy = int(one.evaluations.double().median())
    two = nearer_of_two(fun.constraint, fun.x, 0.0, 1.0, easy=easy, **options)
    once = (one.evaluations <= easy) | ~one.success
    assert 0 < once.sum() < 40
    assert torch.equal(two.evaluations[once], one.evaluations[once])
    assert torch.equal(two.x[once], one.x[once])
    assert (two.evaluations[~once] > one.evaluations[~once]).all()


def test_a_point_that_another_one_beats_is_not_searched_again() -> None:
    fun = Ripples(40)
    options = {"stages": FAST, "unit": fun.unit}
    free = nearest_point(fun.constraint, fun.x, 0.0, 1.0, **options)
    options["beaten_at"] = free.square * 0.99
    one = nearest_point(fun.constraint, fun.x, 0.0, 1.0, **options)
    two = nearer_of_two(fun.constraint, fun.x, 0.0, 1.0, easy=0, **options)
    assert torch.equal(two.evaluations, one.evaluations)
