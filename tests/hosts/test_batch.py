"""Inputs and labels are found, read and replaced in batches of every kind."""

from collections import OrderedDict, UserDict, namedtuple
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
import torch

from lit_intriguing.hosts.batch import BatchError, BatchKeys, example_shape
from lit_intriguing.hosts.paths import entries

X, Y = torch.rand(4, 2), torch.arange(4)
MORE_X, MORE_Y = torch.rand(6, 2), torch.arange(6)
Pair = namedtuple("Pair", ["image", "digit"])


class Typed(NamedTuple):
    image: torch.Tensor
    digit: torch.Tensor
    note: str


@dataclass
class Record:
    digit: torch.Tensor
    image: torch.Tensor
    note: Any = "note"

    def __post_init__(self) -> None:
        self.made = True  # lost where a batch is built anew


@dataclass(frozen=True, slots=True)
class Frozen:
    image: torch.Tensor
    digit: torch.Tensor


BATCHES = {
    "list": ([X, Y], 0, 1),
    "tuple": ((X, Y), 0, 1),
    "longer tuple": ((X, Y, "note"), 0, 1),
    "namedtuple": (Pair(X, Y), 0, 1),
    "typed namedtuple": (Typed(X, Y, "note"), 0, 1),
    "dict": ({"y": Y, "image": X, "name": "note"}, "image", "y"),
    "ordered dict": (OrderedDict(label=Y, image=X), "image", "label"),
    "user dict": (UserDict(label=Y, image=X), "image", "label"),
    "dataclass": (Record(Y, X), "image", "digit"),
    "frozen dataclass": (Frozen(X, Y), "image", "digit"),
}
EVERY_BATCH = pytest.mark.parametrize(("batch", "inputs", "labels"), BATCHES.values(), ids=BATCHES)


def others(batch: Any, inputs: Any, labels: Any) -> dict[Any, Any]:
    return {key: entry for key, entry in entries(batch).items() if key not in (inputs, labels)}


@EVERY_BATCH
def test_inputs_and_labels_are_found(batch: Any, inputs: Any, labels: Any) -> None:
    keys = BatchKeys().resolve(batch)
    assert keys == BatchKeys(inputs, labels)
    found = keys.read(batch)
    assert found[0] is X
    assert found[1] is Y


@EVERY_BATCH
def test_replacing_keeps_the_kind_and_the_rest_and_leaves_the_batch_alone(
    batch: Any, inputs: Any, labels: Any
) -> None:
    keys = BatchKeys().resolve(batch)
    new = keys.replace(batch, MORE_X, MORE_Y)
    assert type(new) is type(batch)
    assert entries(new)[inputs] is MORE_X
    assert entries(new)[labels] is MORE_Y
    assert keys.read(new) == (MORE_X, MORE_Y)
    assert others(new, inputs, labels) == others(batch, inputs, labels)
    assert keys.read(batch)[0] is X
    assert keys.read(batch)[1] is Y


@pytest.mark.parametrize(
    ("batch", "given", "inputs", "labels"),
    [
        ((Y, X), BatchKeys(1, 0), 1, 0),
        ((X, "note", Y), BatchKeys(labels=2), 0, 2),
        ((X, "note", Y), BatchKeys(labels=-1), 0, 2),
        (["note", X, Y], BatchKeys(-2, -1), 1, 2),
        ({"a": X, "b": X, "y": Y}, BatchKeys(inputs="b"), "b", "y"),
        ({"x": X, "y": Y, "z": Y}, BatchKeys(labels="z"), "x", "z"),
        (Pair(Y, X), BatchKeys("digit", "image"), 1, 0),
        ({0: Y, 1: X}, BatchKeys(), 1, 0),
        ({0: X, 1: X, 2: Y}, BatchKeys(inputs=0), 0, 2),
    ],
)
def test_keys_that_are_given_count(batch: Any, given: BatchKeys, inputs: Any, labels: Any) -> None:
    keys = given.resolve(batch)
    assert keys.read(batch) == (batch[inputs], batch[labels])
    new = keys.replace(batch, MORE_X, MORE_Y)
    assert new[inputs] is MORE_X
    assert new[labels] is MORE_Y


@pytest.mark.parametrize(
    ("batch", "extras"),
    [
        ((X, Y), []),
        ((X, Y, torch.zeros(4), torch.zeros(3), torch.tensor(4.0), "abcd"), [2]),
        ({"x": X, "y": Y, "index": torch.arange(4).view(4, 1), "names": list("abcd")}, ["index"]),
        (Typed(X, Y, "note"), []),
        (Record(Y, X, torch.zeros(4, 1).int()), ["note"]),
    ],
)
def test_entries_with_one_value_for_each_example_are_named(batch: Any, extras: list[Any]) -> None:
    assert BatchKeys().resolve(batch).per_example_extras(batch) == extras


def test_entries_at_negative_positions_are_no_extras() -> None:
    batch = (X, torch.zeros(4), Y)
    assert BatchKeys(labels=-1).resolve(batch).per_example_extras(batch) == [1]


@pytest.mark.parametrize(
    ("batch", "given", "message"),
    [
        (X, BatchKeys(), r"a dataclass .*, not a torch.float32 tensor of shape \(4, 2\)"),
        (Record, BatchKeys(), "not a type"),
        ("xy", BatchKeys(), "not a str.*needs the labels"),
        ((X,), BatchKeys(), r"no labels at 1; it has 1 entries.*labels=<key or position>"),
        ((X, Y), BatchKeys(labels="y"), "no labels at 'y'; it has 2 entries"),
        ((X, Y), BatchKeys(inputs=7), "no inputs at 7"),
        ((Y, Y), BatchKeys(), "inputs must be a floating-point tensor, not a torch.int64"),
        ((torch.tensor(1.0), Y), BatchKeys(), "inputs must be a tensor with one entry for each"),
        ((X, X), BatchKeys(), "labels must be a tensor of integers .* 4 inputs, not a torch.float"),
        (
            (X, Y[:3]),
            BatchKeys(),
            "has 4 inputs and 3 labels",
        ),
        ((X, Y.view(4, 1)), BatchKeys(), r"of shape \(4, 1\)"),
        ((X, [0, 1, 2, 3]), BatchKeys(), "not a list"),
        ({"x": X, "y": Y, "z": Y}, BatchKeys(), r"\['x', 'y', 'z'\]; 2 of them .* labels=<key"),
        ({"x": Y, "y": Y}, BatchKeys(labels="y"), "0 of them could be the inputs"),
        (
            {"x": X.byte(), "y": Y},
            BatchKeys(),
            "inputs must be a floating-point tensor",
        ),
        (Record(X, X), BatchKeys(), r"\['digit', 'image', 'note'\]; 2 of them .* inputs"),
        ({"x": X, "y": Y}, BatchKeys("x", "label"), r"no labels at 'label'; it has \['x', 'y'\]"),
    ],
)
def test_batches_that_cannot_be_read_are_refused(
    batch: Any, given: BatchKeys, message: str
) -> None:
    with pytest.raises(BatchError, match=message):
        given.resolve(batch)


def test_a_dataclass_is_copied_with_what_it_holds_besides() -> None:
    keys = BatchKeys().resolve(Record(Y, X))
    assert keys.replace(Record(Y, X, "mine"), MORE_X, MORE_Y).note == "mine"
    batch = Record(Y, X)
    batch.made = False
    assert keys.replace(batch, MORE_X, MORE_Y).made is False


def test_inputs_that_are_still_bytes_are_found_before_they_are_converted() -> None:
    batch = {"y": Y, "image": X.byte()}
    keys = BatchKeys().find(batch)
    assert keys == BatchKeys("image", "y")
    assert (keys.count(batch), keys.example_shape(batch)) == (4, (2,))


def test_a_message_ends_with_the_advice_of_who_reads() -> None:
    with pytest.raises(BatchError, match=r"2 inputs and 4 labels\. Wrap it\.$"):
        BatchKeys(advice="Wrap it.").resolve((X[:2], Y))


@pytest.mark.parametrize(
    ("batch", "key", "shape"),
    [
        (X, None, (2,)),
        ([Y, X], None, (2,)),
        ({"weight": torch.ones(4), "image": X.view(4, 1, 2)}, None, (1, 2)),
        (Record(Y, X), "image", (2,)),
        ((Y, X), -1, (2,)),
        ((Y, X), 0, None),
        ({"y": Y}, None, None),
        ({"x": X}, "image", None),
    ],
)
def test_the_shape_of_an_example_needs_no_labels(batch: Any, key: Any, shape: Any) -> None:
    assert example_shape(batch, key) == shape


@dataclass
class Output(dict):
    """A mapping that is a dataclass as well, as the outputs of transformers are."""

    x: torch.Tensor
    y: torch.Tensor

    def __post_init__(self) -> None:
        super().__init__(x=self.x, y=self.y)


def test_a_dataclass_that_is_a_mapping_is_written_where_it_is_read() -> None:
    batch = Output(torch.rand(3, 2), torch.arange(3))
    keys = BatchKeys().resolve(batch)
    new = keys.replace(batch, torch.zeros(5, 2), torch.arange(5))
    assert len(new["x"]) == len(keys.read(new)[0]) == 5
    assert len(batch["x"]) == 3
