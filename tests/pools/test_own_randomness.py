"""Making examples takes no random number of the run, and costs no copy of states where none is."""

import random
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn

from lit_intriguing.attacks import Attack, GaussianNoise, GradientAttack
from lit_intriguing.callbacks import AdversarialTraining, PerturbedLayer
from lit_intriguing.data import TensorLoader
from lit_intriguing.isolation import random_states
from lit_intriguing.pools import makers

ROWS, BATCH, STEPS = 24, 6, 12


class Noisy(LightningModule):
    """Draws in evaluation mode alone: whatever is drawn in a step is drawn for examples."""

    def __init__(self, source: str | None) -> None:
        super().__init__()
        self.net, self.source = nn.Linear(4, 3), source

    def forward(self, x: Tensor) -> Tensor:
        draws = {"torch": lambda: torch.rand(()), "numpy": np.random.rand, "python": random.random}
        shift = 0.0 if self.training or self.source is None else draws[self.source]()
        return self.net(x + 0.01 * shift)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return nn.functional.cross_entropy(self(batch[0]), batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class States(Callback):
    """Notes the global generators' states at the end of each step."""

    def __init__(self) -> None:
        self.seen: list[object] = []

    def on_train_batch_end(self, *args: Any) -> None:
        self.seen.append(random_states())


def fit(host: LightningModule, attack: Attack) -> list[object]:
    x = torch.rand(ROWS, 4, generator=torch.Generator().manual_seed(0))
    plan = PerturbedLayer(attack, pool=BATCH, mix=BATCH, refresh=BATCH)
    states = States()
    trainer = Trainer(
        max_steps=STEPS,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[AdversarialTraining({"": plan}), states],
        log_every_n_steps=5,
    )
    trainer.fit(host, TensorLoader(x, torch.arange(ROWS) % 3, BATCH))
    return states.seen


@pytest.mark.parametrize("source", ["torch", "numpy", "python", None])
def test_random_states_of_the_run_stay_whatever_the_network_draws(source: str | None) -> None:
    torch.manual_seed(0)
    host = Noisy(source)
    before = random_states()
    assert set(fit(host, GradientAttack(0.1))) == {before}


@pytest.mark.parametrize(
    ("source", "attack", "most"),
    [
        (None, GradientAttack(0.1), 4),
        ("torch", GradientAttack(0.1), STEPS),
        (None, GaussianNoise(0.1), STEPS),
    ],
    ids=["nothing", "the network", "another attack"],
)
def test_generators_are_seeded_only_where_something_may_draw(
    source: str | None, attack: Attack, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeded: list[int] = []
    own = makers.chunk_randomness

    def counted(seed: int, index: int) -> Any:
        seeded.append(index)
        return own(seed, index)

    monkeypatch.setattr(makers, "chunk_randomness", counted)
    fit(Noisy(source), attack)
    assert 1 <= len(seeded) <= most
    assert (len(seeded) == STEPS) == (most == STEPS)
