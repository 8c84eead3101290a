"""Small full-batch trainings for the tests of what ends or measures them."""

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer
from torch import Tensor

from lit_intriguing.data.tensor_module import Split, TensorDataModule
from lit_intriguing.models import Classifier
from lit_intriguing.models.decay import half_square_decay

ROWS, FEATURES, CLASSES, DECAY = 120, 16, 3, 0.02


class Blobs(TensorDataModule):
    """Three overlapping classes in 16 dimensions."""

    def __init__(self, batch_size: int = ROWS, seed: int = 0) -> None:
        super().__init__(batch_size, ROWS, drop_last=False, seed=0)
        self.rows_seed = seed

    def load_training(self) -> tuple[Split, None]:
        generator = torch.Generator().manual_seed(self.rows_seed)
        labels = torch.arange(ROWS) % CLASSES
        centres = torch.eye(CLASSES, FEATURES)[labels]
        noise = 0.6 * torch.randn(ROWS, FEATURES, generator=generator)
        return Split(centres + noise, labels), None

    def load_test(self) -> Split:
        return self.load_training()[0]


def lbfgs(parameters: Any, **options: Any) -> torch.optim.LBFGS:
    settings = {"max_iter": 5, "line_search_fn": "strong_wolfe", "history_size": 5}
    nothing = {"tolerance_grad": 0.0, "tolerance_change": 0.0}
    return torch.optim.LBFGS(parameters, **{**settings, **nothing, **options})


def softmax_regression(**options: Any) -> Classifier:
    torch.manual_seed(0)
    defaults = {"decay": DECAY, "decay_form": half_square_decay, "optimizer": lbfgs}
    return Classifier((FEATURES, CLASSES), **{**defaults, **options})


def trainer(*callbacks: Callback, folder: Path | None = None, **options: Any) -> Trainer:
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
    kept = {"enable_checkpointing": folder is not None, "default_root_dir": folder}
    return Trainer(
        accelerator="cpu",
        log_every_n_steps=1,
        callbacks=list(callbacks),
        **{"max_epochs": 200, **quiet, **kept, **options},
    )


def objective(weight: Tensor, bias: Tensor) -> Tensor:
    """The loss of softmax regression on the examples of `Blobs`, computed again, in float64."""
    rows, _ = Blobs().load_training()
    logits = rows.inputs.double() @ weight.T + bias
    chosen = logits[torch.arange(ROWS), rows.labels]
    return (logits.logsumexp(1) - chosen).mean() + DECAY / 2 * weight.square().sum()
