"""The examples as a figure, and as picture files."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from lit_intriguing.attacks import BoxLBFGS, Survives
from lit_intriguing.commands.attack import pictures as module
from lit_intriguing.commands.attack.job import Pictures, chosen_attack
from lit_intriguing.commands.attack.pictures import figure, save_pictures
from lit_intriguing.commands.attack.summary import summarise
from lit_intriguing.errors import UserError
from lit_intriguing.types import Bounds
from tests.commands.attack.test_output import columns


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What is given to the figure, which is not drawn."""
    given: dict[str, Any] = {}

    def keep(clean: torch.Tensor, adversarial: torch.Tensor, caption: str, **options: Any) -> None:
        given.update(clean=clean, adversarial=adversarial, caption=caption, **options)

    monkeypatch.setattr(module, "adversarial_pairs", keep)
    monkeypatch.setattr(module, "png", lambda figure: b"")
    return given


def draw(content: dict[str, torch.Tensor], names: Any = None, **options: Any) -> None:
    bounds = options.pop("bounds", Bounds())
    figure(content, summarise(content, 1.0), Pictures(**options), bounds, 0, names)


def test_normalised_images_are_drawn_in_their_own_grey(drawn: dict[str, Any]) -> None:
    content = columns((60, 1, 4, 4))
    content["attacked"][:30] = False
    draw(content, bounds=Bounds(-1.0, 3.0))
    assert len(drawn["clean"]) == 30
    assert bool((drawn["clean"] == 0.25).all())
    assert bool((drawn["adversarial"] == 0.375).all())
    assert drawn["caption"].endswith(
        "30 of 30 attacked images: success 100.0%, mean distortion 0.5. Of all 60: accuracy 100.0%,"
        " after the attack 0.0%."
    )


def test_the_papers_distortion_stands_beside_ours(drawn: dict[str, Any]) -> None:
    draw(columns((2, 1, 4, 4)), paper_distortion=0.006508)
    assert "mean distortion 0.5 (paper: 0.006508)." in drawn["caption"]


@pytest.mark.parametrize(("size", "difference", "count"), [(28, False, 40), (70, True, 12)])
def test_photographs_are_fewer_and_have_their_difference(
    size: int, difference: bool, count: int, drawn: dict[str, Any]
) -> None:
    draw(columns((50, 1, size, size)))
    assert drawn["difference"] is difference
    assert len(drawn["clean"]) == count
    draw(columns((50, 1, size, size)), show=3, difference=not difference)
    assert drawn["difference"] is not difference
    assert len(drawn["clean"]) == 3


def test_images_are_drawn_in_the_order_of_the_split_with_captions(drawn: dict[str, Any]) -> None:
    content = columns((60, 1, 4, 4))
    content["distortion"] = torch.arange(60) / 100
    content["success"][::2] = False
    draw(content, ["cat", "dog"], show=20)
    captions = drawn["captions"]
    moved = [float(text.splitlines()[1]) for text in captions.adversarial]
    assert moved == sorted(moved)
    assert captions.clean == ["cat"] * 20
    assert [text.splitlines()[0] for text in captions.adversarial] == [
        "dog, not dog" if failed else "dog" for failed in captions.failed
    ]
    assert captions.failed == [round(100 * one) % 2 == 0 for one in moved]


def test_too_few_names_are_refused_with_both_numbers() -> None:
    with pytest.raises(UserError, match="1 names, and there are classes up to 1, counted from 0"):
        draw(columns((2, 1, 4, 4)), ["cat"])


def test_names_asked_for_go_before_those_of_the_data() -> None:
    assert Pictures().names(["a"]) == ["a"]
    assert Pictures().names(None) is None
    names = Pictures(class_names="imagenet").names(["a"])
    assert names is not None
    assert names[9] == "ostrich"


@pytest.mark.parametrize("shape", [(3, 1, 4, 5), (3, 3, 4, 4), (3, 16)])
def test_files_hold_the_successes_under_their_numbers(
    shape: tuple[int, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = columns(shape)
    levels = torch.randint(256, shape, generator=torch.Generator().manual_seed(0))
    content["adversarial"] = levels / 255 * 4 - 1
    content["success"][1] = False
    save_pictures(tmp_path / "adversarial", content, Bounds(-1.0, 3.0))
    found = sorted((tmp_path / "adversarial").iterdir())
    assert [path.name for path in found] == ["000000.png", "000002.png"]
    assert capsys.readouterr().out.startswith("2 adversarial images in ")
    for path, row in zip(found, (0, 2), strict=True):
        picture = torch.from_numpy(np.array(Image.open(path)))
        picture = picture.movedim(-1, 0) if picture.ndim == 3 else picture
        assert torch.equal(picture.flatten(), levels[row].flatten().byte())


def test_rounding_is_told_with_a_way_out(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="3 of 3 adversarial images are rounded to 8 bits"):
        save_pictures(tmp_path, columns((3, 1, 4, 4)), Bounds())


def test_surviving_is_a_wrapper_around_the_attack() -> None:
    attack = chosen_attack(None, 8, "")
    assert isinstance(attack, Survives)
    assert attack.bits == 8
    assert isinstance(attack.attack, BoxLBFGS)
    assert isinstance(chosen_attack(None, None, "hidden1"), BoxLBFGS)
