"""What the Trainer gets from a configuration does not touch the model's random numbers."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn

from lit_intriguing import cli

FIRST: list[dict[str, Any]] = []
"""What the runs of a test began with."""


class First(Callback):
    """Keeps the weights that a run begins with, the states, and weights of a reference."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        found: dict[str, Any] = {k: v.clone() for k, v in pl_module.state_dict().items()}
        found["torch"] = torch.get_rng_state()
        found["python"] = torch.tensor(random.getstate()[1])
        found["numpy"] = torch.tensor(np.random.get_state()[1].astype(int))
        drawn = [c.drawn for c in trainer.callbacks if isinstance(c, Drawing)]
        FIRST.append({"begin": found, "drawn": drawn})


class Drawing(Callback):
    """Builds something when it is built, with all three generators."""

    def __init__(self, width: int = 5, inner: nn.Module | None = None) -> None:
        weights = nn.Linear(width, 3).weight.detach()
        others = torch.tensor([random.random(), float(np.random.rand())])
        own = [p.detach().flatten() for p in inner.parameters()] if inner else []
        self.drawn = torch.cat([weights.flatten(), others, *own])


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    FIRST.clear()
    yield
    FIRST.clear()


OTHER = {"class_path": "Classifier", "init_args": {"widths": [64, 20, 10]}}
REFERENCES = {
    "class_path": "TransferEvaluation",
    "init_args": {"references": {"other": OTHER}, "examples": 4},
}
OFF = ("logger", "enable_model_summary", "enable_checkpointing")
HERE = "tests.cli.test_separate_objects"


def begun(*callbacks: Any, seed: int = 0) -> dict[str, Any]:
    """Run the command for a step, with callbacks from a YAML file."""
    last: Any = {"class_path": f"{HERE}.First"}
    config = {
        "model": {"class_path": "Classifier", "init_args": {"widths": [64, 10, 10]}},
        "data": {"class_path": "Digits", "init_args": {"batch_size": 300}},
        "trainer": {"callbacks": [*callbacks, last]},
    }
    Path("run.yaml").write_text(yaml.safe_dump(config))
    quiet = [f"--trainer.{x}=false" for x in OFF]
    options = ["--trainer.max_steps=1", "--trainer.accelerator=cpu", f"--seed_everything={seed}"]
    cli.main(["fit", "--config=run.yaml", *options, *quiet, "--test_after_fit=false"])
    return FIRST[-1]


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


@pytest.mark.integration
def test_references_in_a_file_leave_the_first_weights_and_all_random_states_as_they_were() -> None:
    without = begun()
    assert same(begun(REFERENCES)["begin"], without["begin"])
    drawing = {"class_path": f"{HERE}.Drawing", "init_args": {"inner": OTHER}}
    assert same(begun(drawing)["begin"], without["begin"])
    assert not same(begun(seed=1)["begin"], without["begin"])


@pytest.mark.integration
def test_what_a_callback_draws_depends_on_the_seed_and_its_class_not_on_its_neighbours() -> None:
    drawing = {"class_path": f"{HERE}.Drawing", "init_args": {"inner": OTHER}}
    (alone,) = begun(drawing)["drawn"]
    one, other = begun(REFERENCES, drawing, drawing)["drawn"]
    assert torch.equal(one, alone)
    assert not torch.equal(other, alone)
    (elsewhere,) = begun(drawing, seed=1)["drawn"]
    assert not torch.equal(elsewhere, alone)
