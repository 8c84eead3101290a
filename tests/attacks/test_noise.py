"""Gaussian noise as the control."""

import pytest
import torch

from lit_intriguing.attacks import GaussianNoise, Untargeted
from lit_intriguing.types import UNBOUNDED
from tests.oracles import Linear

X = torch.full((4, 5000), 0.5)
LABELS = torch.zeros(4).long()


def test_noise_has_the_mean_and_standard_deviation_asked_for() -> None:
    found = GaussianNoise(0.3)(Linear(5000, 3).float(), X, Untargeted(LABELS), bounds=UNBOUNDED)
    noise = found.adversarial - X
    # 20,000 draws: four standard errors of each.
    assert noise.mean().item() == pytest.approx(0, abs=4 * 0.3 / 20000**0.5)
    assert noise.std().item() == pytest.approx(0.3, abs=4 * 0.3 / 40000**0.5)
    within = (noise.abs() < 0.3).float().mean().item()
    assert within == pytest.approx(0.6827, abs=4 * (0.6827 * 0.3173 / 20000) ** 0.5)
    assert found.distortion.tolist() == pytest.approx([0.3] * 4, rel=0.05)


def test_rows_get_independent_noise() -> None:
    found = GaussianNoise(1.0)(Linear(5000, 3).float(), X, Untargeted(LABELS), bounds=UNBOUNDED)
    correlation = torch.corrcoef(found.adversarial - X) - torch.eye(4)
    assert correlation.abs().max() < 0.06


def test_model_is_asked_for_no_gradient() -> None:
    asked = []

    def model(x: torch.Tensor) -> torch.Tensor:
        asked.append(torch.is_grad_enabled())
        return x[:, :3]

    found = GaussianNoise(0.1)(model, X, Untargeted(LABELS))
    assert asked == [False]
    assert found.queries.tolist() == [0] * 4


def test_no_noise_is_no_change() -> None:
    found = GaussianNoise(0.0)(Linear(5000, 3).float(), X, Untargeted(LABELS))
    assert torch.equal(found.adversarial, X)


def test_dtype_of_the_examples_is_kept() -> None:
    x = X.to(torch.bfloat16)
    found = GaussianNoise(0.1)(lambda x: x[:, :3].float(), x, Untargeted(LABELS))
    assert found.adversarial.dtype == torch.bfloat16


@pytest.mark.parametrize("stddev", [-0.1, float("inf"), float("nan")])
def test_impossible_standard_deviations_are_refused(stddev: float) -> None:
    with pytest.raises(ValueError, match=f"stddev must be finite and at least 0: {stddev}"):
        GaussianNoise(stddev)
