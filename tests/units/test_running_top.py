import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lit_intriguing.errors import UserError
from lit_intriguing.units.activity import RunningActivity
from lit_intriguing.units.running_top import RunningTopK


def oracle(values: Tensor, k: int) -> Tensor:
    """Return the indices by sorting: largest first, of ties the lowest index."""
    return torch.stack(
        [
            torch.tensor(sorted(range(len(column)), key=lambda i: (-float(column[i]), i))[:k])
            for column in values.T
        ]
    )


@settings(deadline=None)
@given(
    seed=st.integers(0, 10**6),
    count=st.integers(4, 40),
    levels=st.sampled_from([1, 2, 5, 10**6]),
    batch=st.integers(1, 17),
    shuffled=st.booleans(),
    processes=st.integers(1, 3),
)
def test_any_cut_order_and_number_of_processes_give_the_same(
    seed: int, count: int, levels: int, batch: int, shuffled: bool, processes: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randint(-levels, levels + 1, (count, 6), generator=generator) / 7
    order = torch.randperm(count, generator=generator) if shuffled else torch.arange(count)
    tops = [RunningTopK(6, 4) for _ in range(processes)]
    for number, part in enumerate(order.split(batch)):
        tops[number % processes].add(values[part], part)
    for other in tops[1:]:
        tops[0].merge(other)
    activations, indices = tops[0].result()
    assert torch.equal(indices, oracle(values, 4))
    assert torch.equal(activations, values.T.gather(1, indices))


def test_negative_zero_infinite_and_tiny_values_keep_their_order() -> None:
    values = torch.tensor([-torch.inf, -1.0, -1e-30, -0.0, 0.0, 1e-30, 1.0, torch.inf])
    top = RunningTopK(1, 8)
    top.add(values[:, None], torch.arange(8))
    found, indices = top.result()
    # -0.0 and 0.0 are equal, so that the lower index comes first.
    assert indices.tolist() == [[7, 6, 5, 3, 4, 2, 1, 0]]
    assert torch.equal(found[0], values[indices[0]])


def test_a_part_of_the_directions_at_a_time() -> None:
    values = torch.randn(30, 10, generator=torch.Generator().manual_seed(0))
    top = RunningTopK(10, 3)
    for first in (0, 4, 8):
        top.add(values[:, first : first + 4], torch.arange(30), first)
    assert torch.equal(top.result()[1], oracle(values, 3))


def test_an_example_that_two_processes_saw_counts_once() -> None:
    top, other = RunningTopK(1, 2), RunningTopK(1, 2)
    top.add(torch.tensor([[5.0], [1.0]]), torch.tensor([0, 1]))
    # The same image in another batch may differ in its last bit.
    other.add(torch.tensor([[5.0000005], [2.0]]), torch.tensor([0, 2]))
    top.merge(other)
    assert top.result()[1].tolist() == [[0, 2]]


def test_going_on_from_a_state() -> None:
    values = torch.randn(30, 5, generator=torch.Generator().manual_seed(0))
    first, second = RunningTopK(5, 3), RunningTopK(5, 3)
    first.add(values[:20], torch.arange(20))
    second.load_state_dict(first.state_dict())
    first.add(values[20:], torch.arange(20, 30))
    assert not torch.equal(first.result()[1], second.result()[1])
    second.add(values[20:], torch.arange(20, 30))
    assert torch.equal(first.result()[1], second.result()[1])
    with pytest.raises(ValueError, match="state"):
        RunningTopK(5, 4).load_state_dict(first.state_dict())


def test_fewer_images_than_k() -> None:
    top = RunningTopK(2, 3)
    top.add(torch.ones(2, 2), torch.arange(2))
    with pytest.raises(UserError, match=r"top 3 .* only 2"):
        top.result()


def test_what_does_not_fit() -> None:
    top = RunningTopK(2, 3)
    with pytest.raises(ValueError, match="at least 1"):
        RunningTopK(2, 0)
    with pytest.raises(ValueError, match="do not fit"):
        top.add(torch.ones(2, 3), torch.arange(2))
    with pytest.raises(ValueError, match="indices"):
        top.add(torch.ones(2, 2), torch.arange(3))
    with pytest.raises(ValueError, match="2\\^32"):
        top.add(torch.ones(1, 2), torch.tensor([2**32]))
    with pytest.raises(ValueError, match="merge"):
        top.merge(RunningTopK(3, 3))


@settings(deadline=None)
@given(seed=st.integers(0, 10**6), batch=st.integers(1, 9), processes=st.integers(1, 3))
def test_activity_in_parts_is_that_of_the_whole(seed: int, batch: int, processes: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(20, 4, generator=generator).relu()
    values[:, 3] = 2.5  # constant: never active
    parts = [RunningActivity(4) for _ in range(processes)]
    for number, part in enumerate(values.split(batch)):
        parts[number % processes].add(part)
    whole = RunningActivity(4)
    for part in parts:
        whole.merge(part)
    again = RunningActivity(4)
    again.load_state_dict(whole.state_dict())
    assert again.active().tolist() == (values > values.amin(0)).sum(0).tolist()
    assert again.examples == 20
    assert again.active()[3] == 0


def test_activity_needs_k_images_and_one_in_a_hundred() -> None:
    activity = RunningActivity(3)
    values = torch.zeros(1000, 3)
    values[:9, 0], values[:10, 1], values[:, 2] = 1, 1, torch.arange(1000)
    activity.add(values)
    assert activity.enough(8).tolist() == [False, True, True]
    assert activity.enough(11).tolist() == [False, False, True]
    assert activity.finite
    activity.add(torch.full((1, 3), torch.nan))
    assert not activity.finite
