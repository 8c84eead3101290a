"""Which examples are chosen; how loaders are read is tested with the callback that reads them."""

import pytest
import torch

from lit_intriguing.hosts.batch import BatchError
from lit_intriguing.hosts.fixed_examples import Wanted, balanced, pick


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
    x, labels = pick((inputs, torch.tensor([2, 0, 2, 1])), Wanted("It", 3))
    inputs.zero_()
    assert x.flatten().tolist() == [1.0, 3.0, 0.0]
    assert labels.tolist() == [0, 1, 2]


def test_half_precision_is_widened_for_the_attack() -> None:
    batch = {"image": torch.rand(2, 3).bfloat16(), "label": torch.tensor([1, 0], dtype=torch.uint8)}
    x, labels = pick(batch, Wanted("It", 2))
    assert (x.dtype, labels.dtype) == (torch.float32, torch.int64)


def test_a_batch_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(BatchError, match="2 of them could be the inputs"):
        pick({"a": torch.rand(2), "b": torch.rand(2)}, Wanted("It", 1))


@pytest.mark.parametrize("classes", [None, 3])
def test_examples_whose_label_is_no_class_are_left_out_and_this_is_said(
    classes: int | None,
) -> None:
    inputs, labels = torch.arange(6.0).unsqueeze(1), torch.tensor([2, -1, 0, 255, 2, -100])
    wanted = Wanted("It", 4, classes=lambda x: classes)
    message = (
        r"It leaves out 3 of .* \(-100, -1, 255\)"
        if classes
        else r"It leaves out 2 of .* \(-100, -1\)"
    )
    with pytest.warns(UserWarning, match=message):
        _, found = pick((inputs, labels), wanted)
    assert found.tolist() == ([0, 2, 2] if classes else [0, 2, 2, 255])


def test_no_example_with_a_class_gives_none() -> None:
    x, labels = pick((torch.rand(2, 3), torch.full((2,), 255)), Wanted("It", 1, classes=len))
    assert x.shape == (0, 3)
    assert not len(labels)
