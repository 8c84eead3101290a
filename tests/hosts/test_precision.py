"""A model under the Trainer's precision."""

import pytest
import torch
from lightning.pytorch.plugins.precision import HalfPrecision, MixedPrecision, Precision
from torch import nn

from lit_intriguing.attacks import GradientAttack
from lit_intriguing.commands.attack import attack_tensors
from lit_intriguing.hosts.precision import in_precision
from lit_intriguing.splice import submodule


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))


def test_ordinary_precision_leaves_the_model_itself() -> None:
    model = network()
    assert in_precision(model, Precision()) is model


@pytest.mark.parametrize("name", ["mixed", "true"])
def test_half_precision_computes_logits_and_the_search_stays_in_float32(name: str) -> None:
    model = network().bfloat16() if name == "true" else network()
    plugin = HalfPrecision("bf16-true") if name == "true" else MixedPrecision("bf16-mixed", "cpu")
    images, labels = torch.rand(20, 4), torch.arange(20) % 3
    wrapped = in_precision(model, plugin)
    logits = wrapped(images)
    assert logits.dtype == torch.float32
    assert torch.equal(logits, logits.bfloat16().float())
    made = attack_tensors(wrapped, GradientAttack(0.5, steps=3), images, labels, only_correct=False)
    assert made.adversarial.dtype == torch.float32
    moved = made.adversarial - images
    assert not torch.equal(moved, moved.bfloat16().float())
    assert torch.equal(wrapped(made.adversarial).argmax(1), made.adversarial_predictions)


def test_layers_keep_their_names() -> None:
    model = network()
    wrapped = in_precision(model, MixedPrecision("bf16-mixed", "cpu"))
    assert submodule(wrapped, "1") is model[1]
