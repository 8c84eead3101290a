"""Positions shared among processes give what one process gives."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, Trainer, seed_everything
from torch import Tensor

from lit_intriguing.errors import UserError
from lit_intriguing.models import LocalFilters, QuocNet, ReconstructionTICA
from lit_intriguing.models.quocnet.sharded import shard_positions
from tests.models.quocnet.test_reconstruction_tica import Images

ROOT = Path(__file__).parents[3]
SIZES: dict[str, Any] = {"input_shape": [1, 8, 8], "stages": 2, "maps": 3, "kernel": [4, 2],
                         "pool": 2, "contrast": 3, "scale": 0.5}  # fmt: skip

_SCRIPT = """
from pathlib import Path
from lightning.pytorch.strategies import ModelParallelStrategy
from tests.models.quocnet.test_sharded import train

if __name__ == "__main__":
    strategy = ModelParallelStrategy(data_parallel_size={data}, tensor_parallel_size={positions})
    train(Path({folder!r}), strategy, {data} * {positions}, {checkpoint!r}, {epochs}, {device!r})
"""


class Losses(Callback):
    """Keeps the loss of each step."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.numbers = 0

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.losses.append(float(outputs["loss"]))


def train(
    folder: Path,
    strategy: Any,
    devices: int,
    checkpoint: str | None = None,
    epochs: int = 4,
    device: str | None = None,
) -> None:
    """Train a small network on full batches; write its losses, sizes and weights."""
    seed_everything(0, verbose=False)
    network = QuocNet(**SIZES, device=device)
    model = ReconstructionTICA(network, optimizer=lambda p: torch.optim.Adam(p, lr=1e-2))
    kept = Losses()
    run = Trainer(
        strategy=strategy, devices=devices, accelerator="cpu", max_epochs=epochs, logger=False,
        enable_progress_bar=False, enable_model_summary=False, callbacks=[kept],
        default_root_dir=folder, log_every_n_steps=1, enable_checkpointing=False,
    )  # fmt: skip
    data = Images(batch_size=1437 // max(1, int(os.environ.get("SHARES", "1"))), drop_last=True)
    run.fit(model, datamodule=data, ckpt_path=checkpoint)
    run.save_checkpoint(folder / "saved.ckpt")
    weights = [stage.filters.weight for stage in model.network.stages]
    here = [getattr(one, "to_local", lambda one=one: one)().numel() for one in weights]
    whole = [getattr(one, "full_tensor", lambda one=one: one)().detach() for one in weights]
    torch.save(
        {"losses": kept.losses, "here": here, "weights": whole}, folder / f"{run.global_rank}.pt"
    )


def trained(
    folder: Path,
    data: int,
    positions: int,
    checkpoint: str | None = None,
    epochs: int = 4,
    device: str | None = None,
) -> list[dict[str, Any]]:
    """What each process of a training of its own wrote."""
    folder.mkdir()
    script = folder / "script.py"
    script.write_text(
        _SCRIPT.format(
            data=data,
            positions=positions,
            folder=str(folder),
            checkpoint=checkpoint,
            epochs=epochs,
            device=device,
        )
    )
    done = subprocess.run(
        [sys.executable, str(script)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "SHARES": str(data)},
        capture_output=True, text=True, timeout=250, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return [torch.load(folder / f"{rank}.pt") for rank in range(data * positions)]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A training by one process."""
    folder = tmp_path_factory.mktemp("alone")
    train(folder, "auto", 1)
    found: dict[str, Any] = torch.load(folder / "0.pt")
    return found


def assert_close(found: list[Tensor], wanted: list[Tensor]) -> None:
    for one, other in zip(found, wanted, strict=True):
        assert torch.allclose(one, other, rtol=1e-5, atol=1e-6)


class Mesh:
    """Says how many processes share positions, and nothing more."""

    def __init__(self, processes: int) -> None:
        self.size = lambda: processes

    def __getitem__(self, name: str) -> "Mesh":
        return self


def test_more_processes_than_positions_are_refused() -> None:
    few = LocalFilters((1, 4, 4), kernel=3)  # 4 positions
    with pytest.raises(UserError, match=r"5 processes .* share 4 positions: use at most 4"):
        shard_positions(few, Mesh(5))  # type: ignore[arg-type]
    assert isinstance(few.weight, torch.nn.Parameter)


@pytest.mark.slow
@pytest.mark.parametrize("device", [None, "meta"])
def test_two_processes_that_share_an_odd_number_of_positions_train_as_one_does(
    tmp_path: Path, alone: dict[str, Any], device: str | None
) -> None:
    both = trained(tmp_path / "two", 1, 2, device=device)
    sizes = [one.numel() for one in alone["weights"]]
    assert len(alone["losses"]) == 4
    for one in both:
        assert one["losses"] == pytest.approx(alone["losses"], rel=1e-6)
        assert_close(one["weights"], alone["weights"])
    assert [sum(pair) for pair in zip(both[0]["here"], both[1]["here"], strict=True)] == sizes
    assert both[0]["here"][0] - both[1]["here"][0] == sizes[0] // 25  # 13 positions and 12


@pytest.mark.slow
def test_a_checkpoint_of_two_processes_goes_on_with_three(
    tmp_path: Path, alone: dict[str, Any]
) -> None:
    trained(tmp_path / "two", 1, 2, epochs=2)
    saved = str(tmp_path / "two" / "saved.ckpt")
    assert Path(saved).is_dir()
    for one in trained(tmp_path / "three", 1, 3, checkpoint=saved):
        assert one["losses"] == pytest.approx(alone["losses"][2:], rel=1e-5)
        assert_close(one["weights"], alone["weights"])


@pytest.mark.slow
def test_gradients_are_averaged_over_groups_that_share_the_data(
    tmp_path: Path, alone: dict[str, Any]
) -> None:
    four = trained(tmp_path / "four", 2, 2)
    steps = zip(*(one["losses"] for one in four), strict=True)
    means = [sum(step) / 4 for step in steps]
    assert means == pytest.approx(alone["losses"], rel=1e-3)  # one image of 1437 is left out
    assert four[0]["losses"] == pytest.approx(four[1]["losses"], rel=1e-6)
    assert four[0]["losses"] != pytest.approx(four[2]["losses"], rel=1e-4)
    assert_close(four[0]["weights"], four[3]["weights"])
