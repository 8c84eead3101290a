import pytest
import torch
from torch import nn

from lit_intriguing.errors import UserError
from lit_intriguing.splits.fingerprint import described
from lit_intriguing.units import LayerFeatures, Maximum, analyse_units


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU(inplace=True), nn.Dropout(0.5), nn.Flatten())


def test_features_are_what_the_layer_puts_out_reduced_over_positions() -> None:
    model, x = network(), torch.rand(3, 1, 8, 8)
    with torch.no_grad():
        expected = nn.functional.conv2d(x, model[0].weight, model[0].bias)
    torch.testing.assert_close(LayerFeatures(model, "0")(x), expected.mean((2, 3)))
    torch.testing.assert_close(
        LayerFeatures(model, "1", Maximum())(x), expected.relu().amax((2, 3))
    )


def test_features_are_those_of_evaluation_mode_without_gradients() -> None:
    features = LayerFeatures(network().train(), "2")
    x = torch.rand(3, 1, 8, 8, requires_grad=True)
    assert torch.equal(features(x), features(x))
    assert not features(x).requires_grad


def test_images_are_compared_by_the_features_of_a_layer() -> None:
    torch.manual_seed(1)
    tested = nn.Sequential(nn.Flatten(), nn.Linear(64, 5), nn.ReLU(), nn.Linear(5, 2))
    report = analyse_units(
        tested, torch.rand(40, 1, 8, 8), "1", features=LayerFeatures(network(), "1"), rotations=3,
        control=False,
    )  # fmt: skip
    assert report.of("1").coherence.abs().max() <= 1


def test_features_have_a_name() -> None:
    assert LayerFeatures(network(), "1").name == "Sequential, layer 1"
    assert LayerFeatures(network(), "1", name="edges").name == "edges"


def test_results_are_stored_by_the_layer_and_its_reading() -> None:
    told = [
        described(LayerFeatures(network(), layer, reading))
        for layer, reading in (("0", None), ("1", None), ("1", Maximum()), ("1", None))
    ]
    assert told[1] == told[3]
    assert all(told[1] != other for other in (told[0], told[2]))


def test_an_unknown_layer_is_refused_at_once() -> None:
    with pytest.raises(UserError, match="no layer 'conv'"):
        LayerFeatures(network(), "conv")
