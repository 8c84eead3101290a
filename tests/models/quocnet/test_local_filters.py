import re

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from lit_intriguing.errors import UserError
from lit_intriguing.models import LocalFilters

ODD = {"input_shape": (2, 9, 7), "maps": 3, "kernel": (4, 2), "stride": (2, 1)}
SMALL = {"input_shape": (1, 5, 4), "maps": 2, "kernel": (3, 2)}
LITTLE = 1e-6
"""Less memory than a window takes: a block for each position."""


def layer(memory: float = 16.0, **options: object) -> LocalFilters:
    torch.manual_seed(0)
    made = LocalFilters(**{**ODD, **options}, scale=1.0, memory=memory)  # type: ignore[arg-type]
    return made.double()


def images(found: LocalFilters, count: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(count, *found.input_shape, generator=generator, dtype=torch.float64)


def position_by_position(found: LocalFilters, x: Tensor) -> Tensor:
    """The same by a loop over positions."""
    (rows, columns), (high, wide) = found.positions.sides, found.positions.kernel
    down, across = found.positions.stride
    out = torch.zeros(len(x), found.maps, rows, columns, dtype=x.dtype)
    for row in range(rows):
        for column in range(columns):
            window = x[
                :, :, row * down : row * down + high, column * across : column * across + wide
            ]
            bank = found.weight[row * columns + column]
            out[:, :, row, column] = window.flatten(1) @ bank.T
    return out


@pytest.mark.parametrize("memory", [16.0, 0.0012, LITTLE])
def test_each_position_has_filters_of_its_own_however_little_memory_there_is(memory: float) -> None:
    found = layer(memory)
    x = images(found)
    assert torch.allclose(found(x), position_by_position(found, x), atol=1e-12)
    assert found(x).shape[1:] == found.output_shape == (3, 3, 6)


@pytest.mark.parametrize("stride", [1, 2, (3, 1)])
@pytest.mark.parametrize("kernel", [1, 3, (2, 5)])
def test_with_the_same_weights_everywhere_it_is_a_convolution(
    kernel: int | tuple[int, int], stride: int | tuple[int, int]
) -> None:
    found = layer(0.001, kernel=kernel, stride=stride)
    convolution = nn.Conv2d(2, 3, kernel, stride, bias=False).double()
    with torch.no_grad():
        found.weight.copy_(convolution.weight.flatten(1).expand_as(found.weight))
    x = images(found)
    assert torch.allclose(found(x), convolution(x), atol=1e-12)


@pytest.mark.parametrize("memory", [16.0, 0.0003, LITTLE])
def test_gradients_are_those_of_finite_differences_also_of_the_gradients(memory: float) -> None:
    found = layer(memory, **SMALL)

    def run(x: Tensor, weight: Tensor) -> Tensor:
        return functional_call(found, {"weight": weight}, (x,))

    x, weight = images(found).requires_grad_(), found.weight
    assert torch.autograd.gradcheck(run, (x, weight))
    assert torch.autograd.gradgradcheck(run, (x, weight))


def test_the_decoder_is_the_transpose_with_gradients_of_finite_differences() -> None:
    found = layer(0.0003, **SMALL)
    x, y = images(found), torch.randn(2, *found.output_shape, dtype=torch.float64)
    assert torch.allclose((found.decode(y) * x).sum(), (found(x) * y).sum())

    def run(y: Tensor, weight: Tensor) -> Tensor:
        return functional_call(Decoder(found), {"filters.weight": weight}, (y,))

    weight = found.weight.detach().requires_grad_()
    assert torch.autograd.gradcheck(run, (y.requires_grad_(), weight))
    assert torch.autograd.gradgradcheck(run, (y, weight))


def test_an_untied_decoder_has_filters_of_its_own_with_gradients_of_finite_differences() -> None:
    found = layer(0.0003, **SMALL, untied_decoder=True)
    x, y = images(found), torch.randn(2, *found.output_shape, dtype=torch.float64)
    assert not torch.allclose((found.decode(y) * x).sum(), (found(x) * y).sum())
    tied = layer(**SMALL)
    assert dict(tied.named_parameters()).keys() == {"weight"}
    with torch.no_grad():
        tied.weight.copy_(found.decoder_weight)
    assert torch.allclose(found.decode(y), tied.decode(y))

    def run(y: Tensor, weight: Tensor) -> Tensor:
        return functional_call(Decoder(found), {"filters.decoder_weight": weight}, (y,))

    weight = found.decoder_weight.detach().requires_grad_()
    assert torch.autograd.gradcheck(run, (y.requires_grad_(), weight))
    found.decode(found(x)).square().sum().backward()
    assert all(float(one.grad.norm()) > 0 for one in found.parameters())


class Decoder(nn.Module):
    def __init__(self, filters: LocalFilters) -> None:
        super().__init__()
        self.filters = filters

    def forward(self, y: Tensor) -> Tensor:
        return self.filters.decode(y)


def test_the_decoder_is_torchs_fold() -> None:
    found = layer(kernel=3, stride=2)
    y = torch.randn(2, *found.output_shape, dtype=torch.float64)
    columns = torch.einsum("nml,lmd->ndl", y.flatten(2), found.weight)
    folded = nn.functional.fold(columns, found.positions.image, 3, stride=2)
    assert torch.allclose(found.decode(y), folded, atol=1e-12)


def test_it_keeps_no_copy_of_the_windows_for_backward() -> None:
    found = LocalFilters((3, 16, 16), maps=2, kernel=8)
    kept: list[int] = []

    def keep(one: Tensor) -> Tensor:
        kept.append(one.numel())
        return one

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda one: one):
        found(torch.zeros(4, 3, 16, 16, requires_grad=True))
    assert max(kept) == found.weight.numel() < 4 * 81 * 192  # numbers of the windows


def test_in_mixed_precision_it_computes_in_half_and_its_gradients_are_whole() -> None:
    found = LocalFilters((3, 8, 8), maps=2, kernel=3, scale=1.0)
    x = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0)).requires_grad_()
    whole = found(x)
    with torch.autocast("cpu", torch.bfloat16):
        half = found(x)
        assert found.double()(x.double()).dtype == torch.float64
    assert half.dtype == torch.bfloat16
    assert torch.allclose(half.float(), whole, atol=0.05)
    half.float().square().sum().backward()
    assert x.grad is not None
    assert x.grad.dtype == torch.float32


def test_filters_begin_with_the_norm_asked_for() -> None:
    torch.manual_seed(0)
    found = LocalFilters((3, 20, 20), maps=8, kernel=8, scale=0.1)
    assert float(found.weight.detach().norm(dim=2).mean()) == pytest.approx(0.1, rel=0.01)
    assert found.filters.shape == (169, 8, 3, 8, 8)


def test_positions_are_drawn_alike_whoever_draws_them_and_anew_each_time() -> None:
    found = layer(untied_decoder=True).float()
    few = torch.empty(5, *found.weight.shape[1:])
    found.draw("weight", few, first=7)
    assert torch.equal(few, found.weight[7:12])
    banks = {tuple(one.flatten().tolist()) for name in found.parameters() for one in name}
    assert len(banks) == 2 * len(found.positions)
    before = found.weight.detach().clone()
    found.reset_parameters()
    assert not torch.isclose(found.weight, before).any()


def test_weights_made_on_meta_get_the_values_they_would_have_had_or_those_of_a_checkpoint() -> None:
    torch.manual_seed(3)
    wanted = LocalFilters(SMALL["input_shape"], kernel=3, untied_decoder=True)  # type: ignore[arg-type]
    x = torch.rand(1, 1, 5, 4)

    def made() -> LocalFilters:
        torch.manual_seed(3)
        return LocalFilters((1, 5, 4), kernel=3, untied_decoder=True, device="meta")

    found = made()
    with pytest.raises(UserError, match=r"no values yet.* device meta: call its `materialise`"):
        found(x)
    with pytest.raises(UserError, match="no values yet"):
        found.decode(wanted(x))
    found.requires_grad_(False).materialise()
    assert torch.equal(found.decode(found(x)), wanted.decode(wanted(x)))
    assert not found.weight.requires_grad
    torch.nn.init.ones_(wanted.weight)
    loaded = made()
    loaded.load_state_dict(wanted.state_dict())
    assert torch.equal(loaded.decode(loaded(x)), wanted.decode(wanted(x)))
    assert loaded.weight.requires_grad


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernel": 8}, "images of 9x7 pixels are smaller than a window of 8x8"),
        ({"kernel": 0}, "a kernel of 0x0 and a stride of 2x1 must be at least 1 each way"),
        ({"stride": 0}, "a stride of 0x0 must be at least 1"),
        ({"kernel": (1, 2, 3)}, "or two, not [1, 2, 3]"),
        ({"maps": 0}, "these and maps, 0, must be at least 1"),
        ({"input_shape": (9, 7)}, "input_shape [9, 7] must be channels, height and width"),
        ({"memory": 0.0}, "memory 0.0 must be above 0"),
    ],
)
def test_what_leaves_no_position_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        layer(**{"memory": 1.0, **options})  # type: ignore[arg-type]


def test_images_of_another_size_are_refused_with_a_way_out_that_works() -> None:
    found = layer()
    message = r"images of 2 by 9 by 8, but .* for 2 by 9 by 7: set the network's `input_shape`"
    with pytest.raises(UserError, match=message):
        found(torch.zeros(1, 2, 9, 8).double())
    layer(input_shape=(2, 9, 8))(torch.zeros(1, 2, 9, 8).double())
    with pytest.raises(UserError, match="maps of 3 by 3 by 5"):
        found.decode(torch.zeros(1, 3, 3, 5).double())
