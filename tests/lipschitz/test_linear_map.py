import itertools

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune, spectral_norm

from lit_intriguing.lipschitz import CannotBoundError
from lit_intriguing.lipschitz.linear_map import LinearMap, linear_map
from lit_intriguing.lipschitz.weights import finite_weight

LAYERS = [
    (lambda: nn.Linear(5, 3, bias=False), (4, 5)),
    (lambda: nn.Conv1d(2, 3, 4, stride=3, padding=5, bias=False), (2, 7)),
    (lambda: nn.Conv1d(2, 3, 4, padding="same", bias=False), (2, 7)),
    (lambda: nn.Conv2d(4, 6, (3, 2), (2, 1), (1, 0), (1, 2), 2, bias=False), (4, 6, 5)),
    (lambda: nn.Conv3d(1, 2, 2, 2, 1, bias=False), (1, 3, 4, 5)),
    (lambda: nn.ConvTranspose1d(3, 2, 4, 3, 1, 2, bias=False), (3, 5)),
    (lambda: nn.ConvTranspose1d(3, 2, 2, 1, 0, 2, dilation=3, bias=False), (3, 5)),
    (lambda: nn.ConvTranspose2d(4, 6, 3, 2, 1, 1, 2, bias=False), (4, 3, 2)),
    (lambda: nn.ConvTranspose3d(1, 2, 2, 3, bias=False), (1, 2, 1, 2)),
]
MODES = [
    (lambda m=mode, p=padding, s=stride: nn.Conv2d(2, 3, (2, 3), s, p, bias=False, padding_mode=m))
    for mode, padding, stride in itertools.product(
        ["circular", "reflect", "replicate"], [(1, 2), "valid", "same"], [1, 2]
    )
    if (padding, stride) != ("same", 2)
]
CASES = [*LAYERS, *((make, (2, 4, 5)) for make in MODES)]


def pair(found: LinearMap) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    draw = {"generator": generator, "dtype": torch.float64}
    return torch.randn(2, *found.domain, **draw), torch.randn(2, *found.codomain, **draw)


@pytest.mark.filterwarnings("ignore:Using padding='same':UserWarning")
@pytest.mark.parametrize(("make", "shape"), CASES)
def test_apply_is_the_layers_forward(make, shape) -> None:
    layer = make().double()
    found = linear_map(layer, shape)
    x, _ = pair(found)
    torch.testing.assert_close(found.apply(x), layer(x))
    assert found.apply(x).shape[1:] == found.codomain


@pytest.mark.parametrize(("make", "shape"), CASES)
def test_adjoint_is_the_adjoint(make, shape) -> None:
    found = linear_map(make(), shape, torch.float64)
    x, y = pair(found)
    assert found.adjoint(y).shape == x.shape
    torch.testing.assert_close((found.apply(x) * y).sum(), (x * found.adjoint(y)).sum())


@pytest.mark.filterwarnings("ignore:Complex modules are a new feature:UserWarning")
@pytest.mark.parametrize(("make", "shape"), CASES[:6])
def test_complex_weights_have_the_conjugate_in_the_adjoint(make, shape) -> None:
    layer = make().to(torch.complex128)
    found = linear_map(layer, shape)
    (x, y), (p, q) = pair(found), pair(found)
    x, y = torch.complex(x, p.flip(-1)), torch.complex(y, q.flip(-1))
    torch.testing.assert_close(
        (found.apply(x).conj() * y).sum(), (x.conj() * found.adjoint(y)).sum()
    )


def test_the_map_is_differentiable_in_the_weights() -> None:
    layer = nn.Conv2d(1, 2, 3, padding=1, padding_mode="reflect")
    found = linear_map(layer, (1, 4, 4))
    found.adjoint(found.apply(torch.ones(1, 1, 4, 4))).sum().backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.abs().sum() > 0


def test_a_linear_layer_needs_no_shape() -> None:
    assert linear_map(nn.Linear(5, 3), None).domain == (5,)


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (nn.Linear(5, 3), (5, 4), "wants an example of 5 features, not of shape"),
        (nn.Conv2d(3, 4, 3), None, "depends on the shape of an example"),
        (nn.Conv2d(3, 4, 3), (3, 5), r"wants an example of shape \(3, H, W\), not \(3, 5\)"),
        (nn.Conv1d(3, 4, 3), (2, 5), r"wants an example of shape \(3, W\)"),
        (nn.Conv1d(3, 4, 6), (3, 5), "gives no output"),
        (nn.ConvTranspose1d(3, 4, 2, padding=3), (3, 2), "gives no output"),
        (
            nn.Conv1d(1, 1, 3, padding=2, padding_mode="reflect"),
            (1, 2),
            "too small for its reflect",
        ),
        (nn.Conv1d(1, 1, 3, padding=3, padding_mode="circular"), (1, 2), "too small for its circ"),
    ],
)
def test_shapes_that_do_not_fit_are_named(layer, shape, message) -> None:
    with pytest.raises(ValueError, match=message):
        linear_map(layer, shape)


def test_other_layers_are_refused() -> None:
    class Mine(nn.Linear):
        pass

    for layer in (nn.ReLU(), nn.Bilinear(2, 2, 2), Mine(2, 2)):
        with pytest.raises(CannotBoundError, match="is not taken as a linear map"):
            linear_map(layer, (2,))
    own = nn.Linear(2, 2)
    own.forward = lambda x: x
    with pytest.raises(CannotBoundError, match="has a forward of its own"):
        linear_map(own, (2,))


@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated:FutureWarning")
@pytest.mark.parametrize(
    "wrap",
    [
        parametrizations.weight_norm,
        parametrizations.spectral_norm,
        parametrizations.orthogonal,
        spectral_norm,
        nn.utils.weight_norm,
        lambda layer: prune.l1_unstructured(layer, "weight", 0.4),
    ],
)
def test_the_weight_is_the_one_that_forward_would_use(wrap) -> None:
    layer = wrap(nn.Linear(6, 4, bias=False))
    for parameter in layer.parameters():  # a weight left over from the last forward is too old
        parameter.data.mul_(1.5)
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    found = linear_map(layer, None)
    assert layer.training
    after = layer.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    x = torch.randn(3, 6)
    torch.testing.assert_close(found.apply(x), layer.eval()(x))


def test_a_weight_that_is_no_parameter_is_refused() -> None:
    layer = nn.Linear(2, 2)
    weight = layer.weight.detach()
    del layer.weight
    layer.weight = weight
    with pytest.raises(CannotBoundError, match="its weight is no parameter"):
        finite_weight(layer)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(bad: float) -> None:
    layer = nn.Linear(2, 2)
    layer.weight.data[0, 0] = bad
    with pytest.raises(CannotBoundError, match="contains NaN or infinity"):
        finite_weight(layer)
