"""Which measurements of a run are drawn: the first, each n-th, the last; few of many."""

from pathlib import Path

import pytest
import torch
from lightning.pytorch import Trainer

from lit_intriguing.attacks import GradientAttack
from lit_intriguing.callbacks import AdversarialExamples, LipschitzMonitor
from lit_intriguing.callbacks.drawing import MOST, WITHOUT_END, Drawing
from lit_intriguing.data import TensorLoader
from lit_intriguing.models import Classifier


def drawn(total: int, every: int | None, known: bool = True) -> list[int]:
    """Returns the numbers of the measurements drawn in a run."""
    found: list[int] = []
    drawing = Drawing("Callback", every)
    for number in range(total):
        drawing.offer(number, total if known else None, lambda n=number: found.append(n))  # type: ignore[misc]
    drawing.finish()
    drawing.finish()
    return found


def test_few_measurements_are_all_drawn() -> None:
    assert drawn(MOST, None) == list(range(MOST))


def test_of_many_there_are_the_first_the_last_and_some_between() -> None:
    found = drawn(200, None)
    assert found == [*range(0, 200, 10), 199]
    assert len(found) == MOST + 1


def test_in_a_run_without_an_end_each_tenth_is_drawn_and_the_last() -> None:
    assert drawn(25, None, known=False) == [0, WITHOUT_END, 2 * WITHOUT_END, 24]


def test_what_is_asked_for_is_drawn() -> None:
    assert drawn(7, 1) == list(range(7))
    assert drawn(7, 4) == [0, 4, 6]


def test_of_several_validations_in_an_epoch_one_is_drawn() -> None:
    found: list[str] = []
    drawing = Drawing("Callback", 1)
    for number, name in enumerate("aabb"):
        drawing.offer(number // 2, 2, lambda n=f"{name}{number}": found.append(n))  # type: ignore[misc]
    assert found == ["a0", "b2"]


def test_the_interval_is_at_least_one() -> None:
    with pytest.raises(ValueError, match="LipschitzMonitor: draw_every must be at least 1, not 0"):
        LipschitzMonitor(draw_every=0)


@pytest.mark.filterwarnings("ignore:You defined a `validation_step` but have no")
def test_each_epoch_is_logged_and_the_first_and_the_last_have_files(tmp_path: Path) -> None:
    torch.manual_seed(0)
    callbacks = [
        AdversarialExamples(GradientAttack(0.1), examples=2, draw_every=9),
        LipschitzMonitor(draw_every=9),
    ]
    trainer = Trainer(
        max_epochs=5, accelerator="cpu", logger=False, enable_progress_bar=False,
        enable_model_summary=False, enable_checkpointing=False, default_root_dir=tmp_path,
        callbacks=callbacks,
    )  # fmt: skip
    inputs = torch.rand(20, 64)
    trainer.fit(Classifier([64, 4]), TensorLoader(inputs, torch.arange(20) % 4, 10))
    assert len(callbacks[0]._history) == 5
    for name, kinds in (("examples", 3), ("lipschitz", 2)):
        steps = sorted(path.stem for path in (tmp_path / name).iterdir())
        assert steps == ["step-00000002"] * kinds + ["step-00000010"] * kinds
