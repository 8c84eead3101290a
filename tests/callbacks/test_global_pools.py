"""Pools that processes share: two train as one does with the rows of both in a batch."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

from lit_intriguing.attacks import GradientAttack, HostLoss
from lit_intriguing.callbacks import AdversarialTraining, PerturbedLayer
from lit_intriguing.data import TensorLoader

pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The 'train_dataloader' does not have many workers"),
    pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty"),
]

ROWS, FEATURES, CLASSES, BATCH, STEPS = 96, 6, 3, 16, 72


class Digitless(LightningModule):
    """A classifier without BatchNorm that notes how many rows its loss is a mean over."""

    def __init__(self, loader: str = "") -> None:
        super().__init__()
        torch.manual_seed(0)
        self.loader, self.counted = loader, 0
        self.net = nn.Sequential(
            nn.Linear(FEATURES, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, CLASSES)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        logits = self(batch[0])
        self.counted = len(logits)
        return F.cross_entropy(logits, batch[1])

    def train_dataloader(self) -> Any:
        generator = torch.Generator().manual_seed(1)
        x = torch.rand(ROWS, FEATURES, generator=generator)
        y = torch.randint(CLASSES, (ROWS,), generator=generator)
        rank, world = self.trainer.global_rank, self.trainer.world_size
        if self.loader == "in turn":
            rows = TensorDataset(x, y)
            order = DistributedSampler(rows, world, rank, seed=3)
            return DataLoader(rows, BATCH // world, sampler=order)
        if self.loader == "uneven":  # also the last one, of 11 rows
            batches = [(x[k : k + BATCH], y[k : k + BATCH]) for k in range(0, ROWS - 5, BATCH)]
            batches[-1] = (batches[-1][0][:11], batches[-1][1][:11])
            cuts = [0, BATCH] if world == 1 else [0, 5, BATCH]
            own = slice(cuts[rank], cuts[rank + 1])
            return DataLoader([(a[own], b[own]) for a, b in batches], batch_size=None)
        return TensorLoader(x, y, BATCH // world, rank=rank, world_size=world)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Note(Callback):
    """Keeps each step's loss, and the last weights, in a file of each process.

    Where examples join a batch its loss is that of all rows alike, and the process with more rows
    counts more; else it is weighted already.
    """

    def __init__(self, folder: Path, weighted: bool) -> None:
        self.folder, self.weighted = folder, weighted
        self.losses: list[tuple[float, int]] = []

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *rest: Any
    ) -> None:
        rows = 1 if self.weighted else pl_module.counted
        self.losses.append((float(outputs["loss"]), rows))

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        weights = nn.utils.parameters_to_vector(pl_module.parameters()).detach()
        name = f"{trainer.world_size}-{trainer.global_rank}.pt"
        torch.save({"losses": self.losses, "weights": weights}, self.folder / name)


INPUT = PerturbedLayer(GradientAttack(0.3), pool=40, mix=12, refresh=10, weight=2.0)
HIDDEN = PerturbedLayer(GradientAttack(0.1), pool=40, mix=8, refresh=16, relative=True)


def train(
    folder: Path,
    processes: int,
    callback: AdversarialTraining,
    host: Digitless | None = None,
    steps: int = STEPS,
    resume: Path | None = None,
    accumulate: int = 1,
) -> None:
    keep = ModelCheckpoint(folder, "{step}", every_n_train_steps=36, save_top_k=-1)
    note = Note(folder, bool(callback._options.keep_out))
    trainer = Trainer(
        accelerator="cpu", devices=processes, max_steps=steps, logger=False,
        strategy=DDPStrategy(start_method="fork") if processes > 1 else "auto",
        callbacks=[callback, note, keep], enable_progress_bar=False, enable_model_summary=False,
        use_distributed_sampler=False, accumulate_grad_batches=accumulate,
    )  # fmt: skip
    trainer.fit(host or Digitless(), ckpt_path=resume, weights_only=True if resume else None)


def losses(folder: Path, processes: int) -> Tensor:
    """The mean loss of each step over the rows of all processes."""
    every = [torch.load(folder / f"{processes}-{rank}.pt")["losses"] for rank in range(processes)]
    each = torch.tensor(every, dtype=torch.float64)
    return (each[..., 0] * each[..., 1]).sum(0) / each[..., 1].sum(0)


def weights(folder: Path, processes: int, rank: int = 0) -> Tensor:
    return torch.load(folder / f"{processes}-{rank}.pt")["weights"]


def shared(layers: dict[str, PerturbedLayer], **options: Any) -> AdversarialTraining:
    return AdversarialTraining(layers, seed=7, global_pools=True, **options)


LAYERS: dict[str, dict[str, PerturbedLayer]] = {
    "input": {"": INPUT},
    "hidden": {"net.1": HIDDEN},
    "both, fresh activations": {
        "": INPUT,
        "net.3": PerturbedLayer(GradientAttack(0.1), pool=20, mix=5, refresh=3, stale=False),
    },
    "at the layer": {
        "net.1": PerturbedLayer(
            GradientAttack(0.1), pool=20, mix=6, refresh=16, relative=True, at_layer=True
        )
    },
    "larger loss": {
        "": PerturbedLayer(GradientAttack(0.3), goal=HostLoss(), pool=40, mix=12, refresh=10)
    },
    "larger loss, searched": {
        "net.1": PerturbedLayer(
            GradientAttack(0.3, steps=2), goal=HostLoss(), pool=40, mix=12, refresh=10,
            relative=True,
        )
    },
    "several steps": {
        "": PerturbedLayer(GradientAttack(0.3, steps=3), pool=40, mix=12,
                           refresh=12)
    },
}  # fmt: skip


def assert_alike(folder: Path) -> None:
    assert len(losses(folder, 1)) == STEPS
    torch.testing.assert_close(losses(folder, 2), losses(folder, 1), rtol=0, atol=1e-6)
    torch.testing.assert_close(weights(folder, 2), weights(folder, 1), rtol=0, atol=1e-6)
    assert torch.equal(weights(folder, 2, 0), weights(folder, 2, 1))


@pytest.mark.parametrize("name", LAYERS)
def test_two_processes_train_as_one(tmp_path: Path, name: str) -> None:
    for processes in (1, 2):
        train(tmp_path, processes, shared(LAYERS[name]))
    assert_alike(tmp_path)


@pytest.mark.parametrize(
    ("options", "loader", "accumulate"),
    [
        ({}, "uneven", 1),
        pytest.param({}, "in turn", 1, marks=pytest.mark.slow),
        pytest.param({}, "", 2, marks=pytest.mark.slow),
        ({"keep_out": True}, "uneven", 1),
        pytest.param(
            {"keep_out": True, "loss": nn.CrossEntropyLoss()}, "", 1, marks=pytest.mark.slow
        ),
    ],
    ids=["uneven batches", "rows in turn", "accumulated", "kept out", "a loss of their own"],
)
def test_two_processes_train_as_one_whatever_the_batches(
    tmp_path: Path, options: dict[str, Any], loader: str, accumulate: int
) -> None:
    layers = {"": INPUT, "net.1": HIDDEN}
    for processes in (1, 2):
        callback = shared(layers, **options)
        steps = STEPS // accumulate
        train(tmp_path, processes, callback, Digitless(loader), steps, accumulate=accumulate)
    assert_alike(tmp_path)


@pytest.mark.parametrize(
    ("before", "after"), [(2, 2), (2, 1), pytest.param(1, 2, marks=pytest.mark.slow)]
)
def test_a_run_goes_on_with_any_number_of_processes(
    tmp_path: Path, before: int, after: int
) -> None:
    layers = {"": INPUT, "net.1": HIDDEN}
    train(tmp_path, before, shared(layers))
    whole = weights(tmp_path, before)
    for file in tmp_path.glob("*.pt"):
        file.unlink()
    train(tmp_path, after, shared(layers), resume=tmp_path / "step=36.ckpt")
    assert len(losses(tmp_path, after)) == STEPS - 36
    torch.testing.assert_close(
        weights(tmp_path, after), whole, rtol=0, atol=0 if before == after else 1e-6
    )


def test_a_checkpoint_holds_shared_pools_once(tmp_path: Path) -> None:
    train(tmp_path, 2, shared({"": INPUT}), steps=36)
    state = torch.load(tmp_path / "step=36.ckpt", weights_only=True)
    assert list(state["callbacks"]["AdversarialTraining"]) == ["0"]


class OfLists(Digitless):
    """Has a name for each row."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return super().training_step(batch["rows"], batch_idx)

    def train_dataloader(self) -> Any:
        x, y = next(iter(super().train_dataloader()))
        return DataLoader([{"rows": [x, y], "name": ["a"] * len(x)}] * 4, batch_size=None)


class OfTwoShapes(Digitless):
    """Has rows of another width on the second process."""

    def train_dataloader(self) -> Any:
        x, y = next(iter(super().train_dataloader()))
        wide = FEATURES + self.trainer.global_rank
        return DataLoader([(F.pad(x, (0, wide - FEATURES)), y)] * 4, batch_size=None)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x[:, :FEATURES])


@pytest.mark.parametrize("host", [OfLists, OfTwoShapes])
def test_rows_that_cannot_be_shared_are_refused_on_all_processes(
    tmp_path: Path, host: type[Digitless]
) -> None:
    with pytest.raises(Exception, match="needs rows that are tensors of one shape in all"):
        train(tmp_path, 2, shared({"": INPUT}), host(), steps=2)
    train(tmp_path, 2, AdversarialTraining({"": INPUT}, seed=7), host(), steps=2)  # as is advised


def test_too_few_examples_for_the_processes_are_refused_before_training(tmp_path: Path) -> None:
    few = PerturbedLayer(GradientAttack(0.3), pool=40, mix=1, refresh=10)
    with pytest.raises(Exception, match=r"one of them is 1: set both to 2 or more"):
        train(tmp_path, 2, shared({"": few}), steps=1)
    enough = PerturbedLayer(GradientAttack(0.3), pool=40, mix=2, refresh=10)
    train(tmp_path, 2, shared({"": enough}), steps=1)
