"""A `Classifier` whose weights are sharded goes on from its own checkpoints."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def lightning(folder: Path, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "lit_intriguing", *words, "--trainer.enable_progress_bar=false"],
        cwd=folder, capture_output=True, text=True, timeout=300, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
def test_it_is_resumed_and_tested_by_the_command_line(tmp_path: Path) -> None:
    common = ["--config=adv_digits", "--config=configs/trainer/fsdp2.yaml"]
    common.append("--model.subtract_mean=true")
    lightning(tmp_path, "fit", *common, "--trainer.max_epochs=1", "--test_after_fit=false")
    (saved,) = tmp_path.glob("lightning_logs/*/checkpoints/*.ckpt")
    assert saved.is_dir()
    more = [*common, "--trainer.max_epochs=2", f"--ckpt_path={saved}"]
    assert "test error" in lightning(tmp_path, "fit", *more)
    assert "test/error" in lightning(tmp_path, "test", *common, f"--ckpt_path={saved}")
