"""What the log says of a module without forward: the submodule to name, where its loss is that."""

import logging
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.utils.data import DataLoader, TensorDataset

from lit_intriguing.attacks import GradientAttack
from lit_intriguing.callbacks import AdversarialExamples, AdversarialTraining, PerturbedLayer

pytestmark = pytest.mark.filterwarnings("ignore:The '.*_dataloader' does not have many workers")


class AsInTutorials(LightningModule):
    """A network as `self.net`, and no forward."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.extra = nn.Linear(8, 4)
        self.net = nn.Sequential(nn.Linear(8, 4))

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return F.cross_entropy(self.net(batch[0]), batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


class TwoSteps(AsInTutorials):
    """The logits are of two submodules: neither is the model."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return F.cross_entropy(self.net(batch[0]) + self.extra(batch[0]), batch[1])


def said(host: LightningModule, callback: Any, caplog: pytest.LogCaptureFixture) -> str:
    generator = torch.Generator().manual_seed(0)
    x, y = torch.rand(16, 8, generator=generator), torch.arange(16) % 4
    caplog.clear()
    with caplog.at_level(logging.INFO):
        Trainer(
            max_steps=2, accelerator="cpu", logger=False, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False, callbacks=[callback],
        ).fit(host, DataLoader(TensorDataset(x, y), batch_size=8))  # fmt: skip
    name = type(callback).__name__
    (text,) = [one.message for one in caplog.records if one.message.startswith(name)]
    return text


def training(**options: Any) -> AdversarialTraining:
    layer = PerturbedLayer(GradientAttack(0.1), pool=8, mix=4, refresh=4)
    return AdversarialTraining({"": layer}, **options)


def test_the_submodule_whose_cross_entropy_the_loss_is_is_named_and_naming_it_gives_labels(
    caplog: pytest.LogCaptureFixture,
) -> None:
    text = said(AsInTutorials(), training(), caplog)
    assert text.endswith(
        "because no submodule is known that maps the inputs to logits: model='net' names it, for "
        "class labels."
    )
    assert "RandomTargets()" in said(AsInTutorials(), training(model="net"), caplog)


def test_a_submodule_that_gives_other_logits_is_not_named(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert "names it" not in said(TwoSteps(), training(), caplog)


def test_the_reason_of_the_callbacks_that_measure_ends_with_a_whole_clause(
    caplog: pytest.LogCaptureFixture, tmp_path: Any
) -> None:
    text = said(AsInTutorials(), AdversarialExamples(examples=2, dirpath=tmp_path), caplog)
    assert "such as model='net'; or give the module a forward. Attacked:" in text
