"""Paths into nested batches and outputs."""

from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from lit_intriguing.hosts.batch import BatchError, BatchKeys
from lit_intriguing.hosts.paths import PathError, follow, leaves, with_leaf

X, Y = torch.rand(4, 2), torch.arange(4)
MORE_X, MORE_Y = torch.rand(6, 2), torch.arange(6)
Pair = namedtuple("Pair", ["image", "digit"])


@dataclass
class Record:
    data: Any
    digit: torch.Tensor


@pytest.mark.parametrize(
    ("batch", "inputs", "labels"),
    [
        ({"d": [X, Y]}, "d.0", "d.1"),
        ({"d": [X, Y]}, "d.-2", "d.-1"),
        (((X, "note"), Y), "0.0", 1),
        ({"a.b": {"c.d": X}, "y": Y}, "a.b.c.d", "y"),
        (Record({"x": X}, Y), "data.x", "digit"),
        ([Pair(X, Y), "note"], "0.image", "0.digit"),
        ({"batch": SimpleNamespace(x=X, y=Y)}, "batch.x", "batch.y"),
        (SimpleNamespace(x=X, y=Y), "x", "y"),
        ({1: OrderedDict(x=X), "y": Y}, "1.x", "y"),
    ],
)
def test_entries_at_paths_are_read_and_replaced_in_a_copy(
    batch: Any, inputs: str, labels: Any
) -> None:
    keys = BatchKeys(inputs, labels).resolve(batch)
    assert keys.read(batch)[0] is X
    new = keys.replace(batch, MORE_X, MORE_Y)
    assert type(new) is type(batch)
    assert keys.read(new)[0] is MORE_X
    assert keys.read(new)[1] is MORE_Y
    assert keys.read(batch) == (X, Y)


@pytest.mark.parametrize(
    ("batch", "keys"),
    [
        (((X, "note"), Y), BatchKeys("0.0", 1)),
        ({"d": {"x": X, "y": Y}}, BatchKeys("d.x", "d.y")),
        ({"d": (X, Y), "name": ["a", "b"]}, BatchKeys("d.0", "d.1")),
        (Record({"x": X}, Y), BatchKeys("data.x", "digit")),
    ],
)
def test_nested_entries_are_found_where_there_is_no_doubt(batch: Any, keys: BatchKeys) -> None:
    assert BatchKeys().resolve(batch) == keys


def test_two_nested_inputs_are_a_doubt_that_a_path_ends() -> None:
    batch = ({"a": X, "b": X}, Y)
    with pytest.raises(BatchError, match=r"keys are \['0.a', '0.b', 1\]; 2 of them could be"):
        BatchKeys().resolve(batch)
    assert BatchKeys(inputs="0.b").resolve(batch).read(batch)[0] is X


def test_function_that_gives_an_entry_stands_for_it() -> None:
    batch = {"d": (X, {"y": Y})}
    keys = BatchKeys(lambda one: one["d"][0], lambda one: one["d"][1]["y"]).resolve(batch)
    assert keys == BatchKeys("d.0", "d.1.y")


def test_function_that_makes_a_tensor_can_be_read_and_not_replaced() -> None:
    batch = (X, Y.view(4, 1))
    keys = BatchKeys(labels=lambda one: one[1][:, 0]).resolve(batch)
    assert torch.equal(keys.read(batch)[1], Y)
    with pytest.raises(BatchError, match=r"function labels= gives a new tensor.* keep_out=True"):
        keys.replace(batch, MORE_X, MORE_Y)


def test_nothing_at_a_path_is_an_error_with_what_there_is() -> None:
    with pytest.raises(PathError, match=r"nothing stands at 'd.2'; there is \['d'\]"):
        follow({"d": [1, 2]}, "d.2")
    with pytest.raises(PathError, match="nothing"):
        follow({"x": X}, "x.T")
    with pytest.raises(PathError, match="nothing"):
        with_leaf({"x": X}, "y", 1)
    with pytest.raises(BatchError, match=r"no labels at 'd.2'; it has \['d.0', 'd.1'\]"):
        BatchKeys("d.0", "d.2").resolve({"d": [X, Y]})


def test_lists_of_anything_but_tensors_are_leaves() -> None:
    assert list(leaves({"names": ["a", "b"], "d": [X, "c"]})) == ["names", "d.0", "d.1"]


@pytest.mark.parametrize(
    ("value", "path", "found"),
    [((1, 2), -1, 2), ([1, 2], "1", 2), ({"1": 3, 1: 4}, 1, 4), ({"a.b": 5}, "a.b", 5)],
)
def test_common_containers_are_read_and_written_like_all_others(
    value: Any, path: Any, found: int
) -> None:
    assert follow(value, path) == found
    new = with_leaf(value, path, 9)
    assert type(new) is type(value)
    assert follow(new, path) == 9
    assert follow(value, path) == found


@pytest.mark.parametrize(("value", "path"), [((1, 2), 2), ([1], 1), ({"a": 1}, "b")])
def test_what_is_not_there_is_told_with_what_is(value: Any, path: Any) -> None:
    for call in (lambda: follow(value, path), lambda: with_leaf(value, path, 0)):
        with pytest.raises(PathError, match="nothing stands at"):
            call()
