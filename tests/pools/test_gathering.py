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


def sent_by(monkeypatch: pytest.MonkeyPatch, rank: int, rows: dict[str, Tensor]) -> Tensor:
    """What a process sends, of 3 rows at most."""
    sent: list[Tensor] = []
    monkeypatch.setattr(dist, "all_gather", lambda every, own: sent.append(own.clone()))
    gathered(rows, [2, 3], torch.tensor([0]))
    return sent[0]


def test_rows_come_back_as_they_were_in_the_order_that_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    both = [entries(0, 2), entries(1, 3)]
    sent = [sent_by(monkeypatch, rank, rows) for rank, rows in enumerate(both)]

    def all_gather(every: list[Tensor], own: Tensor) -> None:
        for one, there in zip(every, sent, strict=True):
            one.copy_(there)

    monkeypatch.setattr(dist, "all_gather", all_gather)
    found = gathered(both[0], [2, 3], torch.tensor([3, 0, 5, 1]))  # places of 3 for each process
    for name, one in found.items():
        expected = torch.stack(
            [both[1][name][0], both[0][name][0], both[1][name][2], both[0][name][1]]
        )
        assert one.dtype == expected.dtype
        assert torch.equal(one, expected)


def test_shapes_types_and_names_tell_rows_apart() -> None:
    x = torch.zeros(4, 2)
    kinds = {one_shape(one) for one in ({"a": x}, {"a": x.double()}, {"b": x}, {"a": x[:, :1]})}
    assert len(kinds) == 4
    assert one_shape({"a": x}) == one_shape({"a": x[:1]})
    assert one_shape({"a": x, "names": ["one"] * 4}) is None
