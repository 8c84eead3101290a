"""Rows of all processes in one call, of any types and shapes."""

import pytest
import torch
import torch.distributed as dist
from torch import Tensor

from lit_intriguing.pools.gathering import gathered, one_shape


def entries(seed: int, count: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        "inputs": torch.rand(count, 2, 3, generator=generator),
        "labels": torch.randint(9, (count,), generator=generator),
        "flags": torch.rand(count, 3, generator=generator) < 0.5,
        "half": torch.rand(count, 5, generator=generator).bfloat16(),
    }


def run(
    monkeypatch: pytest.MonkeyPatch, order: list[tuple[int, int]], every: list[dict[str, Tensor]]
) -> list[dict[str, Tensor]]:
    """What each of several processes gets, one after the other in the place of a network."""
    sent: list[Tensor] = []
    monkeypatch.setattr(dist, "all_gather", lambda every, own: sent.append(own.clone()))
    monkeypatch.setattr(dist, "all_reduce", lambda own: sent.append(own.clone()))
    for rank, rows in enumerate(every):
        gathered(rows, order, rank, len(every))

    def all_gather(parts: list[Tensor], own: Tensor) -> None:
        for part, there in zip(parts, sent, strict=True):
            part.copy_(there)

    def all_reduce(own: Tensor) -> None:
        own.copy_(torch.stack(sent).sum(0))

    monkeypatch.setattr(dist, "all_gather", all_gather)
    monkeypatch.setattr(dist, "all_reduce", all_reduce)
    return [gathered(rows, order, rank, len(every)) for rank, rows in enumerate(every)]


@pytest.mark.parametrize("counts", [[2, 3], [0, 4, 0, 0]], ids=["alike", "on few processes"])
def test_all_get_the_rows_as_they_were_in_the_order_that_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, counts: list[int]
) -> None:
    every = [entries(rank, count) for rank, count in enumerate(counts)]
    order = [(rank, place) for rank, count in enumerate(counts) for place in range(count)][::-1]
    for found in run(monkeypatch, order, every):
        for name, one in found.items():
            expected = torch.stack([every[rank][name][place] for rank, place in order])
            assert one.dtype == expected.dtype
            assert torch.equal(one, expected)


def test_shapes_types_and_names_tell_rows_apart() -> None:
    x = torch.zeros(4, 2)
    kinds = {one_shape(one) for one in ({"a": x}, {"a": x.double()}, {"b": x}, {"a": x[:, :1]})}
    assert len(kinds) == 4
    assert one_shape({"a": x}) == one_shape({"a": x[:1]})
    assert one_shape({"a": x, "names": ["one"] * 4}) is None
