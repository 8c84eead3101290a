"""What a forward pass may do behind the back of torch's functions makes a bound infinite."""

import contextlib
import functools
import math
from collections.abc import Callable, Iterator
from types import MethodType
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from lit_intriguing.lipschitz import network_norm, operator_norm
from lit_intriguing.lipschitz.unwrapped import unwrapped


class Own(nn.Module):
    """A module whose forward is a function of it and of the example."""

    def __init__(self, call: Callable[[Any, Tensor], Any], **attributes: Any) -> None:
        super().__init__()
        for name, value in attributes.items():
            setattr(self, name, value)
        self.call = call

    def forward(self, x: Tensor) -> Any:
        return self.call(self, x)


def steepest(model: nn.Module, scale: float = 1.0, dtype: torch.dtype = torch.float64) -> float:
    """The greatest quotient of differences at random places."""
    torch.manual_seed(0)
    model = model.eval().to(dtype)
    best = 0.0
    with torch.no_grad():
        for _ in range(50):
            x, d = torch.randn(2, 1, 3, dtype=dtype)
            x, d = scale * x, scale * 1e-4 * d
            best = max(best, float((model(x + d) - model(x)).norm() / d.norm()))
    return best


def in_place(y: Tensor, change: Callable[[Tensor], Any]) -> Tensor:
    change(y)
    return y


def without_functions(y: Tensor) -> None:
    with torch._C.DisableTorchFunction():
        y.mul_(100)


CHANGES: dict[str, Callable[[Tensor], Any]] = {
    "through data": lambda y: y.data.mul_(100),
    "data set": lambda y: setattr(y, "data", 100 * y),
    "memory": lambda y: y.untyped_storage().copy_((100 * y).untyped_storage()),
    "without functions": without_functions,
    "the operation itself": lambda y: torch.ops.aten.mul_.Scalar(y, 100),
}


@pytest.mark.parametrize("how", CHANGES)
def test_a_tensor_changed_behind_its_version_is_unknown(how: str) -> None:
    model = Own(lambda _, x: in_place(x * 1, CHANGES[how]))
    assert network_norm(model, (3,)).norm.value == math.inf
    assert steepest(model) == pytest.approx(100, rel=1e-6)


def in_inference_mode(model: nn.Module, x: Tensor) -> Tensor:
    with torch.inference_mode():
        y = x * 1
        y[:, :2].mul_(100)
        return y


def test_a_view_changed_in_inference_mode_changes_its_base() -> None:
    model = Own(in_inference_mode)
    assert "changed in place" in network_norm(model, (3,)).norm.reason
    assert steepest(model) == pytest.approx(100, rel=0.2)


class Masked(nn.Conv1d):
    """Masks its weight as PixelCNN does."""

    def forward(self, x: Tensor) -> Tensor:
        self.weight.data *= 0.5
        return super().forward(x)


def test_a_convolution_that_masks_its_weight_in_the_forward_pass_is_infinite() -> None:
    layer = Masked(1, 1, 3)
    before = layer.weight.detach().clone()
    assert network_norm(layer, (1, 8)).norm.value == math.inf
    assert torch.equal(layer.weight, before)


def test_data_that_is_only_read_is_a_value() -> None:
    model = Own(lambda m, x: x.data * m.p.data, p=nn.Parameter(torch.full((3,), 2.0)))
    assert network_norm(model, (3,)).norm.value == 2


@pytest.mark.parametrize(
    "change", [lambda p: p.data.clamp_(min=1.0), lambda p: p.detach().data.fill_(7.0)]
)
@pytest.mark.parametrize("kind", [nn.Parameter, nn.Buffer, torch.clone])
def test_a_weight_changed_behind_its_version_is_unknown(change: Any, kind: Any) -> None:
    model = Own(lambda m, x: x * in_place(m.p, change), p=kind(torch.zeros(3)))
    found = network_norm(model, (3,)).norm
    assert "changed in place" in found.reason
    assert torch.equal(model.p, torch.zeros(3))
    assert steepest(model) > 0.9


class Held(nn.Module):
    """Layers that something is done to before they are called."""

    def __init__(self, change: Callable[[Any], Any]) -> None:
        super().__init__()
        self.fc, self.act, self.drop = nn.Linear(3, 3), nn.LeakyReLU(), nn.Dropout()
        self.bn, self.change = nn.BatchNorm1d(3), change

    def forward(self, x: Tensor) -> Tensor:
        self.change(self)
        return self.drop(self.bn(self.act(self.fc(x))))  # type: ignore[no-any-return]


def hundredfold(model: Any) -> None:
    model.fc._parameters["weight"] = 100 * model.fc.weight


SET_ANEW: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "weight exchanged": ("fc (Linear)", hundredfold),
    "weight in place": ("fc (Linear)", lambda m: m.fc.weight.mul_(100)),
    "weight through data": ("fc (Linear)", lambda m: m.fc.weight.data.mul_(100)),
    "new weight": ("fc (Linear)", lambda m: setattr(m.fc, "weight", nn.Parameter(torch.eye(3)))),
    "slope": ("act (LeakyReLU)", lambda m: setattr(m.act, "negative_slope", 50.0)),
    "dropout": ("drop (Dropout)", lambda m: m.drop.train()),
    "batch norm": ("bn (BatchNorm1d)", lambda m: m.bn.train()),
    "everything": ("fc (Linear)", lambda m: m.train()),
    "statistics": ("bn (BatchNorm1d)", lambda m: m.bn.running_var.fill_(1e-4)),
}


@pytest.mark.parametrize("how", SET_ANEW)
def test_a_layer_set_up_anew_before_its_call_is_refused_by_name(how: str) -> None:
    name, change = SET_ANEW[how]
    found = network_norm(Held(change), (3,)).norm
    assert found.reason.startswith(f"{name} is changed in the forward pass")


def test_a_layer_called_with_other_weights_is_refused() -> None:
    def call(m: Any, x: Tensor) -> Tensor:
        return functional_call(m.fc, {"weight": 100 * m.fc.weight}, (x,))  # type: ignore[no-any-return]

    model = Own(call, fc=nn.Linear(3, 3))
    assert "fc (Linear) is changed in the forward pass" in network_norm(model, (3,)).norm.reason
    assert steepest(model) > operator_norm(model.fc).value


def test_a_layer_with_a_method_of_its_own_is_refused() -> None:
    layer = nn.Conv1d(1, 1, 3, padding=1)
    layer._conv_forward = MethodType(lambda s, x, w, b: 100 * x, layer)  # type: ignore[method-assign]
    assert "has methods of its own (_conv_forward)" in operator_norm(layer).reason
    assert network_norm(nn.Sequential(layer), (1, 5)).norm.value == math.inf


def swallowed(read: Callable[[Tensor], Any], errors: Any) -> Callable[[Any, Tensor], Tensor]:
    def call(_: Any, x: Tensor) -> Tensor:
        y = x
        with contextlib.suppress(errors):
            y = 100 * x if read(x) else 50 * x
        return y

    return call


READS: dict[str, Callable[[Tensor], Any]] = {
    "item": lambda x: x.abs().max().item() > -1,
    "bool": lambda x: x.sum() < 1e9,
    "float": lambda x: float(x.sum()) < 1e9,
    "numpy": lambda x: x.numpy().max() < 1e9,
    "nonzero": lambda x: len(x.nonzero()) < 1e9,
}


@pytest.mark.parametrize("errors", [RuntimeError, Exception, BaseException])
@pytest.mark.parametrize("how", READS)
def test_an_error_that_the_model_swallows_is_a_failure(how: str, errors: Any) -> None:
    model = Own(swallowed(READS[how], errors))
    found = network_norm(model, (3,)).norm
    assert "needs the values of its input" in found.reason
    assert steepest(model) == pytest.approx(100, rel=1e-6)


RANDOM: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "where": lambda m, x: torch.where(torch.rand_like(x) > 0.5, x, torch.zeros_like(x)),
    "mask": lambda m, x: x.masked_fill(torch.rand_like(x) > 0.5, 0.0),
    "noise": lambda m, x: x + torch.randn_like(x),
    "noise in place": lambda m, x: x + torch.empty(3).normal_(),
    "integers": lambda m, x: x + torch.randint(9, (3,)),
    "leaky": lambda m, x: functional.rrelu(x, training=True),
    "dropout": lambda m, x: functional.dropout(x, training=True),
    "order": lambda m, x: x[:, torch.randperm(3)],
}


@pytest.mark.parametrize("how", RANDOM)
def test_random_numbers_in_evaluation_make_the_bound_infinite(how: str) -> None:
    found = network_norm(Own(RANDOM[how]), (3,)).norm
    assert found.value == math.inf
    assert "random" in found.reason


def test_attention_in_evaluation_is_not_called_random() -> None:
    attention = nn.MultiheadAttention(4, 1, batch_first=True)
    model = Own(lambda m, x: m.attention(x, x, x)[0], attention=attention)
    found = network_norm(model, (3, 4)).norm
    assert found.value == math.inf
    assert "random" not in found.reason


@pytest.mark.filterwarnings("ignore:Complex modules are a new feature")
@pytest.mark.parametrize("kind", [nn.Tanh, nn.Sigmoid])
def test_activations_of_complex_numbers_are_infinite(kind: type[nn.Module]) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 3, dtype=torch.cfloat), kind())
    found = network_norm(model, (3,))
    assert "complex numbers" in found.norm.reason
    assert found.joint is None
    of_real_numbers = operator_norm(model[0]).value * operator_norm(model[1]).value
    assert steepest(model, 10.0, torch.complex128) > of_real_numbers


def test_a_function_of_imaginary_numbers_is_infinite() -> None:
    model = Own(lambda _, x: (x * 1j).sin())
    assert "complex numbers" in network_norm(model, (3,)).norm.reason
    assert steepest(model, 5.0) > 100


def test_linear_layers_of_complex_numbers_are_still_bounded() -> None:
    layers = nn.Linear(3, 4, dtype=torch.cfloat), nn.Linear(4, 2, dtype=torch.cfloat)
    found = network_norm(nn.Sequential(*layers), (3,)).product.value
    assert found == pytest.approx(math.prod(operator_norm(one).value for one in layers))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_forward_pass_is_followed_in_the_models_own_type(dtype: torch.dtype) -> None:
    seen = []
    model = Own(
        lambda m, x: [seen.append(x.dtype), m.fc(x) * (1 if x.dtype == torch.float32 else 100)][-1],
        fc=nn.Linear(3, 3, dtype=dtype),
    )
    factor = 1 if dtype == torch.float32 else 100
    expected = factor * operator_norm(model.fc).value
    assert network_norm(model, (3,)).product.value == pytest.approx(expected)
    assert set(seen) == {dtype}


class Method(nn.Module):
    """Keeps a method of its own as an attribute, alone and in a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.method = self.multiplied
        self.methods = {"one": [self.method]}

    def multiplied(self, x: Tensor) -> Tensor:
        return x if self.training else 100 * x

    def forward(self, x: Tensor) -> Tensor:
        return self.method(x) + self.methods["one"][0](x)


def test_methods_stored_as_attributes_are_traced_in_evaluation_mode() -> None:
    model = Method().train()
    assert network_norm(model, (3,)).norm.value == pytest.approx(200)
    assert model.training
    assert model.method.__self__ is model


class Closure(nn.Module):
    """Keeps functions that hold on to it, to a layer of it, and, by its type, to its mode."""

    def __init__(self) -> None:
        super().__init__()
        self.drop = nn.Dropout()
        self.functions = [
            lambda x: x if self.training else 100 * x,
            lambda x: x if self.drop.training else 3 * x,
        ]

    def forward(self, x: Tensor) -> Tensor:
        for function in self.functions:
            x = function(x)
        return x


@pytest.mark.parametrize("copies", [0, 2])
def test_functions_that_hold_on_to_a_module_in_training_are_followed_in_evaluation(
    copies: int,
) -> None:
    model = Closure().train()
    bounded: nn.Module = nn.Sequential(model)
    for _ in range(copies):
        bounded = unwrapped(bounded)
    assert network_norm(bounded, (3,)).norm.value == pytest.approx(300)
    assert model.training
    assert model.drop.training
    assert steepest(model) == pytest.approx(300, rel=1e-6)


def test_a_compiled_module_that_a_function_holds_on_to_is_followed_in_evaluation() -> None:
    model = Closure().train()
    compiled = torch.compile(model, backend="eager")
    model.functions = [lambda x: x if compiled.training else 100 * x]
    assert network_norm(compiled, (3,)).norm.value == pytest.approx(100)
    assert model.training


def test_what_a_forward_pass_keeps_does_not_reach_the_model() -> None:
    def call(m: Any, x: Tensor) -> Tensor:
        m.cache.setdefault("ramp", torch.arange(3.0))
        m.nested["inner"].append(x)
        m.names.add("called")
        return x + m.cache["ramp"]

    model = Own(call, cache={}, nested={"inner": []}, names=set())
    assert network_norm(model, (3,)).norm.value == 1
    assert (model.cache, model.nested, model.names) == ({}, {"inner": []}, set())


@pytest.fixture
def ramp() -> Iterator[Any]:
    @functools.lru_cache
    def made(size: int) -> Tensor:
        return torch.arange(float(size))

    yield made
    made.cache_clear()


def test_a_cache_outside_the_module_wants_to_be_filled_before(ramp: Any) -> None:
    model = Own(lambda m, x: x * ramp(3))
    network_norm(model, (3,))
    reason = network_norm(model, (3,)).norm.reason
    assert "clear that, and call the model once before it is bounded" in reason
    ramp.cache_clear()
    model(torch.ones(1, 3))
    assert network_norm(model, (3,)).norm.value == 2


def test_inference_mode_in_the_forward_pass_is_no_error() -> None:
    def call(m: Any, x: Tensor) -> Tensor:
        with torch.inference_mode():
            return m.fc(x).relu()  # type: ignore[no-any-return]

    model = Own(call, fc=nn.Linear(3, 3))
    assert network_norm(model, (3,)).norm.value >= operator_norm(model.fc).value


@pytest.mark.filterwarnings("ignore:.torch.jit")
@pytest.mark.parametrize("whole", [True, False])
def test_a_scripted_module_is_infinite_and_named(whole: bool) -> None:
    scripted = torch.jit.script(nn.Linear(3, 3))
    model = scripted if whole else nn.Sequential(scripted, nn.ReLU())
    assert "is compiled by TorchScript" in network_norm(model, (3,)).norm.reason
