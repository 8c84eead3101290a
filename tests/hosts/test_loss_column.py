import pytest
import torch

from lit_intriguing.errors import UserError
from lit_intriguing.hosts.loss_column import LossColumn, as_mask

X = torch.arange(24.0).reshape(2, 3, 4)


@pytest.mark.parametrize("per_token", [True, False])
def test_a_column_sums_to_minus_the_loss_and_has_a_row_for_each_text_or_token(
    per_token: bool,
) -> None:
    column = LossColumn(lambda x: x.square().sum(), X, None, torch.tensor(2.0), per_token)
    values = column(column.start)
    assert values.shape == (6 if per_token else 2, 1)
    assert float(values.sum()) == pytest.approx(-float(X.square().sum()))
    torch.testing.assert_close(column.back(column.start), X)


def test_what_the_mask_leaves_out_does_not_change() -> None:
    mask = as_mask(torch.tensor([[1, 1, 0], [1, 0, 0]]), X, "mask", [])
    column = LossColumn(lambda x: x.sum(), X, mask, torch.tensor(1.0), per_token=True)
    moved = column.back(column.start + 1) - X
    assert moved[:, :, 0].tolist() == [[1, 1, 0], [1, 0, 0]]


def test_a_step_that_skips_the_batch_gives_zeros() -> None:
    column = LossColumn(lambda x: None, X, None, torch.tensor(1.0), per_token=False)
    assert column(column.start).tolist() == [[0], [0]]


@pytest.mark.parametrize("entry", [None, [1, 0], torch.ones(3, 2)], ids=["none", "list", "turned"])
def test_a_mask_of_another_kind_or_shape_is_refused_with_the_entries_that_there_are(
    entry: object,
) -> None:
    with pytest.raises(UserError, match=r"mask='mask' .* \(2, 3, 4\); .* \['ids'\]"):
        as_mask(entry, X, "mask", ["ids"])
