"""`largest_penalty`: c is the boundary, by another optimiser; and losses made to break it."""

import math

import pytest
import torch
from scipy.optimize import minimize
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from lit_intriguing.solvers import Penalised, Tolerances, largest_penalty
from tests.oracles import Linear
from tests.solvers.problems import Classifier

SQUARED = pytest.mark.parametrize("squared", [True, False], ids=["squared", "norm"])


def solve(fun: Classifier, squared: bool = True, **options: object) -> Penalised:
    return largest_penalty(fun.loss, fun.x, 0.0, 1.0, squared=squared, **options)


def linear(classes: int) -> nn.Module:
    return Linear(12, classes).requires_grad_(False)


def minimiser(
    fun: Classifier, row: int, c: float, start: Tensor, squared: bool, limits: tuple = (0, 1)
) -> Tensor:
    """SciPy's minimiser of `c |r| + loss`, or `c |r|^2 + loss`, in the unit box."""
    clean = fun.x[row]

    def value_and_gradient(flat: object) -> tuple[float, object]:
        x = torch.as_tensor(flat).clone().requires_grad_()
        r = x - clean
        penalty = r.square().sum() if squared else r.norm()
        value = c * penalty + fun.loss(x.unsqueeze(0), torch.tensor([row]))[0].sum()
        (gradient,) = torch.autograd.grad(value, x)
        return value.item(), gradient.nan_to_num().numpy()

    found = minimize(
        value_and_gradient,
        start.numpy(),
        jac=True,
        method="L-BFGS-B",
        bounds=[limits] * len(clean),
        options={"ftol": 1e-14, "gtol": 1e-9, "maxiter": 3000},
    )
    return torch.from_numpy(found.x)


@SQUARED
def test_scipy_succeeds_below_c_and_fails_above(squared: bool) -> None:
    fun = Classifier(20)
    found = solve(fun, squared)
    assert found.success.all()
    assert found.settled.all()
    length = (found.x - fun.x).norm(dim=1)
    # The weight of what was minimised: c is told as that of |r|.
    weight = found.c / (2 * length) if squared else found.c
    held = 0
    for row in range(20):
        margins = []
        for factor in (0.9, 1.1):
            point = minimiser(fun, row, factor * weight[row].item(), found.x[row], squared)
            margins.append(fun.margin(point.unsqueeze(0), torch.tensor([row])))
        below, above = margins
        held += bool(below < 0) and bool(above > 0)
    # Elsewhere the minimiser jumps to another valley.
    assert held >= 16


@SQUARED
def test_every_success_is_one_and_lies_on_the_boundary(squared: bool) -> None:
    fun = Classifier(40)
    found = solve(fun, squared, tolerances=Tolerances(c=1e-3, distance=1e-4, slope=1e-4))
    assert found.success.all()
    margin = fun.margin(found.x, torch.arange(40))
    assert (margin < 0).all()
    # Nearer by one in a hundred, it fails.
    nearer = fun.margin(fun.x + 0.99 * (found.x - fun.x), torch.arange(40))
    assert (nearer > 0).float().mean() > 0.9
    assert ((found.x >= 0) & (found.x <= 1)).all()


def test_both_penalties_agree_where_there_is_one_valley() -> None:
    fun = Classifier(20, net=linear(4))
    tight = Tolerances(c=1e-5, distance=1e-7, slope=1e-7)
    wide = {"lower": -math.inf, "upper": math.inf, "tolerances": tight}
    squared, norm = (
        largest_penalty(fun.loss, fun.x, squared=flag, **wide) for flag in (True, False)
    )
    torch.testing.assert_close(squared.c, norm.c, rtol=1e-3, atol=0)
    # The minimiser itself, or a nearer success met on the way to it.
    for row in range(20):
        minimum = minimiser(
            fun, row, squared.c[row].item(), squared.x[row], False, limits=(None, None)
        )
        for found in (squared, norm):
            assert (found.x[row] - fun.x[row]).norm() <= 1.001 * (minimum - fun.x[row]).norm()


def test_two_classes_of_a_linear_model_have_the_closed_form() -> None:
    net = linear(2)
    fun = Classifier(20, classes=2, net=net)
    tight = Tolerances(c=1e-4, distance=1e-6, slope=1e-6)
    found = largest_penalty(fun.loss, fun.x, -math.inf, math.inf, tolerances=tight)
    steep = (net.weight[0] - net.weight[1]).norm()
    distance = fun.margin(fun.x, torch.arange(20)) / steep
    torch.testing.assert_close((found.x - fun.x).norm(dim=1), distance, rtol=1e-3, atol=0)
    # At the boundary both classes have probability 1/2, so the loss falls with half the slope.
    torch.testing.assert_close(found.c, (steep / 2).expand(20), rtol=2e-3, atol=0)


@SQUARED
@pytest.mark.parametrize("value", [math.nan, math.inf, 1.0])
def test_rows_that_lead_nowhere_end_and_harm_no_other(squared: bool, value: float) -> None:
    fun = Classifier(12)
    spoilt = torch.arange(12) % 3 == 0

    def spoiling(x: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        loss, margin = fun.loss(x, rows)
        where = spoilt[rows]
        return torch.where(where, x.sum(1) * 0 + value, loss), margin.masked_fill(where, value)

    found = largest_penalty(spoiling, fun.x, 0.0, 1.0, squared=squared, slots=5)
    assert torch.equal(found.success, ~spoilt)
    assert torch.equal(found.x[spoilt], fun.x[spoilt])
    assert found.c[spoilt].isnan().all()
    assert not found.settled[spoilt].any()
    torch.testing.assert_close(found.x[~spoilt], solve(fun, squared).x[~spoilt])


@SQUARED
def test_a_loss_that_never_succeeds_ends(squared: bool) -> None:
    fun = Classifier(3)

    def hopeless(x: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        loss, margin = fun.loss(x, rows)
        return loss, margin.abs() + 1

    found = largest_penalty(hopeless, fun.x, 0.0, 1.0, squared=squared)
    assert not found.success.any()
    assert found.c.isnan().all()
    assert torch.equal(found.x, fun.x)


@pytest.mark.integration
@SQUARED
def test_points_that_succeed_at_once_stay(squared: bool) -> None:
    fun = Classifier(5)
    fun.targets = fun.net(fun.x).argmax(1)
    found = solve(fun, squared)
    assert found.success.all()
    assert torch.equal(found.x, fun.x)

    def flat(x: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        return F.relu(x).sum(1) * 0, torch.full(rows.shape, -1.0)

    found = largest_penalty(flat, fun.x, 0.0, 1.0, squared=squared)
    assert torch.equal(found.x, fun.x)


def test_evaluations_are_those_of_the_function() -> None:
    fun = Classifier(1)
    assert solve(fun).evaluations.tolist() == fun.evaluated.tolist()


def test_progress_adds_up_to_all_problems() -> None:
    finished: list[int] = []
    solve(Classifier(20), slots=7, on_finished=finished.append)
    assert sum(finished) == 20
