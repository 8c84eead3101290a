"""Frames that litdata streams; most are skipped where it is not installed."""

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from lit_intriguing.data import Frames
from lit_intriguing.data.images import streams
from lit_intriguing.errors import UserError

COUNT = 11
needs_litdata = pytest.mark.skipif(
    importlib.util.find_spec("litdata") is None, reason="the extra stream (litdata)"
)
# Of litdata's own, where it writes and reads.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:.*fork.*")


def frame(number: int) -> Tensor:
    """Give frame so many, 3 by 6 by 9."""
    generator = torch.Generator().manual_seed(number)
    return torch.randint(256, (3, 6, 9), dtype=torch.uint8, generator=generator)


def as_image(number: int) -> Image.Image:
    return Image.fromarray(frame(number).permute(1, 2, 0).numpy())


def as_dict(number: int) -> dict[str, Any]:
    return {"label": number, "image": frame(number)}


def as_pair(number: int) -> tuple[Tensor, int]:
    return frame(number), number


def as_number(number: int) -> dict[str, int]:
    return {"label": number}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("LIT_INTRIGUING_DATA", raising=False)


def written(folder: Path, item: Any = frame, monkeypatch: Any = None) -> str:
    """Write a data set of several chunks as a user does."""
    from litdata import optimize

    optimize(
        fn=item, inputs=list(range(COUNT)), output_dir=str(folder), chunk_size=4, num_workers=1,
        start_method="fork", verbose=False,
    )  # fmt: skip
    return str(folder)


def made(folder: str, **options: Any) -> Frames:
    data = Frames(folder, **{"size": 6, "workers": 0, "contrast": False} | options)
    data.setup()
    return data


def rows(loader: Any) -> Tensor:
    return torch.cat(list(loader))


def wanted(numbers: range) -> Tensor:
    return torch.stack([frame(number)[:, :, 2:8] for number in numbers]) / 255


@needs_litdata
@pytest.mark.parametrize("item", [frame, as_image, as_dict, as_pair])
def test_frames_come_in_the_data_sets_order_whatever_holds_them(tmp_path: Path, item: Any) -> None:
    data = made(written(tmp_path / "d", item))
    x = rows(data.predict_dataloader())
    # The centre is cut out: as torchvision rounds, from column 2 on.
    torch.testing.assert_close(x, wanted(range(COUNT)))
    assert rows(made(str(tmp_path / "d"), channels=1).predict_dataloader()).shape[1] == 1


@needs_litdata
def test_stride_validation_limit_and_memory_mean_what_they_mean_for_files(tmp_path: Path) -> None:
    source = written(tmp_path / "d")
    strided = made(source, stride=3, validation=0.5)
    torch.testing.assert_close(rows(strided.val_dataloader()), wanted(range(6, COUNT, 3)))
    assert len(rows(strided.train_dataloader())) == 2
    kept = made(source, in_memory=True, limit=5)
    torch.testing.assert_close(rows(kept.predict_dataloader()), wanted(range(5)))


@needs_litdata
def test_training_order_depends_on_seed_and_epoch_alone(tmp_path: Path) -> None:
    source = written(tmp_path / "d")

    def order(epoch: int, **options: Any) -> Tensor:
        loader = made(source, batch_size=4, **options).train_dataloader()
        loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
        return rows(loader)

    first = order(0, seed=3)
    assert torch.equal(first, order(0, seed=3, workers=2))
    assert not torch.equal(first, order(1, seed=3))
    assert not torch.equal(first, order(0, seed=4))
    assert sorted(first.sum((1, 2, 3)).tolist()) == pytest.approx(
        sorted(wanted(range(COUNT)).sum((1, 2, 3)).tolist())
    )


@needs_litdata
def test_an_item_that_is_no_frame_and_a_source_that_is_not_there_are_refused(
    tmp_path: Path,
) -> None:
    data = made(written(tmp_path / "d", as_number))
    with pytest.raises(UserError, match=r"item 0 of .* is no frame \(NoneType\): write images"):
        rows(data.predict_dataloader())
    with pytest.raises(UserError, match="litdata cannot read local:/no/such/folder"):
        made("local:/no/such/folder")


def test_without_litdata_the_command_that_installs_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        streams.importlib.util,
        "find_spec",
        lambda name, *rest: None if name == "litdata" else found(name, *rest),
    )
    message = re.escape("not installed: pip install 'lit-intriguing[stream]'")
    with pytest.raises(UserError, match=message):
        made("s3://bucket/frames")
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "index.json").write_text(json.dumps({"chunks": [], "config": {}}))
    with pytest.raises(UserError, match=message):
        made(str(tmp_path / "d"))


def test_an_index_of_something_else_does_not_make_a_folder_a_stream(tmp_path: Path) -> None:
    as_image(0).save(tmp_path / "0.png")
    for text in ("{}", "[1]", "no json"):
        (tmp_path / "index.json").write_text(text)
        assert len(made(str(tmp_path)).frames) == 1
