"""Columns of examples."""

import torch

from lit_intriguing.attacks.examples import Examples, joined


def test_parts_are_joined_and_what_one_lacks_is_unknown() -> None:
    first = {"labels": torch.tensor([1, 2])}
    second = {
        "labels": torch.tensor([3]),
        "c": torch.tensor([0.5]),
        "status": torch.tensor([4], dtype=torch.int8),
        "stuck": torch.tensor([True]),
    }
    whole = joined([first, second], 3)
    assert whole["labels"].tolist() == [1, 2, 3]
    assert whole["c"].isnan().tolist() == [True, True, False]
    assert whole["status"].tolist() == [-1, -1, 4]
    assert whole["stuck"].tolist() == [False, False, True]


def test_columns_become_the_same_examples_again() -> None:
    own = (torch.full((2,), number) for number in range(10))
    examples = Examples(*own, info={"c": torch.ones(2)})
    again = Examples.of(examples.columns())
    assert again.columns().keys() == examples.columns().keys()
    assert all(torch.equal(again.columns()[k], v) for k, v in examples.columns().items())
    assert set(again.info) == {"c"}
