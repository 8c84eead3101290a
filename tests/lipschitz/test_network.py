import math
from collections.abc import Callable
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional

from lit_intriguing.lipschitz import dense_layers, network_norm, operator_norm
from lit_intriguing.lipschitz.norm import ONE, Norm
from lit_intriguing.models import Classifier, SparseAutoencoder
from lit_intriguing.splice import add_forward_hook


class Branches(nn.Module):
    """Residual, concatenating, with a layer used twice and functions in between."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.second = nn.Linear(4, 4)
        self.norm = nn.BatchNorm1d(4)
        self.scale = nn.Parameter(torch.randn(4))
        self.last = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        hidden = functional.relu(self.norm(self.first(x)))
        hidden = x + self.scale * torch.tanh(self.second(hidden))
        hidden = hidden - 0.5 * self.second(hidden).sigmoid()
        return self.last(torch.cat([hidden, x[:, [0, 0, 1, 3]].mean(1, keepdim=True) + x], 1))


class Images(nn.Module):
    """Convolutions with batch normalisation, pools and a shape that Python looks at."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(2, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.conv2 = nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.last = nn.Linear(4 * 3 * 3, 3)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1] != 2:
            raise ValueError("two channels")
        x = functional.max_pool2d(functional.relu(self.norm(self.conv1(x)), inplace=True), 2)
        x = x.clone()
        x += functional.leaky_relu(self.conv2(functional.pad(x, (0, 0))))
        return functional.log_softmax(self.last(x.flatten(1)), 1)


def seeded(make: type[nn.Module], seed: int) -> nn.Module:
    torch.manual_seed(seed)
    model = make().double().eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.uniform_(module.running_var, 0.2, 2)
            nn.init.normal_(module.weight)
    return model


def steepest(model: nn.Module, shape: tuple[int, ...], steps: int = 40) -> float:
    """The largest norm of the Jacobian on the way of a gradient ascent from random points."""
    best = 0.0
    for scale in (0.3, 1.0, 3.0):
        x = (scale * torch.randn(shape, dtype=torch.float64)).requires_grad_()
        for _ in range(steps):
            jacobian = torch.autograd.functional.jacobian(
                lambda x: model(x[None])[0], x, create_graph=True
            )
            norm = torch.linalg.matrix_norm(jacobian.reshape(-1, math.prod(shape)), 2)
            best = max(best, float(norm.detach()))
            (gradient,) = torch.autograd.grad(norm, x)
            x = (x + 0.1 * gradient).detach().requires_grad_()
    return best


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("make", "shape"), [(Branches, (4,)), (Images, (2, 6, 6))])
def test_no_jacobian_found_by_search_is_above_the_bound(make, shape, seed) -> None:  # type: ignore[no-untyped-def]
    model = seeded(make, seed)
    found = steepest(model, shape, 10)
    bound = network_norm(model, shape)
    assert bound.norm.finite
    assert found <= bound.product.value
    assert found > bound.product.value / 200


class Chain(nn.Module):
    def __init__(self, *calls) -> None:  # type: ignore[no-untyped-def]
        super().__init__()
        self.calls = calls

    def forward(self, x: Tensor) -> Tensor:
        for call in self.calls:
            x = call(x)
        return x


WEIGHT = torch.randn(6, 6, generator=torch.Generator().manual_seed(0)).double()
LINEAR = {
    "sum of the same twice": (lambda x: x + x, 1.0),
    "difference": (lambda x: 2 * x - torch.roll(x, 1, 1), 1.001),
    "alpha": (lambda x: torch.add(torch.ones(6), x, alpha=-3), 1.0),
    "constant first": (lambda x: 1 - x / 4, 1.0),
    "division": (lambda x: x / 3, 1.0),
    "division by keywords": (lambda x: torch.div(input=x, other=3.0), 1.0),
    "largest": (lambda x: torch.topk(x, 6, 1).values, 1.0),
    "constants": (lambda x: x * torch.arange(6.0) + torch.ones(6), 1.0),
    "matrix": (lambda x: x @ WEIGHT, 1.0),
    "matrix from the left": (lambda x: (WEIGHT @ x.mT).mT, 1.0),
    "linear": (lambda x: functional.linear(x, WEIGHT[:3]), 1.0),
    "mean": (lambda x: x.mean(1), 1.0),
    "sum": (lambda x: x.view(-1, 2, 3).sum((1, 2)), 1.0),
    "sum of pairs": (lambda x: x.unflatten(1, (2, 3)).sum(1), 1.0),
    "expansion": (lambda x: x[:, None].expand(-1, 5, -1), 1.0),
    "broadcast": (lambda x: x[:, :1] * torch.ones(5), 1.0),
    "broadcast sum": (lambda x: x[:, :1] + torch.ones(5), 1.0),
    "indices": (lambda x: x[:, [0, 1, 1, 1, 5]], 1.0),
    "reflection": (lambda x: functional.pad(x, (2, 2), mode="reflect"), 1.0),
    "zeros": (lambda x: functional.pad(x, (1, 1)), 1.0),
    "parts": (lambda x: torch.cat(x.chunk(2, 1)[::-1], 1), math.sqrt(2) + 1e-9),
    "stack": (lambda x: torch.stack([x, -x, x]), 1.0),
    "choice": (lambda x: torch.where(torch.arange(6) > 2, x, 2 * x), math.sqrt(5) / 2 + 1e-9),
    "convolution": (
        lambda x: functional.conv1d(x[:, None], WEIGHT[:2, None, :3], stride=2, padding=1),
        1.01,
    ),
    "pool": (lambda x: functional.avg_pool1d(x[:, None], 3, 1), 1.001),
    "shape of another": (lambda x: x * torch.ones_like(x) * 2, 1.0),
    "in place": (lambda x: x.clone().mul_(2).add_(1), 1.0),
}


@pytest.mark.parametrize("name", LINEAR)
def test_a_linear_function_has_the_norm_of_its_matrix(name: str) -> None:
    call, loose = LINEAR[name]

    def widened(x: Tensor) -> Tensor:
        return call(x.double() if x.dtype != torch.float64 else x)

    model = Chain(widened)
    jacobian = torch.autograd.functional.jacobian(
        lambda x: widened(x[None]), torch.zeros(6, dtype=torch.float64)
    )
    true = torch.linalg.matrix_norm(jacobian.reshape(-1, 6), 2).item()
    bound = network_norm(model, (6,)).product.value
    assert true * (1 - 1e-14) <= bound <= true * loose * (1 + 1e-9)


FACTORS = {
    "python": (lambda x: x * 3.3, Fraction(3.3)),
    "python, first": (lambda x: 3.3 * x, Fraction(3.3)),
    "small": (lambda x: x * 1e-50, Fraction(1e-50)),
    "whole": (lambda x: x * 3**40, Fraction(3**40)),
    "divisor": (lambda x: x / 3.3, 1 / Fraction(3.3)),
    "whole divisor": (lambda x: x / 3**40, Fraction(1, 3**40)),
    "computed": (lambda x: x * (torch.tensor(0.1) * 10), Fraction(float(torch.tensor(0.1))) * 10),
    "computed divisor": (
        lambda x: x / (torch.tensor(0.1) * 10),
        1 / (Fraction(float(torch.tensor(0.1))) * 10),
    ),
}


@pytest.mark.parametrize("name", FACTORS)
def test_a_factor_is_not_rounded_downwards(name: str) -> None:
    call, true = FACTORS[name]
    found = network_norm(Chain(call), (3,)).product
    assert Fraction(found.value) >= true
    assert found.value == pytest.approx(float(true), rel=2e-5 if "computed" in name else 1e-15)
    assert found.kind == ("upper" if "computed" in name else "exact")


@pytest.mark.parametrize("how", ["linear", "matmul", "conv1d"])
def test_weights_that_the_forward_pass_computes_are_bounded_with_a_margin(how: str) -> None:
    weight = WEIGHT.float()
    calls: dict[str, Callable[[Tensor], Tensor]] = {
        "linear": lambda x: functional.linear(x, weight * 10),
        "matmul": lambda x: x @ (weight * 10).T,
        "conv1d": lambda x: functional.conv1d(x[..., None], weight[..., None] * 10),
    }
    found = network_norm(Chain(calls[how]), (6,)).product
    true = torch.linalg.matrix_norm(weight.double() * 10, 2).item()
    assert true <= found.value <= true * (1 + 1e-4)
    assert found.kind == "upper"


UNBOUNDED = {
    "mul: a product of two values": lambda x: x * torch.sigmoid(x),
    "matmul: a product of two values": lambda x: x @ x.mT,
    "pow: no rule": lambda x: x**2,
    "rdiv: no rule": lambda x: 1 / x,
    "linear: not its first": lambda x: functional.linear(torch.ones(2, 6), x),
    "to: its result jumps": lambda x: x.to(torch.int64).float(),
    "gt: its result jumps": lambda x: torch.where(x > 0, x, 0.0),
    "reads bits": lambda x: x.view(torch.int32).view(torch.float32),
    "drops at random": lambda x: functional.dropout(x, 0.5),
    "is random": lambda x: x * torch.randn(6),
    "takes the batch's statistics": lambda x: functional.batch_norm(
        x.view(1, 2, 3), None, None, training=True
    ),
    "scaled_dot_product_attention: ": lambda x: functional.scaled_dot_product_attention(x, x, x),
    "division by zero": lambda x: x / 0,
    "div: ": lambda x: x / 1e-320,
    "mul: a constant that is empty or not finite": lambda x: x * math.inf,
    "topk: not sorted": lambda x: x.topk(3, sorted=False).values,
    "topk: not sorted, its numbers": lambda x: torch.topk(x, 3, 1, True, False)[0],
    "mul_2: writes into another": lambda x: (
        torch.mul(torch.ones(1, 6), torch.ones(6), out=x * 1) + x
    ),
    "index_select: writes into another": lambda x: torch.index_select(
        x, 1, torch.tensor([0, 0]), out=torch.empty(1, 2)
    ),
    "changed in place": lambda x: [v := x[:, :3], v.mul_(2), x][-1],
    "needs the values of its input": lambda x: x if x.sum() > 0 else -x,
    "numpy of a tensor": lambda x: torch.from_numpy(x.numpy()),
    "cannot be followed": lambda x: x.nothing(),
}


@pytest.mark.parametrize("reason", UNBOUNDED)
def test_what_has_no_rule_is_infinite_and_named(reason: str) -> None:
    found = network_norm(Chain(UNBOUNDED[reason]), (6,))
    assert found.product.value == math.inf
    assert reason in found.product.reason


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda x: x**2, "pow: no rule for this function"),
        (lambda x: x.mul(2).mul(x), "mul_2: a product of two values"),
        (lambda x: x @ x.mT, "matmul: a product of two values"),
        (lambda x: x.to(torch.int64).float(), "to: its result jumps from number to number"),
        (
            lambda x: functional.lp_pool2d(x.view(1, 2, 3), 3, 2),
            "lp_pool2d: norm_type = 3 is neither 1 nor even",
        ),
    ],
)
def test_a_reason_says_the_name_once(call: Callable[[Tensor], Tensor], reason: str) -> None:
    assert network_norm(Chain(call), (6,)).product.reason.startswith(reason)
    inside = network_norm(nn.Sequential(Chain(call)), (6,)).product.reason
    assert inside.startswith(f"0.{reason}")


def test_a_layer_that_refuses_its_shape_is_named_once() -> None:
    def wants_more(module: nn.Module, shape: tuple[int, ...] | None) -> Norm:
        raise ValueError(f"{type(module).__name__}: wants more.")

    model = nn.Sequential(nn.Tanh())
    found = network_norm(model, (3,), layer_norm=wants_more)
    assert found.product.reason == "0: Tanh: wants more."


def test_a_residual_block_gives_one_more_than_what_is_in_it() -> None:
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(5, 5)

        def forward(self, x: Tensor) -> Tensor:
            return x + self.inner(x)

    model = Residual()
    assert network_norm(model, (5,)).product.value == 1 + operator_norm(model.inner).value


def test_control_flow_on_values_leaves_the_layers_own_bounds() -> None:
    class Decides(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 2)

        def forward(self, x: Tensor) -> Tensor:
            x = self.first(x)
            return self.second(x if x.max() > 0 else -x)

    found = network_norm(Decides(), (3,))
    assert found.product.reason.startswith("Decides: needs the values of its input")
    assert [(layer.name, layer.input_shape) for layer in found.layers] == [
        ("first", (3,)),
        ("second", None),
    ]
    assert all(layer.norm.finite for layer in found.layers)


def test_a_batch_norm_is_folded_where_nothing_else_uses_the_layer() -> None:
    alone = seeded(Images, 0)
    names = {layer.name: layer for layer in network_norm(alone, (2, 6, 6)).layers}
    assert names["norm"].note == "folded into conv1"
    assert names["norm"].norm == ONE

    class Twice(Images):
        def forward(self, x: Tensor) -> Tensor:
            x = self.conv1(x)
            return self.norm(x) + x

    found = {layer.name: layer for layer in network_norm(seeded(Twice, 0), (2, 6, 6)).layers}
    assert found["norm"].note == ""
    assert found["norm"].norm == operator_norm(seeded(Twice, 0).norm)


def test_a_module_used_twice_is_listed_once_and_counts_twice() -> None:
    linear = nn.Linear(3, 3, bias=False)
    found = network_norm(nn.Sequential(linear, linear), (3,), joint=False)
    assert [layer.name for layer in found.layers] == ["0"]
    assert found.product.value == pytest.approx(operator_norm(linear).value ** 2)


def test_a_sequential_is_bounded_as_a_layer_too() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Sequential(nn.Linear(4, 2)))
    assert operator_norm(model, (3,)) == network_norm(model, (3,)).product
    assert operator_norm(model) == operator_norm(model, (3,))


def test_several_outputs_count_as_one() -> None:
    single = network_norm(Chain(lambda x: 3 * x), (2,)).product.value
    model = Chain(lambda x: {"a": 3 * x, "b": (4 * x, "c")})
    assert network_norm(model, (2,)).product.value == pytest.approx(single * 5 / 3)


def test_tensors_may_hide_in_an_output_that_is_not_looked_into() -> None:
    model = Chain(lambda x: (x, SimpleNamespace(more=100 * x)))
    found = network_norm(model, (2,)).product
    assert found.value == math.inf
    assert found.reason == "returns a SimpleNamespace, which is not looked into"
    assert network_norm(Chain(lambda x: [x, None, "a", 1.0]), (2,)).product.value == 1.0


@pytest.mark.parametrize(
    "call",
    [
        lambda x: x + torch.rand(6),
        lambda x: torch.maximum(x, torch.randn(6)),
        lambda x: x.masked_fill(torch.rand(6) > 0.5, 0.0),
        lambda x: torch.where(torch.rand(6) > 0.5, x, 0.0),
        lambda x: functional.linear(x, torch.ones(2, 6), torch.rand(2)),
        lambda x: x[:, torch.randperm(6)],
    ],
)
def test_what_is_random_has_no_constant(call: Callable[[Tensor], Tensor]) -> None:
    found = network_norm(Chain(call), (6,)).product
    assert found.value == math.inf
    assert "random" in found.reason


def test_the_table_has_a_row_for_each_layer_and_the_network() -> None:
    found = network_norm(nn.Sequential(nn.Linear(3, 4), nn.Sigmoid(), nn.LSTM(4, 2)), (3,))
    columns, rows = found.table()
    assert columns == ["layer", "type", "input", "norm", "kind", "note"]
    assert [row[:3] for row in rows] == [
        ["0", "Linear", "3"],
        ["1", "Sigmoid", "4"],
        ["2", "LSTM", "4"],
        ["network", "product", ""],
    ]
    assert rows[2][3:5] == [math.inf, "unknown"]
    lines = [line.split() for line in str(found).splitlines()]
    assert lines[0] == columns
    assert lines[2][:4] == ["1", "Sigmoid", "4", "0.25"]
    assert lines[3][:5] == ["2", "LSTM", "4", "inf", "unknown"]


@pytest.mark.parametrize("attached", [False, True])
def test_our_models_are_bounded_and_stay_as_they_are(attached: bool) -> None:
    model = Classifier(widths=[6, 5, 4, 3], dropout=[0.1, 0.2, 0.3]).train()
    model.hidden1.eval()
    if attached:
        model._trainer = SimpleNamespace()  # type: ignore[assignment]
    state = {name: value.clone() for name, value in model.state_dict().items()}
    attributes = {name: dict(vars(module)) for name, module in model.named_modules()}
    calls: list[object] = []
    add_forward_hook(model.output, lambda *given: calls.append(given))
    seed = torch.get_rng_state()
    with torch.inference_mode():
        found = network_norm(model, (2, 3))
    assert found.norm.finite
    assert torch.equal(seed, torch.get_rng_state())
    assert not calls
    assert attributes == {name: dict(vars(module)) for name, module in model.named_modules()}
    assert all(torch.equal(state[name], value) for name, value in model.state_dict().items())
    assert all(value.grad is None for value in model.parameters())


def test_the_joint_bound_of_a_stack_lies_between_the_truth_and_the_product() -> None:
    torch.manual_seed(0)
    model = SparseAutoencoder(inputs=8, units=6).double()
    found = network_norm(model, (8,))
    assert found.joint is not None
    assert steepest(model, (8,)) <= found.joint.value < found.product.value
    assert found.norm == found.joint
    assert network_norm(model, (8,), joint=False).joint is None


def test_dense_layers_are_found_with_slopes_and_folded_batch_norms() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Flatten(),
        nn.Linear(6, 5),
        nn.BatchNorm1d(5),
        nn.Sigmoid(),
        nn.Dropout(),
        nn.Linear(5, 2),
    ).eval()
    nn.init.normal_(model[2].weight)
    stack = dense_layers(model, (2, 3))
    assert stack is not None
    assert [(name, slopes) for name, _, slopes in stack] == [("1", (0.0, 0.25)), ("5", (1.0, 1.0))]
    x = torch.randn(4, 6)
    expected = model[2](model[1](x)) - model[2](model[1](0 * x))
    torch.testing.assert_close(x.double() @ stack[0][1].T, expected.double(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "model",
    [
        nn.Sequential(nn.Linear(4, 4), nn.Softmax(1)),
        nn.Sequential(nn.ReLU(), nn.Linear(4, 4)),
        nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Tanh(), nn.Linear(4, 4)),
        Branches(),
        nn.Sequential(nn.ReLU()),
    ],
)
def test_what_is_no_stack_of_dense_layers_has_none(model: nn.Module) -> None:
    assert dense_layers(model, (4,)) is None
    assert network_norm(model, (4,)).joint is None


@pytest.mark.parametrize(
    ("model", "shape", "message"),
    [
        (nn.Linear(3, 2), (), "shape of one example"),
        (nn.Linear(3, 2), (0,), "shape of one example"),
        (
            nn.Sequential(nn.Linear(3, 2)),
            (4,),
            r"does not take an example of shape \(4,\): in 0 \(",
        ),
        (Classifier(widths=[4, 2]), (5,), "UserError: the inputs have 5 features"),
        (Chain(lambda x: 3), (2,), "returns no tensor but a int"),
        (nn.Linear(3, 2, device="meta"), (3,), "weight is on the meta device"),
        (nn.LazyLinear(2), (3,), "weight has no shape yet"),
    ],
)
def test_bad_input_is_said_clearly(model: nn.Module, shape, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=message):
        network_norm(model, shape)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_weights_that_are_no_numbers_are_infinite_and_named(bad: float) -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.ReLU())
    nn.init.constant_(model[0].weight, bad)
    assert network_norm(model, (3,)).product.reason.startswith("0: Linear: ")


def test_complex_weights_are_bounded_or_named_as_for_the_layer_alone() -> None:
    linear = nn.Linear(3, 2, dtype=torch.complex64)
    alone = operator_norm(linear, (3,))
    found = network_norm(nn.Sequential(linear), (3,)).product
    assert found.value == alone.value
    assert found.reason == ("" if alone.finite else f"0: {alone.reason}")


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2"])
def test_each_layer_of_a_torchvision_model_is_met(name: str) -> None:
    from lit_intriguing.lipschitz.graphs.tracing import traced
    from lit_intriguing.lipschitz.unwrapped import unwrapped

    model = getattr(torchvision.models, name)(weights=None)
    graph = traced(unwrapped(model), (3, 224, 224))
    assert not graph.failure
    met = {node.name for node in graph.live if isinstance(node.target, nn.Module)}
    layers = {n for n, m in model.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)}
    assert layers <= met


def spread(norm: nn.Module, variances: list[float]) -> nn.Module:
    norm.running_var.copy_(torch.tensor(variances))
    return norm


def matrix_norm(model: nn.Module, shape: tuple[int, ...]) -> float:
    model = model.double().eval()
    jacobian = torch.autograd.functional.jacobian(
        lambda x: model(x[None]), torch.zeros(shape, dtype=torch.float64)
    )
    return torch.linalg.matrix_norm(jacobian.reshape(-1, math.prod(shape)), 2).item()


def dense(rows: list[list[float]]) -> nn.Linear:
    layer = nn.Linear(len(rows[0]), len(rows), bias=False)
    layer.weight.data = torch.tensor(rows)
    return layer


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (
            nn.Sequential(dense([[1.0, 0.0], [0.0, 0.0]]), spread(nn.BatchNorm1d(2), [1.0, 1e-4])),
            (2, 2),
        ),
        (
            nn.Sequential(
                dense([[1.0, 0.0], [0.0, 1e-3]]),
                nn.Unflatten(1, (2, 1)),
                spread(nn.BatchNorm1d(2), [1.0, 1e-4]),
                nn.Flatten(),
                nn.Linear(2, 2),
            ),
            (2,),
        ),
    ],
)
def test_a_batch_norm_over_another_dimension_than_the_layers_is_not_folded_wrongly(
    model: nn.Module, shape: tuple[int, ...]
) -> None:
    found = network_norm(model, shape)
    true = matrix_norm(model, shape)
    assert found.norm.finite
    assert found.norm.value >= true * (1 - 1e-12)


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (
            nn.Sequential(
                nn.Linear(4, 8),
                nn.Unflatten(1, (2, 2, 2)),
                nn.BatchNorm2d(2),
                nn.ReLU(),
                nn.ConvTranspose2d(2, 3, 4, 2, 1),
            ),
            (4,),
        ),
        (nn.Sequential(nn.Linear(4, 6), nn.Unflatten(1, (2, 3)), nn.BatchNorm1d(2)), (4,)),
        (Chain(nn.Linear(4, 4), lambda x: x.view(-1, 2), nn.Linear(2, 2)), (4,)),
        (
            nn.Sequential(nn.Linear(3, 4, dtype=torch.cfloat), nn.Linear(4, 2, dtype=torch.cfloat)),
            (3,),
        ),
    ],
)
def test_a_network_that_only_resembles_a_stack_keeps_its_product(
    model: nn.Module, shape: tuple[int, ...]
) -> None:
    assert dense_layers(model, shape) is None
    found = network_norm(model, shape)
    assert found.product.finite
    assert found.joint is None


def test_a_layer_called_with_more_than_its_input_is_unknown() -> None:
    class Sized(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.up = nn.ConvTranspose1d(1, 1, 3, stride=2, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            return self.up(x, output_size=[2 * x.shape[-1]])

    reason = network_norm(Sized(), (1, 4)).product.reason
    assert reason == "up: it is called with more than its input"

    class Keyword(Sized):
        def forward(self, x: Tensor) -> Tensor:
            return self.up(input=x, output_size=None)

    assert network_norm(Keyword(), (1, 4)).product.finite


def test_a_batch_norm_behind_a_pool_is_bounded_by_itself() -> None:
    model = nn.Sequential(nn.LPPool2d(2, 2), nn.BatchNorm2d(3)).eval()
    found = network_norm(model, (3, 4, 4))
    assert found.product.finite
    assert [layer.note for layer in found.layers] == [""] * len(found.layers)


class Convolved(nn.Module):
    """A convolution as a layer, with a batch normalisation, one as a function, and their sum.

    They are too large to be written out as matrices, which would be the smaller bound.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.weight = nn.Parameter(torch.randn(8, 8, 3, 3) / 8)
        self.last = nn.Linear(16, 16)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.norm(self.conv(x)))
        return self.last(x + functional.conv2d(x, self.weight, padding=1))


def test_probable_bounds_compose_with_certified_ones_and_their_risks_add_up() -> None:
    model = seeded(Convolved, 0)
    found = network_norm(model, (8, 16, 16), method="probable")
    kinds = {layer.name: layer.norm.kind for layer in found.layers}
    assert kinds == {"conv": "probable", "norm": "exact", "conv2d": "probable", "last": "exact"}
    assert found.norm == found.product
    assert found.norm.kind == "probable"
    assert found.norm.risk == pytest.approx(2e-9)
    certified = network_norm(model, (8, 16, 16))
    assert certified.norm.kind == "upper"
    assert found.norm.value == pytest.approx(certified.norm.value, rel=1e-2)
    table = found.table()[1]
    assert [row[4] for row in table if row[0] in ("conv", "network")] == [
        "probable, 1 - 1e-9", "probable, 1 - 2e-9",
    ]  # fmt: skip


def test_a_sequence_is_asked_for_the_probable_bound_of_what_is_in_it() -> None:
    model = nn.Sequential(nn.Conv2d(8, 8, 3), nn.Conv2d(8, 8, 3))
    assert operator_norm(model, (8, 16, 16), method="probable").risk == pytest.approx(2e-9)
    assert operator_norm(model, method="probable").kind == "upper"  # wants a shape


def test_another_method_is_refused_before_the_model_is_followed() -> None:
    with pytest.raises(ValueError, match="the method is certified or probable, not 'exact'"):
        network_norm(nn.LSTM(3, 4), (0,), method="exact")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("model", "shape", "message"),
    [
        (lambda x: 2 * x, (3,), r"bounds a torch\.nn\.Module, not a function"),
        (torch.zeros(3, 3), (3,), r"bounds a torch\.nn\.Module, not a Tensor"),
        (nn.Linear(48, 2), 48, r"without the batch: write \(48,\)"),
    ],
)
def test_other_arguments_are_refused_in_one_line(model: Any, shape: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        network_norm(model, shape)
