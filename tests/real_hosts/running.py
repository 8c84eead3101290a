"""A short training of a host, and what is left of it."""

import hashlib
import random
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, seed_everything
from torch import Tensor

from tests.real_hosts.host import Build, Host

EPOCHS = 2


@dataclass(frozen=True)
class Run:
    """What a training leaves.

    Attributes:
        weights: A hash of each entry of the host's state.
        modes: Which submodules are in training mode, in their order.
        randomness: A hash of the global random states.
        metrics: What was logged, by name.
        told: All warnings.
    """

    weights: dict[str, str]
    modes: tuple[bool, ...]
    randomness: str
    metrics: dict[str, float]
    told: tuple[str, ...]


def built(build: Build) -> Host:
    """Build a host, each time the same."""
    seed_everything(1, verbose=False)
    return build()


def train(
    host: Host,
    callbacks: list[Callback],
    folder: Path,
    epochs: int = EPOCHS,
    checkpoint: Path | None = None,
    saved: Path | None = None,
) -> Run:
    """Train a host for a few steps; the random states at the start are always the same.

    Args:
        host: The host.
        callbacks: Beside its own.
        folder: For what is written.
        epochs: Until which it trains.
        checkpoint: With which it goes on; None to begin.
        saved: Where a checkpoint of the end is saved; None for none.
    """
    trainer = host.trainer(
        accelerator="cpu", devices=1, max_epochs=epochs, logger=False, callbacks=callbacks,
        enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
        num_sanity_val_steps=0, log_every_n_steps=1, default_root_dir=folder,
    )  # fmt: skip
    seed_everything(2, verbose=False)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        trainer.fit(
            host.module, host.loader, host.validation, ckpt_path=checkpoint,
            weights_only=host.plain,
        )  # fmt: skip
    if saved is not None:
        trainer.save_checkpoint(saved)
    return Run(
        {name: _hash(value) for name, value in host.module.state_dict().items()},
        tuple(module.training for module in host.module.modules()),
        _hash([random.getstate(), np.random.get_state(), torch.get_rng_state()]),
        {name: float(value) for name, value in trainer.callback_metrics.items()},
        tuple(str(one.message) for one in told),
    )


def _hash(value: Any) -> str:
    """Return a hash of the bits of tensors and arrays, and of what else is printed."""
    if isinstance(value, Tensor):
        value = value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()
    if isinstance(value, np.ndarray):
        value = value.tobytes()
    if isinstance(value, list | tuple):
        value = [_hash(one) for one in value]
    if isinstance(value, dict):
        value = [(key, _hash(one)) for key, one in value.items()]
    return hashlib.sha256(repr(value).encode()).hexdigest()
