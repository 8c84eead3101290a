"""Each panel shows something that a real run logs, and each scalar of the callbacks has a panel."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer, seed_everything
from lightning.pytorch.callbacks import Callback, LearningRateMonitor
from lightning.pytorch.loggers import WandbLogger
from torch import nn

from lit_intriguing.attacks import BoxLBFGS, GradientAttack
from lit_intriguing.callbacks import (
    AdversarialExamples,
    AdversarialTraining,
    LipschitzMonitor,
    LipschitzPenalty,
    PerturbedLayer,
    RobustnessEvaluation,
    TransferEvaluation,
    UnitAnalysis,
)
from lit_intriguing.commands.dashboard.options import usual_callbacks
from lit_intriguing.commands.dashboard.panels import Lines, Panel
from lit_intriguing.commands.dashboard.sections import sections
from lit_intriguing.data import Digits
from lit_intriguing.models import Classifier
from tests.cli.test_fit import wandb_records

ATTACK = GradientAttack(eps=1.0, steps=3)
NOT_SHOWN = {"epoch", "trainer/global_step", "_step", "_timestamp", "_runtime"}


def reference() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))


def callbacks() -> list[Callback]:
    return [
        AdversarialTraining(
            {name: PerturbedLayer(ATTACK, pool=64, mix=16, refresh=16) for name in ("", "hidden1")}
        ),
        AdversarialExamples(ATTACK, examples=4, watch=2),
        AdversarialExamples(ATTACK, examples=4, layer="hidden1"),
        TransferEvaluation(ATTACK, {"linear": reference()}, examples=8),
        LipschitzMonitor(every_n_steps=5),
        RobustnessEvaluation({"pgd": ATTACK, "lbfgs": BoxLBFGS()}, {"l2": [0.3, 0.6]}, examples=8),
        LipschitzPenalty(1e-3, layers=["hidden1.0"]),
        UnitAnalysis(["hidden1"], examples=64, k=8, control=False),
        LearningRateMonitor("step"),
    ]


def logged(folder: Path) -> set[str]:
    """Returns the keys of an offline run of W&B, of images and tables without what is inside."""
    (file,) = folder.rglob("run-*.wandb")
    keys: set[str] = set()
    for record in wandb_records(file):
        for item in record.history.item:  # type: ignore[attr-defined]
            key = item.key or "/".join(item.nested_key)
            for inner in ("/figure", "/table"):
                if f"{inner}/" in key:
                    key = key.partition(f"{inner}/")[0] + inner
            assert json.loads(item.value_json) is not None
            keys.add(key)
    return keys


def all_panels(shown: list[Any]) -> list[Panel]:
    return [panel for section in shown for panel in section.panels]


@pytest.mark.integration
@pytest.mark.filterwarnings("ignore:The '.*_dataloader' does not have many workers")
def test_each_panel_shows_something_of_a_run_and_each_scalar_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import wandb

    wandb.teardown()  # of another test, whose folder it would write to
    monkeypatch.setenv("WANDB_SILENT", "true")
    seed_everything(0, verbose=False)
    made = callbacks()
    trainer = Trainer(
        max_epochs=2,
        accelerator="cpu",
        logger=WandbLogger(project="test", save_dir=tmp_path, offline=True),
        callbacks=made,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=2,
        limit_train_batches=6,
    )
    trainer.fit(Classifier(widths=(64, 16, 10)), Digits(batch_size=128))
    wandb.finish()
    wandb.teardown()  # without it the file may end after its head
    keys = logged(tmp_path)
    panels = all_panels(sections(made))
    assert len(panels) > 30
    empty = [panel for panel in panels if not panel.found(keys)]
    assert empty == []
    shown = set().union(*(panel.found(keys) for panel in panels))
    assert keys - shown - NOT_SHOWN == set()


def titles(shown: list[Any]) -> list[str]:
    return [section.title for section in shown]


def test_a_section_has_the_name_of_its_callback_where_it_is_not_the_usual_one() -> None:
    made = [AdversarialExamples(), AdversarialExamples(layer="fc"), LipschitzMonitor(name="mine")]
    assert titles(sections(made)) == [
        "Training", "Adversarial examples", "Adversarial examples: examples/fc",
        "Lipschitz constants: mine",
    ]  # fmt: skip
    keys = {"mine/network", "mine/network_joint", "mine/fc", "mine/fc_estimate", "lipschitz/fc"}
    by_title = {panel.title: panel for panel in sections(made)[3].panels}
    assert by_title["network: certified bounds"].found(keys) == {
        "mine/network",
        "mine/network_joint",
    }
    assert by_title["estimates between them"].found(keys) == {"mine/fc_estimate"}


def test_without_class_labels_losses_stand_for_errors() -> None:
    keys = {
        "examples/loss", "examples/loss_clean", "examples/distortion", "examples/success",
        "transfer/loss", "transfer/loss_clean", "transfer/success",
        "adversarial/input/success", "adversarial/input/loss", "adversarial/input/loss_clean",
    }  # fmt: skip
    shown = all_panels(sections(usual_callbacks(), labels=False))
    found = set().union(*(panel.found(keys) for panel in shown))
    assert found == {key for key in keys if not key.endswith("success")}


def test_callbacks_that_log_nothing_of_ours_have_no_section() -> None:
    assert titles(sections([Callback()])) == ["Training"]


def test_patterns_have_no_look_around_which_not_every_engine_knows() -> None:
    patterns = [p.pattern for p in all_panels(sections(callbacks())) if isinstance(p, Lines)]
    assert patterns
    assert not [pattern for pattern in patterns if "(?" in pattern]
