"""A run that is killed and resumed draws the random numbers it would have drawn."""

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
    """The states of the generators of Python, NumPy and PyTorch, as a checkpoint can hold them."""
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
    """Put the generators back to what `rng_state` returned."""
    random.setstate(state["python"])
    inner = state["numpy"]["state"]
    key = np.array(inner["key"], dtype=np.uint32)
    np.random.set_state({**state["numpy"], "state": {"key": key, "pos": inner["pos"]}})
    torch.set_rng_state(state["torch"].cpu())
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"].cpu())


class ExactResume(Callback):
    """Keeps the states of the random generators, of each process, in the checkpoint.

    They are put back at the first training batch after a restart, when all that draws numbers
    while starting up is done. With a loader that resumes its position (`TensorLoader`) a run that
    was killed at any step ends with the weights of the uninterrupted run, bit for bit on CPU.
    Random numbers drawn between the checkpoint and the next training batch, as by a validation
    step that draws from the global generators, are not repeated.

    With another number of processes than the checkpoint's each takes the states of a rank in turn,
    with a warning.
    """

    def __init__(self) -> None:
        self._saved: dict[str, RngState] | None = None

    def state_dict(self) -> dict[str, Any]:
        """The states of all ranks; called on all of them."""
        return {"ranks": gather_ranks(rng_state())}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep the states until training begins."""
        self._saved = state_dict["ranks"]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Bring the loaders to their saved position where Lightning forgot to."""
        # A module that reads `estimated_stepping_batches` in `configure_optimizers` has the
        # loaders set up before the checkpoint is read, and Lightning sets them up only once.
        loaders = loaders_of(trainer.fit_loop)
        # Others may begin with `iter()` and could not be moved any more.
        if loaders and all(isinstance(loader, TensorLoader) for loader in loaders):
            restore_loader_positions(trainer)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Put the states back, once."""
        if self._saved is None:
            return
        saved, self._saved = self._saved, None
        set_rng_state(state_of_this_rank(saved, trainer, "random states"))

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Let go of states that a run which failed has not come to use."""
        self._saved = None

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Let go of the states of a checkpoint that was only evaluated."""
        # Lightning hands callbacks their state for an evaluation's `ckpt_path` too.
        if stage != "fit":
            self._saved = None
