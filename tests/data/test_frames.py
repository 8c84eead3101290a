import itertools
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor, nn

from lit_intriguing.callbacks import ExactResume
from lit_intriguing.data import Frames, ImageFolder
from lit_intriguing.data.images import videos as reader
from lit_intriguing.errors import UserError
from lit_intriguing.splits.training_data import data_summary
from tests.data.images.folders import class_folders, pixels, save, truncated
from tests.data.images.videos import FRAMES_PER_KEY, av, damage, save_video


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("LIT_INTRIGUING_DATA", raising=False)


def made(folder: Path, stage: str | None = None, **options: Any) -> Frames:
    data = Frames(str(folder), **{"size": 8, "workers": 0, "contrast": False} | options)
    data.setup(stage)
    return data


def rows(loader: Any) -> Tensor:
    return torch.cat(list(loader))


def files(data: Frames) -> list[str]:
    return [data.frames.paths[i] for i in data.frames.files.tolist()]


def greys(frames: Tensor) -> list[int]:
    """Give the number of each frame of a video that `save_video` made, by its dark half."""
    return [round(float(one[..., one.shape[-1] * 3 // 4 :].mean()) * 255 / 5) for one in frames]


def test_images_are_frames_without_labels_in_the_order_of_their_names(tmp_path: Path) -> None:
    for i in (2, 0, 1):
        save(tmp_path / "d" / f"{i}.png", i)
    data = made(tmp_path / "d")
    x = rows(data.predict_dataloader())
    assert (x.dtype, x.shape, data.image_shape) == (torch.float32, (3, 3, 8, 8), (3, 8, 8))
    wanted = torch.stack([torch.from_numpy(pixels(i)).permute(2, 0, 1) / 255 for i in range(3)])
    torch.testing.assert_close(x, wanted)


def test_the_stride_counts_in_each_folder_by_itself(tmp_path: Path) -> None:
    class_folders(tmp_path / "d", {"a": 5, "b": 2, "b/c": 4})
    assert files(made(tmp_path / "d", stride=2)) == [
        *("a/000.png", "a/002.png", "a/004.png", "b/000.png", "b/c/000.png", "b/c/002.png"),
    ]
    assert files(made(tmp_path / "d", stride=9)) == ["a/000.png", "b/000.png", "b/c/000.png"]
    assert len(made(tmp_path / "d").frames) == 11


def test_the_shorter_side_is_scaled_and_the_centre_cut_out(tmp_path: Path) -> None:
    save(tmp_path / "d" / "0.png", 0, size=64)
    whole = rows(made(tmp_path / "d", size=16).predict_dataloader())
    centre = rows(made(tmp_path / "d", size=8, resize=16).predict_dataloader())
    torch.testing.assert_close(centre, whole[..., 4:12, 4:12])
    assert rows(made(tmp_path / "d", channels=1).predict_dataloader()).shape == (1, 1, 8, 8)


def test_contrast_is_normalised_frame_by_frame_and_a_flat_frame_is_zero(tmp_path: Path) -> None:
    save(tmp_path / "d" / "0.png", 0)
    plain = rows(made(tmp_path / "d").predict_dataloader())
    found = rows(made(tmp_path / "d", contrast=True).predict_dataloader())
    bytes_ = plain.double() * 255
    expected = (bytes_ - bytes_.mean()) / (bytes_.var(correction=0) + 10).sqrt()
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)
    from PIL import Image

    Image.new("RGB", (8, 8), (90, 90, 90)).save(tmp_path / "d" / "1.png")
    flat = rows(made(tmp_path / "d", contrast=True).predict_dataloader())[1]
    assert float(flat.abs().max()) < 1e-4


def test_training_order_depends_on_seed_and_epoch_alone(tmp_path: Path) -> None:
    class_folders(tmp_path / "d", {"a": 12})

    def order(epoch: int, **options: Any) -> Tensor:
        loader = made(tmp_path / "d", batch_size=5, **options).train_dataloader()
        loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
        return rows(loader)

    first = order(0, seed=3)
    assert torch.equal(first, order(0, seed=3, workers=2))
    assert torch.equal(first, order(0, seed=3, in_memory=True))
    assert not torch.equal(first, order(1, seed=3))
    assert not torch.equal(first, order(0, seed=4))
    whole = rows(made(tmp_path / "d").predict_dataloader())
    assert {tuple(x.flatten().tolist()) for x in first} == {
        tuple(x.flatten().tolist()) for x in whole
    }


def test_the_last_frames_are_held_out(tmp_path: Path) -> None:
    class_folders(tmp_path / "d", {"a": 6, "b": 4})
    data = made(tmp_path / "d", validation=0.3)
    whole = rows(data.predict_dataloader())
    assert torch.equal(rows(data.val_dataloader()), whole[7:])
    assert len(rows(data.train_dataloader())) == 7
    assert len(rows(made(tmp_path / "d", limit=2, validation=0.3).val_dataloader())) == 2
    assert made(tmp_path / "d").val_dataloader() == []


def test_an_image_that_cannot_be_decoded_is_left_out_counted_and_said_once(tmp_path: Path) -> None:
    class_folders(tmp_path / "d", {"a": 3})
    truncated(tmp_path / "d" / "a" / "001.jpg")
    data = Frames(str(tmp_path / "d"), size=8, workers=0)
    with pytest.warns(UserWarning, match=r"1 of 4 frames in .* a/001\.jpg \(1: .*left out"):
        data.setup("fit")
    data.setup("predict")  # a second warning would be an error
    assert len(data.frames) == 3
    with pytest.raises(UserError, match=r"1 of 4 frames.*set the data's `unreadable` to skip"):
        made(tmp_path / "d", unreadable="stop")
    assert len(made(tmp_path / "d", stride=4).frames) == 1  # it is not among those


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stride": 0}, "stride must be at least 1, not 0"),
        ({"size": 0}, "at least 1 pixel"),
        ({"size": 8, "resize": 4}, "no more than the resized image"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"limit": 0}, "limit must be at least 1"),
        ({"validation": 1.0}, "validation is a share of the frames below 1"),
        ({"seed": -1}, "seed must not be negative"),
        ({"channels": 2}, "channels is 1 or 3, not 2"),
        ({"unreadable": "ignore"}, "unreadable is skip or stop, not 'ignore'"),
    ],
    ids=str,
)
def test_options_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Frames("d", **{"size": 8, **options})


def test_folders_without_frames_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no folder of images 'nowhere'"):
        made(Path("nowhere"))
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "notes.txt").write_text("no frame")
    with pytest.raises(UserError, match=r"d holds no frames: images \(.*\.png.*\.mp4"):
        made(tmp_path / "d")
    truncated(tmp_path / "d" / "0.jpg")
    with pytest.raises(UserError, match=r"none of the frames in .* can be decoded: 0\.jpg \("):
        made(tmp_path / "d")


def test_shares_that_leave_nothing_are_refused(tmp_path: Path) -> None:
    class_folders(tmp_path / "d", {"a": 2})
    with pytest.raises(UserError, match=r"validation 0\.9 of 2 frames leaves none to train on"):
        made(tmp_path / "d", validation=0.9)
    with pytest.raises(UserError, match="leaves none to validate on"):
        made(tmp_path / "d", validation=0.1)
    with pytest.raises(UserError, match="no frames are held out"):
        made(tmp_path / "d", "validate")
    with pytest.raises(UserError, match="2 training images are too few for a batch of 128"):
        made(tmp_path / "d", drop_last=True).train_dataloader()


def test_a_file_that_changed_since_is_named(tmp_path: Path) -> None:
    save(tmp_path / "d" / "0.png", 0)
    data = made(tmp_path / "d")
    (tmp_path / "d" / "0.png").unlink()
    with pytest.raises(UserError, match=r"0\.png cannot be read any more"):
        rows(data.predict_dataloader())


def test_videos_without_their_reader_are_refused_with_the_way_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a.MP4").write_bytes(b"")
    monkeypatch.setattr(reader.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        UserError, match=r"a\.MP4 is a video.*pip install 'lit-intriguing\[video\]'"
    ):
        made(tmp_path / "d")


def test_images_alone_need_no_reader_of_videos(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path / "d" / "0.png", 0)
    monkeypatch.setitem(sys.modules, "av", None)
    assert len(rows(made(tmp_path / "d").predict_dataloader())) == 1


@pytest.mark.parametrize("in_memory", [False, True])
@pytest.mark.parametrize("stride", [1, 3])
def test_frames_of_videos_come_at_the_stride_in_any_order(
    tmp_path: Path, stride: int, in_memory: bool
) -> None:
    save_video(tmp_path / "d" / "a.mp4", 13)
    save_video(tmp_path / "d" / "b" / "c.avi", 7, first=20)
    data = made(tmp_path / "d", stride=stride, in_memory=in_memory)
    wanted = [*range(0, 13, stride), *range(20, 27, stride)]
    assert greys(rows(data.predict_dataloader())) == wanted
    assert sorted(greys(rows(data.train_dataloader()))) == wanted


def test_reading_one_by_one_and_in_one_pass_gives_the_same_pixels(tmp_path: Path) -> None:
    save_video(tmp_path / "d" / "a.mp4", 13)
    one_by_one, in_one = (
        rows(made(tmp_path / "d", in_memory=kept).predict_dataloader()) for kept in (False, True)
    )
    assert torch.equal(one_by_one, in_one)
    grey = rows(made(tmp_path / "d", channels=1).predict_dataloader())
    assert grey.shape == (13, 1, 8, 8)
    assert greys(grey) == list(range(13))


def test_videos_and_images_lie_together(tmp_path: Path) -> None:
    save(tmp_path / "d" / "b.png", 0)
    save_video(tmp_path / "d" / "a.mkv", 2)
    save_video(tmp_path / "d" / "c.mkv", 2)
    data = made(tmp_path / "d")
    assert files(data) == ["a.mkv", "a.mkv", "b.png", "c.mkv", "c.mkv"]
    assert len(rows(data.predict_dataloader())) == 5


@pytest.mark.parametrize("in_memory", [False, True])
def test_damaged_frames_of_a_video_are_left_out_up_to_the_next_key_frame(
    tmp_path: Path, in_memory: bool
) -> None:
    damage(save_video(tmp_path / "d" / "a.mp4", 4 * FRAMES_PER_KEY), 7)
    with pytest.warns(UserWarning, match=r"3 of 20 frames .*a\.mp4 \(3: damaged\)"):
        data = made(tmp_path / "d", in_memory=in_memory)
    wanted = [*range(7), *range(10, 20)]
    assert greys(rows(data.predict_dataloader())) == wanted
    with pytest.warns(UserWarning, match="1 of 7 frames"):
        data = made(tmp_path / "d", stride=3, in_memory=in_memory)
    assert greys(rows(data.predict_dataloader())) == [0, 3, 6, 12, 15, 18]


def test_a_video_that_cannot_be_opened_or_shows_nothing_is_left_out(tmp_path: Path) -> None:
    av()
    save_video(tmp_path / "d" / "a.mp4", 3)
    (tmp_path / "d" / "b.mp4").write_bytes(b"no video")
    with pytest.warns(UserWarning, match=r"1 of 4 frames .* b\.mp4 \(1: .*[Ii]nvalid data"):
        assert len(made(tmp_path / "d").frames) == 3
    for path in tmp_path.glob("d/a.*"):
        path.unlink()
    with pytest.raises(UserError, match=r"none of the frames in .* can be decoded: b\.mp4"):
        made(tmp_path / "d")


def test_what_was_found_is_stored_until_a_video_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_video(tmp_path / "d" / "a.mp4", 4)
    made(tmp_path / "d")
    opened: list[Path] = []
    whole = reader._opened
    monkeypatch.setattr(reader, "_opened", lambda path: (opened.append(path), whole(path))[1])
    assert len(made(tmp_path / "d", stride=2).frames) == 2
    assert opened == []
    save_video(tmp_path / "d" / "a.mp4", 9)
    assert len(made(tmp_path / "d").frames) == 9
    assert len(opened) == 1


class Reconstruction(LightningModule):
    """Rebuilds frames; writes down which it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3 * 8 * 8, 192)
        self.seen: list[Tensor] = []

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        self.seen.append(batch.flatten(1)[:, 0].clone())
        x = batch.flatten(1)
        return (self.layer(x) - x).square().mean()

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        self.log("val/loss", batch.square().mean())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.01)


def fit(folder: Path, logs: Path, epochs: int, **options: Any) -> Reconstruction:
    torch.manual_seed(0)
    module = Reconstruction()
    trainer = Trainer(
        max_epochs=epochs, default_root_dir=logs, logger=False, enable_progress_bar=False,
        enable_model_summary=False, accelerator="cpu",
        callbacks=[ExactResume(), ModelCheckpoint(logs, filename="{epoch}", save_top_k=-1)],
    )  # fmt: skip
    data = Frames(str(folder), size=8, workers=0, batch_size=4, seed=1, validation=0.2)
    with warnings.catch_warnings():
        for text in ("does not have many workers", "number of training batches", "within an epoch"):
            warnings.filterwarnings("ignore", f".*{text}.*")
        warnings.filterwarnings("ignore", "Checkpoint directory .* exists")
        trainer.fit(module, data, **options)
    return module


def test_a_run_that_is_resumed_gets_the_frames_of_the_whole_one(tmp_path: Path) -> None:
    class_folders(tmp_path / "d", {"a": 20})
    whole = fit(tmp_path / "d", tmp_path / "whole", 3)
    fit(tmp_path / "d", tmp_path / "cut", 1)
    rest = fit(tmp_path / "d", tmp_path / "cut", 3, ckpt_path=tmp_path / "cut" / "epoch=0.ckpt")
    assert torch.equal(torch.cat(whole.seen[4:]), torch.cat(rest.seen))
    assert torch.equal(whole.layer.weight, rest.layer.weight)
    save(tmp_path / "d" / "b.png", 99)
    with pytest.raises(UserError, match="the training data is not that of the checkpoint"):
        fit(tmp_path / "d", tmp_path / "cut", 3, ckpt_path=tmp_path / "cut" / "epoch=0.ckpt")


def test_other_frames_have_another_summary(tmp_path: Path) -> None:
    class_folders(tmp_path / "d", {"a": 8})
    of = [made(tmp_path / "d", stride=one).train_dataloader() for one in (1, 1, 2)]
    first, again, other = map(data_summary, of)
    assert first == again != other
    assert first["examples"] == 8
    images = ImageFolder(str(tmp_path / "d"), workers=0)
    images.setup("fit")
    assert data_summary(images.train_dataloader()) != first


def test_processes_share_the_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class_folders(tmp_path / "d", {"a": 10})
    shares = []
    for rank in (0, 1):
        data = made(tmp_path / "d", batch_size=5)
        monkeypatch.setattr(data, "place", lambda rank=rank: (rank, 2))
        shares.append({tuple(x.flatten().tolist()) for x in rows(data.train_dataloader())})
    assert all(len(share) == 5 for share in shares)
    assert not set.intersection(*shares)
    assert len(set(itertools.chain(*shares))) == 10
