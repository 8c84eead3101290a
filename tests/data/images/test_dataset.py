from pathlib import Path

import pytest
import torch
from torchvision.transforms import v2

from lit_intriguing.data.images.dataset import (
    FolderImages,
    TrainingOrder,
    arranged,
    evaluation_batch,
    evaluation_order,
)
from lit_intriguing.errors import UserError
from tests.data.images.folders import save


def images(folder: Path, count: int, seed: int | None = None) -> FolderImages:
    paths = [save(folder / f"{i}.png", i).name for i in range(count)]
    crop = v2.Compose([v2.RandomCrop(4), v2.ToDtype(torch.float32, scale=True)])
    return FolderImages(folder, paths, torch.arange(count), 3, crop, seed)


def test_random_changes_depend_on_seed_epoch_and_index_alone(tmp_path: Path) -> None:
    first, second = images(tmp_path, 6, seed=1), images(tmp_path, 6, seed=1)
    forward = [first[i][0] for i in range(6)]
    torch.manual_seed(99)
    before = torch.get_rng_state()
    backward = [second[i][0] for i in reversed(range(6))][::-1]
    assert torch.equal(torch.get_rng_state(), before)
    assert all(map(torch.equal, forward, backward))
    second.epoch = 1
    assert not all(torch.equal(a, second[i][0]) for i, a in enumerate(forward))
    other = images(tmp_path, 6, seed=2)
    assert not all(torch.equal(a, other[i][0]) for i, a in enumerate(forward))


def test_images_kept_in_memory_are_those_of_the_files(tmp_path: Path) -> None:
    read, kept = images(tmp_path, 4, seed=0), images(tmp_path, 4, seed=0)
    kept.keep()
    assert all(torch.equal(read[i][0], kept[i][0]) for i in range(4))
    for path in tmp_path.glob("*.png"):
        path.unlink()
    assert kept[3][1] == 3


def test_a_file_that_went_bad_is_named(tmp_path: Path) -> None:
    data = images(tmp_path, 2)
    (tmp_path / "1.png").write_text("gone")
    with pytest.raises(UserError, match=r"1\.png cannot be read any more"):
        data[1]


def test_training_order_is_shared_out_and_changes_with_seed_and_epoch(tmp_path: Path) -> None:
    data = images(tmp_path, 7)
    shares = [TrainingOrder(data, 0, False, rank, 2) for rank in range(2)]
    both = [list(share) for share in shares]
    assert [len(share) for share in both] == [4, 4]
    assert set(both[0]) | set(both[1]) == set(range(7))
    for share in shares:
        share.set_epoch(1)
    assert data.epoch == 1
    assert [list(share) for share in shares] != both
    # Seed 1 in epoch 0 is another order than seed 0 in epoch 1.
    assert list(TrainingOrder(data, 1, False, 0, 2)) != list(shares[0])
    assert len(list(TrainingOrder(data, 0, True, 0, 2))) == 3


@pytest.mark.parametrize(("count", "batch", "processes"), [(9, 4, 2), (8, 4, 2), (7, 1, 3)])
def test_evaluation_takes_each_image_once_in_as_many_batches_on_each_process(
    tmp_path: Path, count: int, batch: int, processes: int
) -> None:
    data = images(tmp_path, count)
    orders = [list(evaluation_order(data, rank, processes)) for rank in range(processes)]
    assert sorted(index for order in orders for index in order) == list(range(count))
    size = evaluation_batch(count, batch, processes)
    assert len({-(-len(order) // size) for order in orders}) == 1


def test_fewer_images_than_processes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="1 images are too few for 2 processes"):
        evaluation_order(images(tmp_path, 1), 0, 2)


def test_any_first_part_of_the_arrangement_has_the_classes_in_their_shares() -> None:
    labels = torch.tensor([0] * 600 + [1] * 300 + [2] * 100)
    order = arranged(labels, 0)
    assert sorted(order.tolist()) == list(range(1000))
    for part in (50, 200, 555):
        shares = labels[order[:part]].bincount(minlength=3) / part
        assert (shares - torch.tensor([0.6, 0.3, 0.1])).abs().max() < 0.03
    assert torch.equal(order, arranged(labels, 0))
    assert not torch.equal(order, arranged(labels, 1))


def test_classes_of_one_image_each_are_in_no_order() -> None:
    order = arranged(torch.arange(500), 0)
    assert abs(torch.corrcoef(torch.stack([order.float(), torch.arange(500.0)]))[0, 1]) < 0.15
