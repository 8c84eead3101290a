"""A host's code run aside reaches neither logger nor Trainer, and is as before afterwards."""

import gc
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import CSVLogger, Logger
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.utils.data import DataLoader, TensorDataset

from lit_intriguing.attacks import GradientAttack
from lit_intriguing.callbacks import AdversarialExamples, LipschitzMonitor, TransferEvaluation
from lit_intriguing.hosts.muted import muted
from lit_intriguing.lipschitz import network_norm


class Talkative(LightningModule):
    """Reports in `forward`, in one of many ways."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 3))
        self.way, self.calls = way, 0

    def forward(self, x: Tensor) -> Tensor:
        z: Tensor = self.net(x)
        if self.way:
            getattr(self, self.way)(z.norm())
        return z

    def by_log(self, norm: Tensor) -> None:
        self.log("norm", norm)

    def by_log_on_step(self, norm: Tensor) -> None:
        self.log("norm", norm, on_step=True, prog_bar=True)

    def by_log_dict(self, norm: Tensor) -> None:
        self.log_dict({"norm": norm, "twice": 2 * norm}, on_epoch=True, on_step=False)

    def by_print(self, norm: Tensor) -> None:
        self.print(norm.shape)

    def by_logger(self, norm: Tensor) -> None:
        assert isinstance(self.logger, Logger)
        self.logger.log_metrics({"norm": norm}, step=self.global_step)
        self.logger.experiment.log_metrics({"again": norm}, self.trainer.global_step)

    def by_trainer(self, norm: Tensor) -> None:
        assert isinstance(self.trainer, Trainer)
        self.trainer.callback_metrics["norm"] = norm
        if not self.training:
            self.trainer.should_stop = True
            self.trainer.save_checkpoint("never.ckpt")

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        return F.cross_entropy(self(batch[0]), batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


WAYS = [name for name in vars(Talkative) if name.startswith("by_")]


def fit(folder: Path, host: Talkative, *callbacks: Callback) -> Trainer:
    trainer = Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=CSVLogger(folder),
        log_every_n_steps=1,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        default_root_dir=folder,
        callbacks=list(callbacks),
    )
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(12, 4, 4, generator=generator)
    trainer.fit(host, DataLoader(TensorDataset(x, torch.arange(12) % 3), 4))
    return trainer


def lines(folder: Path) -> list[dict[str, str]]:
    """What the host itself logged, a step after the other."""
    text = next(iter((folder / "lightning_logs").rglob("metrics.csv")), None)
    if text is None:
        return []
    names, *rows = (line.split(",") for line in text.read_text().splitlines())
    found = [dict(zip(names, row, strict=True)) for row in rows]
    return [
        {name: row.get(name, "") for name in ("step", "norm", "twice", "again")}
        for row in found
        if any(row.get(name) for name in ("norm", "twice", "again"))
    ]


@pytest.mark.integration
@pytest.mark.parametrize("way", WAYS)
def test_who_measures_a_host_that_reports_in_forward_changes_nothing_of_it(
    tmp_path: Path, way: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    own, attack = tmp_path / "own", GradientAttack(eps=0.5)
    measuring = [
        LipschitzMonitor(every_n_steps=2, dirpath=own),
        AdversarialExamples(attack, examples=3, dirpath=own),
        TransferEvaluation(attack, examples=3, dirpath=own),
    ]
    hosts, printed = [], []
    for folder, callbacks in (("alone", []), ("measured", measuring)):
        torch.manual_seed(0)
        hosts.append(Talkative(way))
        trainer = fit(tmp_path / folder, hosts[-1], *callbacks)
        printed.append(capsys.readouterr().out)
    gc.collect()  # where the process died
    assert all(torch.equal(a, b) for a, b in zip(*(h.parameters() for h in hosts), strict=True))
    assert trainer.global_step == 3
    assert not (tmp_path / "never.ckpt").exists()
    assert measuring[0].certified is not None
    assert measuring[0].certified.norm.finite
    assert printed[0] == printed[1]
    assert lines(tmp_path / "alone") == lines(tmp_path / "measured")


def test_all_is_as_before_afterwards() -> None:
    host = Talkative("")
    host.trainer = trainer = Trainer(logger=False, enable_progress_bar=False)
    host.__dict__["log"] = marker = object()

    def fails() -> None:
        assert host.trainer is not trainer
        assert host.trainer.max_epochs == trainer.max_epochs
        host.trainer.callback_metrics["x"] = torch.ones(())
        host.trainer.should_stop = True
        raise RuntimeError("inside")

    with muted(nn.Sequential(host)), pytest.raises(RuntimeError, match="inside"):
        fails()
    assert host.trainer is trainer
    assert vars(host)["log"] is marker
    assert "print" not in vars(host)
    assert not trainer.callback_metrics
    assert not trainer.should_stop


def test_a_logger_takes_all_that_its_users_do_with_it() -> None:
    host = Talkative("")
    host.trainer = Trainer(logger=CSVLogger("nowhere"), enable_progress_bar=False)
    with muted(host):
        board: Any = host.logger.experiment
        board.add_scalar("x", 1.0, 2)
        board.config["key"] = 3
        board.summary.best = 4
        with board.watch() as run:
            run.table[0].add(1)
        assert list(board) == []
        assert host.loggers[0].name == "lightning_logs"
    assert not Path("nowhere").exists()


@pytest.mark.parametrize("thing", ["a tensor", "a parameter", "an output"])
def test_a_forward_that_copies_tensors_deeply_is_followed(thing: str) -> None:
    class Copies(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Linear(4, 2)
            self.kept: list[Any] = []

        def forward(self, x: Tensor) -> Tensor:
            z: Tensor = self.net(x)
            kinds = {"a tensor": torch.tensor(1.0), "a parameter": self.net.weight, "an output": z}
            ring: dict[str, Any] = {"copy": deepcopy(kinds[thing])}
            ring["ring"] = ring  # for the garbage collector
            return deepcopy(z) if thing == "an output" else z

    model = Copies()
    found = network_norm(model, (4,)).norm
    gc.collect()
    norm = torch.linalg.matrix_norm(model.net.weight.detach().double(), 2).item()
    assert found.value == pytest.approx(norm)
