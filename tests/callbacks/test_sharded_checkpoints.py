"""Sharded checkpoints of FSDP2: written, resumed on as many processes and on others, read alone."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.strategies import ModelParallelStrategy

from lit_intriguing.callbacks import AdversarialTraining, ExactResume, FullyShard
from lit_intriguing.errors import DamagedFileError, UserError
from lit_intriguing.models.weights import read_checkpoint
from tests.callbacks.scripts import alone
from tests.callbacks.test_adversarial_training_distributed import Record, callback, weights_of
from tests.callbacks.test_fully_shard import PlainHost

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("no_group_left")]

EPOCH = 4
"""Steps of one, on any number of processes: 48 rows, 12 a step."""


class Momentum(PlainHost):
    """An optimiser with a state of each weight."""

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=0.05)


class Begun(Callback):
    """Notes with which examples and weights a run goes on."""

    rows: torch.Tensor | None = None
    weights: torch.Tensor

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        (training,) = (c for c in trainer.callbacks if isinstance(c, AdversarialTraining))
        if self.rows is None and len(training.pools.by_layer[""]):
            self.rows = training.pools.by_layer[""].filled("inputs").clone()
            parts = [getattr(p, "full_tensor", p.detach)() for p in pl_module.parameters()]
            self.weights = torch.cat([one.detach().clone().flatten() for one in parts])


@pytest.fixture(autouse=True)
def no_group_stays() -> Iterator[None]:
    with alone():
        yield


def train(
    folder: Path, processes: int, resume: str | None = None, steps: int = 8, sharded: bool = True
) -> Begun:
    strategy: Any = "auto"
    if sharded:
        strategy = ModelParallelStrategy(data_parallel_size=processes, tensor_parallel_size=1)
    keep = ModelCheckpoint(folder, every_n_train_steps=2, save_top_k=-1, filename="{step}")
    begun = Begun()
    trainer = Trainer(
        accelerator="cpu", devices=processes, strategy=strategy, max_steps=steps, logger=False,
        callbacks=[FullyShard(), callback(), ExactResume(), begun, Record(folder), keep],
        enable_progress_bar=False, enable_model_summary=False, use_distributed_sampler=False,
    )  # fmt: skip
    trainer.fit(Momentum(), ckpt_path=resume)
    return begun


SCRIPT = """
import sys
from pathlib import Path
from tests.callbacks.test_sharded_checkpoints import train

if __name__ == "__main__":
    folder, processes, *resume = sys.argv[1:]
    train(Path(folder), int(processes), *resume)
"""


def run(folder: Path, processes: int, *resume: Path) -> subprocess.CompletedProcess[str]:
    folder.mkdir()
    (folder / "script.py").write_text(SCRIPT)
    return subprocess.run(
        [sys.executable, str(folder / "script.py"), str(folder), str(processes), *map(str, resume)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run on two processes."""
    folder = tmp_path_factory.mktemp("sharded") / "whole"
    done = run(folder, 2)
    assert done.returncode == 0, done.stderr
    return folder


def pools_in(checkpoint: Path) -> list[torch.Tensor]:
    """What the input's pool of each process holds."""
    states = read_checkpoint(checkpoint)["callbacks"]["AdversarialTraining"]
    pools = [states[rank]["pools"][""] for rank in sorted(states)]
    return [one["tensors"]["inputs"][: one["count"]] for one in pools]


def rows_of(pools: list[torch.Tensor]) -> set[tuple[float, ...]]:
    return {tuple(row) for pool in pools for row in pool.tolist()}


def test_a_run_of_as_many_processes_ends_bit_for_bit_as_without_the_restart(
    whole: Path, tmp_path: Path
) -> None:
    done = run(tmp_path / "again", 2, whole / "step=6.ckpt")
    assert done.returncode == 0, done.stderr
    assert torch.equal(weights_of(tmp_path / "again", 0), weights_of(whole, 0))
    ends = [read_checkpoint(folder / "step=8.ckpt") for folder in (whole, tmp_path / "again")]
    for name, state in ends[0]["optimizer_states"][0]["state"].items():
        other = ends[1]["optimizer_states"][0]["state"][name]
        assert all(torch.equal(value, other[key]) for key, value in state.items())
    pools = [pools_in(folder / "step=8.ckpt") for folder in (whole, tmp_path / "again")]
    assert all(torch.equal(one, other) for one, other in zip(*pools, strict=True))


def test_no_folder_is_left_half_written(whole: Path) -> None:
    names = {path.name for path in whole.iterdir() if path.is_dir()}
    assert names == {f"step={step}.ckpt" for step in (2, 4, 6, 8)}


@pytest.mark.slow
def test_four_processes_share_the_examples_of_two(whole: Path, tmp_path: Path) -> None:
    done = run(tmp_path / "four", 4, whole / "step=4.ckpt")
    assert done.returncode == 0, done.stderr
    words = "pools of 2 processes and this run has 4: training goes on from them, which are dealt"
    assert words in done.stderr


IGNORED = [
    "ignore:The checkpoint holds the random states",
    "ignore:ExactResume. the checkpoint is of a run with batches of 6",
    "ignore:The dirpath has changed",
]


@pytest.mark.filterwarnings(*IGNORED)
@pytest.mark.parametrize("sharded", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_one_process_goes_on_with_examples_of_both(
    sharded: bool, whole: Path, tmp_path: Path
) -> None:
    folder = whole / f"step={EPOCH}.ckpt"
    before = pools_in(folder)
    with pytest.warns(UserWarning, match="pools of 2 processes and this run has 1.*dealt out anew"):
        begun = train(tmp_path, 1, str(folder), steps=EPOCH + 1, sharded=sharded)
    after = begun.rows
    assert after is not None
    assert len(after) == 20
    assert rows_of([after]) <= rows_of(before)
    for pool in before:
        assert len(rows_of([after]) & rows_of([pool])) == 10
    weights = torch.cat([w.flatten() for w in read_checkpoint(folder)["state_dict"].values()])
    assert torch.equal(begun.weights, weights)


@pytest.mark.filterwarnings(*IGNORED, "ignore:The checkpoint holds the pools")
@pytest.mark.slow  # a group of processes in here: gloo's threads make a later fork hang
def test_one_process_without_shards_takes_the_step_of_one_with_them(
    whole: Path, tmp_path: Path
) -> None:
    ends = []
    for sharded in (False, True):
        (tmp_path / str(sharded)).mkdir()
        train(tmp_path / str(sharded), 1, str(whole / "step=4.ckpt"), sharded=sharded)
        ends.append(weights_of(tmp_path / str(sharded), 0))
    torch.testing.assert_close(*ends, rtol=1e-5, atol=1e-6)


def test_a_damaged_shard_ends_the_run_with_the_way_out(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bad.ckpt"
    shutil.copytree(whole / "step=4.ckpt", folder)
    path = folder / "__1_0.distcp"
    path.write_bytes(path.read_bytes()[:-300])
    done = run(tmp_path / "again", 2, folder)
    assert done.returncode != 0
    # Lightning ends the other process once the first one has failed: what that says may be lost.
    assert f"DamagedFileError: {path} is damaged" in done.stderr
    assert "take another copy of it, or an earlier checkpoint" in done.stderr
    with pytest.raises(DamagedFileError, match="is damaged"):
        train(tmp_path / "one", 1, str(folder), sharded=False)


class Wider(Momentum):
    def __init__(self) -> None:
        super().__init__()
        self.more = torch.nn.Linear(2, 2)


@pytest.mark.slow
def test_the_checkpoint_of_another_model_is_refused_in_one_line(
    whole: Path, tmp_path: Path
) -> None:
    strategy = ModelParallelStrategy(data_parallel_size=1, tensor_parallel_size=1)
    trainer = Trainer(
        accelerator="cpu", devices=1, strategy=strategy, max_steps=9, logger=False,
        callbacks=[FullyShard(), callback()], enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, default_root_dir=tmp_path,
    )  # fmt: skip
    words = r"is not of this model: it lacks more\.weight and 1 more"
    with alone(), pytest.raises(UserError, match=words):
        trainer.fit(Wider(), ckpt_path=str(whole / "step=4.ckpt"))
