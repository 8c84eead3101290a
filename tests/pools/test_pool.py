"""The pool fills, replaces a random part, gives examples back, and takes no more memory."""

import pytest
import torch
from torch import Tensor

from lit_intriguing.errors import UserError
from lit_intriguing.pools.pool import Pool, PoolError, free_memory
from tests.oracles import chi_square

CPU = torch.device("cpu")


def rows(start: int, count: int) -> dict[str, Tensor]:
    """Rows that can be told by their number, in two tensors that belong together."""
    numbers = torch.arange(start, start + count)
    return {"x": numbers.view(-1, 1, 1).float().expand(-1, 2, 3), "labels": numbers}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def numbers(pool: Pool) -> list[int]:
    return pool.filled("labels").tolist()


def filled(size: int) -> Pool:
    pool = Pool(size)
    pool.replace(rows(0, size), generator())
    return pool


def test_examples_take_free_slots_in_order_until_the_pool_is_full() -> None:
    pool = Pool(5)
    assert len(pool) == 0
    pool.replace(rows(0, 2), generator())
    assert numbers(pool) == [0, 1]
    pool.replace(rows(2, 3), generator())
    assert numbers(pool) == [0, 1, 2, 3, 4]


def test_examples_beyond_the_free_slots_replace_old_ones() -> None:
    pool = Pool(5)
    pool.replace(rows(0, 4), generator())
    pool.replace(rows(10, 3), generator())
    kept = numbers(pool)
    assert kept[4] == 10
    assert {10, 11, 12} < set(kept)
    assert len(set(kept) & {0, 1, 2, 3}) == 2


def test_full_pool_replaces_as_many_distinct_slots_as_there_are_new_examples() -> None:
    pool, source = filled(20), generator()
    for turn in range(1, 30):
        before = numbers(pool)
        pool.replace(rows(100 * turn, 7), source)
        after = numbers(pool)
        assert sum(a != b for a, b in zip(before, after, strict=True)) == 7
        assert set(after) - set(before) == set(range(100 * turn, 100 * turn + 7))


def test_examples_of_all_tensors_stay_together() -> None:
    pool, source = filled(10), generator()
    for turn in range(1, 5):
        pool.replace(rows(100 * turn, 4), source)
    drawn = pool.draw(6, source)
    for found in (pool.tensors, drawn):
        assert torch.equal(found["x"], found["labels"].view(-1, 1, 1).float().expand(-1, 2, 3))


def test_slots_are_replaced_uniformly() -> None:
    pool, source, counts = filled(10), generator(), [0] * 10
    for turn in range(1, 1001):
        before = numbers(pool)
        pool.replace(rows(100 * turn, 3), source)
        for slot, (a, b) in enumerate(zip(before, numbers(pool), strict=True)):
            counts[slot] += a != b
    # 9 degrees of freedom: 27.9 is exceeded once in a thousand; drawing without replacement
    # makes the statistic smaller still.
    assert chi_square(counts, 300) < 27.9


def test_slots_are_drawn_uniformly_and_distinct() -> None:
    pool, source, counts = filled(10), generator(1), [0] * 10
    for _ in range(1000):
        drawn = pool.draw(3, source)["labels"].tolist()
        assert len(set(drawn)) == 3
        for slot in drawn:
            counts[slot] += 1
    assert chi_square(counts, 300) < 27.9


def test_draw_gives_all_examples_of_a_pool_with_no_more() -> None:
    pool = Pool(9)
    pool.replace(rows(0, 4), generator())
    assert pool.draw(6, generator())["labels"].tolist() == [0, 1, 2, 3]
    assert sorted(pool.draw(3, generator())["labels"].tolist())[-1] <= 3


@pytest.mark.parametrize("count", [2, 5])
def test_drawn_examples_are_copies(count: int) -> None:
    pool = filled(5)
    pool.draw(count, generator())["x"].fill_(-1)
    assert pool.filled("x").min() == 0


def test_stored_examples_are_copies_without_a_graph() -> None:
    pool, x = Pool(2), torch.ones(2, 1, requires_grad=True)
    pool.replace({"x": x * 2}, generator())
    with torch.no_grad():
        x.zero_()
    assert pool.filled("x").tolist() == [[2.0], [2.0]]
    assert not pool.filled("x").requires_grad


def test_same_generator_gives_the_same_pool() -> None:
    pools = []
    for _ in range(2):
        pool, source = filled(10), generator(3)
        for turn in range(1, 5):
            pool.replace(rows(100 * turn, 3), source)
        pools.append((numbers(pool), pool.draw(4, source)["labels"].tolist()))
    assert pools[0] == pools[1]


def test_state_round_trip_goes_on_bit_by_bit() -> None:
    pool = Pool(10)
    pool.replace(rows(0, 6), generator())
    other = Pool(10)
    state = pool.state_dict()
    copies = {name: tensor.clone() for name, tensor in state["tensors"].items()}
    other.load_state_dict({"count": state["count"], "tensors": copies}, CPU)
    assert len(other) == 6
    for one in (pool, other):
        one.replace(rows(50, 8), generator(5))
    assert numbers(pool) == numbers(other)
    assert torch.equal(pool.filled("x"), other.filled("x"))


def test_state_of_a_pool_never_filled_can_be_loaded() -> None:
    other = filled(3)
    other.load_state_dict(Pool(3).state_dict(), CPU)
    assert len(other) == 0


def test_state_holds_the_pools_own_tensors() -> None:
    pool = filled(4)
    tensors = pool.state_dict()["tensors"]
    for name, tensor in pool.tensors.items():
        assert tensors[name].data_ptr() == tensor.data_ptr()


def test_state_of_another_size_is_refused() -> None:
    with pytest.raises(PoolError, match=r"pool of 4 examples, this run one of 5.*start without it"):
        Pool(5).load_state_dict(filled(4).state_dict(), CPU)


def test_state_is_moved_to_the_device() -> None:
    pool = Pool(4)
    pool.load_state_dict(filled(4).state_dict(), torch.device("meta"))
    assert {tensor.device.type for tensor in pool.tensors.values()} == {"meta"}


def test_storage_is_made_once_and_has_exactly_the_size_of_the_examples() -> None:
    # The paper's training set: 60,000 images of 784 numbers in float32 are 188 MB.
    pool, source = Pool(60_000), generator()
    pool.replace({"x": torch.ones(2, 784)}, source)
    kept = pool.tensors["x"]
    assert kept.untyped_storage().nbytes() == 60_000 * 784 * 4 == 188_160_000
    address = kept.data_ptr()
    for _ in range(3):
        pool.replace({"x": torch.ones(2, 784)}, source)
    assert pool.tensors["x"].data_ptr() == address
    assert pool.filled("x").data_ptr() == address
    drawn = pool.draw(3, source)["x"]
    assert drawn.untyped_storage().nbytes() == 3 * 784 * 4


def test_pool_keeps_the_dtypes_of_its_examples() -> None:
    pool = Pool(2)
    pool.replace({"x": torch.ones(1, 3, dtype=torch.bfloat16), "n": torch.ones(1).long()}, None)
    assert pool.tensors["x"].dtype == torch.bfloat16
    assert pool.tensors["n"].dtype == torch.int64


def test_pool_beyond_the_memory_is_refused_before_it_is_made() -> None:
    pool = Pool(10**12)
    with pytest.raises(
        PoolError, match=r"10+ examples needs .* GiB, and cpu has .* use a smaller pool"
    ):
        pool.replace({"x": torch.ones(1, 784)}, generator())
    assert not pool.tensors


def test_free_memory_is_unknown_on_other_devices() -> None:
    assert free_memory(torch.device("meta")) is None
    free = free_memory(CPU)
    assert free is None or free > 2**20


@pytest.mark.parametrize(
    ("new", "message"),
    [
        ({"x": torch.ones(1, 2, 4), "labels": torch.ones(1)}, r"'x' of shape \(2, 3\).* \(2, 4\)"),
        ({"x": torch.ones(1, 2, 3)}, "'labels'"),
        ({**rows(0, 1), "extra": torch.ones(1)}, "'extra'"),
        (
            {"x": torch.ones(2, 2, 3), "labels": torch.ones(1).long()},
            r"has 1 examples .* have 2",
        ),
        ({"x": torch.ones(1, 2, 3).double(), "labels": torch.ones(1).long()}, "float64"),
        (rows(0, 5), "5 new examples do not fit a pool of 4 examples"),
    ],
    ids=["shape", "missing", "extra", "number", "dtype", "too many"],
)
def test_examples_unlike_those_stored_are_refused(new: dict[str, Tensor], message: str) -> None:
    pool = filled(4)
    with pytest.raises(PoolError, match=message):
        pool.replace(new, generator())
    assert numbers(pool) == [0, 1, 2, 3]


@pytest.mark.parametrize("size", [0, -3])
def test_pool_of_no_examples_is_refused(size: int) -> None:
    with pytest.raises(UserError, match=f"at least one example, not {size}"):
        Pool(size)


@pytest.mark.parametrize("count", [3, 7])
def test_parts_of_a_draw_are_the_draw(count: int) -> None:
    pool = filled(5)
    whole = pool.draw(count, generator(4))["labels"]
    parts = [pool.draw(count, generator(4), slice(rank, None, 2))["labels"] for rank in (0, 1)]
    assert torch.equal(parts[0], whole[0::2])
    assert torch.equal(parts[1], whole[1::2])
