"""The moving average of the weights: its formula, a short run, resume, and what it leaves alone."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor, nn

from lit_intriguing.callbacks import ExactResume, MovingAverage
from lit_intriguing.data import TensorLoader

ROWS, BATCH, EPOCHS = 24, 4, 4


class Line(LightningModule):
    def __init__(self, *before: nn.Module) -> None:
        super().__init__()
        self.before = nn.Sequential(*before)
        self.net = nn.Linear(3, 1)

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        return (self.net(self.before(batch[0])).squeeze(1) - batch[1]).square().mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Weights(Callback):
    """Keeps the weights after each step."""

    def __init__(self) -> None:
        self.seen: list[Tensor] = []

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, *rest: object
    ) -> None:
        self.seen.append(pl_module.net.weight.detach().clone())


def fit(
    folder: Path,
    *callbacks: Callback,
    epochs: int = EPOCHS,
    resume: Path | None = None,
    before: Sequence[nn.Module] = (),
) -> Line:
    torch.manual_seed(0)
    model = Line(*before)
    generator = torch.Generator().manual_seed(1)
    x, y = torch.randn(ROWS, 3, generator=generator), torch.randn(ROWS, generator=generator)
    trainer = Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=any(isinstance(c, ModelCheckpoint) for c in callbacks),
        default_root_dir=folder,
        callbacks=list(callbacks),
    )
    trainer.fit(model, TensorLoader(x, y, BATCH), ckpt_path=resume)
    return model


@pytest.mark.parametrize(("decay", "every"), [(0.9, 1), (0.5, 1), (0.99, 5), (0.0, 1)])
def test_average_follows_its_formula(tmp_path: Path, decay: float, every: int) -> None:
    weights = Weights()
    model = fit(tmp_path, weights, MovingAverage(decay, every))
    average = weights.seen[0]
    for n, current in enumerate(weights.seen[every::every], start=1):
        d = min(decay, (1 + n) / (10 + n))
        average = d * average + (1 - d) * current
    torch.testing.assert_close(model.net.weight.detach(), average)


def test_training_goes_on_as_without_it(tmp_path: Path) -> None:
    alone, beside = Weights(), Weights()
    fit(tmp_path, alone)
    fit(tmp_path, beside, MovingAverage())
    assert all(torch.equal(a, b) for a, b in zip(alone.seen, beside.seen, strict=True))


def test_short_run_does_not_end_with_the_weights_it_began_with(tmp_path: Path) -> None:
    weights = Weights()
    model = fit(tmp_path, weights, MovingAverage(0.9999))
    start, end = weights.seen[0], weights.seen[-1]
    averaged = model.net.weight.detach()
    assert (averaged - end).norm() < 0.5 * (start - end).norm()


class Table(nn.Module):
    """Holds whole numbers that a mean rounded down would change, truth values and complex ones."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("places", torch.arange(512))
        self.register_buffer("mask", torch.tensor([True, False]))
        self.register_buffer("bytes", torch.tensor([255], dtype=torch.uint8))
        self.register_buffer("turns", torch.tensor([1 + 2j]))

    def forward(self, x: Tensor) -> Tensor:
        self.turns += 1j
        return x


def test_whole_numbers_and_truth_values_are_those_of_the_last_update(tmp_path: Path) -> None:
    every = 5
    model = fit(tmp_path, MovingAverage(0.9, every), before=[nn.BatchNorm1d(3), Table()])
    steps = ROWS // BATCH * EPOCHS
    counter = model.get_buffer("before.0.num_batches_tracked")
    assert counter == 1 + (steps - 1) // every * every
    assert torch.equal(model.get_buffer("before.1.places"), torch.arange(512))
    assert torch.equal(model.get_buffer("before.1.mask"), torch.tensor([True, False]))
    assert model.get_buffer("before.1.bytes") == 255
    turns = model.get_buffer("before.1.turns")
    assert turns.real == 1
    assert 3 < turns.imag < 2 + steps


@pytest.mark.filterwarnings("ignore:The dirpath has changed:UserWarning")
def test_resumed_run_ends_with_the_same_average(tmp_path: Path) -> None:
    keep = {"every_n_epochs": 2, "save_top_k": -1, "filename": "{epoch}"}
    whole, resumed = (
        fit(
            folder,
            MovingAverage(0.9),
            ModelCheckpoint(folder, **keep),
            ExactResume(),
            resume=resume,
        )
        for folder, resume in ((tmp_path, None), (tmp_path / "b", tmp_path / "epoch=1.ckpt"))
    )
    assert torch.equal(whole.net.weight, resumed.net.weight)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"decay": 1.0}, r"decay must lie in \[0, 1\)"), ({"every_n_steps": 0}, "at least 1, not 0")],
)
def test_numbers_out_of_range_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MovingAverage(**options)  # type: ignore[arg-type]
