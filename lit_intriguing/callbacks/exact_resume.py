"""A resumed run draws the random numbers that it would have drawn without the interruption."""

import random
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from lit_intriguing.data.tensor_loader import TensorLoader
from lit_intriguing.hosts.per_rank_state import gather_ranks, state_of_this_rank
from lit_intriguing.private.of_lightning import loaders_of, restore_loader_positions

RngState = dict[str, Any]


def rng_state() -> RngState:
    """Return the states of the generators of Python, NumPy and PyTorch, for a checkpoint."""
    numpy_state: Any = np.random.get_state(legacy=False)
    inner = numpy_state["state"]
    state: RngState = {
        "python": random.getstate(),
        # Lightning loads with `weights_only`, which refuses arrays.
        "numpy": {
            **numpy_state,
            "state": {"key": inner["key"].tolist(), "pos": int(inner["pos"])},
            "has_gauss": int(numpy_state["has_gauss"]),
            "gauss": float(numpy_state["gauss"]),
        },
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def set_rng_state(state: RngState) -> None:
    """Set the generators to what `rng_state` returned."""
    random.setstate(state["python"])
    inner = state["numpy"]["state"]
    key = np.array(inner["key"], dtype=np.uint32)
    np.random.set_state({**state["numpy"], "state": {"key": key, "pos": inner["pos"]}})
    torch.set_rng_state(state["torch"].cpu())
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"].cpu())


class ExactResume(Callback):
    """Saving of the random generators' states, of each process, in the checkpoint.

    The states are restored at the first training batch after a restart, when everything that draws
    random numbers at the start is over. With a loader that resumes its position (`TensorLoader`) a
    run that was killed at any step ends with the weights of the uninterrupted run, bit for bit on
    CPU. Random numbers drawn between the checkpoint and the next training batch, for example by a
    validation step that draws from the global generators, are not repeated.

    If the number of processes is not that of the checkpoint, each process takes the states of a
    rank in turn, with a warning.
    """

    def __init__(self) -> None:
        self._saved: dict[str, RngState] | None = None

    def state_dict(self) -> dict[str, Any]:
        """Return the states of all ranks; every rank must call it."""
        return {"ranks": gather_ranks(rng_state())}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Store the states until training begins."""
        self._saved = state_dict["ranks"]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Bring the loaders to their saved position if Lightning did not."""
        # If a module reads `estimated_stepping_batches` in `configure_optimizers`, Lightning sets
        # the loaders up before it reads the checkpoint, and only once.
        loaders = loaders_of(trainer.fit_loop)
        # Others may begin with `iter()` and could not be moved any more.
        if loaders and all(isinstance(loader, TensorLoader) for loader in loaders):
            restore_loader_positions(trainer)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Restore the states, once."""
        if self._saved is None:
            return
        saved, self._saved = self._saved, None
        set_rng_state(state_of_this_rank(saved, trainer, "random states"))

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Drop states that a failed run has not used."""
        self._saved = None

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Drop the states of a checkpoint that was only evaluated."""
        # Lightning loads the callbacks' state for an evaluation's `ckpt_path` too.
        if stage != "fit":
            self._saved = None
