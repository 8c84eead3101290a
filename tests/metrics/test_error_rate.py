import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lit_intriguing.metrics import ErrorRate, error_rate


@pytest.mark.parametrize("rows", [1, 7])
def test_the_rate_is_the_mean_over_rows_one_by_one(rows: int) -> None:
    generator = torch.Generator().manual_seed(rows)
    logits = torch.randn(rows, 3, generator=generator)
    labels = torch.randint(3, (rows,), generator=generator)
    single = [float(max(range(3), key=row.__getitem__) != y) for row, y in zip(logits, labels)]  # noqa: B905
    assert error_rate(logits, labels).item() == pytest.approx(sum(single) / rows)


def test_without_rows_the_rate_is_not_a_number() -> None:
    assert error_rate(torch.zeros(0, 3), torch.zeros(0, dtype=torch.long)).isnan()


@given(st.lists(st.integers(0, 9), min_size=1, max_size=5))
def test_over_batches_of_any_sizes_each_row_counts_once(sizes: list[int]) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(sum(sizes) + 1, 4, generator=generator)
    labels = torch.randint(4, (len(logits),), generator=generator)
    metric = ErrorRate()
    for part, answers in zip(logits.split([*sizes, 1]), labels.split([*sizes, 1]), strict=True):
        metric.update(part, answers)
    assert metric.compute() == error_rate(logits, labels)


@pytest.mark.parametrize(
    ("logits", "labels"), [((3,), (3,)), ((3, 2), (2,)), ((3, 2), (3, 2)), ((3, 2, 1), (3,))]
)
def test_other_shapes_are_refused(logits: tuple[int, ...], labels: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"logits must be \(N, classes\) and labels \(N,\), not"):
        error_rate(torch.zeros(logits), torch.zeros(labels))


@pytest.mark.parametrize("top", [0, -1, True, 1.5])
def test_a_number_of_classes_below_one_or_not_whole_is_refused(top: int) -> None:
    with pytest.raises(ValueError, match="ErrorRate: top must be"):
        ErrorRate(top=top)


def test_a_top_of_all_classes_is_never_wrong_and_of_more_is_refused() -> None:
    logits, labels = torch.eye(3), torch.tensor([2, 0, 1])
    whole = ErrorRate(top=3)
    whole.update(logits, labels)
    assert whole.compute() == 0
    with pytest.raises(ValueError, match="top is 5, but the logits have 3 classes: give a smaller"):
        ErrorRate(top=5).update(logits, labels)
