"""The files that an attack leaves."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lit_intriguing.attacks import GradientAttack, RandomTargets
from lit_intriguing.commands.attack import output as files
from lit_intriguing.commands.attack.job import AttackJob, Pictures
from lit_intriguing.commands.attack.summary import summarise


def columns(shape: tuple[int, ...]) -> dict[str, torch.Tensor]:
    count = shape[0]
    integers = torch.zeros(count, dtype=torch.int64)
    return {
        "clean": torch.zeros(shape),
        "adversarial": torch.full(shape, 0.5),
        "labels": integers,
        "targets": integers + 1,
        "predictions": integers,
        "adversarial_predictions": integers + 1,
        "attacked": torch.ones(count, dtype=torch.bool),
        "success": torch.ones(count, dtype=torch.bool),
        "distortion": torch.full((count,), 0.5),
        "queries": integers,
        "c": torch.ones(count, dtype=torch.bfloat16),
    }


def job(folder: Path, **options: Any) -> AttackJob:
    settings = {
        "attack": GradientAttack(1.0), "goal": RandomTargets(), "bounds": None, "layer": "",
        "split": "test", "limit": None, "only_correct": True, "chunk": 8, "format": "pt", "seed": 0,
        "pictures": Pictures(), "watch": 0,
    }  # fmt: skip
    return AttackJob(output=folder, **{**settings, **options})


def written(folder: Path, shape: tuple[int, ...], **options: Any) -> list[str]:
    content = columns(shape)
    summary = summarise(content, 1.0)
    return files.write(folder, content, summary, job(folder, **options), data=None)


def test_both_formats_hold_every_column_and_are_read_again(tmp_path: Path) -> None:
    for kind in ("pt", "npz"):
        assert written(tmp_path, (3, 1, 4, 4), format=kind)[0] == f"examples.{kind}"
        again = files.read_examples(tmp_path, kind)
        for name, tensor in columns((3, 1, 4, 4)).items():
            assert torch.equal(again[name].to(tensor.dtype), tensor), name
    with np.load(tmp_path / "examples.npz") as arrays:
        assert set(arrays) == set(columns((1, 4)))
        assert arrays["clean"].dtype == np.float32
        assert arrays["success"].dtype == np.bool_


@pytest.mark.parametrize(
    ("shape", "options", "drawn"),
    [
        ((3, 1, 4, 4), {}, True),
        ((3, 1, 4, 4), {"pictures": Pictures(show=0)}, False),
        ((3, 7), {}, False),
        ((3, 16), {"layer": "hidden1"}, False),
    ],
    ids=["images", "images, none to show", "numbers", "a hidden layer"],
)
def test_images_alone_are_drawn_and_only_if_some_are_asked_for(
    shape: tuple[int, ...], options: dict[str, Any], drawn: bool, tmp_path: Path
) -> None:
    names = written(tmp_path, shape, **options)
    assert ("examples.png" in names) == drawn
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
