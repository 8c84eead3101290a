"""A resumed run draws the random numbers that it would have drawn without the interruption."""

import random
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_warn
from torch.utils.data import (
    DataLoader,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)

from lit_intriguing.argument_types import checked_arguments
from lit_intriguing.checks import check_flags
from lit_intriguing.data.images.dataset import TrainingOrder
from lit_intriguing.data.tensor_loader import TensorLoader
from lit_intriguing.errors import UserError
from lit_intriguing.hosts.checkpoint_file import check_checkpoint
from lit_intriguing.hosts.per_rank_state import gather_ranks, state_of_this_rank
from lit_intriguing.private.of_lightning import (
    begin_iteration,
    leave_finished_epoch,
    loaders_of,
    repair_epoch_counters,
    restore_loader_positions,
)
from lit_intriguing.splits.fingerprint import differences
from lit_intriguing.splits.training_data import data_summary

RngState = dict[str, Any]


@runtime_checkable
class Stateful(Protocol):
    """A loader that resumes its position, as Lightning asks for it."""

    def state_dict(self) -> dict[str, Any]:
        """Return the position."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go to a position."""


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


@checked_arguments
class ExactResume(Callback):
    """Saving of the random generators' states, of each process, in the checkpoint.

    The states are restored at the first training batch after a restart, when everything that draws
    random numbers at the start is over. With a loader that resumes its position (`TensorLoader`,
    torchdata's `StatefulDataLoader`) a run that was killed at any step ends with the weights of the
    uninterrupted run, bit for bit on CPU. With an ordinary `DataLoader` that holds of checkpoints
    saved at the end of an epoch: the states are then restored before the loader draws its order. A
    warning at the start says where it does not hold. Random numbers drawn between the checkpoint
    and the next training batch, for example by a validation step that draws from the global
    generators, are not repeated.

    After a restart from a checkpoint of an epoch's last batch Lightning counts one epoch too few as
    begun, and a second restart would train too long. After one from a checkpoint of an epoch's end
    it counts a step and an epoch too many where the run has `max_steps` alone. Both are put right.

    If the number of processes is not that of the checkpoint, each process takes the states of a
    rank in turn, with a warning.

    A checkpoint that was cut, or in which a bit flipped, is refused before it is read.

    A checkpoint holds the number of training examples and a hash: of tensors in memory of the
    labels and some inputs, of `ImageFolder` of the labels and the files' names. A run that would go
    on with other examples, or with these in another order, is refused: what was held out might be
    trained on. With batches of another size it goes on, with a warning: no run without the
    interruption would have had these batches.

    Args:
        other_data: Go on with other training data than the checkpoint's.

    Raises:
        UserError: When training starts, if the checkpoint is damaged, or the data is not that of
            the checkpoint.
    """

    def __init__(self, other_data: bool = False) -> None:
        check_flags("ExactResume", other_data=other_data)
        self.other_data = other_data
        self._saved: dict[str, RngState] | None = None
        self._saved_data: list[dict[str, Any]] | None = None
        self._data: list[dict[str, Any]] = []
        self._saved_sizes: list[int | None] = []
        self._sizes: list[int | None] = []
        self._positions = True

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Have a damaged checkpoint refused when it is read; see `check_checkpoint`."""
        check_checkpoint(trainer)

    def state_dict(self) -> dict[str, Any]:
        """Return the states of all ranks; every rank must call it."""
        return {
            "ranks": gather_ranks(rng_state()),
            "data": self._data,
            "batch_sizes": self._sizes,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Store the states until training begins."""
        self._saved = state_dict["ranks"]
        self._saved_data = state_dict.get("data")  # checkpoints of before 2026-11-28 have none
        self._saved_sizes = state_dict.get("batch_sizes", [])

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Bring the loaders to their saved position if Lightning did not."""
        leave_finished_epoch(trainer)
        # If a module reads `estimated_stepping_batches` in `configure_optimizers`, Lightning sets
        # the loaders up before it reads the checkpoint, and only once.
        loaders = loaders_of(trainer.fit_loop)
        self._data = [data_summary(loader) for loader in loaders]
        self._check_data()
        self._sizes = [getattr(loader, "batch_size", None) for loader in loaders]
        self._warn_of_sizes()
        self._positions = all(isinstance(loader, Stateful) for loader in loaders)
        _warn_of(loaders)
        # Others may begin with `iter()` and could not be moved any more.
        if loaders and all(isinstance(loader, TensorLoader) for loader in loaders):
            restore_loader_positions(trainer)

    def _check_data(self) -> None:
        before, self._saved_data = self._saved_data, None
        if not before or self.other_data:
            return
        then, now = ({str(i): one for i, one in enumerate(data)} for data in (before, self._data))
        found = list(differences(then, now))
        if found:
            raise UserError(
                f"ExactResume: the training data is not that of the checkpoint ({found[0]}), so "
                "that examples held out before may be trained on. Give the data's options of that "
                "run; or ExactResume(other_data=True), --set ExactResume.other_data=true, to go on."
            )

    def _warn_of_sizes(self) -> None:
        before, self._saved_sizes = self._saved_sizes, []
        for then, now in zip(before, self._sizes, strict=False):
            if then is not None and now is not None and then != now:
                rank_zero_warn(
                    f"ExactResume: the checkpoint is of a run with batches of {then}, and this one "
                    f"has batches of {now}, so that it goes on as no uninterrupted run would."
                )

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restore the states before loaders without a position draw the order of an epoch."""
        # Within an epoch Lightning does not call this after a restart.
        if self._saved is not None and not self._positions:
            self._restore(trainer)
            begin_iteration(trainer)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Restore the states, once; put counters of Lightning right that a restart left behind."""
        repair_epoch_counters(trainer)
        if self._saved is not None:
            self._restore(trainer)

    def _restore(self, trainer: Trainer) -> None:
        assert self._saved is not None
        saved, self._saved = self._saved, None
        set_rng_state(state_of_this_rank(saved, trainer, "random states"))

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Drop states that a failed run has not used."""
        self._saved = self._saved_data = None

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Drop the states of a checkpoint that was only evaluated."""
        # Lightning loads the callbacks' state for an evaluation's `ckpt_path` too.
        if stage != "fit":
            self._saved = self._saved_data = None


_SAMPLERS = (
    DistributedSampler,
    RandomSampler,
    SequentialSampler,
    SubsetRandomSampler,
    TrainingOrder,
    WeightedRandomSampler,
)


def _warn_of(loaders: Sequence[Any]) -> None:
    """Say in one sentence from which checkpoints a run will not be resumed exactly."""
    ordinary = [loader for loader in loaders if not isinstance(loader, Stateful)]
    reasons = list(filter(None, map(_draws_aside, ordinary)))
    if reasons:
        rank_zero_warn(
            f"ExactResume: a resumed run will not get the batches of the uninterrupted one, since "
            f"{reasons[0]}: take lit_intriguing.data.TensorLoader or a loader with state_dict and "
            "load_state_dict, such as torchdata's StatefulDataLoader."
        )
    elif ordinary:
        rank_zero_warn(
            f"ExactResume: a run that is resumed within an epoch will not get the batches of the "
            f"uninterrupted one, since a {type(ordinary[0]).__name__} does not store its position: "
            "resume from a checkpoint saved at the end of an epoch, or take "
            "lit_intriguing.data.TensorLoader or torchdata's StatefulDataLoader."
        )


def _draws_aside(loader: Any) -> str:
    """Say what a loader draws with that is not in a checkpoint; empty if there is nothing."""
    if not isinstance(loader, DataLoader):
        return f"it is not known how a {type(loader).__name__} draws them"
    if isinstance(loader.dataset, IterableDataset):
        return f"a {type(loader.dataset).__name__} streams them in an order of its own"
    if type(loader.sampler) not in _SAMPLERS:
        return f"it is not known how a {type(loader.sampler).__name__} draws them"
    if loader.generator is not None or getattr(loader.sampler, "generator", None) is not None:
        return "the loader has a generator of its own"
    return "workers of the loader persist" if loader.persistent_workers else ""
