import json
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from torchvision.transforms import v2

from lit_intriguing.data import ImageFolder
from lit_intriguing.errors import UserError
from lit_intriguing.models import Classifier
from tests.data.images.folders import class_folders, pixels, save, truncated


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("LIT_INTRIGUING_DATA", raising=False)


def made(folder: Path, stage: str | None = None, **options: Any) -> ImageFolder:
    data = ImageFolder(str(folder), workers=0, **options)
    data.setup(stage)
    return data


def rows(loader: Any) -> tuple[torch.Tensor, torch.Tensor]:
    batches = list(loader)
    return torch.cat([x for x, _ in batches]), torch.cat([y for _, y in batches])


def divided(root: Path) -> Path:
    for part, count in (("train", 6), ("val", 2), ("test", 3)):
        for label, name in enumerate(("cat", "dog")):
            for i in range(count):
                seed = 100 * label + 10 * count + i
                save(root / part / name / f"{i}.png", seed)
    return root


def test_pixels_lie_in_0_to_1_and_labels_follow_the_sorted_folders(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "d", {"b": 2, "a": 3})
    data = made(root, "test", test=1.0)
    x, y = rows(data.test_dataloader())
    assert (x.dtype, x.shape, y.dtype) == (torch.float32, (5, 3, 8, 8), torch.int64)
    assert data.class_names == ("a", "b")
    assert data.image_shape == (3, 8, 8)
    assert y.bincount().tolist() == [3, 2]
    # Folder a's files were written last: seeds 2, 3 and 4.
    wanted = [torch.from_numpy(pixels(seed)).permute(2, 0, 1) / 255 for seed in (2, 3, 4)]
    assert all(any(torch.allclose(one, image) for image in wanted) for one in x[y == 0])


def test_a_divided_folder_gives_its_parts(tmp_path: Path) -> None:
    data = made(divided(tmp_path / "d"))
    loaders = [data.train_dataloader(), data.val_dataloader(), data.test_dataloader()]
    assert [len(rows(loader)[1]) for loader in loaders] == [12, 4, 6]


def test_shares_are_held_out_with_the_classes_in_their_shares_and_nothing_twice(
    tmp_path: Path,
) -> None:
    root = class_folders(tmp_path / "d", {"a": 20, "b": 10})
    data = made(root, validation=0.2, test=0.3)
    parts = [
        rows(one)
        for one in (data.train_dataloader(), data.val_dataloader(), data.test_dataloader())
    ]
    assert [len(y) for _, y in parts] == [15, 6, 9]
    assert all(abs((y == 0).float().mean() - 2 / 3) < 0.12 for _, y in parts)
    images = {tuple(x.flatten().tolist()) for part, _ in parts for x in part}
    assert len(images) == 30
    again = made(root, validation=0.2, test=0.3, seed=5)
    assert torch.equal(rows(again.test_dataloader())[0], parts[2][0])
    other = made(root, validation=0.2, test=0.3, split_seed=5)
    assert not torch.equal(rows(other.test_dataloader())[0], parts[2][0])


def test_a_divided_folder_without_test_images_gives_a_share_of_its_training_images(
    tmp_path: Path,
) -> None:
    root = tmp_path / "d"
    class_folders(root / "train", {"a": 8, "b": 8})
    class_folders(root / "val", {"a": 1, "b": 1})
    data = made(root, test=0.25)
    assert len(data.test_dataloader().dataset) == 4
    assert len(data.train_dataloader().dataset) == 12
    with pytest.raises(UserError, match=r"val holds the validation images already"):
        made(root, validation=0.5)


def test_a_file_of_labels_names_images_in_one_folder(tmp_path: Path) -> None:
    root = tmp_path / "d"
    for i in range(4):
        save(root / f"{i}.png", i)
    (root / "labels.csv").write_text("file,class\n0.png,dog\n1.png,cat\n2.png,dog\n3.png,dog\n")
    data = made(root, "test", test=1.0, labels="labels.csv")
    assert data.class_names == ("cat", "dog")
    assert sorted(rows(data.test_dataloader())[1].tolist()) == [0, 1, 1, 1]
    save(root / "4.png", 4)
    with pytest.raises(UserError, match=r"none for 1 of 5 images in .*, such as 4\.png"):
        made(root, "test", test=1.0, labels="labels.csv")


def test_a_class_file_gives_the_labels_of_imagenet_to_a_few_of_its_folders(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "d", {"n3": 1, "n1": 2})
    index = {"0": ["n1", "tench"], "1": ["n2", "goldfish"], "2": ["n3", "shark"]}
    (tmp_path / "index.json").write_text(json.dumps(index))
    data = made(root, "test", test=1.0, classes=str(tmp_path / "index.json"))
    assert data.class_names == ("tench", "goldfish", "shark")
    assert sorted(rows(data.test_dataloader())[1].tolist()) == [0, 0, 2]
    with pytest.raises(UserError, match=r"1 classes that are none of the 2 .*: n3\."):
        made(root, "test", test=1.0, classes=["n1", "n2"])


def test_one_class_is_told_from_the_rest(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "d", {"car": 2, "cat": 1, "dog": 1})
    data = made(root, "test", test=1.0, binary="car")
    assert data.class_names == ("rest", "car")
    assert rows(data.test_dataloader())[1].bincount().tolist() == [2, 2]


def test_files_that_cannot_be_read_are_left_out_counted_and_named_or_stop_the_run(
    tmp_path: Path,
) -> None:
    root = class_folders(tmp_path / "d", {"a": 4, "b": 4}, size=64)
    truncated(root / "a" / "half.jpg")
    (root / "b" / "text.png").write_text("text")
    with pytest.warns(UserWarning, match=r"2 of 10 images cannot be read: .*half\.jpg \(.*trunc"):
        data = made(root, "test", test=1.0)
    assert len(rows(data.test_dataloader())[1]) == 8
    with pytest.raises(UserError, match=r"2 of 10 images .*text\.png .*set the data's `unread"):
        made(root, "test", test=1.0, unreadable="stop")


def test_findings_are_stored_until_a_file_changes(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "d", {"a": 2})
    made(root, "test", test=1.0)
    (stored,) = (tmp_path / "cache").rglob("*.json")
    stored.write_text(json.dumps({"unreadable": {"a/000.png": "so"}, "sizes": {"8x8": "a"}}))
    with pytest.warns(UserWarning, match="1 of 2 images"):
        made(root, "test", test=1.0)
    save(root / "a" / "000.png", 3, size=9).touch()
    save(root / "a" / "001.png", 3, size=9)
    assert made(root, "test", test=1.0).image_shape == (3, 9, 9)


def test_resize_and_crop_take_the_middle(tmp_path: Path) -> None:
    save(tmp_path / "d" / "a" / "0.png", 0, size=12)
    data = made(tmp_path / "d", "test", test=1.0, size=6, resize=12)
    (image,) = rows(data.test_dataloader())[0]
    middle = torch.from_numpy(pixels(0, 12)[3:9, 3:9]).permute(2, 0, 1) / 255
    assert torch.allclose(image, middle)


def test_training_images_change_with_the_epoch_in_fit_alone(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "d", {"a": 6})
    data = made(root, "fit", size=8, crop="random", pad=2, flip=True, seed=0)
    loader = data.train_dataloader()
    first = loader.dataset[0][0]
    loader.sampler.set_epoch(1)
    assert not torch.equal(loader.dataset[0][0], first)
    data.trainer = Trainer(logger=False, accelerator="cpu", enable_checkpointing=False)
    data.trainer.state.fn = "predict"
    plain = data.train_dataloader().dataset
    assert torch.equal(plain[0][0], data._dataset("train", None)[0][0])


def test_augmentation_may_be_any_transform(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "d", {"a": 2})
    data = made(root, "fit", size=8, augmentation=v2.RandomInvert(1.0), seed=0)
    x, _ = data.train_dataloader().dataset[0]
    plain, _ = data._dataset("train", None)[0]
    assert torch.allclose(x, 1 - plain, atol=1e-6)


class Recorder(Classifier):
    """Keeps the images and labels of each training batch."""

    def __init__(self) -> None:
        super().__init__((192, 2), optimizer=lambda p: torch.optim.SGD(p, 0.1))
        self.seen: list[tuple[torch.Tensor, torch.Tensor]] = []

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        self.seen.append(batch)
        return super().training_step(batch, batch_idx)


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
def test_what_is_trained_on_does_not_depend_on_the_number_of_workers(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "d", {"a": 6, "b": 6})
    seen = []
    for workers in (0, 2):
        data = ImageFolder(
            str(root),
            size=8,
            crop="random",
            pad=2,
            flip=True,
            batch_size=5,
            workers=workers,
            seed=3,
        )
        model = Recorder()
        trainer = Trainer(
            accelerator="cpu", max_epochs=2, logger=False, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False,
        )  # fmt: skip
        trainer.fit(model, datamodule=data)
        seen.append(torch.cat([x for x, _ in model.seen]))
    assert torch.equal(*seen)
    assert not torch.equal(seen[0][:12], seen[0][12:])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"validation": 0.6, "test": 0.6}, "from 0 to 1 together"),
        ({"crop": "random"}, "crop random needs the data's `size`"),
        ({"crop": "random", "size": 8}, "is the whole image"),
        ({"size": 8, "resize": 4}, "no more than the resized image"),
        ({"pad": 2, "size": 8}, "only for the crop random"),
        ({"seed": -1}, "seed must not be negative"),
    ],
)
def test_options_that_do_not_fit_together_are_refused(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        ImageFolder("here", **options)


def test_a_missing_folder_says_where_it_was_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match=r"no folder of images 'none'.*set \$LIT_INTRIGUING_DATA"):
        made(Path("none"))
    class_folders(tmp_path / "beside" / "photos", {"a": 1})
    monkeypatch.setenv("LIT_INTRIGUING_DATA", str(tmp_path / "beside"))
    assert made(Path("photos"), "test", test=1.0).class_names == ("a",)
    with pytest.raises(UserError, match=r"'none'.* or in .*beside"):
        made(Path("none"))


def test_folders_that_hold_nothing_to_work_on_are_told(tmp_path: Path) -> None:
    (tmp_path / "empty" / "a").mkdir(parents=True)
    with pytest.raises(UserError, match="holds no images"):
        made(tmp_path / "empty", "test", test=1.0)
    save(tmp_path / "flat" / "0.png", 0)
    with pytest.raises(UserError, match=r"1 images outside class folders, such as 0\.png"):
        made(tmp_path / "flat", "test", test=1.0)
    root = class_folders(tmp_path / "d", {"a": 2})
    with pytest.raises(UserError, match="has no test images"):
        made(root, "test")
    with pytest.raises(UserError, match="has no validation images"):
        made(root, "validate")
    with pytest.raises(UserError, match="are left to train on"):
        made(root, "fit", test=1.0)
    (root / "b").mkdir()
    with pytest.raises(UserError, match=r"1 class folders without images, such as b"):
        made(root, "test", test=1.0)
    assert made(root, "test", test=1.0, classes=["a", "b"]).class_names == ("a", "b")


@pytest.mark.parametrize(
    ("parts", "options", "has"),
    [(["train", "val"], {}, False), (["train", "test"], {}, True), (["a"], {}, False),
     (["a"], {"test": 0.2}, True)],
)  # fmt: skip
def test_whether_there_are_test_images_is_known_before_they_are_read(
    parts: list[str], options: dict[str, Any], has: bool, tmp_path: Path
) -> None:
    for part in parts:
        class_folders(tmp_path / part, {"a": 1})
    assert ImageFolder(str(tmp_path), **options).has_test() is has


def test_images_of_several_sizes_need_a_size(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "d", {"a": 2})
    save(root / "a" / "large.png", 9, size=10)
    with pytest.raises(UserError, match=r"differ in size .*set the data's `size`"):
        made(root, "test", test=1.0)
    assert made(root, "test", test=1.0, size=8).image_shape == (3, 8, 8)


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "d", {"car": 1, "train": 1})
    assert made(root, "test", test=1.0).class_names == ("car", "train")


def test_the_test_images_are_predicted_in_their_order(tmp_path: Path) -> None:
    # Lightning makes the loader anew for that, from the arguments of the old one.
    data = made(class_folders(tmp_path / "images", {"a": 3, "b": 4}), test=1.0, eval_batch_size=2)
    trainer = Trainer(
        logger=False, accelerator="cpu", enable_checkpointing=False, enable_progress_bar=False
    )
    model = Classifier((192, 2))
    found = trainer.predict(model, datamodule=data)
    assert found is not None
    data.setup("test")
    images, _ = rows(data.test_dataloader())
    with torch.no_grad():
        assert torch.equal(torch.cat(found), model(images).argmax(1))


def test_labels_of_a_file_are_the_same_whichever_part_is_read_first(tmp_path: Path) -> None:
    root, lines = tmp_path / "d", ["file,class"]
    for part, names in (("train", ("ant", "bee", "cat")), ("test", ("ant", "cat"))):
        for seed, name in enumerate(names):
            save(root / part / f"{name}_{part}.png", seed)
            lines.append(f"{name}_{part}.png,{name}")
    (root / "labels.csv").write_text("\n".join(lines))
    alone = made(root, "test", labels="labels.csv")
    after = made(root, "fit", labels="labels.csv")
    after.setup("test")
    for data in (alone, after):
        assert data.class_names == ("ant", "bee", "cat")
        assert sorted(rows(data.test_dataloader())[1].tolist()) == [0, 2]


def test_a_divided_folder_needs_no_training_images_to_be_tested(tmp_path: Path) -> None:
    class_folders(tmp_path / "d" / "test", {"cat": 2, "dog": 1})
    data = made(tmp_path / "d", "test")
    assert data.class_names == ("cat", "dog")
    assert rows(data.test_dataloader())[1].bincount().tolist() == [2, 1]
    # The classes are those of all parts, whichever is read.
    class_folders(tmp_path / "d" / "val", {"bee": 1, "dog": 1})
    for stage in ("test", "validate"):
        assert made(tmp_path / "d", stage).class_names == ("bee", "cat", "dog")
    with pytest.raises(UserError, match="are left to train on"):
        made(tmp_path / "d", "fit")


@pytest.mark.parametrize(("stage", "part"), [("fit", "validation"), ("test", "test")])
def test_a_share_that_leaves_no_image_is_refused_and_a_larger_one_works(
    stage: str, part: str, tmp_path: Path
) -> None:
    root = class_folders(tmp_path / "d", {"a": 5, "b": 5})
    with pytest.raises(UserError, match=rf"{part} 0\.04 of 10 images leaves none .*larger share"):
        made(root, stage, **{part: 0.04})
    made(root, stage, **{part: 0.1})


class Shared(ImageFolder):
    """As the first of two processes has it."""

    def place(self) -> tuple[int, int]:
        return 0, 2


def test_fewer_images_than_processes_are_refused(tmp_path: Path) -> None:
    data = Shared(str(class_folders(tmp_path / "d", {"a": 1})), workers=0, test=1.0)
    data.setup("test")
    with pytest.raises(UserError, match="1 images are too few for 2 processes"):
        data.test_dataloader()
