"""Errors against size and their quantiles, against loops, and over batches."""

import math

import pytest
import torch

from lit_intriguing.metrics import (
    ClassRobustError,
    DistanceQuantiles,
    RobustError,
    class_errors,
    distance_quantiles,
    robust_error,
)

AT = [0.0, 0.5, 1.5]


def distances(count: int = 57) -> torch.Tensor:
    found = torch.rand(count, generator=torch.Generator().manual_seed(0)).double() * 3
    found[::7], found[::11] = 0.0, math.inf
    return found


def test_errors_are_shares_of_distances_up_to_each_size() -> None:
    found = distances()
    expected = [sum(d <= size for d in found.tolist()) / len(found) for size in AT]
    assert robust_error(found, torch.tensor(AT)).tolist() == expected


def test_what_rounding_adds_to_a_size_counts_and_more_does_not() -> None:
    found = torch.tensor([0.5 * (1 + 1e-6), 0.5 * (1 + 1e-4)], dtype=torch.float64)
    assert robust_error(found, torch.tensor([0.5])).item() == 0.5


def test_errors_of_classes_are_those_of_their_examples() -> None:
    found, labels = distances(), torch.arange(57) % 4
    errors = class_errors(found, labels, 5, torch.tensor(AT))
    for label in range(4):
        assert torch.equal(errors[label], robust_error(found[labels == label], torch.tensor(AT)))
    assert errors[4].isnan().all()


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 1.0])
def test_within_a_quantile_lie_at_least_so_many_and_nearer_not(share: float) -> None:
    found = distances(40).clamp(max=5.0)
    least = float(distance_quantiles(found, torch.tensor([share])))
    assert (found <= least).double().mean() >= share
    assert (found < least).double().mean() < share


def test_batches_together_give_what_all_examples_give() -> None:
    found, labels = distances(), torch.arange(57) % 3
    error, by_class, quantiles = (
        RobustError(AT),
        ClassRobustError(3, AT),
        DistanceQuantiles([0.1, 0.5]),
    )
    for part in torch.arange(57).split(10):
        error.update(found[part])
        by_class.update(found[part], labels[part])
        quantiles.update(found[part])
    assert torch.equal(error.compute(), robust_error(found, torch.tensor(AT)))
    assert torch.equal(by_class.compute(), class_errors(found, labels, 3, torch.tensor(AT)))
    assert torch.equal(quantiles.compute(), distance_quantiles(found, torch.tensor([0.1, 0.5])))


def test_without_examples_nothing_is_known() -> None:
    assert robust_error(torch.zeros(0), torch.tensor(AT)).isnan().all()
    assert distance_quantiles(torch.zeros(0), torch.tensor([0.5])).isnan().all()
    quantiles = DistanceQuantiles([0.5])
    quantiles.update(torch.zeros(0))
    assert quantiles.compute().isnan().all()


@pytest.mark.parametrize("bad", [torch.tensor([-1.0]), torch.tensor([math.nan]), torch.zeros(2, 2)])
def test_other_distances_are_refused(bad: torch.Tensor) -> None:
    with pytest.raises(ValueError, match=r"distances must be \(N,\)"):
        robust_error(bad, torch.tensor(AT))


def test_labels_and_shares_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="labels must lie between 0 and 1"):
        class_errors(torch.zeros(2), torch.tensor([0, 2]), 2, torch.tensor(AT))
    with pytest.raises(ValueError, match=r"shares must lie in \(0, 1\]"):
        distance_quantiles(torch.zeros(2), torch.tensor([0.0]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.int64], ids=str)
def test_distances_of_a_coarse_type_do_not_round_the_sizes(dtype: torch.dtype) -> None:
    found, at = torch.tensor([1.0]).to(dtype), torch.tensor([0.999, 1.001], dtype=torch.float64)
    assert robust_error(found, at).tolist() == [0.0, 1.0]
    assert class_errors(found, torch.tensor([0]), 1, at).tolist() == [[0.0, 1.0]]
    metric = RobustError(at=at.tolist())
    metric.update(found)
    assert metric.compute().tolist() == [0.0, 1.0]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_a_distance_of_half_precision_counts_as_its_value(dtype: torch.dtype) -> None:
    found = torch.tensor([0.3], dtype=dtype)  # 0.29998 and 0.30078
    for at in (torch.tensor([0.3]), torch.tensor([0.3]).double()):
        assert torch.equal(robust_error(found, at), robust_error(found.double(), at))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("count", [10, 1000, 100_000])
def test_a_tenth_of_many_examples_is_a_tenth_in_any_type(count: int, dtype: torch.dtype) -> None:
    found = torch.arange(1, count + 1, dtype=torch.float64)
    share = torch.tensor([0.1], dtype=dtype)
    assert distance_quantiles(found, share).item() == count // 10


def test_quantiles_refuse_in_update_what_errors_refuse() -> None:
    metric = DistanceQuantiles([0.5])
    for bad in (torch.tensor([1.0, -1.0]), torch.tensor([1.0, math.nan]), torch.zeros(2, 2)):
        with pytest.raises(ValueError, match=r"distances must be \(N,\), zero or more"):
            metric.update(bad)
        with pytest.raises(ValueError, match=r"distances must be \(N,\), zero or more"):
            distance_quantiles(bad, torch.tensor([0.5]))
    metric.update(torch.tensor([1.0, math.inf]))
    assert metric.compute() == 1.0


@pytest.mark.parametrize("build", [RobustError, DistanceQuantiles])
@pytest.mark.parametrize("twice", [[0.5, 0.5], [1, 0.5, 1.0]])
def test_a_size_that_is_there_twice_is_refused(
    build: type[RobustError | DistanceQuantiles], twice: list[float]
) -> None:
    with pytest.raises(ValueError, match=r"(at|shares) must hold each number once, not \["):
        build(twice)
