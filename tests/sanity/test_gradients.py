import copy
import math

import pytest
import torch
from torch import Tensor, nn

from lit_intriguing.sanity import gradients, wrong_gradients, zero_gradients
from tests.sanity.networks import Around, Detached, digits, quantised, trained


def test_a_network_of_relus_has_right_gradients_everywhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, _, images, labels = digits()
    network = trained(5)
    assert zero_gradients(network, images, labels) == 0.0
    # Steps that are long enough for float32 pass the kinks next to an image or two of the 100: of
    # which, is a matter of how the training was rounded.
    assert wrong_gradients(network, images, labels) <= 0.02
    monkeypatch.setattr(gradients, "_STEPS", (1e-7,))
    assert wrong_gradients(copy.deepcopy(network).double(), images.double(), labels) == 0.0


def test_the_share_of_examples_whose_gradient_is_zero_is_exact() -> None:
    model = Around(nn.Linear(2, 2), before=lambda x: x.clamp(max=0.5))
    x = torch.tensor([[0.1, 0.2], [0.7, 0.9], [0.6, 0.8], [0.9, 0.3]])
    assert zero_gradients(model, x, torch.zeros(4, dtype=torch.long)) == 0.5


def test_a_model_without_any_gradient_has_none() -> None:
    x, y = torch.rand(4, 2), torch.zeros(4, dtype=torch.long)
    model = nn.Linear(2, 3)
    assert zero_gradients(lambda z: model(z.detach()), x, y) == 1.0
    assert wrong_gradients(lambda z: model(z.detach()), x, y) == 1.0


class Straight(torch.autograd.Function):
    """Negates on the way back what it leaves as it is on the way there."""

    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:
        return -gradient


@pytest.mark.parametrize("kind", ["detached", "backward by hand", "straight through"])
def test_wrong_gradients_are_found(kind: str) -> None:
    _, _, images, labels = digits()
    network = trained(5)
    models = {
        "detached": Detached(network),
        "backward by hand": Around(network, before=Straight.apply),
        "straight through": Around(
            network, before=lambda x: x + ((3 * x).round() / 3 - x).detach() * 1.0
        ),
    }
    assert wrong_gradients(models[kind], images, labels) > 0.1


def test_a_function_that_is_flat_tells_nothing_of_its_gradient() -> None:
    model = Around(nn.Linear(2, 2), before=lambda x: 0 * x)
    value = wrong_gradients(model, torch.rand(4, 2), torch.zeros(4, dtype=torch.long))
    assert math.isnan(value)


def test_quantised_inputs_have_no_gradient() -> None:
    _, _, images, labels = digits()
    assert zero_gradients(Around(trained(5), before=quantised), images, labels) == 1.0


def test_double_and_half_precision_are_right_as_well() -> None:
    _, _, images, labels = digits()
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    for dtype in (torch.float64, torch.bfloat16):
        assert wrong_gradients(model.to(dtype), images.to(dtype), labels) <= 0.1


def test_a_model_that_clamps_its_inputs_has_right_gradients_on_the_border() -> None:
    _, _, images, labels = digits()
    assert float((images == 0).double().mean()) > 0.2
    assert wrong_gradients(Around(trained(5), lambda x: x.clamp(0, 1)), images, labels) < 0.1
