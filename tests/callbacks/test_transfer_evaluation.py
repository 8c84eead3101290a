"""TransferEvaluation: no trace on the run, the right numbers, mistakes told at the start."""

import csv
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from torch import nn

from lit_intriguing.attacks import GradientAttack
from lit_intriguing.callbacks import TransferEvaluation
from lit_intriguing.commands.attack import attack_tensors
from lit_intriguing.errors import UserError
from tests.callbacks.test_adversarial_examples import (
    SITUATIONS,
    Host,
    Validating,
    lines_of,
    plain,
    run,
    shuffled,
    trainer,
)

pytestmark = [
    pytest.mark.filterwarnings("ignore:The '.*_dataloader' does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*`IterableDataset` has `__len__` defined"),
]
ATTACK = GradientAttack(eps=4.0, steps=8)
MAP = "lit_intriguing.callbacks.transfer_evaluation.transfer_figure"


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """A figure that takes no time."""
    from matplotlib.figure import Figure

    from lit_intriguing.figures.canvas import new_figure

    def small(*args: Any, **options: Any) -> Figure:
        return new_figure(1, 1)

    monkeypatch.setattr(MAP, small)


def reference(seed: int = 9, classes: int = 4, numbers: int = 64) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(numbers, classes))


def evaluation(**options: Any) -> TransferEvaluation:
    settings = {
        "references": {"linear": reference()},
        "examples": 12,
        "every_n_steps": 3,
        "draw_every": 1,
    }
    return TransferEvaluation(ATTACK, **{**settings, **options})


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("kind", ["validation", "stream", "accumulation", "bf16"])
def test_a_run_is_bit_for_bit_the_same_with_and_without(kind: str, tmp_path: Path) -> None:
    options = dict(SITUATIONS[kind])
    host = options.pop("host")
    without = run(tmp_path / "without", host=host(), **options)
    model = reference()
    before = [value.clone() for value in model.state_dict().values()]
    callback = evaluation(references={"linear": model}, every_n_steps=1)
    with_it = run(tmp_path / "with", callback, host=host(), **options)
    assert len(list((tmp_path / "with").rglob("*.csv"))) >= 3
    assert len(without) == len(with_it)
    assert all(torch.equal(a, b) for a, b in zip(without, with_it, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(before, model.state_dict().values(), strict=True))
    assert model.training
    assert all(one.grad is None for one in model.parameters())


def table(folder: Path, step: int) -> dict[str, dict[str, str]]:
    (file,) = folder.rglob(f"transfer/step-{step:08d}.csv")
    with file.open() as text:
        return {line["examples of"]: line for line in csv.DictReader(text)}


def test_the_numbers_are_those_of_the_weights_at_that_step(tmp_path: Path) -> None:
    host = Validating()
    model = reference()
    logger = CSVLogger(tmp_path, name="logs")
    callback = evaluation(references={"linear": model}, every_n_steps=None)
    trainer(tmp_path, callback, logger=logger).fit(host, shuffled(), plain())
    assert callback._chosen is not None
    images, labels = callback._chosen
    host.eval()
    model.eval()
    own, theirs = (
        attack_tensors(one, ATTACK, images, labels, only_correct=False) for one in (host, model)
    )
    line = lines_of(Path(logger.log_dir) / "metrics.csv")[-1]
    last = table(Path(logger.log_dir), 8)
    # The generator is another than `attack_tensors`' own, and so are the targets.
    assert 0 < float(line["transfer/success"]) <= 1
    assert own.success.any()
    assert theirs.success.any()
    assert list(last) == ["clean", "for current", "for linear", "for step 4"]
    assert float(last["for current"]["current"]) == 100.0
    assert float(last["for linear"]["linear"]) == 100.0
    assert float(line["transfer/to/linear"]) == pytest.approx(
        float(last["for current"]["linear"]) / 100
    )
    assert float(line["transfer/from/linear"]) == pytest.approx(
        float(last["for linear"]["current"]) / 100
    )
    assert float(line["transfer/from/earlier"]) == pytest.approx(
        float(last["for step 4"]["current"]) / 100
    )
    with torch.no_grad():
        wrong = host(images).argmax(1) != labels
    assert float(last["clean"]["current"]) == pytest.approx(100 * float(wrong.double().mean()))
    past = callback._past[-1]
    with torch.no_grad():
        assert (host(past.images).argmax(1) != labels)[past.counted].all()
        fooled = (model(past.images).argmax(1) != labels)[past.counted]
    assert float(last["for current"]["linear"]) == pytest.approx(
        100 * float(fooled.double().mean())
    )
    assert (Path(logger.log_dir) / "transfer" / "step-00000008.png").is_file()


@pytest.mark.usefixtures("undrawn")
def test_without_references_examples_of_an_earlier_state_are_shown_to_the_present_one(
    tmp_path: Path,
) -> None:
    callback = TransferEvaluation(ATTACK, earlier=2, every_n_steps=2, examples=8)
    trainer(tmp_path, callback).fit(Host(), shuffled())
    assert list(table(tmp_path, 2)) == ["clean", "for current"]
    assert list(table(tmp_path, 4)) == ["clean", "for current", "for step 2"]
    assert list(table(tmp_path, 8)) == ["clean", "for current", "for step 4", "for step 6"]


@pytest.mark.usefixtures("undrawn")
@pytest.mark.filterwarnings("ignore:The dirpath has changed")
def test_a_resumed_run_goes_on_with_its_examples_and_those_of_earlier_states(
    tmp_path: Path,
) -> None:
    def fit(folder: Path, *callbacks: Any, **options: Any) -> None:
        callback = evaluation(every_n_steps=2, dirpath=folder)
        ran = trainer(tmp_path, callback, *callbacks, enable_checkpointing=bool(callbacks))
        loader = torch.utils.data.DataLoader(shuffled().dataset, batch_size=12)
        ran.fit(Host(), loader, **options)

    def keep(folder: str) -> ModelCheckpoint:
        return ModelCheckpoint(tmp_path / folder, every_n_train_steps=4, save_top_k=-1)

    fit(tmp_path / "whole", keep("kept"))
    (kept,) = (tmp_path / "kept").glob("*step=4*.ckpt")
    fit(tmp_path / "resumed", keep("again"), ckpt_path=kept)
    assert list(table(tmp_path / "resumed", 6)) == list(table(tmp_path / "whole", 6))
    whole, resumed = (table(tmp_path / name, 6)["for step 4"] for name in ("whole", "resumed"))
    assert whole["examples"] == resumed["examples"]
    assert whole["distortion"] == resumed["distortion"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"examples": 0}, "TransferEvaluation: examples must be at least 1, not 0"),
        ({"earlier": -1}, "earlier must not be negative, nor -1"),
        ({"references": {}, "earlier": 0}, "give references, or earlier above 0"),
        ({"references": {"current": nn.Identity()}}, "'current' is the network in training"),
        (
            {"weights": {"linaer": "x.ckpt"}},
            r"weights for 'linaer', which is not one of .*'linear'",
        ),
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        evaluation(**options)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (reference(numbers=9), r"'odd' does not take inputs of shape \(1, 8, 8\)"),
        (reference(classes=5), "'odd' has 5 classes, the network in training 4"),
    ],
)
def test_a_reference_that_does_not_fit_is_refused_before_training(
    model: nn.Module, message: str, tmp_path: Path
) -> None:
    host = Host()
    with pytest.raises(UserError, match=message):
        trainer(tmp_path, evaluation(references={"odd": model})).fit(host, shuffled())
    assert host.seen == []


def test_a_reference_takes_the_weights_of_a_checkpoint(tmp_path: Path) -> None:
    source = reference(3)
    torch.save({"state_dict": source.state_dict()}, tmp_path / "a.ckpt")
    callback = evaluation(weights={"linear": str(tmp_path / "a.ckpt")})
    assert torch.equal(callback.references["linear"][2].weight, source[2].weight)  # type: ignore[index]
    with pytest.raises(UserError, match="no checkpoint"):
        evaluation(weights={"linear": str(tmp_path / "none.ckpt")})
