"""Whole rows of batches of any kind: where the inputs are, which entries go with them."""

from collections import namedtuple
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from lit_intriguing.errors import UserError
from lit_intriguing.hosts.host_rows import HostRows
from lit_intriguing.hosts.whole_rows import ITSELF

N = 3
X = torch.arange(12.0).view(N, 4)
IMAGES = torch.rand(N, 3, 5, 5, generator=torch.Generator().manual_seed(0))
Y = torch.tensor([[5.0], [6.0], [7.0]])


@dataclass(frozen=True)
class Sample:
    x: Tensor
    y: Tensor


Named = namedtuple("Named", ["x", "y"])
BOXES = [{"boxes": torch.ones(k, 4)} for k in (1, 3, 2)]

BATCHES: dict[str, tuple[Any, Any]] = {
    "tensor": (X, ITSELF),
    "tuple": ((X, Y), 0),
    "list": ([X, Y], 0),
    "alone in a list": ([X], 0),
    "named tuple": (Named(X, Y), 0),
    "dataclass": (Sample(X, Y), "x"),
    "mapping": ({"y": Y, "x": X}, "x"),
    "nested": ({"data": {"image": IMAGES, "name": ["a", "b", "c"]}, "y": Y}, "data.image"),
    "two views": (((X, X + 1), Y), "0.0"),
    "image and map": ({"image": IMAGES, "mask": IMAGES[:, 0]}, "image"),
    "bytes and numbers": (((IMAGES * 255).byte(), Y), 0),
    "lists": ((list(IMAGES), BOXES), 0),
    "only labels by name": ({"signal": X, "targets": Y}, "signal"),
}


@pytest.mark.parametrize("name", BATCHES)
def test_inputs_are_found_and_replaced_in_a_batch_of_the_same_kind(name: str) -> None:
    batch, place = BATCHES[name]
    rows = HostRows.of(batch, None)
    assert (rows.count, rows.inputs) == (N, place)
    x = rows.tensor()
    assert x.is_floating_point()
    assert len(x) == N
    changed = rows.with_tensor(x + 1)
    assert type(changed) is type(batch)
    again = HostRows.of(changed, place if place != ITSELF else None)
    assert torch.equal(again.tensor(), x + 1)
    assert torch.equal(rows.tensor(), x)


@pytest.mark.parametrize("name", BATCHES)
def test_a_row_alone_is_a_batch_of_the_same_kind(name: str) -> None:
    batch, _ = BATCHES[name]
    rows = HostRows.of(batch, None)
    for number in range(N):
        row = rows.part(slice(number, number + 1))
        assert row is not None
        assert row.count == 1
        assert type(row.batch) is type(batch)
        assert torch.equal(row.tensor(), rows.tensor()[number : number + 1])


def test_what_belongs_to_a_row_is_cut_with_it_and_the_rest_stays() -> None:
    batch = {
        "x": X, "mask": torch.arange(N), "names": ["a", "b", "c"], "boxes": BOXES, "scale": 0.5,
        "vocabulary": torch.arange(9),
    }  # fmt: skip
    row = HostRows.of(batch, None).part(slice(1, 2))
    assert row is not None
    found = row.batch
    assert found["mask"].tolist() == [1]
    assert found["names"] == ["b"]
    assert [len(one["boxes"]) for one in found["boxes"]] == [3]
    assert found["scale"] == 0.5
    assert len(found["vocabulary"]) == 9


def test_the_first_rows_are_taken_and_are_copies() -> None:
    x = X.clone()
    rows = HostRows.of((x, Y), None, most=2)
    x.zero_()
    assert torch.equal(rows.batch[0], X[:2])
    assert torch.equal(rows.batch[1], Y[:2])


def test_inference_tensors_become_ordinary_ones() -> None:
    with torch.inference_mode():
        rows = HostRows.of((X * 1, {"y": Y * 1}), None)
    assert not rows.batch[0].is_inference()
    assert not rows.batch[1]["y"].is_inference()


def test_a_batch_without_floating_point_inputs_has_rows_all_the_same() -> None:
    rows = HostRows.of({"ids": torch.ones(N, 4).long(), "mask": torch.ones(N, 4).long()}, None)
    assert (rows.count, rows.inputs) == (N, None)


@pytest.mark.parametrize(
    ("batch", "place", "message"),
    [
        ({"a": X, "b": X}, None, r"could be the inputs, \['a', 'b'\]: say which"),
        ((X, Y), "x", "no inputs at 'x'"),
        ((X, torch.ones(N).long()), 1, "are a torch.int64 tensor .* no tensor to perturb"),
        ((X, Y), lambda batch: batch[0] + 1, "gives a new tensor"),
        ({"name": "a"}, None, "holds no tensor with an entry for each example"),
    ],
)
def test_what_cannot_be_found_is_told(batch: Any, place: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        HostRows.of(batch, place)


def test_a_function_may_give_an_entry_of_the_batch() -> None:
    assert HostRows.of({"a": X, "b": Y}, lambda batch: batch["b"]).inputs == "b"


def test_images_of_several_sizes_are_refused() -> None:
    rows = HostRows.of(([IMAGES[0], IMAGES[1, :, :3], IMAGES[2]], BOXES), None)
    with pytest.raises(UserError, match="3 tensors of different shapes"):
        rows.tensor()


def test_half_precision_is_widened_for_the_attack_and_narrowed_for_the_batch() -> None:
    rows = HostRows.of((X.bfloat16(), Y), None)
    assert rows.tensor().dtype == torch.float32
    assert rows.with_tensor(rows.tensor())[0].dtype == torch.bfloat16
    assert rows.in_precision_of(torch.nn.Linear(1, 1).double()).batch[0].dtype == torch.float64


@pytest.mark.parametrize("name", ["tensor", "named tuple", "nested", "lists"])
def test_stored_rows_are_read_without_code_and_put_into_another_batch(
    name: str, tmp_path: Any
) -> None:
    batch, _ = BATCHES[name]
    rows = HostRows.of(batch, None)
    other = HostRows.of(rows.with_tensor(rows.tensor() * 2), rows.inputs or None)
    torch.save(rows.stored(), tmp_path / "rows")
    found = other.with_stored(torch.load(tmp_path / "rows", weights_only=True))
    assert torch.equal(found.tensor(), rows.tensor())
    assert type(found.batch) is type(batch)
