"""The loop over several models: whose examples are whose, and what other processes leave."""

import io
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningDataModule, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from lit_intriguing.attacks import GradientAttack
from lit_intriguing.commands.transfer import TransferJob, TransferMatrix, transfer_tensors
from lit_intriguing.commands.transfer.run import TransferRun
from lit_intriguing.errors import UserError
from lit_intriguing.model_sets.loading import QUIET
from lit_intriguing.model_sets.run import Models
from lit_intriguing.splits.split import SplitData
from tests.commands.transfer.small import examples, trained

pytestmark = pytest.mark.filterwarnings("ignore:The '.*_dataloader' does not have many workers")


class Data(LightningDataModule):
    """The small examples."""

    def test_dataloader(self) -> DataLoader:
        return DataLoader(TensorDataset(*examples()), 7)


def study(folder: Path, models: Any, **trainer: Any) -> TransferMatrix:
    quiet = {"accelerator": "cpu", "enable_progress_bar": False, **trainer}
    return TransferMatrix(
        models, Data(), str(folder), attack=GradientAttack(0.3, steps=5), noise=[], amplify=[],
        chunk=16, trainer=quiet,
    )  # fmt: skip


def test_closures_of_one_factory_get_examples_of_their_own(tmp_path: Path) -> None:
    def calls(network: nn.Module):
        return lambda x: network(x)

    models = {"a": calls(trained(0)), "b": calls(trained(1))}
    found = study(tmp_path, models).run(io.StringIO())
    assert len(list((tmp_path / "examples").iterdir())) == 2
    job = TransferJob(GradientAttack(0.3, steps=5), noise=(), amplify=(), chunk=16)
    assert found is not None
    assert found.rows == transfer_tensors(models, *examples(), job).rows


class Hidden:
    """Calls a network that its text hides."""

    def __init__(self, network: nn.Module) -> None:
        self._network = network

    def __call__(self, x: Tensor) -> Tensor:
        return self._network(x)

    def __repr__(self) -> str:
        return "Hidden"


class Scaled(nn.Module):
    """A network whose scale its text does not show, unless it is told to."""

    def __init__(self, network: nn.Module, scale: float, shown: bool = False) -> None:
        super().__init__()
        self.network, self.scale, self.shown = network, scale, shown

    def forward(self, x: Tensor) -> Tensor:
        return self.network(self.scale * x)

    def extra_repr(self) -> str:
        return f"scale={self.scale}" if self.shown else ""


def test_models_that_cannot_be_told_apart_are_refused_and_the_way_out_works(
    tmp_path: Path,
) -> None:
    message = "models 'a' and 'b' cannot be told apart"
    with pytest.raises(UserError, match=message):
        study(tmp_path, {"a": Hidden(trained(0)), "b": Hidden(trained(1))}).run(io.StringIO())
    network = trained(0)
    with pytest.raises(UserError, match=message):
        study(tmp_path, {"a": Scaled(network, 1.0), "b": Scaled(network, 0.5)}).run(io.StringIO())
    shown = {"a": Scaled(network, 1.0, True), "b": Scaled(network, 0.5, True)}
    study(tmp_path, shown).run(io.StringIO())
    # The same weights twice, as from one checkpoint, have the same examples.
    study(tmp_path, {"a": trained(0), "b": trained(0)}).run(io.StringIO())


@pytest.mark.parametrize(
    ("one", "other"),
    [(torch.tanh, torch.relu), ((1,), (2,)), (torch.zeros(2), torch.ones(2)), ([1.0], [2.0])],
    ids=["function", "tuple", "tensor", "list"],
)
def test_models_that_differ_in_an_attribute_that_nothing_shows_are_refused(
    one: Any, other: Any, tmp_path: Path
) -> None:
    network = trained(0)
    with pytest.raises(UserError, match="cannot be told apart"):
        study(tmp_path, {"a": Scaled(network, one), "b": Scaled(network, other)}).run(io.StringIO())


@pytest.mark.parametrize(
    "call",
    [lambda module: module.forward, lambda module: lambda x: module(x), Hidden],
    ids=["method", "closure", "object"],
)
def test_functions_that_call_such_models_are_refused(call: Any, tmp_path: Path) -> None:
    network = trained(0)
    models = {"a": call(Scaled(network, 1.0)), "b": call(Scaled(network, 0.5))}
    with pytest.raises(UserError, match="cannot be told apart"):
        study(tmp_path, models).run(io.StringIO())


def test_equal_closures_share_their_examples(tmp_path: Path) -> None:
    def scaled(network: nn.Module, scale: float):
        return lambda x: network(scale * x)

    models = {name: scaled(trained(0), 1.0) for name in ("a", "b")}
    assert study(tmp_path, models).run(io.StringIO()) is not None
    assert len(list((tmp_path / "examples").iterdir())) == 1


def test_results_that_other_processes_have_not_left_are_missed(tmp_path: Path) -> None:
    models = {"a": trained(0)}
    asked = study(tmp_path, models)
    data = SplitData(asked.data, "test", asked.chunk, None)
    loop = TransferRun(asked.pass_over(data, asked.job(), {}), "Study")
    trainer = Trainer(**QUIET, accelerator="cpu")
    with pytest.raises(UserError, match="no results of the processes that SingleDeviceStrategy"):
        loop.read_back(trainer, Models(models))
    asked.run(io.StringIO())
    loop.read_back(trainer, Models(models))
    assert loop.found is not None


@pytest.mark.integration
@pytest.mark.parametrize("precision", ["32-true", "bf16-true"])
def test_processes_that_are_forked_leave_their_results_in_any_precision(
    precision: str, tmp_path: Path
) -> None:
    forked = {"strategy": "ddp_fork", "devices": 2, "precision": precision}
    found = study(tmp_path / "two", {"a": trained(0)}, **forked).run(io.StringIO())
    one = study(tmp_path / "one", {"a": trained(0)}, precision=precision).run(io.StringIO())
    assert found == one
