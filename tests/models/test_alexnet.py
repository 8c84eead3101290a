import pytest
import torch
from torch import nn

from lit_intriguing.models.alexnet import AlexNet, response_normalisation

SHAPES = {  # output channels, input channels, sides of the kernel
    "conv1": (96, 3, 11, 11),
    "conv2": (256, 96, 5, 5),
    "conv3": (384, 256, 3, 3),
    "conv4": (384, 384, 3, 3),
    "conv5": (256, 384, 3, 3),
    "fc1": (4096, 9216),
    "fc2": (4096, 4096),
    "fc3": (1000, 4096),
}


@pytest.fixture(scope="module")
def whole() -> AlexNet:
    return AlexNet(groups=1)


def test_without_groups_the_layers_have_the_shapes_of_table_5(whole: AlexNet) -> None:
    shapes = {name: tuple(whole.get_submodule(name).weight.shape) for name in SHAPES}
    assert shapes == SHAPES


def test_with_two_groups_there_are_as_many_parameters_as_published() -> None:
    # Krizhevsky et al. 2012, abstract: 60 million.
    model = AlexNet()
    grouped = {name for name, m in model.named_modules() if getattr(m, "groups", 1) == 2}
    assert grouped == {"conv2", "conv4", "conv5"}
    assert sum(p.numel() for p in model.parameters()) == 60_965_224


def test_images_become_logits_by_way_of_the_published_sizes(whole: AlexNet) -> None:
    sizes = {}
    for name in ("conv1", "pool1", "pool2", "pool5"):
        whole.get_submodule(name).register_forward_hook(
            lambda module, args, out, name=name: sizes.update({name: tuple(out.shape[1:])})
        )
    with torch.no_grad():
        assert whole.eval()(torch.zeros(2, 3, 227, 227)).shape == (2, 1000)
    assert sizes == {
        "conv1": (96, 55, 55), "pool1": (96, 27, 27), "pool2": (256, 13, 13), "pool5": (256, 6, 6),
    }  # fmt: skip


def test_weights_are_drawn_as_published(whole: AlexNet) -> None:
    for name in SHAPES:
        layer = whole.get_submodule(name)
        assert layer.weight.std().item() == pytest.approx(0.01, rel=0.05)
        bias = float(name in ("conv2", "conv4", "conv5", "fc1", "fc2"))
        assert (layer.bias == bias).all()


def test_response_normalisation_is_the_published_formula() -> None:
    torch.manual_seed(0)
    x = 100 * torch.randn(1, 7, 1, 1, dtype=torch.float64)
    squares = torch.nn.functional.pad(x.flatten() ** 2, (2, 2)).unfold(0, 5, 1).sum(1)
    expected = x.flatten() / (2 + 1e-4 * squares) ** 0.75
    assert torch.allclose(response_normalisation()(x).flatten(), expected, rtol=1e-12)


def test_another_normalisation_takes_both_places() -> None:
    model = AlexNet(normalisation=nn.Identity, classes=2)
    assert isinstance(model.norm1, nn.Identity)
    assert isinstance(model.norm2, nn.Identity)


def test_what_is_no_alexnet_is_refused() -> None:
    with pytest.raises(ValueError, match="2 groups, or 1 as table 5 writes it, not 3"):
        AlexNet(groups=3)
    with pytest.raises(ValueError, match="at least one class, not 0"):
        AlexNet(classes=0)
