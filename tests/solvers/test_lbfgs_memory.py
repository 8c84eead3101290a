"""The limited memory against the inverse Hessian written out as a matrix."""

import pytest
import torch
from torch import Tensor

from lit_intriguing.solvers.lbfgs_memory import Pairs, Product

SLOTS, DIMENSIONS, SIZE = 5, 7, 3
MULTIPLIER = torch.linspace(0.5, 3.0, SLOTS, dtype=torch.float64)
SCALE = torch.linspace(0.1, 1.0, SLOTS, dtype=torch.float64)


def normal(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


def combined(pairs: Pairs, product: Product, multiplier: Tensor, length: Tensor) -> Tensor:
    out = torch.full((len(length), DIMENSIONS), torch.nan, dtype=torch.float64)
    for part, step in pairs.combine(product, multiplier, length):
        out[part] = step
    return out


class Walk:
    """Points and gradients of convex quadratics, one a problem, and the pairs between them."""

    def __init__(self, anchored: bool, steps: int) -> None:
        factors = normal(SLOTS, DIMENSIONS, DIMENSIONS)
        self.hessians = factors @ factors.mT / DIMENSIONS + 0.3 * torch.eye(DIMENSIONS).double()
        self.anchored = anchored
        self.points = normal(steps + 1, SLOTS, DIMENSIONS)
        self.gradients = torch.einsum("nij,knj->kni", self.hessians, self.points)
        self.pairs = Pairs(
            SLOTS, DIMENSIONS, SIZE, anchored=anchored, like=torch.zeros(0, dtype=torch.float64)
        )
        for step in range(steps):
            self.store(step, torch.ones(SLOTS, dtype=torch.bool))

    def store(self, step: int, finite: Tensor) -> None:
        self.pairs.a.copy_(self.gradients[step])
        if self.anchored:
            self.pairs.r.copy_(self.points[step] - self.points[0])
        self.pairs.store(self.points[step + 1], self.points[step], self.gradients[step + 1], finite)
        # As after a step: the products with a pair are taken at its own time.
        self.apply()

    def apply(self, free: Tensor | None = None) -> Product:
        mask = None if free is None else free.__getitem__
        return self.pairs.apply(MULTIPLIER, mask, SCALE if self.anchored else None)

    def direction(self, free: Tensor | None = None, length: Tensor | None = None) -> Tensor:
        product = self.apply(free)
        length = torch.ones(SLOTS, dtype=torch.float64) if length is None else length
        return combined(self.pairs, product, MULTIPLIER, length)

    def inverse_hessian(self, problem: int, steps: range) -> Tensor:
        """Return the BFGS matrix (Nocedal and Wright 2006, eq. 6.17) after some steps."""
        found, identity = None, torch.eye(DIMENSIONS).double()
        changes = [
            (
                self.points[i + 1, problem] - self.points[i, problem],
                self.gradients[i + 1, problem] - self.gradients[i, problem],
            )
            for i in steps
        ]
        for s, f in changes:
            y = s + MULTIPLIER[problem] * f if self.anchored else MULTIPLIER[problem] * f
            if found is None:
                last = MULTIPLIER[problem] * changes[-1][1]
                newest = (changes[-1][0] @ last) / (last @ last)
                found = identity * (SCALE[problem] if self.anchored else newest)
            left = identity - torch.outer(s, y) / (s @ y)
            found = left @ found @ left.T + torch.outer(s, s) / (s @ y)
        assert found is not None
        return found

    def gradient(self, problem: int) -> Tensor:
        return self.pairs.r[problem] + MULTIPLIER[problem] * self.pairs.a[problem]


@pytest.mark.parametrize("anchored", [True, False])
@pytest.mark.parametrize("steps", [1, 2, SIZE, SIZE + 2])
def test_direction_is_minus_the_bfgs_matrix_of_the_last_pairs_times_the_gradient(
    anchored: bool, steps: int
) -> None:
    walk = Walk(anchored, steps)
    found = walk.direction()
    for problem in range(SLOTS):
        matrix = walk.inverse_hessian(problem, range(max(0, steps - SIZE), steps))
        torch.testing.assert_close(found[problem], -matrix @ walk.gradient(problem))


@pytest.mark.parametrize("anchored", [True, False])
def test_inner_products_with_the_inverse_hessian_are_those_of_the_matrix(anchored: bool) -> None:
    walk = Walk(anchored, 4)
    inner = walk.apply().inner
    for problem in range(SLOTS):
        both = torch.stack([walk.pairs.r[problem], walk.pairs.a[problem]])
        matrix = walk.inverse_hessian(problem, range(1, 4))
        torch.testing.assert_close(inner[..., problem], both @ matrix @ both.T)


@pytest.mark.parametrize("problems", [1, 2])
def test_directions_are_the_same_in_smaller_blocks(
    problems: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = Walk(True, 4).direction()
    room = problems * 4 * DIMENSIONS * torch.float64.itemsize // torch.get_num_threads()
    monkeypatch.setattr("lit_intriguing.solvers.lbfgs_memory._CACHE", room)
    walk, sizes = Walk(True, 4), []

    def free(part: slice) -> Tensor:
        sizes.append(part.stop - part.start)
        return torch.ones(SLOTS, DIMENSIONS, dtype=torch.float64)[part]

    walk.pairs.apply(MULTIPLIER, free, SCALE)
    assert max(sizes) <= problems
    torch.testing.assert_close(walk.direction(), expected)


def test_direction_goes_with_the_length() -> None:
    walk = Walk(True, 2)
    length = torch.linspace(0.0, 1.0, SLOTS, dtype=torch.float64)
    whole = walk.direction()
    torch.testing.assert_close(walk.direction(length=length), length.unsqueeze(1) * whole)


def test_without_pairs_the_direction_is_minus_the_gradient_times_the_scale() -> None:
    walk = Walk(True, 2)
    walk.pairs.forget(torch.isin(torch.arange(SLOTS), torch.tensor([1, 4])))
    found = walk.direction()
    for problem in (1, 4):
        torch.testing.assert_close(found[problem], -SCALE[problem] * walk.gradient(problem))


def test_a_row_that_was_not_finite_keeps_its_other_pairs() -> None:
    walk = Walk(True, 2)
    finite = torch.arange(SLOTS) != 3
    walk.gradients = torch.cat([walk.gradients, walk.gradients[-1:]])
    walk.points = torch.cat([walk.points, walk.points[-1:] + 1])
    walk.gradients[-1, 3] = torch.nan
    walk.store(2, finite)
    found = walk.direction()
    assert found.isfinite().all()
    matrix = walk.inverse_hessian(3, range(2))
    torch.testing.assert_close(found[3], -matrix @ walk.gradient(3))


def test_products_are_over_the_free_coordinates_alone() -> None:
    walk = Walk(True, 1)
    free = (normal(SLOTS, DIMENSIONS) > -0.5).double()
    product = walk.apply(free)
    step, change = walk.pairs.vectors[:, 0].unbind(1)
    for problem in range(SLOTS):
        s, f = step[problem] * free[problem], change[problem] * free[problem]
        expected = 1 / (s @ (s + MULTIPLIER[problem] * f))
        assert float(product.inverse[0, problem]) == pytest.approx(float(expected))


def test_kept_slots_go_on_as_before() -> None:
    walk, keep = Walk(True, 4), torch.tensor([4, 1, 2])
    expected = walk.direction()[keep]
    walk.pairs.keep(keep)
    product = walk.pairs.apply(MULTIPLIER[keep], None, SCALE[keep])
    found = combined(walk.pairs, product, MULTIPLIER[keep], torch.ones(3, dtype=torch.float64))
    torch.testing.assert_close(found, expected)


def test_a_loaded_slot_stands_still_and_disturbs_no_other() -> None:
    walk = Walk(True, 4)
    expected = walk.direction()
    walk.pairs.load(torch.tensor([2]))
    found = walk.direction()
    assert (found[2] == 0).all()
    others = torch.tensor([0, 1, 3, 4])
    torch.testing.assert_close(found[others], expected[others])


def test_a_dropped_pair_takes_no_part() -> None:
    walk = Walk(False, 3)
    walk.pairs.drop_newest(torch.arange(SLOTS) != 1)
    found = walk.direction()
    kept = walk.inverse_hessian(0, range(3))
    torch.testing.assert_close(found[0], -kept @ walk.gradient(0))
    without = walk.inverse_hessian(1, range(2))
    torch.testing.assert_close(found[1], -without @ walk.gradient(1))


def test_steepest_descent_goes_as_far_as_the_newest_pair_says() -> None:
    walk = Walk(False, 2)
    step = walk.points[2] - walk.points[1]
    change = walk.gradients[2] - walk.gradients[1]
    expected = (step * change).sum(1) / change.square().sum(1)
    torch.testing.assert_close(walk.pairs.steepest(), expected)
    walk.pairs.forget(torch.arange(SLOTS) == 3)
    walk.pairs.reach[3] = 5.0
    # Without a pair a step of length `reach`.
    expected[3] = 5.0 / walk.pairs.a[3].norm()
    torch.testing.assert_close(walk.pairs.steepest(), expected)
