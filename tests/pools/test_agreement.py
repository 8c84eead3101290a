"""Two processes: an error of one is told by both, and one without examples makes none wait."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from lit_intriguing.attacks import GradientAttack, HostLoss
from lit_intriguing.callbacks import AdversarialTraining, PerturbedLayer
from lit_intriguing.data import TensorLoader
from lit_intriguing.pools.agreement import agreed, known_anywhere
from lit_intriguing.pools.joining import entry_of
from lit_intriguing.pools.pool import PoolError
from lit_intriguing.pools.trial import Findings
from tests.callbacks.scripts import train_in
from tests.callbacks.test_host_loss_distributed import Synchronised

ROWS = 16


class Host(LightningModule):
    def __init__(self, wrong_on: int | None = None, flat_on: int | None = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.wrong_on, self.flat_on = wrong_on, flat_on
        middle = [] if flat_on is None else [Synchronised(6)]
        self.net = nn.Sequential(nn.Linear(4, 6), *middle, nn.Tanh(), nn.Linear(6, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        if self.global_rank == self.wrong_on:
            raise LookupError("no such row")
        out = self(batch[0])
        # Where no gradient leads to the input no example enters the pool.
        flat = self.global_rank == self.flat_on and self.global_step < 2
        out = out * 0 + self.net[-1].bias if flat else out
        return F.mse_loss(out, batch[1][:, None].float())

    def train_dataloader(self) -> TensorLoader:
        x = torch.rand(ROWS, 4, generator=torch.Generator().manual_seed(1))
        y = torch.arange(ROWS) % 3
        return TensorLoader(x, y, 4, rank=self.trainer.global_rank, world_size=2)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Telling(AdversarialTraining):
    """Leaves what it raises, on each process."""

    def __init__(self, folder: Path, keep_out: bool | None) -> None:
        plan = PerturbedLayer(GradientAttack(0.3), 1.0, HostLoss(), pool=4, mix=4, refresh=4)
        super().__init__({"": plan}, seed=7, keep_out=keep_out)
        self.folder = folder
        folder.mkdir()

    def around_step(self, trainer: Trainer, *args: Any) -> Any:
        try:
            return super().around_step(trainer, *args)
        except Exception as error:
            told = f"{type(error).__name__}: {error}"
            torch.save(told, self.folder / f"{trainer.global_rank}.pt")
            dist.barrier()  # else one ends the other before it tells
            raise


class Record(Callback):
    """Leaves how many examples the pool held after each step, and the weights at the end."""

    def __init__(self, mixing: Telling) -> None:
        self.mixing, self.found = mixing, list[int]()

    def on_train_batch_end(self, *args: Any) -> None:
        self.found.append(len(self.mixing.pools.by_layer[""]))

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        found = self.found, pl_module.state_dict()
        torch.save(found, self.mixing.folder / f"{trainer.global_rank}.pt")


def train(folder: Path, strategy: Any, devices: int) -> None:
    """Have no examples on one process, then fail on one; called in a script."""
    empty = Telling(folder / "empty", True), Host(flat_on=1)
    failing = Telling(folder / "failing", None), Host(wrong_on=1)
    for mixing, host in (empty, failing):
        trainer = Trainer(
            accelerator="cpu", devices=devices, strategy="ddp_fork", max_steps=5, max_epochs=-1,
            logger=False, callbacks=[mixing, Record(mixing)], enable_progress_bar=False,
            enable_checkpointing=False, enable_model_summary=False,
            use_distributed_sampler=False,
        )  # fmt: skip
        with pytest.raises(Exception, match="no such row") if host.wrong_on else nullcontext():
            trainer.fit(host)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("agreement") / "runs"
    return train_in(folder, "tests.pools.test_agreement", "replicated")


@pytest.mark.integration
def test_an_error_in_the_trial_of_one_process_is_told_by_both(trained: Path) -> None:
    first, second = (torch.load(trained / "failing" / f"{rank}.pt") for rank in (0, 1))
    assert first.startswith("UserError: AdversarialTraining: the batch or the training step of")
    assert "process 1" in first
    assert "LookupError: no such row" in first
    assert second == "LookupError: no such row"


@pytest.mark.integration
def test_where_one_process_has_no_examples_networks_that_synchronise_go_on(trained: Path) -> None:
    (many, first), (few, second) = (torch.load(trained / "empty" / f"{rank}.pt") for rank in (0, 1))
    assert many[1] == 4
    assert few[1] == 0
    assert few[-1] == 4
    for name, weight in first.items():
        if "running" not in name:  # of each process's own last batch
            assert torch.equal(weight, second[name]), name


class Alone:
    world_size = 1


def test_one_process_raises_its_own_error_and_keeps_what_it_has() -> None:
    trainer: Any = Alone()
    assert agreed(trainer, lambda: Findings(None, "a", True)) == Findings(None, "a", True)
    assert known_anywhere(trainer, ["a", "b", "c"], ["c", "a"]) == ["a", "c"]

    def wrong() -> Findings:
        raise LookupError("row")

    with pytest.raises(LookupError, match="row"):
        agreed(trainer, wrong)


class Weighted(Host):
    """Takes a weight for each example, where there is one."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss = (self(batch["x"])[:, 0] - batch["y"]).square()
        return (loss * batch.get("weight", torch.ones(()))).mean()


@pytest.mark.filterwarnings("ignore:The 'train_dataloader' does not have many workers")
@pytest.mark.parametrize("keep_out", [None, True])
def test_a_continued_run_whose_rows_hold_more_is_refused_in_a_sentence(
    tmp_path: Path, keep_out: bool | None
) -> None:
    def fit(steps: int, more: dict[str, Tensor], path: Path | None = None) -> Trainer:
        rows = [{"x": torch.rand(4), "y": torch.rand(()), **more} for _ in range(ROWS)]
        plan = PerturbedLayer(GradientAttack(0.3), 1.0, HostLoss(), pool=8, mix=8, refresh=8)
        trainer = Trainer(
            accelerator="cpu", max_steps=steps, logger=False, default_root_dir=tmp_path,
            callbacks=[AdversarialTraining({"": plan}, keep_out=keep_out)],
            enable_progress_bar=False, enable_checkpointing=False, enable_model_summary=False,
        )  # fmt: skip
        loader = torch.utils.data.DataLoader(rows, batch_size=8)
        trainer.fit(Weighted(), loader, ckpt_path=path, weights_only=True)
        return trainer

    fit(2, {}).save_checkpoint(tmp_path / "two.ckpt")
    with pytest.raises(PoolError, match="start without that checkpoint"):
        fit(4, {"weight": torch.ones(())}, tmp_path / "two.ckpt")


def test_an_entry_that_examples_lack_is_named() -> None:
    with pytest.raises(PoolError, match=r"The batch has .d\.mask. for each example"):
        entry_of({"inputs": torch.zeros(1)}, "rest:d.mask")
