import pytest
import torch
from torch import nn

from lit_intriguing.sanity import batch_dependence, gives_probabilities, randomness


def test_the_share_of_examples_that_change_from_call_to_call_is_exact() -> None:
    def model(x: torch.Tensor) -> torch.Tensor:
        return x + torch.rand_like(x) * (x > 0.5)

    x = torch.tensor([[0.1, 0.2], [0.3, 0.9], [0.2, 0.1], [0.8, 0.7]])
    assert randomness(model, x) == 0.5
    assert randomness(lambda z: 2 * z, x) == 0.0


@pytest.mark.parametrize("mode", [True, False])
def test_batch_norm_in_training_mode_depends_on_the_batch(mode: bool) -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)).train(mode)
    assert batch_dependence(model, torch.rand(6, 4)) == float(mode)


def test_rounding_by_other_batch_sizes_is_no_dependence() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(300, 500), nn.ReLU(), nn.Linear(500, 10))
    assert batch_dependence(model, torch.rand(33, 300)) == 0.0


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ([[0.2, 0.8], [1.0, 0.0]], True),
        ([[0.2, 0.8], [2.0, -1.0]], False),
        ([[0.2, 0.7], [1.0, 0.0]], False),
        ([], False),
    ],
    ids=str,
)
def test_probabilities_are_not_negative_and_sum_to_one(
    output: list[list[float]], expected: bool
) -> None:
    rows = torch.tensor(output).reshape(len(output), 2)
    assert gives_probabilities(lambda x: rows, rows) is expected
