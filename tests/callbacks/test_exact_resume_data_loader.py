"""A restart with an ordinary `DataLoader`: exact at an epoch's end, and said where it is not."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.utils.data import DataLoader, Dataset, WeightedRandomSampler

from lit_intriguing.callbacks import ExactResume
from lit_intriguing.data import TensorLoader

X = torch.rand(24, 4, generator=torch.Generator().manual_seed(0))
Y = torch.arange(24) % 3


class Jittered(Dataset[tuple[Tensor, Tensor]]):
    """Draws a random number for each example."""

    def __len__(self) -> int:
        return len(X)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return X[index] + 0.1 * torch.rand(4), Y[index]


class Host(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.3), nn.Linear(8, 3))

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        return F.cross_entropy(self.net(batch[0]), batch[1])

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        self.net(batch[0])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.5, momentum=0.9)


def run(
    folder: Path, loader: Any, epochs: int, resume: Path | None = None, **saving: Any
) -> tuple[Tensor, list[str]]:
    """Return the weights, and what ExactResume warned of."""
    seed_everything(7 if resume else 1, verbose=False)
    host = Host()
    seed_everything(8 if resume else 2, verbose=False)
    saving = saving or {"filename": "{epoch}"}
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        Trainer(
            max_epochs=epochs,
            accelerator="cpu",
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=[ExactResume(), ModelCheckpoint(folder, save_top_k=-1, **saving)],
        ).fit(host, loader, DataLoader(Jittered(), 8), ckpt_path=resume)
    weights = torch.cat([one.detach().flatten() for one in host.parameters()])
    return weights, [str(one.message) for one in told if "ExactResume" in str(one.message)]


@pytest.mark.parametrize("after", [0, 1])
@pytest.mark.parametrize(
    "options",
    [{}, {"shuffle": True}, {"sampler": WeightedRandomSampler(torch.rand(24), 20)}],
    ids=["in order", "shuffled", "weighted"],
)
def test_from_the_end_of_an_epoch_it_is_exact(
    tmp_path: Path, options: dict[str, Any], after: int
) -> None:
    whole, told = run(tmp_path / "whole", DataLoader(Jittered(), 4, **options), 3)
    assert len(told) == 1
    assert "a run that is resumed within an epoch will not get the batches" in told[0]
    saved = tmp_path / "whole" / f"epoch={after}.ckpt"
    resumed, _ = run(tmp_path / "resumed", DataLoader(Jittered(), 4, **options), 3, saved)
    assert torch.equal(whole, resumed)


@pytest.mark.integration
def test_with_workers_too(tmp_path: Path) -> None:
    options: dict[str, Any] = {"shuffle": True, "num_workers": 2}
    whole, _ = run(tmp_path / "whole", DataLoader(Jittered(), 4, **options), 2)
    saved = tmp_path / "whole" / "epoch=0.ckpt"
    resumed, _ = run(tmp_path / "resumed", DataLoader(Jittered(), 4, **options), 2, saved)
    assert torch.equal(whole, resumed)


def test_within_an_epoch_it_is_not_and_the_way_out_that_is_named_is(tmp_path: Path) -> None:
    steps = {"every_n_train_steps": 4, "filename": "{step}"}
    for name, loader in (
        ("ordinary", lambda: DataLoader(Jittered(), 4, shuffle=True)),
        ("resumable", lambda: TensorLoader(X, Y, 4, shuffle=True)),
    ):
        whole, _ = run(tmp_path / name, loader(), 2, **steps)
        saved = tmp_path / name / "step=4.ckpt"
        resumed, told = run(tmp_path / f"{name} again", loader(), 2, saved, **steps)
        assert torch.equal(whole, resumed) == (name == "resumable")
        assert bool(told) == (name == "ordinary")
    assert "TensorLoader" in run(tmp_path / "c", DataLoader(Jittered(), 4), 1)[1][0]


class Odd(torch.utils.data.SequentialSampler):
    """A sampler of somebody else's."""


class Foreign:
    """A loader of somebody else's."""

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return iter([(X, Y)])


@pytest.mark.parametrize(
    ("loader", "reason"),
    [
        (
            DataLoader(Jittered(), 4, shuffle=True, generator=torch.Generator()),
            "a generator of its own",
        ),
        (DataLoader(Jittered(), 4, sampler=Odd(Jittered())), "not known how a Odd draws"),
        (Foreign(), "not known how a Foreign draws"),
        (
            DataLoader(Jittered(), 4, num_workers=1, persistent_workers=True),
            "workers of the loader persist",
        ),
    ],
)
def test_a_loader_that_draws_aside_is_named(tmp_path: Path, loader: Any, reason: str) -> None:
    _, told = run(tmp_path, loader, 1)
    assert len(told) == 1
    assert reason in told[0]


def test_a_loader_that_resumes_its_position_gives_no_warning(tmp_path: Path) -> None:
    assert run(tmp_path, TensorLoader(X, Y, 4), 1)[1] == []
