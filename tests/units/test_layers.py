import pytest
import torch
from torch import Tensor, nn

from lit_intriguing.errors import UserError
from lit_intriguing.units.layers import matching_layers, recorded
from lit_intriguing.units.readings import Mean, Token


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 3, 3), nn.ReLU(inplace=True), nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True)
        )
        self.attention = nn.MultiheadAttention(4, 1, batch_first=True)
        self.unused = nn.Linear(4, 4)
        self.twice = nn.Tanh()

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.features(x).flatten(2).mT
        return self.twice(self.twice(self.attention(tokens, tokens, tokens)[0]))


def test_names_and_patterns_in_the_models_order() -> None:
    names = ["features.3", "features.1", "features.[0-2]"]
    assert matching_layers(Net(), names) == [f"features.{n}" for n in (0, 1, 2, 3)]
    assert matching_layers(Net(), ["*tt*"]) == ["attention", "attention.out_proj"]


@pytest.mark.parametrize(
    ("patterns", "message"),
    [
        (["feature.1"], r"no layer 'feature.1'. Nearest names: features.1"),
        (["x*"], r"No layer matches 'x\*'. Net has these: features, features.0"),
        ([], "at least one layer"),
        ([""], "empty name"),
    ],
)
def test_unknown_layers(patterns: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        matching_layers(Net(), patterns)


def test_a_layer_is_read_before_the_next_one_changes_it_in_place() -> None:
    torch.manual_seed(0)
    net, x = Net(), torch.randn(2, 1, 9, 9)
    with recorded(net, ["features.0", "features.1"], Mean()) as found:
        net(x)
    torch.testing.assert_close(found["features.0"], net.features[0](x).mean((2, 3)))
    assert bool((found["features.0"] < 0).any())
    assert bool((found["features.1"] >= 0).all())
    assert not found["features.0"].requires_grad
    assert not any(module._forward_hooks for module in net.modules())


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ("attention", r"layer 'attention' \(MultiheadAttention\) is a tuple, not a tensor"),
        ("twice", r"layer 'twice' \(Tanh\) is called twice"),
        ("unused", r"'unused' was not called"),
    ],
)
def test_layers_that_cannot_be_read(layer: str, message: str) -> None:
    net = Net()
    with (
        pytest.raises(UserError, match=message),
        recorded(net, [layer], Mean()),
    ):
        net(torch.randn(2, 1, 9, 9))
    assert not any(module._forward_hooks for module in net.modules())


def test_a_reading_that_does_not_fit_names_the_layer() -> None:
    net = Net()
    with (
        pytest.raises(UserError, match=r"Cannot read layer 'features.1' \(ReLU\): Token reads"),
        recorded(net, ["features.1"], Token()),
    ):
        net(torch.randn(2, 1, 9, 9))
