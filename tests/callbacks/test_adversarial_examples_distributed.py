"""AdversarialExamples on two processes: nobody waits for ever, one set of files, same weights."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, LightningModule
from lightning.pytorch.strategies import DDPStrategy
from torch.utils.data import DataLoader

from tests.callbacks.test_adversarial_examples import (
    FailsLater,
    Host,
    Stream,
    Validating,
    contents,
    data,
    examples,
    plain,
    trainer,
)

pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore:The '.*_dataloader' does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:AdversarialExamples made no examples"),
    pytest.mark.filterwarnings("ignore:It is recommended to use .*sync_dist"),
]


class Record(Callback):
    """Leaves each process's last weights and its callback's history in a file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def setup(self, trainer: Any, pl_module: LightningModule, stage: str) -> None:
        # Here, as starting the processes draws random numbers.
        for seed in (random.seed, np.random.seed, torch.manual_seed):
            seed(1 + trainer.global_rank)

    def on_train_end(self, trainer: Any, pl_module: LightningModule) -> None:
        weights = torch.cat([p.detach().flatten() for p in pl_module.parameters()])
        found = [c for c in trainer.callbacks if type(c).__name__ == "AdversarialExamples"]
        history = [m.step for c in found for m in (*c._history, *c._losses)]
        self.folder.mkdir(parents=True, exist_ok=True)
        torch.save(
            {"weights": weights, "history": history}, self.folder / f"{trainer.global_rank}.pt"
        )


def run(folder: Path, *callbacks: Callback, loader: Any, host: Host) -> list[dict[str, Any]]:
    """What each process recorded."""
    trainer(
        folder, *callbacks, Record(folder / "ranks"), devices=2,
        strategy=DDPStrategy(start_method="fork"),
    ).fit(host, *loader)  # fmt: skip
    return [torch.load(folder / "ranks" / f"{rank}.pt") for rank in (0, 1)]


class Squares(Host):
    """Without class labels: its loss does not depend on them."""

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        self.seen.append(batch[1].clone())
        return self(batch[0]).square().mean()


KINDS = ["validation", "training", "stream", "failing", "unlabelled", "unlabelled stream"]


@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_train_as_without_and_leave_one_set_of_files(
    kind: str, tmp_path: Path
) -> None:
    def loaders() -> Any:
        if kind.endswith("stream"):
            return (DataLoader(Stream(), batch_size=6),)
        train = DataLoader(data(), batch_size=6, shuffle=True)
        return (train, plain()) if kind == "validation" else (train,)

    plain_host = Squares if kind.startswith("unlabelled") else Host
    host = Validating if kind == "validation" else plain_host
    attack = {"attack": FailsLater()} if kind == "failing" else {}
    without = run(tmp_path / "without", loader=loaders(), host=host())
    callback = examples(every_n_steps=3, **attack)
    with_it = run(tmp_path / "with", callback, loader=loaders(), host=host())
    for one, other in zip(without, with_it, strict=True):
        assert torch.equal(one["weights"], other["weights"])
    assert torch.equal(with_it[0]["weights"], with_it[1]["weights"])
    files = contents(tmp_path / "with")
    steps = [content["step"] for content in files]
    assert steps == with_it[0]["history"] == with_it[1]["history"]
    assert steps == [] if kind == "failing" else len(steps) >= 2
    assert all(torch.equal(content["clean"], files[0]["clean"]) for content in files)
