from collections.abc import Iterator
from pathlib import Path

import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from lit_intriguing.data import TensorLoader
from lit_intriguing.data.images.dataset import FolderImages
from lit_intriguing.splits.training_data import data_summary


def tensors(count: int = 100) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(3, (count,), generator=generator)
    return torch.rand(count, 2, 3, generator=generator), labels


def test_other_numbers_orders_and_labels_of_tensors_are_told_apart() -> None:
    x, y = tensors()
    order = torch.randperm(100, generator=torch.Generator().manual_seed(1))
    found = [
        data_summary(TensorLoader(*pair, batch_size=10))
        for pair in ((x, y), (x[:99], y[:99]), (x[order], y[order]), (x, (y + 1) % 3), (x + 1, y))
    ]
    assert len({str(one) for one in found}) == len(found)
    again = data_summary(TensorLoader(*tensors(), batch_size=7, shuffle=True, seed=4))
    assert again == found[0]


def test_a_data_loader_of_tensors_is_described_as_they_are() -> None:
    x, y = tensors()
    loader = DataLoader(TensorDataset(x, y), batch_size=4)
    assert data_summary(loader) == data_summary(TensorLoader(x, y, batch_size=10))


def test_images_from_folders_are_told_apart_by_names_and_labels(tmp_path: Path) -> None:
    def described(paths: list[str], labels: list[int]) -> str:
        images = FolderImages(tmp_path, paths, torch.tensor(labels), 3, lambda image: image)
        return str(data_summary(DataLoader(images)))

    first = described(["a/1.png", "b/2.png"], [0, 1])
    assert first == described(["a/1.png", "b/2.png"], [0, 1])
    others = [
        (["a/1.png", "b/3.png"], [0, 1]),
        (["b/2.png", "a/1.png"], [1, 0]),
        (["a/1.png", "b/2.png"], [1, 1]),
    ]
    assert len({first, *(described(*one) for one in others)}) == 4


def test_of_other_data_sets_class_and_number_are_known() -> None:
    class Squares(Dataset[int]):
        def __len__(self) -> int:
            return 7

        def __getitem__(self, index: int) -> int:
            raise AssertionError("not to be read")

    class Stream(IterableDataset[int]):
        def __iter__(self) -> Iterator[int]:
            raise AssertionError("not to be read")

    assert data_summary(DataLoader(Squares()))["examples"] == 7
    assert data_summary(DataLoader(Stream()))["examples"] is None
    assert data_summary(DataLoader(Stream()))["data"].endswith("Stream")
