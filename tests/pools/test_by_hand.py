import re
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

import lit_intriguing
from lit_intriguing.attacks import GradientAttack, HostLoss
from lit_intriguing.callbacks import AdversarialTraining, PerturbedLayer
from lit_intriguing.data import TensorLoader
from lit_intriguing.errors import UserError
from lit_intriguing.pools.by_hand import without_option

MESSAGES = {
    "No logits. Name it: model=<name>. If the step splits the batch, use keep_out=True.":
        "No logits. Name it: model=<name>. In manual",
    "Only one can be weighted. Use keep_out=True, or name the one to weight: model=<name>.":
        "Only one can be weighted. Name the one to weight: model=<name>. In manual",
    "Rows cannot join one batch: use keep_out=True.": "Rows cannot join one batch. In manual",
    "A new tensor. Let it return an entry as it is, or set keep_out=True.":
        "A new tensor. Let it return an entry as it is. In manual",
}  # fmt: skip


@pytest.mark.parametrize("message", MESSAGES)
def test_what_manual_optimisation_refuses_is_not_advised(message: str) -> None:
    assert without_option(message).startswith(MESSAGES[message])


def test_no_sentence_of_ours_keeps_the_option() -> None:
    sources = Path(lit_intriguing.__file__).parent.glob("pools/*.py")
    found = [
        sentence
        for source in sources
        for sentence in re.findall(r'"([^"\n]*keep_out=True[^"\n]*)"', source.read_text())
    ]
    assert len(found) > 3
    assert not [one for one in found if "keep_out=True" in without_option(one)]


class Halved(LightningModule):
    """Optimises by hand, and the network sees half of the batch, as a discriminator may."""

    def __init__(self, automatic: bool) -> None:
        super().__init__()
        self.automatic_optimization = automatic
        self.first, self.net = nn.Linear(4, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(self.first(x))

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        half = len(batch[0]) // 2
        loss = F.cross_entropy(self(batch[0][:half]), batch[1][:half])
        if not self.automatic_optimization:
            self.manual_backward(loss)
            self.optimizers().step()
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


def fit(tmp_path: Path, host: LightningModule, layer: str, **options: Any) -> None:
    plan = PerturbedLayer(GradientAttack(0.1), goal=HostLoss(), pool=8, mix=8, refresh=8)
    trainer = Trainer(
        max_steps=3, accelerator="cpu", logger=False, enable_checkpointing=False,
        callbacks=[AdversarialTraining({layer: plan}, **options)], default_root_dir=tmp_path,
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(host, TensorLoader(torch.rand(16, 4), torch.arange(16) % 3, 8))


def test_a_host_that_optimises_by_hand_is_told_what_can_be_done(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="In manual optimisation") as told:
        fit(tmp_path, Halved(automatic=False), "first")
    assert "keep_out=True" not in str(told.value)


def test_the_same_host_works_as_it_is_told_to(tmp_path: Path) -> None:
    fit(tmp_path, Halved(automatic=True), "")
