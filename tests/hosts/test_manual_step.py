"""The loss of a manual optimisation is what it goes backward with, and nothing moves."""

from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor, nn
from torch.utils.data import DataLoader

from lit_intriguing.hosts.manual_step import step_loss

pytestmark = [
    pytest.mark.filterwarnings("ignore:The '.*_dataloader' does not have many workers"),
]


class Host(LightningModule):
    """Two optimisers, as of a generator and its critic."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.one, self.two = nn.Linear(3, 1), nn.Linear(3, 1)
        self.kind, self.found = kind, torch.nan

    def training_step(self, batch: Tensor, batch_idx: int) -> Any:
        first, second = self.optimizers()
        assert isinstance(first, LightningOptimizer)
        a, b = self.one(batch).square().mean(), 10 * self.one(batch).square().mean()
        if self.kind == "returns":
            return a
        if self.kind == "skips":
            return None
        self.toggle_optimizer(first)
        first.zero_grad()
        self.manual_backward(a)
        if self.kind == "twice":
            self.manual_backward(2 * self.one(batch).square().mean())
        self.clip_gradients(first, 1.0, gradient_clip_algorithm="norm")
        if self.kind == "closure":
            first.step(closure=lambda: self.manual_backward(3 * self.one(batch).square().mean()))
        first.step()
        self.untoggle_optimizer(first)
        for group in second.param_groups:
            group["lr"] *= 0.5
        self.manual_backward(b)
        second.step()
        self.lr_schedulers()[0].step()
        return None

    def on_train_batch_start(self, batch: Tensor, batch_idx: int) -> None:
        before = [weight.clone() for weight in self.parameters()]
        rate = self.optimizers()[1].param_groups[0]["lr"]
        loss = step_loss(self, self.trainer.precision_plugin)
        found = loss(batch)
        self.found = torch.nan if found is None else float(found.detach())
        if found is not None:
            assert torch.autograd.grad(found, self.one.weight)[0].any()
        assert all(torch.equal(a, b) for a, b in zip(before, self.parameters(), strict=True))
        assert all(weight.grad is None for weight in self.parameters())
        assert self.optimizers()[1].param_groups[0]["lr"] == rate
        assert not self.optimizers()[0].state
        self.wanted = float(self.one(batch).square().mean().detach())

    def configure_optimizers(self) -> Any:
        found = [torch.optim.Adam(one.parameters(), 0.1) for one in (self.one, self.two)]
        return found, [torch.optim.lr_scheduler.ConstantLR(one) for one in found]


FACTORS = {"once": 11.0, "twice": 13.0, "closure": 14.0, "returns": 1.0, "skips": torch.nan}


@pytest.mark.parametrize("kind", FACTORS)
def test_it_is_the_sum_of_all_losses_and_nothing_moves(kind: str, tmp_path: Any) -> None:
    host = Host(kind)
    settings = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = Trainer(
        max_epochs=1, accelerator="cpu", default_root_dir=tmp_path, enable_model_summary=False,
        **settings,
    )  # fmt: skip
    trainer.fit(host, DataLoader(torch.rand(4, 3), batch_size=4))
    assert host.found == pytest.approx(FACTORS[kind] * host.wanted, nan_ok=True)
