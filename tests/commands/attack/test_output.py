"""The files that an attack leaves."""

from pathlib import Path

import numpy as np
import pytest
import torch

from lit_intriguing.commands.attack import output as files
from lit_intriguing.commands.attack.summary import summarise
from lit_intriguing.types import Bounds


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


def written(folder: Path, shape: tuple[int, ...], kind: str = "pt", layer: str = "") -> list[str]:
    content = columns(shape)
    summary = summarise(content, 1.0)
    return files.write(folder, content, summary, kind=kind, layer=layer, bounds=None, seed=0)


def test_both_formats_hold_every_column(tmp_path: Path) -> None:
    for kind in ("pt", "npz"):
        assert written(tmp_path, (3, 1, 4, 4), kind)[0] == f"examples.{kind}"
    tensors = torch.load(tmp_path / "examples.pt", weights_only=True)
    with np.load(tmp_path / "examples.npz") as arrays:
        assert set(arrays) == set(tensors) == set(columns((1, 4)))
        for name, tensor in tensors.items():
            assert np.array_equal(arrays[name], tensor.float().numpy()), name
        assert arrays["clean"].dtype == np.float32
        assert arrays["success"].dtype == np.bool_


@pytest.mark.parametrize(
    ("shape", "layer", "drawn"),
    [((3, 1, 4, 4), "", True), ((3, 7), "", False), ((3, 16), "hidden1", False)],
    ids=["images", "numbers", "a hidden layer"],
)
def test_images_alone_are_drawn(
    shape: tuple[int, ...], layer: str, drawn: bool, tmp_path: Path
) -> None:
    names = written(tmp_path, shape, layer=layer)
    assert ("examples.png" in names) == drawn
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)


def test_normalised_images_are_drawn_in_their_own_grey(monkeypatch) -> None:
    shown = {}

    def keep(clean: torch.Tensor, adversarial: torch.Tensor, caption: str) -> None:
        shown.update(clean=clean, adversarial=adversarial, caption=caption)

    monkeypatch.setattr(files, "adversarial_pairs", keep)
    monkeypatch.setattr(files, "png", lambda figure: b"")
    content = columns((60, 1, 4, 4))
    content["attacked"][:30] = False
    files.figure(content, summarise(content, 1.0), Bounds(-1.0, 3.0), seed=0)
    assert len(shown["clean"]) == 30
    assert bool((shown["clean"] == 0.25).all())
    assert bool((shown["adversarial"] == 0.375).all())
    expected = "60 images: accuracy 100.0%, after the attack 0.0%; average distortion 0.5"
    assert shown["caption"] == expected
