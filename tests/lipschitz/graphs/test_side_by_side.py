"""Maxima, maxouts and sorting activations, whose constants are those of sorted parts."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from lit_intriguing.lipschitz import network_norm, validate
from tests.lipschitz import truth


class Calls(nn.Module):
    """Calls a function of the input and of dense layers."""

    def __init__(self, call: Callable[..., Tensor], *layers: nn.Module) -> None:
        super().__init__()
        self.call, self.layers = call, nn.ModuleList(layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.call(x, *self.layers)


class MaxMin(nn.Module):
    """As orthogonium's: Anil et al. 2019, of a first and a second half."""

    def __init__(self, axis: int = 1) -> None:
        super().__init__()
        self.axis = axis

    def forward(self, x: Tensor) -> Tensor:
        a, b = x.split(x.shape[self.axis] // 2, self.axis)
        return torch.cat([torch.max(a, b), torch.min(a, b)], dim=self.axis)


class GroupSort(nn.Module):
    """As torchlip's: pairs by a minimum and a maximum, larger groups by sorting."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        groups = x.view(x.shape[0], x.shape[1] // self.size, self.size, *x.shape[2:])
        if self.size > 2:
            return torch.sort(groups, dim=2)[0].reshape(x.shape)
        low, high = torch.min(groups, 2, keepdim=True)[0], torch.max(groups, 2, keepdim=True)[0]
        return torch.cat([low, high], 2).view(x.shape)


class Lnets(nn.Module):
    """As LNets': Anil et al. 2019, of neighbours, with a view for each of the extremes."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def grouped(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:-1], -1, self.size)

    def forward(self, x: Tensor) -> Tensor:
        largest = torch.max(self.grouped(x), -1)[0]
        return torch.cat((largest, torch.min(self.grouped(x), -1)[0]), dim=1)


def steepest(model: nn.Module, shape: tuple[int, ...], seed: int) -> float:
    """The greatest norm of the Jacobian found, at points without equal numbers.

    Where two are equal, torch takes one of them for the largest and for the smallest.
    """
    generator = torch.Generator().manual_seed(seed)
    scales = torch.tensor([1e-9, 0.3, 1.0, 30.0]).double().view(-1, *(1,) * len(shape))
    points = torch.randn(20, 1, *shape, generator=generator).double() * scales
    return max(truth.norm(truth.jacobian(model, x)) for x in points.flatten(0, 1))


# What moves no farther than its input.
ONES: dict[str, Callable[[Tensor], Tensor]] = {
    "halves": lambda x: torch.max(*x.chunk(2, 1)),
    "halves, the smaller": lambda x: torch.min(*x.split(4, 1)),
    "every second": lambda x: torch.maximum(x[:, ::2], x[:, 1::2]),
    "by a method": lambda x: x[:, :4].max(x[:, 4:]),
    "of the unbound": lambda x: torch.max(*x.view(-1, 2, 4).unbind(1)),
    "of turned parts": lambda x: torch.max(x.view(-1, 2, 4).transpose(1, 2)[..., 0], x[:, 4:]),
    "sorted halves": MaxMin(),
    "sorted pairs": lambda x: torch.stack(
        (x[:, ::2].minimum(x[:, 1::2]), x[:, 1::2].maximum(x[:, ::2])), 2
    ),
    "group sort of two": GroupSort(2),
    "group sort of four": GroupSort(4),
    "smallest and largest": lambda x: torch.cat([x.amin(1, True), x.amax(1, True)], 1),
    "LNets' pairs": Lnets(2),
    "LNets' groups of four": Lnets(4),
    "turned apart": lambda x: torch.cat(
        [x.view(-1, 2, 4).mT.amax(2), x.reshape(-1, 2, 4).transpose(2, 1).amin(2)], 1
    ),
    "both extremes": lambda x: torch.cat(x.view(-1, 4, 2).aminmax(dim=2), 1),
    "both extremes, kept": lambda x: torch.cat(torch.aminmax(x, dim=1, keepdim=True)[::-1], 1),
    "both extremes, called twice": lambda x: torch.cat(
        [x.view(-1, 4, 2).aminmax(dim=2).max, x.view(-1, 4, 2).aminmax(dim=2).min], 1
    ),
    "larger of both extremes": lambda x: x.view(-1, 4, 2).aminmax(dim=2)[1],
    "maxout of four": lambda x: x.view(-1, 2, 4).max(-1)[0],
    "put together again": lambda x: torch.cat(x.chunk(4, 1)[::-1], 1),
    "with zero": lambda x: torch.max(x, torch.zeros(8, dtype=x.dtype)),
    "with zero first": lambda x: torch.max(torch.zeros(1, 8, dtype=x.dtype), x),
    "both signs": lambda x: torch.cat([x.maximum(0 * x.new_ones(1, 8)), x[:, :0]], 1),
}


@pytest.mark.parametrize("name", ONES)
@pytest.mark.parametrize("seed", range(3))
def test_it_moves_no_farther_than_its_parts(name: str, seed: int) -> None:
    torch.manual_seed(seed)
    model = Calls(lambda x, layer: ONES[name](layer(x)), nn.Linear(5, 8)).double()
    bound = network_norm(model, (5,)).product
    assert validate(model, (5,)) == []
    assert bound.value == pytest.approx(truth.norm(model.layers[0].weight.detach()), rel=1e-9)
    assert steepest(model, (5,), seed) <= bound.value


@pytest.mark.parametrize("name", ONES)
def test_the_bound_of_the_function_alone_is_reached(name: str) -> None:
    model = Calls(ONES[name])
    found = steepest(model, (8,), 0)
    assert found <= network_norm(model, (8,)).product.value <= found * (1 + 1e-12)


# What is more than one: a part twice, numbers of several layers, a number beside its maximum.
MORE: dict[str, Callable[..., Tensor]] = {
    "the same twice": lambda x, a, b: torch.cat([x, x], 1),
    "parts that overlap": lambda x, a, b: torch.max(x[:, :5], x[:, 1:]),
    "a repeated part": lambda x, a, b: torch.cat([x[:, [0, 0, 1]], x[:, 1:]], 1),
    "of two layers": lambda x, a, b: torch.max(a(x), b(x)),
    "of two layers, the smaller": lambda x, a, b: a(x).min(b(x)),
    "sorted of two layers": lambda x, a, b: torch.cat(
        [torch.max(one := a(x), two := b(x)), torch.min(two, one)], 1
    ),
    "sorted of two layers, called anew": lambda x, a, b: torch.cat(
        [torch.max(a(x), b(x)), torch.min(b(x), a(x))], 1
    ),
    "larger twice": lambda x, a, b: torch.cat([torch.max(x, a(x)), torch.max(x, a(x))], 1),
    "of other parts": lambda x, a, b: torch.cat(
        [torch.max(x[:, :3], x[:, 3:]), torch.min(x[:, 1:4], x[:, 3:])], 1
    ),
    "along other dimensions": lambda x, a, b: torch.cat(
        [x.view(-1, 3, 2).amax(1).flatten(1), x.view(-1, 3, 2).amin(2).flatten(1)], 1
    ),
    "along the same dimension of other shapes": lambda x, a, b: torch.cat(
        [x.view(-1, 2, 3).amax(2), x.view(-1, 3, 2).amin(2)], 1
    ),
    "of other numbers, turned": lambda x, a, b: torch.cat(
        [x.view(-1, 2, 3).mT.amax(2), x.view(-1, 3, 2).amin(2)], 1
    ),
    "of two layers, along a dimension": lambda x, a, b: torch.cat(
        [a(x).view(-1, 3, 2).amax(2), b(x).view(-1, 3, 2).amin(2)], 1
    ),
    "both extremes of one number": lambda x, a, b: torch.cat(
        x[:, :1].aminmax(dim=1, keepdim=True), 1
    ),
    "both extremes, the larger twice": lambda x, a, b: torch.cat(
        [*(low_high := x.view(-1, 3, 2).aminmax(dim=2)), low_high.max], 1
    ),
    "one number": lambda x, a, b: torch.cat([x[:, :1].amax(1, True), x[:, :1].amin(1, True)], 1),
    "broadcast": lambda x, a, b: torch.max(x[:, :1], a(x)),
    "values of a maximum": lambda x, a, b: torch.cat([*x.view(-1, 3, 2).max(2)[:1], a(x)], 1),
    "parts of two values": lambda x, a, b: torch.cat([*a(x).chunk(2, 1), *b(x).chunk(2, 1)], 1),
}


@pytest.mark.parametrize("name", MORE)
@pytest.mark.parametrize("seed", range(4))
def test_no_jacobian_is_above_the_bound(name: str, seed: int) -> None:
    torch.manual_seed(seed)
    model = Calls(MORE[name], nn.Linear(6, 6), nn.Linear(6, 6)).double()
    found = steepest(model, (6,), seed)
    bound = network_norm(model, (6,)).product.value
    assert found <= bound * (1 + 1e-12) <= found * 3


def test_two_layers_sorted_count_as_both() -> None:
    torch.manual_seed(0)
    model = Calls(MORE["sorted of two layers"], nn.Linear(6, 6), nn.Linear(6, 6)).double()
    norms = [truth.norm(layer.weight.detach()) for layer in model.layers]
    assert network_norm(model, (6,)).product.value == pytest.approx(math.hypot(*norms), rel=1e-9)


def test_what_jumps_stays_infinite() -> None:
    jumps = Calls(lambda x: torch.cat([x.max(1, True)[0], x.max(1, True)[1].to(x.dtype)], 1))
    assert math.isinf(network_norm(jumps, (6,)).product.value)
    bits = Calls(lambda x: torch.cat([x, x.view(torch.int32).view(torch.float32)], 1))
    assert math.isinf(network_norm(bits, (6,)).product.value)
    assert validate(bits, (6,))


@pytest.mark.parametrize("size", [2, 3])
def test_a_stack_of_sorting_layers_has_the_product_of_its_norms(size: int) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(2, 6, 3), GroupSort(size), nn.Conv2d(6, 6, 3), MaxMin(), nn.LPPool2d(2, 2)
    ).double()
    found = network_norm(model, (2, 8, 8))
    norms = {layer.name: layer.norm.value for layer in found.layers}
    assert found.product.value == pytest.approx(norms["0"] * norms["2"], rel=1e-12)
    assert steepest(model, (2, 8, 8), 0) <= found.product.value


POOLS: dict[str, tuple[Callable[[Tensor], Tensor], nn.Module]] = {
    "squares": (lambda x: functional.lp_pool2d(x, 2, 2), nn.LPPool2d(2, 2)),
    "overlap": (
        lambda x: functional.lp_pool2d(x, 2.0, 3, stride=1, ceil_mode=True),
        nn.LPPool2d(2.0, 3, 1, True),
    ),
    "sums": (lambda x: functional.lp_pool2d(x, 1, (2, 3)), nn.LPPool2d(1, (2, 3))),
    "line": (lambda x: functional.lp_pool1d(x.flatten(2), 4, 3, 2), nn.LPPool1d(4, 3, 2)),
}


@pytest.mark.parametrize("name", POOLS)
def test_power_pools_called_as_functions_are_the_layers(name: str) -> None:
    call, layer = POOLS[name]
    model = Calls(call)
    bound = network_norm(model, (2, 6, 6)).product
    shape = (2, 36) if name == "line" else (2, 6, 6)
    assert bound == network_norm(layer, shape).product
    found = max(  # not at zero, where torch's gradient of a power is not a number
        truth.norm(truth.jacobian(model, torch.rand(2, 6, 6, dtype=torch.float64) ** power + 1e-3))
        for power in (0, 1, 8)
    )
    assert found <= bound.value * (1 + 1e-12)
