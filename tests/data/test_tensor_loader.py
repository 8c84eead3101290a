import itertools

import pytest
import torch
from torch import Tensor

from lit_intriguing.data import TensorLoader
from lit_intriguing.errors import UserError


def loader(rows: int = 10, batch_size: int = 3, **options: object) -> TensorLoader:
    inputs = torch.arange(rows, dtype=torch.float32).view(rows, 1)
    return TensorLoader(inputs, torch.arange(rows), batch_size, **options)


def epoch(of: TensorLoader) -> list[list[int]]:
    return [labels.tolist() for _, labels in of]


def flat(batches: list[list[int]]) -> list[int]:
    return list(itertools.chain.from_iterable(batches))


def test_without_shuffling_the_examples_come_in_order_with_a_short_last_batch() -> None:
    assert epoch(loader()) == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9]]
    assert len(loader()) == 4


def test_drop_last_leaves_the_remainder_out() -> None:
    assert epoch(loader(drop_last=True)) == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]


def test_inputs_and_labels_stay_together() -> None:
    for inputs, labels in loader(shuffle=True):
        assert inputs.flatten().tolist() == labels.tolist()


def test_a_shuffled_epoch_has_each_example_once_and_differs_from_the_next() -> None:
    shuffled = loader(rows=100, shuffle=True)
    first, second = flat(epoch(shuffled)), flat(epoch(shuffled))
    assert sorted(first) == sorted(second) == list(range(100))
    assert first != second


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    one, other = loader(shuffle=True, seed=3), loader(shuffle=True, seed=3)
    epoch(one)
    torch.rand(5)
    other.set_epoch(1)
    assert epoch(one) == epoch(other)
    assert epoch(loader(shuffle=True, seed=3)) != epoch(loader(shuffle=True, seed=4))


def test_batches_are_copies() -> None:
    source = loader()
    for inputs, _ in source:
        inputs.fill_(-1)
    assert flat(epoch(source)) == list(range(10))
    assert source.inputs.flatten().tolist() == list(range(10))


@pytest.mark.parametrize("taken", [0, 1, 3, 4])
def test_a_restored_position_goes_on_where_it_was_saved(taken: int) -> None:
    straight, interrupted = loader(shuffle=True), loader(shuffle=True)
    expected = epoch(straight) + epoch(straight)
    batches = iter(interrupted)
    for _ in range(taken):
        next(batches)
    resumed = loader(shuffle=True)
    resumed.load_state_dict(interrupted.state_dict())
    assert resumed.state_dict() == interrupted.state_dict()
    rest = epoch(resumed)
    if taken < 4:
        rest += epoch(resumed)
    assert rest == expected[taken:]


def test_an_epoch_named_by_set_epoch_overrides_a_restored_position() -> None:
    cut_short = loader(shuffle=True)
    next(iter(cut_short))
    resumed = loader(shuffle=True)
    resumed.load_state_dict(cut_short.state_dict())
    resumed.set_epoch(1)
    following = loader(shuffle=True)
    following.set_epoch(1)
    assert epoch(resumed) == epoch(following)


def test_an_iterator_that_is_never_used_does_not_advance_the_epoch() -> None:
    twice, once = loader(shuffle=True), loader(shuffle=True)
    iter(twice)
    assert epoch(twice) == epoch(once)


@pytest.mark.parametrize("rows", [8, 9, 10, 11, 12, 13, 50])
@pytest.mark.parametrize("world_size", [1, 2, 3, 4])
@pytest.mark.parametrize("shuffle", [False, True])
def test_ranks_share_the_examples_exactly_in_equally_many_steps(
    rows: int, world_size: int, shuffle: bool
) -> None:
    ranks = [
        loader(rows, 2, shuffle=shuffle, rank=rank, world_size=world_size)
        for rank in range(world_size)
    ]
    epochs = [epoch(rank) for rank in ranks]
    assert {len(batches) for batches in epochs} == {len(ranks[0])}
    assert sorted(flat(flat(epochs))) == list(range(rows))
    sizes = [len(batch) for batches in epochs for batch in batches]
    assert min(sizes) >= 1
    assert max(sizes) <= 2


def test_ranks_that_drop_the_remainder_have_full_batches_only() -> None:
    epochs = [epoch(loader(11, 2, drop_last=True, rank=rank, world_size=2)) for rank in (0, 1)]
    assert epochs == [[[0, 1], [4, 5]], [[2, 3], [6, 7]]]


def test_the_examples_of_a_step_do_not_depend_on_how_many_processes_share_them() -> None:
    one = epoch(loader(40, 8, shuffle=True))
    two = [epoch(loader(40, 4, shuffle=True, rank=rank, world_size=2)) for rank in (0, 1)]
    assert [a + b for a, b in zip(*two, strict=True)] == one


def test_the_position_is_the_same_on_every_rank() -> None:
    states = []
    for rank in (0, 1):
        part = loader(40, 4, rank=rank, world_size=2)
        next(iter(part))
        states.append(part.state_dict())
    assert states[0] == states[1]


def test_a_position_within_an_epoch_divided_otherwise_is_refused() -> None:
    saved = loader(batch_size=3)
    next(iter(saved))
    with pytest.raises(UserError, match=r"within an epoch.*batch_size 3 -> 2"):
        loader(batch_size=2).load_state_dict(saved.state_dict())


def test_a_position_at_the_end_of_an_epoch_may_go_on_with_another_batch_size() -> None:
    saved = loader(batch_size=3, shuffle=True)
    epoch(saved)
    resumed = loader(batch_size=5, shuffle=True)
    resumed.load_state_dict(saved.state_dict())
    assert len(epoch(resumed)) == 2


def test_a_state_is_loadable_with_weights_only(tmp_path) -> None:
    torch.save(loader().state_dict(), tmp_path / "state")
    assert torch.load(tmp_path / "state", weights_only=True) == loader().state_dict()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size must be at least 1, not 0"),
        ({"seed": -1}, "seed must not be negative: -1"),
        ({"rank": 2, "world_size": 2}, "rank 2 is not among 2 processes"),
        ({"rows": 0}, "0 examples are too few"),
        ({"rows": 3, "world_size": 4}, "3 examples are too few for batches of 3 on 4"),
        ({"rows": 2, "drop_last": True}, "2 examples are too few"),
        ({"batch_size": 1, "world_size": 3}, "10 examples are too few for batches of 1"),
    ],
)
def test_sizes_out_of_range_are_refused(options: dict[str, int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        loader(**options)


def test_unequal_numbers_of_inputs_and_labels_are_refused() -> None:
    with pytest.raises(UserError, match="3 inputs but 2 labels"):
        TensorLoader(torch.zeros(3, 1), torch.zeros(2), 1)


def test_one_copy_of_the_examples_is_kept() -> None:
    inputs = torch.zeros(4, 1)
    kept: Tensor = TensorLoader(inputs, torch.zeros(4), 2).inputs
    assert kept is inputs
