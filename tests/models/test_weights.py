from pathlib import Path

import pytest
import torch
from torch import nn

from lit_intriguing.errors import UserError
from lit_intriguing.models.weights import load_weights, read_checkpoint


def test_weights_alone_and_weights_in_a_checkpoint_are_loaded(tmp_path: Path) -> None:
    source = nn.Linear(2, 2)
    for content in (source.state_dict(), {"state_dict": source.state_dict()}):
        torch.save(content, tmp_path / "file.pt")
        model = nn.Linear(2, 2)
        load_weights(model, read_checkpoint(tmp_path / "file.pt"), tmp_path / "file.pt")
        assert torch.equal(model.weight, source.weight)


def test_what_is_no_checkpoint_or_another_models_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no checkpoint .*none\.ckpt"):
        read_checkpoint(tmp_path / "none.ckpt")
    (tmp_path / "text.ckpt").write_text("hello")
    with pytest.raises(UserError, match=r"text\.ckpt cannot be read as a checkpoint"):
        read_checkpoint(tmp_path / "text.ckpt")
    torch.save([1], tmp_path / "list.ckpt")
    with pytest.raises(UserError, match=r"list\.ckpt holds no weights, but a list"):
        read_checkpoint(tmp_path / "list.ckpt")


@pytest.mark.parametrize(
    ("state", "told"),
    [
        ({}, "it lacks weight and 1 more"),
        (
            {"net.weight": torch.ones(2, 2), "weight": torch.ones(2, 2)},
            "it lacks bias; the model has no net.weight",
        ),
        (nn.Linear(3, 2).state_dict(), r"weight has shape \(2, 3\), not \(2, 2\)"),
        ([1], "Expected state_dict to be dict-like"),
    ],
)
def test_weights_of_another_model_are_named(state: object, told: str) -> None:
    with pytest.raises(UserError, match=f"x is not of this model: {told}"):
        load_weights(nn.Linear(2, 2), {"state_dict": state}, Path("x"))
