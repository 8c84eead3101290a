import os
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lit_intriguing.data import MNIST, mnist, mnist_files
from lit_intriguing.errors import UserError
from tests.data.mnist_stand_in import accept, contents, write

ROWS = 60


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with 60 training examples of the whole format, in place of 60,000."""
    files = contents(ROWS)
    accept(files, monkeypatch)
    monkeypatch.setattr(mnist, "_SIZE", ROWS)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv(mnist_files.DATA_VARIABLE, raising=False)
    write(tmp_path / "data", files)
    return tmp_path / "data"


def numbers(images: Tensor) -> set[int]:
    """The examples that images of the stand-in come from."""
    return set((images[:, 0, 0, 0] * 255).round().int().tolist())


def training(data: MNIST) -> Tensor:
    data.prepare_data()
    data.setup("fit")
    return data.train_dataloader().inputs


def test_without_a_trainer_batches_have_pixels_from_0_to_1_and_labels(small: Path) -> None:
    data = MNIST(small, batch_size=7)
    training(data)
    images, labels = next(iter(data.train_dataloader()))
    assert images.shape == (7, 1, 28, 28)
    assert images.dtype == torch.float32
    assert labels.dtype == torch.int64
    assert numbers(images) <= set(range(ROWS))
    assert torch.equal((images[:, 0, 0, 0] * 255).round().long() % 10, labels)


def test_held_out_examples_and_training_examples_are_all_examples_once(small: Path) -> None:
    data = MNIST(small, validation=20)
    kept = numbers(training(data))
    held_out = numbers(data.val_dataloader().inputs)
    assert len(kept) == 40
    assert kept | held_out == set(range(ROWS))
    assert not kept & held_out


def test_without_held_out_examples_there_is_no_validation(small: Path) -> None:
    data = MNIST(small)
    training(data)
    assert data.val_dataloader() == []
    with pytest.raises(UserError, match="no examples are held out to validate on"):
        data.setup("validate")


def test_the_halves_are_disjoint_and_depend_on_the_split_seed_alone(small: Path) -> None:
    first, second = (numbers(training(MNIST(small, half=half))) for half in (1, 2))
    assert len(first) == len(second) == ROWS // 2
    assert not first & second
    assert numbers(training(MNIST(small, half=1, seed=5))) == first
    assert numbers(training(MNIST(small, half=1, split_seed=1))) != first


def test_held_out_examples_of_a_half_come_from_that_half(small: Path) -> None:
    data = MNIST(small, half=2, validation=10)
    kept = numbers(training(data))
    held_out = numbers(data.val_dataloader().inputs)
    assert kept | held_out == numbers(training(MNIST(small, half=2)))
    assert not kept & held_out


def test_test_and_prediction_give_the_test_examples_in_order(small: Path) -> None:
    data = MNIST(small, eval_batch_size=8)
    data.setup("test")
    rows = torch.cat([labels for _, labels in data.test_dataloader()])
    assert rows.tolist() == [row % 10 for row in range(20)]
    assert torch.equal(data.predict_dataloader().labels, rows)


def test_the_order_follows_the_run_s_seed_unless_given(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PL_GLOBAL_SEED", "7")
    data, fixed = MNIST(small), MNIST(small, seed=3)
    training(data)
    training(fixed)
    assert data.train_dataloader().seed == 7
    assert fixed.train_dataloader().seed == 3


def test_files_that_are_nowhere_are_fetched_once(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    monkeypatch.setattr(mnist_files, "download", calls.append)
    MNIST(small).prepare_data()
    assert calls == []
    MNIST(small / "nothing").prepare_data()
    assert calls == [small / "nothing"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"half": 3}, "half must be 1 or 2 .* not 3"),
        ({"validation": 60_000}, "validation must be from 0 to 59999 examples, not 60000"),
        ({"validation": 30_000, "half": 1}, "validation must be from 0 to 29999 examples"),
        ({"validation": -1}, "not -1"),
        ({"batch_size": 0}, "^batch_size must be at least 1, not 0"),
        ({"eval_batch_size": 0}, "eval_batch_size must be at least 1, not 0"),
        ({"split_seed": -1}, "split_seed must not be negative: -1"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        MNIST(**options)


@pytest.mark.skipif(mnist_files.find(None) is None, reason="MNIST's files: set LIT_INTRIGUING_DATA")
def test_the_real_images_have_their_known_means_and_counts() -> None:
    data = MNIST(os.environ.get(mnist_files.DATA_VARIABLE))
    data.setup("fit")
    data.setup("test")
    images, labels = data.train_dataloader().inputs, data.train_dataloader().labels
    assert images.shape == (60_000, 1, 28, 28)
    assert images.mean().item() == pytest.approx(0.1307, abs=1e-4)
    assert images.std().item() == pytest.approx(0.3081, abs=1e-4)
    assert labels.bincount().tolist() == [
        5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949,
    ]  # fmt: skip
    assert len(data.test_dataloader().inputs) == 10_000
