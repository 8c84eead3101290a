"""A digits network trained adversarially on a device, and its state at the end."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, Trainer, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor

from lit_intriguing.attacks import GradientAttack
from lit_intriguing.callbacks import AdversarialTraining, ExactResume, PerturbedLayer
from lit_intriguing.data import Digits
from lit_intriguing.models import Classifier

GPUS = torch.cuda.device_count()
NEEDS_GPU = pytest.mark.skipif(GPUS < 1, reason="no GPU is visible")
NEEDS_TWO = pytest.mark.skipif(GPUS < 2, reason="two GPUs are not visible")
DEVICES = ["cpu", pytest.param("cuda", marks=[pytest.mark.gpu, NEEDS_GPU])]
"""For `pytest.mark.parametrize("device", DEVICES)`."""

TWO_DEVICES = ["cpu", pytest.param("cuda", marks=[pytest.mark.gpu, NEEDS_TWO])]
"""The same for tests with two ranks."""


def adversarial() -> AdversarialTraining:
    """Return pools for the input and a hidden layer."""
    plan: dict[str, Any] = {"pool": 200, "mix": 50, "refresh": 50}
    inside = PerturbedLayer(GradientAttack(0.06), relative=True, at_layer=True, **plan)
    return AdversarialTraining(
        {"": PerturbedLayer(GradientAttack(0.5), weight=2.0, **plan), "hidden1": inside}
    )


def train(
    device: str,
    folder: Path,
    *,
    epochs: int = 2,
    resume: str | None = None,
    callbacks: list[Callback] | None = None,
    **options: Any,
) -> Trainer:
    """Train, and keep `last.ckpt` of each epoch in the folder as `epoch=N.ckpt`."""
    seed_everything(0, verbose=False)
    keep = ModelCheckpoint(folder, filename="{epoch}", save_top_k=-1, monitor=None)
    trainer = Trainer(
        accelerator=device, max_epochs=epochs, logger=False,
        callbacks=[adversarial(), ExactResume(), keep, *(callbacks or [])],
        enable_progress_bar=False, enable_model_summary=False, default_root_dir=folder,
        **{"devices": 1, **options},
    )  # fmt: skip
    model = Classifier((64, 32, 10), optimizer=lambda p: torch.optim.Adam(p, lr=5e-3))
    trainer.fit(model, Digits(validation=300), ckpt_path=resume, weights_only=False)
    return trainer


def weights(trainer: Trainer) -> Mapping[str, Tensor]:
    """Return the trained weights, on the CPU."""
    assert trainer.model is not None
    return {name: one.cpu() for name, one in trainer.lightning_module.state_dict().items()}
