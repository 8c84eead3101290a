"""A run finds its newest checkpoint by itself, also when torchrun starts it again."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger

from lit_intriguing.cli.newest_checkpoint import newest_checkpoint
from tests.faults.kill import configuration

STEPS = 16


def write(file: Path, age: float, content: object = None) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"optimizer_states": []} if content is None else content, file)
    os.utime(file, (time.time() - age,) * 2)
    return file


def trainer(folder: Path, dirpath: Path | None = None) -> Trainer:
    return Trainer(
        accelerator="cpu", logger=CSVLogger(folder), callbacks=[ModelCheckpoint(dirpath)],
        default_root_dir=folder,
    )  # fmt: skip


def test_the_newest_of_all_versions_is_taken(tmp_path: Path) -> None:
    logs = tmp_path / "lightning_logs"
    write(logs / "version_1" / "checkpoints" / "a.ckpt", age=30)
    newest = write(logs / "version_0" / "checkpoints" / "b.ckpt", age=20)
    assert newest_checkpoint(trainer(tmp_path)) == newest


def test_a_folder_that_is_given_is_the_only_one(tmp_path: Path) -> None:
    write(tmp_path / "lightning_logs" / "version_0" / "checkpoints" / "a.ckpt", age=10)
    given = write(tmp_path / "mine" / "b.ckpt", age=20)
    assert newest_checkpoint(trainer(tmp_path, tmp_path / "mine")) == given


def test_a_run_without_checkpoints_begins(tmp_path: Path) -> None:
    assert newest_checkpoint(trainer(tmp_path)) is None


def test_weights_alone_are_left_out_and_a_cut_file_is_told_of(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    whole = write(folder / "a.ckpt", age=30)
    write(folder / "weights.ckpt", age=20, content={"state_dict": {}})
    cut = write(folder / "cut.ckpt", age=10)
    cut.write_bytes(cut.read_bytes()[:300])
    with pytest.warns(UserWarning, match=r"an earlier checkpoint than .*cut.ckpt"):
        assert newest_checkpoint(trainer(tmp_path, folder)) == whole


def test_a_sharded_folder_that_a_kill_left_incomplete_is_left_out(tmp_path: Path) -> None:
    whole = write(tmp_path / "a.ckpt", age=30)
    cut = tmp_path / "b.ckpt"
    cut.mkdir()
    (cut / ".metadata").write_bytes(b"x")
    (cut / "__0_0.distcp").write_bytes(b"x")
    with pytest.warns(UserWarning, match=r"takes an earlier checkpoint than .*b\.ckpt"):
        assert newest_checkpoint(trainer(tmp_path, tmp_path)) == whole


def fit_by_torchrun(folder: Path, deaths: list[int]) -> torch.Tensor:
    """The last weights of a run of two processes, one of which dies at some steps."""
    folder.mkdir()
    config = configuration(cadence=4, processes=2, length={"max_steps": STEPS})
    dies = {"class_path": "tests.cli.elastic.DieAndLeaveWeights", "init_args": {"steps": deaths}}
    measuring = ("TransferEvaluation", "LipschitzMonitor")
    callbacks = [
        one for one in config["trainer"]["callbacks"] if one["class_path"] not in measuring
    ]
    config["trainer"] |= {"strategy": "ddp", "callbacks": [*callbacks[:-1], dies]}
    (folder / "run.yaml").write_text(yaml.safe_dump(config))
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--max-restarts=2",
         "--nproc-per-node=2", "-m", "lit_intriguing", "fit", "--config=run.yaml",
         "--ckpt_path=newest"],
        cwd=folder,
        env={
            **os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1",
            "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",  # see docs/scale.md
        },
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return torch.load(folder / "weights.pt")


@pytest.mark.slow
def test_a_run_whose_process_dies_ends_as_one_that_is_let_alone(tmp_path: Path) -> None:
    whole = fit_by_torchrun(tmp_path / "whole", [])
    restarted = fit_by_torchrun(tmp_path / "restarted", [10])
    assert len(list((tmp_path / "restarted" / "lightning_logs").iterdir())) == 2
    assert torch.equal(whole, restarted)
