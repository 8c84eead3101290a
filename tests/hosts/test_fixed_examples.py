"""Which examples are chosen; how loaders are read is tested with the callback that reads them."""

import pytest
import torch

from lit_intriguing.hosts.batch import BatchError, BatchKeys
from lit_intriguing.hosts.fixed_examples import balanced, pick


@pytest.mark.parametrize("count", [0, 1, 5, 9, 20])
def test_classes_differ_by_at_most_one_example_while_there_are_enough(count: int) -> None:
    labels = torch.arange(9).remainder(3)[torch.randperm(9, generator=torch.Generator())]
    rows = balanced(labels, count)
    assert len(rows) == len(set(rows.tolist())) == min(count, 9)
    counts = torch.bincount(labels[rows], minlength=3)
    assert counts.max() - counts.min() <= 1


def test_a_rare_class_gives_its_place_to_others() -> None:
    assert balanced(torch.tensor([0, 0, 0, 1]), 3).tolist() == [0, 3, 1]


def test_picked_examples_are_copies_sorted_by_label() -> None:
    inputs = torch.arange(4.0).unsqueeze(1)
    x, labels = pick((inputs, torch.tensor([2, 0, 2, 1])), BatchKeys(), 3)
    inputs.zero_()
    assert x.flatten().tolist() == [1.0, 3.0, 0.0]
    assert labels.tolist() == [0, 1, 2]


def test_half_precision_is_widened_for_the_attack() -> None:
    batch = {"image": torch.rand(2, 3).bfloat16(), "label": torch.tensor([1, 0], dtype=torch.uint8)}
    x, labels = pick(batch, BatchKeys(), 2)
    assert (x.dtype, labels.dtype) == (torch.float32, torch.int64)


def test_a_batch_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(BatchError, match="2 of them could be the inputs"):
        pick({"a": torch.rand(2), "b": torch.rand(2)}, BatchKeys(), 1)
