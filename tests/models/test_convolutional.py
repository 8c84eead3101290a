from typing import Any

import pytest
import torch
from torch import nn

from lit_intriguing.errors import UserError
from lit_intriguing.models import ConvolutionalNetwork


def test_stages_halve_the_images_and_have_names() -> None:
    network = ConvolutionalNetwork((3, 33, 40), channels=(4, 8, 16), kernel=3, classes=2)
    x = torch.rand(2, 3, 33, 40)
    for name, module in network.named_children():
        x = module(x)
        if name == "pool3":
            assert x.shape == (2, 16, 4, 5)
    assert x.shape == (2, 2)
    assert dict(network.named_children())["conv2"].weight.shape == (8, 4, 3, 3)


def test_activations_keep_their_size_from_layer_to_layer() -> None:
    torch.manual_seed(0)
    network = ConvolutionalNetwork(channels=(64, 64), hidden=256)
    seen: list[float] = []
    for name, module in network.named_children():
        if name.startswith(("conv", "hidden")):
            module.register_forward_hook(
                lambda _, x, y: seen.append(float(y.detach().pow(2).mean()))
            )
    network(torch.rand(32, 1, 28, 28))
    # Max pooling raises the squares a little; without He's scale they would fall tenfold a layer.
    assert all(seen[0] / 3 < one < seen[0] * 30 for one in seen)


def test_another_activation_is_made_for_each_stage() -> None:
    network = ConvolutionalNetwork(activation=nn.Sigmoid)
    assert [type(m) for m in network.children() if isinstance(m, nn.Sigmoid)] == [nn.Sigmoid] * 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"input_shape": (28, 28)}, "channels, height and width"),
        ({"channels": ()}, "must be at least 1"),
        ({"hidden": 0}, "must be at least 1"),
        ({"kernel": 4}, "odd"),
        ({"input_shape": (1, 8, 8), "channels": (2, 2, 2, 2)}, "at least 16 pixels a side, not 8"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        ConvolutionalNetwork(**options)
