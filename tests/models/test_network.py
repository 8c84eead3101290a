from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from lightning.pytorch import Trainer
from torch import nn

from lit_intriguing import cli
from lit_intriguing.data import TensorLoader
from lit_intriguing.errors import UserError
from lit_intriguing.models import Network

RESNET = ["--model.network=torchvision.models.resnet18"]
TEST = [
    "test",
    "--model=Network",
    "--data=lit_intriguing.data.Digits",
    "--trainer.accelerator=cpu",
    "--trainer.logger=false",
]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("wrapped", [True, False])
def test_weights_come_from_a_state_dict_or_a_checkpoint(tmp_path: Path, wrapped: bool) -> None:
    source = nn.Linear(3, 2)
    state = source.state_dict()
    torch.save({"state_dict": state} if wrapped else state, tmp_path / "w.pt")
    model = Network(nn.Linear(3, 2), str(tmp_path / "w.pt"))
    x = torch.randn(4, 3)
    assert torch.equal(model(x), source(x))


def test_missing_or_foreign_weights_are_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no checkpoint .*none\.pt"):
        Network(nn.Linear(3, 2), str(tmp_path / "none.pt"))
    torch.save({"bias": torch.zeros(2)}, tmp_path / "half.pt")
    with pytest.raises(UserError, match=r"half\.pt is not of this model: .*weight"):
        Network(nn.Linear(3, 2), str(tmp_path / "half.pt"))


def test_the_error_of_a_test_set_is_the_fraction_of_wrong_answers() -> None:
    images, labels = torch.eye(4), torch.tensor([0, 1, 2, 0])
    trainer = Trainer(
        accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False
    )
    loader = TensorLoader(images, labels, 2)
    (found,) = trainer.test(Network(nn.Identity()), loader, verbose=False)
    assert found["test/error"] == 0.25


def linear_on_digits() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))


def test_a_function_that_makes_the_module_is_named_on_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    always_three = linear_on_digits()
    with torch.no_grad():
        always_three[1].weight.zero_()
        always_three[1].bias.copy_(torch.eye(10)[3])
    torch.save(always_three.state_dict(), tmp_path / "three.pt")
    function = f"--model.network={__name__}.linear_on_digits"
    cli.main([*TEST, function, "--model.weights=three.pt"])
    # One in ten of the digits is a three.
    assert "test error 89.72%" in capsys.readouterr().out


def test_weights_that_cannot_be_downloaded_are_to_be_given_as_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def no_network(*args: object, **kwargs: object) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr(torch.hub, "urlopen", no_network)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(SystemExit, match="1"):
        cli.main([*TEST, *RESNET, "--model.network.weights=DEFAULT"])
    message = capsys.readouterr().err
    assert "cannot be downloaded (no route to host)" in message
    assert "--model.weights FILE" in message
