"""The attack against exact optima, and models, boxes and batches made to break it."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from lit_intriguing.attacks import BoxLBFGS, Criterion, Outcome, Targeted, Untargeted
from lit_intriguing.solvers import Stage, Tolerances
from lit_intriguing.splice import tail
from lit_intriguing.types import UNBOUNDED, Bounds, Perturbation
from tests.oracle_attacks import convex
from tests.oracles import Linear

FEATURES, CLASSES = 12, 4
Model = Callable[[Tensor], Tensor]
MODES: dict[str, dict] = {
    "fast": {"mode": "fast"},
    "paper": {"mode": "paper"},
    "paper, norm": {"mode": "paper", "penalty": "norm"},
}
EVERY_MODE = pytest.mark.parametrize("options", MODES.values(), ids=MODES)
FAST_MODE = pytest.mark.parametrize("options", [MODES["fast"]], ids=["fast"])


def seeded(*layers: Callable[[], nn.Module], seed: int = 0) -> nn.Sequential:
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        return nn.Sequential(*(layer() for layer in layers)).double().eval()


def tanh(gain: float = 4.0) -> nn.Sequential:
    net = seeded(lambda: nn.Linear(FEATURES, 20), nn.Tanh, lambda: nn.Linear(20, CLASSES))
    net.requires_grad_(False)[2].weight *= gain
    return net


def relu() -> nn.Sequential:
    net = seeded(
        lambda: nn.Linear(FEATURES, 30),
        nn.ReLU,
        lambda: nn.Linear(30, 30),
        nn.ReLU,
        lambda: nn.Linear(30, CLASSES),
    )
    for parameter in net.requires_grad_(False).parameters():
        parameter *= 2
    return net


def convolutional() -> nn.Sequential:
    net = seeded(
        lambda: nn.Conv2d(1, 6, 3),
        nn.ReLU,
        lambda: nn.MaxPool2d(2),
        nn.Flatten,
        lambda: nn.Linear(6 * 2 * 2, CLASSES),
    )
    net.requires_grad_(False)[4].weight *= 5
    return net


def examples(rows: int, *shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    source = torch.Generator().manual_seed(rows)
    return torch.rand(rows, *(shape or (FEATURES,)), generator=source, dtype=torch.float64).to(
        dtype
    )


def other_labels(model: Model, x: Tensor) -> Tensor:
    """A wrong label for each example, in turn."""
    with torch.no_grad():
        logits = model(x)
    shift = torch.arange(len(x)) % (logits.shape[1] - 1) + 1
    return (logits.argmax(1) + shift) % logits.shape[1]


def attacked(
    model: Model,
    x: Tensor,
    criterion: Criterion,
    bounds: Bounds | None = None,
    **options: object,
) -> Perturbation:
    """The perturbation, after checks of all that must hold whatever the model."""
    bounds = bounds or Bounds()
    found = BoxLBFGS(**options)(model, x, criterion, bounds=bounds)
    assert found.adversarial.shape == x.shape
    assert found.adversarial.dtype == x.dtype
    assert torch.equal(found.clean.nan_to_num(7.0), x.nan_to_num(7.0))
    finite = x.flatten(1).isfinite().all(1)
    assert bounds.contains(found.adversarial)[finite].all()
    if not getattr(model, "takes_rows", False):
        with torch.no_grad():
            assert torch.equal(found.success, criterion.met(model(found.adversarial)))
    assert sorted(found.info) == ["c", "status", "target"]
    status, c = found.info["status"], found.info["c"]
    assert status.dtype == torch.int8
    assert found.info["target"].dtype == found.queries.dtype == torch.int64
    met = status == Outcome.ALREADY
    got = (status == Outcome.SETTLED) | (status == Outcome.STEPS)
    assert torch.equal(found.success, met | got)
    assert c[~got].isnan().all()
    assert (found.queries[got] > 0).all()
    assert (found.queries[met | (status == Outcome.NOT_FINITE)] == 0).all()
    unmoved = bounds.clamp(x)[~got]
    assert torch.equal(found.adversarial[~got].nan_to_num(7.0), unmoved.nan_to_num(7.0))
    return found


@EVERY_MODE
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_two_classes_of_a_linear_model_have_the_closed_form(options: dict, scale: float) -> None:
    model, x = Linear(FEATURES, 2, scale=scale).requires_grad_(False), examples(30)
    model.bias *= scale
    margin = Targeted(y := other_labels(model, x)).margin(model(x))
    steep = (model.weight[0] - model.weight[1]).norm()
    found = attacked(model, x, Targeted(y), UNBOUNDED, **options)
    assert found.success.all()
    ratio = (found.adversarial - x).norm(dim=1) / (margin / steep)
    assert ratio.min() > 1 - 1e-12
    assert ratio.max() < (1.003 if options["mode"] == "fast" else 1.1)
    # At the boundary each class has probability 1/2.
    torch.testing.assert_close(found.info["c"], (steep / 2).expand(30), rtol=0.3, atol=0)
    away = attacked(model, x, Untargeted(1 - y), UNBOUNDED, **options)
    assert torch.equal(away.adversarial, found.adversarial)


@EVERY_MODE
def test_softmax_regression_is_near_the_convex_optimum(options: dict) -> None:
    model, x = Linear(FEATURES, CLASSES).requires_grad_(False), examples(40)
    y, inside = other_labels(model, x), []
    found = attacked(model, x, Targeted(y), **options)
    for row in range(len(x)):
        try:
            optimum = convex.nearest(
                model.weight.numpy(), model.bias.numpy(), x[row].numpy(), int(y[row])
            )
        except ValueError:
            assert not found.success[row]
            continue
        assert found.success[row]
        exact = np.linalg.norm(optimum.x - x[row].numpy())
        inside.append((found.adversarial[row] - x[row]).norm().item() / exact)
    assert len(inside) > 20
    assert min(inside) > 1 - 1e-9
    # Cross-entropy leads to where all classes give way, not only the next one.
    assert np.mean(inside) < (1.003 if options["mode"] == "fast" else 1.12)
    assert max(inside) < (1.05 if options["mode"] == "fast" else 1.3)


NETWORKS = {
    "tanh": (tanh, (FEATURES,)),
    "relu": (relu, (FEATURES,)),
    "conv": (convolutional, (1, 6, 6)),
}


@FAST_MODE
@pytest.mark.parametrize("name", NETWORKS)
def test_networks_are_fooled_and_no_nearer_point_on_the_way_fools_them(
    options: dict, name: str
) -> None:
    build, shape = NETWORKS[name]
    model, x = build(), examples(20, *shape)
    criterion = Untargeted(model(x).argmax(1))
    found = attacked(model, x, criterion, **options)
    assert found.success.all()
    half_way = model(x + (found.adversarial - x) / 2)
    assert criterion.met(half_way).float().mean() < 0.1


@FAST_MODE
@pytest.mark.parametrize("rows", [0, 1, 7, 40])
@pytest.mark.parametrize("criterion", [Targeted, Untargeted])
def test_batch_gives_what_one_by_one_gives(options: dict, rows: int, criterion: type) -> None:
    model, x = tanh(), examples(rows)
    y = other_labels(model, x) if criterion is Targeted else model(x).argmax(1)
    # The third label of one row is out of reach: a search in vain magnifies rounding as it goes,
    # and so does a second search (whose rows are compared in tests/solvers/test_rows.py).
    options = options | {"candidates": 2, "second_search": False}
    whole = BoxLBFGS(**options, batch_size=9)(model, x, criterion(y))
    assert whole.adversarial.shape == x.shape
    for row in range(min(rows, 5)):
        part = slice(row, row + 1)
        one = attacked(model, x[part], criterion(y[part]), **options)
        torch.testing.assert_close(whole.adversarial[part], one.adversarial, atol=1e-7, rtol=0)
        assert torch.equal(whole.success[part], one.success)
        assert torch.equal(whole.queries[part], one.queries)
        for name, value in one.info.items():
            torch.testing.assert_close(
                whole.info[name][part], value, rtol=1e-2, atol=0, equal_nan=True
            )


@FAST_MODE
@pytest.mark.parametrize("batch_size", [3, 64])
def test_permuted_batch_gives_permuted_results(options: dict, batch_size: int) -> None:
    model, x = tanh(), examples(20)
    y = other_labels(model, x)
    options = options | {"second_search": False}  # it magnifies the rounding of other batches
    order = torch.randperm(20, generator=torch.Generator().manual_seed(0))
    straight = attacked(model, x, Targeted(y), **options)
    options = {**options, "batch_size": batch_size}
    permuted = attacked(model, x[order], Targeted(y[order]), **options)
    torch.testing.assert_close(straight.adversarial[order], permuted.adversarial)
    assert torch.equal(straight.queries[order], permuted.queries)


@FAST_MODE
def test_float32_is_as_near_as_float64(options: dict) -> None:
    model, x = tanh(), examples(60)
    y = other_labels(model, x)
    double = attacked(model, x, Targeted(y), **options)
    single = attacked(model.float(), x.float(), Targeted(y), **options)
    assert torch.equal(single.success, double.success)
    ratio = single.distortion.double() / double.distortion
    assert (ratio.nan_to_num(1.0).median() - 1).abs() < 1e-3
    assert (ratio.nan_to_num(1.0).mean() - 1).abs() < 1e-2


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("bounds", [Bounds(), Bounds(0.0, [1.0] * FEATURES), UNBOUNDED])
def test_half_precision_models_are_fooled(dtype: torch.dtype, bounds: Bounds) -> None:
    model, x = tanh().to(dtype), examples(20, dtype=dtype)
    found = attacked(model, x, Untargeted(model(x).argmax(1)), bounds)
    assert found.success.float().mean() > 0.9
    assert found.info["c"].dtype == torch.float32


@FAST_MODE
def test_a_logit_type_other_than_the_inputs_is_taken(options: dict) -> None:
    model, x = tanh().float(), examples(5, dtype=torch.float32)
    found = attacked(lambda x: model(x).double(), x, Untargeted(model(x).argmax(1)), **options)
    assert found.success.all()


@FAST_MODE
@pytest.mark.parametrize("layer", ["", "0", "1"])
def test_hidden_layers_are_attacked_with_their_own_rows(options: dict, layer: str) -> None:
    model, x = tanh(), examples(20)
    hidden = {"": x, "0": model[0](x), "1": model[1](model[0](x))}[layer]
    bounds = {"": Bounds(), "0": UNBOUNDED, "1": Bounds(-1.0, 1.0)}[layer]
    upper = tail(model, layer, x)
    y = other_labels(model, x)
    found = attacked(upper, hidden, Targeted(y), bounds, **options, batch_size=6)
    assert found.success.float().mean() > 0.8
    above = nn.Sequential(*list(model)[{"": 0, "0": 1, "1": 2}[layer] :])
    plain = attacked(above, hidden, Targeted(y), bounds, **options)
    torch.testing.assert_close(found.adversarial, plain.adversarial)


@FAST_MODE
def test_a_model_that_takes_rows_is_given_the_right_ones(options: dict) -> None:
    weights = torch.randn(
        30, 3, FEATURES, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )

    class Own:
        takes_rows = True

        def __call__(self, x: Tensor, rows: Tensor | None = None) -> Tensor:
            rows = torch.arange(len(x)) if rows is None else rows
            return torch.einsum("nci,ni->nc", weights[rows], x)

    model, x = Own(), examples(30)
    y = model(x).argmax(1)
    y[::5] = (y[::5] + 1) % 3  # some are met already, so that the rows attacked are not all
    found = attacked(model, x, Untargeted(y), UNBOUNDED, **options, batch_size=4)
    assert found.success.all()
    assert torch.equal(found.success, Untargeted(y).met(model(found.adversarial)))
    for row in (1, 17, 29):
        alone = attacked(
            lambda x, row=row: x @ weights[row].T,
            x[row : row + 1],
            Untargeted(y[row : row + 1]),
            UNBOUNDED,
            **options,
        )
        torch.testing.assert_close(found.adversarial[row : row + 1], alone.adversarial)


BOXES = {
    "channel": Bounds([0.0, -1.0], [1.0, 0.5]),
    "element": Bounds(torch.zeros(2, 3, 2), torch.linspace(0.5, 2, 12).view(2, 3, 2)),
    "mixed": Bounds(-math.inf, [1.0, math.inf]),
    "half infinite": Bounds(0.0, math.inf),
}


@FAST_MODE
@pytest.mark.parametrize("box", BOXES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_boxes_of_every_kind_are_kept_to_the_last_bit(
    options: dict, box: str, dtype: torch.dtype
) -> None:
    bounds = BOXES[box]
    model, x = nn.Sequential(nn.Flatten(), tanh()).to(dtype), examples(20, 2, 3, 2, dtype=dtype)
    x = bounds.clamp(x)
    found = attacked(model, x, Untargeted(model(x).argmax(1)), bounds, **options)
    assert found.success.float().mean() > 0.7


@FAST_MODE
def test_a_box_without_an_interior_has_no_example(options: dict) -> None:
    model, x = tanh(), examples(1)
    found = attacked(model, x, Untargeted(model(x).argmax(1)), Bounds(x[0], x[0]), **options)
    assert found.info["status"].tolist() == [Outcome.NOT_FOUND]
    assert found.queries[0] < 200


@FAST_MODE
def test_one_coordinate_and_two_classes_reach_the_boundary(options: dict) -> None:
    x = torch.tensor([[0.2], [0.9]], dtype=torch.float64)
    found = attacked(
        lambda x: torch.cat([x, 1 - x], 1) * 10, x, Targeted(torch.tensor([0, 1])), **options
    )
    assert found.success.all()
    torch.testing.assert_close(found.adversarial, torch.full_like(x, 0.5), atol=1e-2, rtol=0)


@FAST_MODE
def test_examples_met_already_are_handed_back_and_the_model_sees_no_empty_batch(
    options: dict,
) -> None:
    net, x = tanh(), examples(5)

    def model(x: Tensor) -> Tensor:
        assert len(x)
        return net(x)

    y = net(x).argmax(1)
    found = attacked(model, x, Targeted(y), **options)
    assert (found.info["status"] == Outcome.ALREADY).all()
    assert torch.equal(found.adversarial, x)
    assert (found.info["target"] == -1).all()
    attacked(model, x, Untargeted((y + 1) % CLASSES), **options)


@EVERY_MODE
def test_one_column_of_logits_is_refused(options: dict) -> None:
    model, x = Linear(FEATURES, 1), examples(3)
    with pytest.raises(ValueError, match=r"one column of logits.*torch.cat\(\[-z, z\], 1\)"):
        BoxLBFGS(**options)(model, x, Untargeted(torch.zeros(3).long()))


@FAST_MODE
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_rows_that_are_not_finite_harm_no_other(options: dict, bad: float) -> None:
    net, x = tanh(), examples(12)
    spoilt = torch.arange(12) % 4 == 1
    marked = x.clone()
    marked[spoilt, 0] = bad
    y = other_labels(net, x)
    found = attacked(
        lambda x: torch.where(x[:, :1].isfinite(), net(x.nan_to_num(0, 0, 0)), math.nan),
        marked, Targeted(y), UNBOUNDED, **options, batch_size=5,
    )  # fmt: skip
    assert torch.equal(found.info["status"] == Outcome.NOT_FINITE, spoilt)
    alone = attacked(net, x[~spoilt], Targeted(y[~spoilt]), UNBOUNDED, **options)
    torch.testing.assert_close(found.adversarial[~spoilt], alone.adversarial)


@FAST_MODE
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_models_that_break_down_away_from_the_image_end_with_what_there_is(
    options: dict, bad: float
) -> None:
    net, x = tanh(), examples(20)
    shaky, reach = torch.arange(20) % 2 == 0, 0.05

    class Shaky:
        takes_rows = True

        def __call__(self, now: Tensor, rows: Tensor | None = None) -> Tensor:
            rows = torch.arange(20) if rows is None else rows
            far = (now.detach() - x[rows]).norm(dim=1) > reach
            return net(now).masked_fill((far & shaky[rows]).unsqueeze(1), bad)

    if options["mode"] == "paper":
        options = {**options, "tolerances": Tolerances(steps=5)}
    criterion = Untargeted(net(x).argmax(1))
    found = attacked(Shaky(), x, criterion, candidates=1, **options)
    sure = attacked(net, x[~shaky], criterion.select(~shaky), candidates=1, **options)
    torch.testing.assert_close(found.adversarial[~shaky], sure.adversarial)
    assert sure.success.any()
    assert ((found.adversarial - x).norm(dim=1)[shaky] <= reach).all()


@FAST_MODE
@pytest.mark.parametrize("level", [0.0, -5.0, 1e30])
def test_constant_models_end_without_an_example(options: dict, level: float) -> None:
    def model(x: Tensor) -> Tensor:
        return x[:, :3] * 0 + level

    found = attacked(model, examples(4), Targeted(torch.tensor([0, 1, 2, 1])), **options)
    expected = [Outcome.ALREADY, *[Outcome.NOT_FOUND] * 3]
    assert found.info["status"].tolist() == expected


@FAST_MODE
def test_a_saturated_model_ends(options: dict) -> None:
    model, x = tanh(), examples(6, dtype=torch.float32)
    model = model.float()
    steep = attacked(
        lambda x: model(x).mul(1e4).softmax(1), x, Untargeted(model(x).argmax(1)), **options
    )
    assert steep.success.shape == (6,)


@FAST_MODE
def test_status_tells_steps_used_up(options: dict) -> None:
    model, x = tanh(), examples(20)
    short = (
        {"stages": [Stage(0.1, 1e-9, 1e-3, 2)]}
        if options["mode"] == "fast"
        else {"tolerances": Tolerances(c=1e-12, distance=0.0)}
    )
    found = attacked(model, x, Untargeted(model(x).argmax(1)), **options, **short)
    assert (found.info["status"] == Outcome.STEPS).any()


@FAST_MODE
def test_more_candidates_than_wrong_labels_are_all_wrong_labels(options: dict) -> None:
    model, x = tanh(), examples(20)
    y = model(x).argmax(1)
    found = attacked(model, x, Untargeted(y), candidates=99, **options)
    assert found.success.all()
    tries = [attacked(model, x, Targeted((y + k) % CLASSES), **options) for k in (1, 2, 3)]
    nearest = torch.stack([t.distortion.where(t.success, torch.inf) for t in tries])
    torch.testing.assert_close(found.distortion, nearest.amin(0))
    assert torch.equal(found.info["target"], (y + 1 + nearest.argmin(0)) % CLASSES)
    assert torch.equal(model(found.adversarial).argmax(1), found.info["target"])
    # Labels that cannot win any more are given up.
    whole = sum(t.queries for t in tries)
    assert (found.queries <= whole).all()
    assert found.queries.sum() < 0.9 * whole.sum()


@FAST_MODE
def test_one_candidate_is_the_likeliest_wrong_label(options: dict) -> None:
    model, x = tanh(), examples(20)
    logits = model(x)
    found = attacked(model, x, Untargeted(logits.argmax(1)), candidates=1, **options)
    assert torch.equal(found.info["target"], logits.topk(2).indices[:, 1])


@FAST_MODE
def test_the_same_call_twice_is_bit_identical_and_leaves_no_trace(options: dict) -> None:
    model, x = tanh().requires_grad_(), examples(20)
    model[0].bias.grad = torch.ones(20).double()
    kept, random = x.clone(), torch.get_rng_state()
    criterion, attack = Untargeted(model(x).argmax(1)), BoxLBFGS(**options, batch_size=7)
    with torch.no_grad():
        first = attack(model, x, criterion)
    with torch.inference_mode():
        second = attack(model, x.clone(), criterion)
    assert torch.equal(first.adversarial, second.adversarial)
    for name, value in first.info.items():
        assert torch.equal(value.nan_to_num(-7), second.info[name].nan_to_num(-7)), name
    assert torch.equal(torch.get_rng_state(), random)
    assert torch.equal(x, kept)
    assert (model[0].bias.grad == 1).all()
    assert model[2].weight.grad is None
    assert not first.adversarial.requires_grad
    assert not any(value.requires_grad for value in first.info.values())


@FAST_MODE
def test_evaluations_are_all_that_the_model_is_asked_for(options: dict) -> None:
    net, x, asked = tanh(), examples(1), [0]

    def model(x: Tensor) -> Tensor:
        asked[0] += torch.is_grad_enabled()
        return net(x)

    found = attacked(model, x, Targeted(other_labels(net, x)), **options)
    assert found.queries.tolist() == asked


def test_progress_is_a_bar_on_standard_error(capfd: pytest.CaptureFixture[str]) -> None:
    model, x = tanh(), examples(9)
    attack = BoxLBFGS(progress=True, batch_size=4)
    attack(model, x, Targeted(other_labels(model, x)))
    out, err = capfd.readouterr()
    assert not out
    assert "9/9" in err
    BoxLBFGS()(model, x, Targeted(other_labels(model, x)))
    assert capfd.readouterr() == ("", "")


class Odd(Targeted):
    """A criterion of the user's own, which the attack can treat as its parent."""


class Either(Criterion):
    """The prediction is to become even."""

    def _met(self, predictions: Tensor) -> Tensor:
        return predictions % 2 == 0

    def loss(self, logits: Tensor) -> Tensor:
        return -logits[:, 0]

    def margin(self, logits: Tensor) -> Tensor:
        return -logits[:, 0]


def test_a_criterion_of_another_kind_is_refused_by_name() -> None:
    model, x = tanh(), examples(3)
    with pytest.raises(ValueError, match="must be Targeted or Untargeted, not Either"):
        BoxLBFGS()(model, x, Either(torch.zeros(3).long()))
    assert BoxLBFGS()(model, x, Odd(other_labels(model, x))).success.any()


@EVERY_MODE
@pytest.mark.parametrize("model", [lambda x: x.detach(), lambda x: (x > 0.5).double()])
def test_models_without_a_gradient_are_told(options: dict, model: Model) -> None:
    x = examples(3)
    with pytest.raises(ValueError, match=r"no gradient by the points.*no argmax, no detach"):
        BoxLBFGS(**options)(model, x, Targeted(other_labels(model, x)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "slow"}, "mode must be 'fast' or 'paper', not 'slow'"),
        ({"penalty": "cube"}, "penalty must be 'squared' or 'norm', not 'cube'"),
        ({"penalty": "norm"}, "penalty and tolerances belong to mode='paper'"),
        ({"tolerances": Tolerances()}, "penalty and tolerances belong to mode='paper'"),
        ({"mode": "paper", "stages": [Stage(1.0, 1e-2, 1e-2, 9)]}, "belong to mode='fast'"),
        ({"candidates": 0}, "candidates must be at least 1, not 0"),
        ({"batch_size": 0}, "batch_size must be at least 1, not 0"),
        ({"memory": 0}, "memory must be at least 1, not 0"),
        ({"stages": []}, "stages must hold at least one"),
    ],
)
def test_options_out_of_range_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BoxLBFGS(**options)


@pytest.mark.integration
@FAST_MODE
@settings(deadline=None, max_examples=8)
@given(
    seed=st.integers(0, 10**6),
    rows=st.integers(1, 6),
    features=st.integers(1, 9),
    classes=st.integers(2, 6),
    scale=st.sampled_from([1e-3, 1.0, 1e3]),
    batch_size=st.integers(1, 7),
    memory=st.integers(1, 6),
    dtype=st.sampled_from([torch.float32, torch.float64, torch.float16, torch.bfloat16]),
    width=st.sampled_from([0.0, 1e-3, 1.0, 100.0, math.inf]),
    targeted=st.booleans(),
    broken=st.sampled_from([None, math.nan, math.inf, -math.inf]),
)
def test_whatever_comes_no_promise_is_broken(
    options: dict,
    seed: int,
    rows: int,
    features: int,
    classes: int,
    scale: float,
    batch_size: int,
    memory: int,
    dtype: torch.dtype,
    width: float,
    targeted: bool,
    broken: float | None,
) -> None:
    fuzz(
        options, seed, rows, features, classes, scale, batch_size, memory, dtype, width, targeted,
        broken,
    )  # fmt: skip


def fuzz(
    options: dict,
    seed: int,
    rows: int,
    features: int,
    classes: int,
    scale: float,
    batch_size: int,
    memory: int,
    dtype: torch.dtype,
    width: float,
    targeted: bool,
    broken: float | None,
) -> Perturbation:
    if options["mode"] == "paper":
        options = {**options, "tolerances": Tolerances(steps=5)}
    source = torch.Generator().manual_seed(seed)
    net = seeded(
        lambda: nn.Linear(features, 8),
        nn.Tanh if seed % 2 else nn.ReLU,
        lambda: nn.Linear(8, classes),
        seed=seed,
    )
    net.requires_grad_(False).to(dtype)
    walls = torch.rand(classes, generator=source)

    def model(x: Tensor) -> Tensor:
        logits = net(x) * scale
        if broken is None:
            return logits
        # Beyond a wall, one of the logits breaks down.
        beyond = (x[:, 0] - walls[0]).abs() > 0.4
        spoilt = logits.clone()
        spoilt[:, seed % classes] = logits[:, seed % classes].masked_fill(beyond, broken)
        return spoilt

    lower = torch.randn(features, generator=source)
    fixed = torch.rand(features, generator=source) < 0.2
    upper = torch.where(fixed, lower, lower + width)
    lower = lower.masked_fill(torch.rand(features, generator=source) < 0.1, -math.inf)
    bounds = Bounds(lower, upper)
    x = bounds.clamp(torch.randn(rows, features, generator=source).to(dtype))
    # Any label: met already for some.
    labels = torch.randint(classes, (rows,), generator=source)
    criterion = Targeted(labels) if targeted else Untargeted(labels)
    return attacked(model, x, criterion, bounds, batch_size=batch_size, memory=memory, **options)


def test_tied_logits_of_zero_are_left_for_the_target() -> None:
    torch.manual_seed(0)
    model = nn.Linear(64, 10, bias=False)
    found = BoxLBFGS()(model, torch.zeros(4, 64), Targeted(torch.tensor([3, 4, 5, 6])))
    assert bool(found.success.all())


def test_batch_without_examples_has_the_same_columns() -> None:
    model = nn.Linear(3, 2)
    x, labels = torch.rand(2, 3), torch.tensor([0, 1])
    whole = BoxLBFGS()(model, x, Targeted(labels)).info
    none = BoxLBFGS()(model, x[:0], Targeted(labels[:0])).info
    assert {name: column.dtype for name, column in none.items()} == {
        name: column.dtype for name, column in whole.items()
    }


def test_images_of_integers_are_refused() -> None:
    with pytest.raises(ValueError, match=r"uint8: convert them.* by x\.float\(\) / 255"):
        BoxLBFGS()(nn.Linear(3, 2), torch.zeros(1, 3).byte(), Targeted(torch.tensor([0])))


def test_random_starts_never_lose_what_was_found_and_sometimes_find_nearer_examples() -> None:
    net, x = relu(), examples(40)
    labels = net(x).argmax(1)
    once = BoxLBFGS()(net, x, Untargeted(labels))
    often = BoxLBFGS(random_starts=3)(net, x, Untargeted(labels))
    assert once.success.all()
    assert often.success.all()
    # Drawing toward the clean example goes on from the same point: no rounding between them.
    assert (often.distortion <= once.distortion).all()
    assert (often.distortion < 0.999 * once.distortion).any()
    assert (often.queries > once.queries).all()


def test_random_starts_come_from_the_generator_and_belong_to_the_fast_mode() -> None:
    net, x = relu(), examples(10)
    labels = net(x).argmax(1)
    attack = BoxLBFGS(random_starts=2)

    def found(seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        return attack(net, x, Untargeted(labels), generator=generator).adversarial

    state = torch.get_rng_state()
    assert torch.equal(found(1), found(1))
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(found(1), found(2))
    with pytest.raises(ValueError, match="random_starts belong to mode='fast'"):
        BoxLBFGS("paper", random_starts=1)
    with pytest.raises(ValueError, match="random_starts must be at least 0"):
        BoxLBFGS(random_starts=-1)
