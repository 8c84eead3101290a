"""The logits are found in outputs of every kind, and models called as their forward asks."""

from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from lit_intriguing.errors import UserError
from lit_intriguing.hosts.logits import LogitsModel, class_logits, columns, logits_in

Z, FEATURES = torch.rand(4, 3), torch.rand(4, 5, 2)
Outputs = namedtuple("Outputs", ["logits", "aux"])


@dataclass
class Result:
    scores: Tensor
    hidden: Tensor


@pytest.mark.parametrize(
    ("output", "where"),
    [
        (Z, None),
        (Z, "logits"),
        (Z, 0),
        (Outputs(Z, Z + 1), None),
        ({"loss": torch.tensor(1.0), "logits": Z}, None),
        ({"scores": Z, "features": FEATURES}, None),
        ((Z, FEATURES), None),
        (Result(Z, FEATURES), None),
        (Outputs(Z + 1, Z), "aux"),
        ((Z + 1, Z), 1),
        ((Z + 1, Z), -1),
        ({"decoder": OrderedDict(z=Z, w=Z + 1)}, "decoder.z"),
        (SimpleNamespace(out=Z), "out"),
        ((Z + 1, [Z]), lambda output: output[1][0]),
    ],
)
def test_logits_are_found_or_read_where_the_user_says(output: Any, where: Any) -> None:
    assert logits_in(output, where) is Z


@pytest.mark.parametrize(
    ("output", "where", "message", "right"),
    [
        ((Z + 1, Z), None, r"2 of its entries could be .* output=<key or index", 1),
        ({"a": Z, "b": Z + 1}, None, "'a': a torch.float32 tensor", "a"),
        ({"a": Z}, "b", r"nothing at output='b'. It holds 'a'", "a"),
        (SimpleNamespace(z=Z), None, "by a function: output=", lambda output: output.z),
        (
            Z,
            lambda output: output.logits,
            "failed on a torch.float32 tensor",
            lambda output: output,
        ),
    ],
)
def test_doubt_is_refused_with_a_way_out(output: Any, where: Any, message: str, right: Any) -> None:
    with pytest.raises(UserError, match=message):
        logits_in(output, where)
    assert logits_in(output, right) is Z


@pytest.mark.parametrize("shape", [(4,), (4, 1)])
def test_one_logit_counts_as_two_with_the_same_loss_and_gradient(shape: tuple[int, ...]) -> None:
    z = torch.randn(shape, requires_grad=True)
    y = torch.tensor([0, 1, 1, 0])
    assert columns(z) == 1
    found = F.cross_entropy(class_logits(z), y)
    wanted = F.binary_cross_entropy_with_logits(z.view(-1), y.float())
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(torch.autograd.grad(found, z)[0], torch.autograd.grad(wanted, z)[0])
    assert class_logits(Z) is Z


class ByName(nn.Module):
    def forward(self, **batch: Tensor) -> dict[str, Tensor]:
        return {"logits": batch["pixels"]}


class ByOptionalName(nn.Module):
    def forward(self, ids: Tensor | None = None, pixels: Tensor | None = None) -> Tensor:
        assert pixels is not None
        return pixels


class Masked(nn.Module):
    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return x * mask


class MaskedByDefault(Masked):
    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return x if mask is None else x * mask


@pytest.mark.parametrize("module", [ByName, ByOptionalName, MaskedByDefault])
def test_models_get_the_inputs_as_their_forward_asks(module: type[nn.Module]) -> None:
    model = LogitsModel(module(), "AdversarialTraining")
    model.name_inputs("pixels")
    assert torch.equal(model(Z), Z)
    assert model.columns == 3


def test_model_that_wants_more_is_refused_with_the_shape_it_was_given() -> None:
    with pytest.raises(
        UserError, match=r"AdversarialTraining called Masked .* shape \(4, 3\).* 'mask'.*model="
    ):
        LogitsModel(Masked(), "AdversarialTraining")(Z)
