"""Batches of any kind are cut along the examples and put together."""

from typing import Any

import numpy as np
import torch

from lit_intriguing.hosts.batch_slicing import concatenate, take

X = torch.arange(6.0).view(3, 2)


def batch(part: slice = slice(None)) -> dict[str, Any]:
    names, pairs = ["a", "b", "c"], {"id": torch.arange(3), "all": torch.zeros(5)}
    return {"x": X[part], "names": names[part], "deep": {**pairs, "id": pairs["id"][part]}, "n": 1}


def same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return bool(one == other)


def test_tensors_and_lists_are_cut_at_any_depth_and_the_rest_stays() -> None:
    assert same(take(batch(), 3, slice(1, 3)), batch(slice(1, 3)))


def test_parts_put_together_are_the_whole() -> None:
    parts = [batch(slice(0, 1)), batch(slice(1, 3))]
    assert same(concatenate(parts, [1, 2]), batch())
    assert concatenate([parts[0]], [1]) is parts[0]


def test_a_batch_with_as_many_members_as_examples_is_not_cut_itself() -> None:
    pair = (X[:2], torch.arange(2))
    cut = take(pair, 2, slice(1))
    assert [len(one) for one in cut] == [1, 1]
    assert [len(one) for one in concatenate([pair, pair], [2, 2])] == [4, 4]


def test_what_does_not_fit_together_is_that_of_the_first() -> None:
    ragged = [(X[:1], torch.zeros(1, 7)), (X[1:], torch.zeros(2, 9))]
    whole = concatenate(ragged, [1, 2])
    assert torch.equal(whole[0], X)
    assert whole[1].shape == (1, 7)
    missing: list[dict[str, Any]] = [{"x": X, "note": "a"}, {"x": X}]
    assert concatenate(missing, [3, 3])["note"] == "a"


def test_arrays_of_numpy_are_cut_and_joined_as_tensors_are() -> None:
    batch = {"x": torch.arange(3), "index": np.arange(3)}
    assert take(batch, 3, slice(1, 3))["index"].tolist() == [1, 2]
    joined = concatenate([batch, {"x": torch.tensor([7]), "index": np.array([8])}], [3, 1])
    assert joined["index"].tolist() == [0, 1, 2, 8]
