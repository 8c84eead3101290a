"""Certified radii, against the closed form of linear classifiers."""

import math

import pytest
import torch
from torch import Tensor, nn

from lit_intriguing.lipschitz.certificate import (
    certified_accuracy,
    certified_radius,
    float64_logits,
)
from lit_intriguing.lipschitz.dense.stack import pair_norms
from lit_intriguing.lipschitz.norm import Norm


def logits(*rows: list[float]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def test_of_a_linear_classifier_it_is_the_distance_to_the_nearest_boundary() -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(4, 6, generator=generator, dtype=torch.float64)
    x = torch.randn(20, 6, generator=generator, dtype=torch.float64)
    f = x @ weight.mT
    radii = certified_radius(f, pair_norms([weight], []))
    for row, radius in zip(f, radii, strict=True):
        i = int(row.argmax())
        distances = [
            float((row[i] - row[j]) / (weight[i] - weight[j]).norm()) for j in range(4) if j != i
        ]
        assert min(distances) * (1 - 1e-6) <= float(radius) < min(distances)


def test_one_number_counts_root_two_times_and_the_order_of_rows_does_not_matter() -> None:
    f = logits([3.0, 1.0, 0.0], [0.0, 4.0, 1.0])
    radii = certified_radius(f, Norm(2.0, "upper"))
    expected = [2 / (2 * math.sqrt(2)), 3 / (2 * math.sqrt(2))]
    assert radii.tolist() == pytest.approx(expected, rel=1e-7)
    assert torch.equal(certified_radius(f.flip(0), 2.0), radii.flip(0))
    assert certified_radius(f[:0], 2.0).shape == (0,)


def test_the_nearest_boundary_need_not_be_that_of_the_runner_up() -> None:
    norms = torch.tensor([[0.0, 1.0, 8.0], [1.0, 0.0, 1.0], [8.0, 1.0, 0.0]])
    assert float(certified_radius(logits([3.0, 2.0, 0.0]), norms)) == pytest.approx(3 / 8)


def test_wrong_tied_unknown_and_broken_rows_have_radius_zero() -> None:
    f = logits([3.0, 1.0], [2.0, 2.0], [math.nan, 1.0], [math.inf, 1.0])
    assert certified_radius(f, 1.0, torch.tensor([1, 0, 0, 0])).tolist() == [0, 0, 0, 0]
    assert certified_radius(f, math.inf).tolist() == [0, 0, 0, 0]
    assert certified_radius(f, 0.0).tolist() == [math.inf, 0, 0, 0]


def test_what_the_logits_may_be_off_is_taken_from_the_lead_twice() -> None:
    norms = torch.ones(2, 2)
    f = logits([3.0, 1.0]).float()
    assert float(certified_radius(f, norms, logit_error=0.5)) == pytest.approx(1.0)
    assert float(certified_radius(f, norms, logit_error=1.5)) == 0.0
    with pytest.raises(ValueError, match="compute them with float64_logits"):
        certified_radius(f, norms)


def test_an_estimate_is_refused_unless_it_is_allowed_by_name() -> None:
    f, guess = logits([3.0, 1.0]), Norm(1.0, "estimate")
    with pytest.raises(ValueError, match="kind 'estimate' is not certified"):
        certified_radius(f, guess)
    assert float(certified_radius(f, guess, accept=("estimate",))) > 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"norms": torch.ones(3, 3)}, r"\(2, 2\) for the 2 logits"),
        ({"norms": torch.full((2, 2), -1.0)}, "zero or more"),
        ({"norms": math.nan}, "zero or more"),
        ({"labels": torch.zeros(3)}, r"labels must be \(1,\)"),
        ({"logits": torch.zeros(2)}, r"floating point \(N, K\)"),
        ({"logit_error": -1.0}, "logit_error must be zero or more"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, object], message: str) -> None:
    fitting: dict[str, object] = {"logits": logits([3.0, 1.0]), "norms": 1.0}
    with pytest.raises(ValueError, match=message):
        certified_radius(**{**fitting, **change})  # type: ignore[arg-type]


def test_accuracy_counts_what_is_right_and_strictly_inside() -> None:
    radii, correct = torch.tensor([1.0, 0.5, 2.0]), torch.tensor([True, True, False])
    shares = certified_accuracy(radii, correct, torch.tensor([0.0, 0.5, 0.9, 1.0]))
    assert shares.tolist() == pytest.approx([2 / 3, 1 / 3, 1 / 3, 0.0])
    with pytest.raises(ValueError, match="zero or more"):
        certified_accuracy(radii, correct, torch.tensor([-1.0]))
    with pytest.raises(ValueError, match="correct bool"):
        certified_accuracy(radii, correct.float(), torch.zeros(1))


def test_float64_logits_are_those_of_the_model_in_evaluation_mode_and_leave_it_as_it_was() -> None:
    model = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Dropout(0.5), nn.Linear(5, 3))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    x = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    wide = float64_logits(model, x)
    assert wide.dtype == torch.float64
    assert not wide.requires_grad
    assert model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert torch.allclose(wide.float(), model.eval()(x), atol=1e-5)


@pytest.mark.parametrize("norms", [-1.0, math.nan, -math.inf])
def test_a_number_that_is_no_norm_is_refused(norms: float) -> None:
    with pytest.raises(ValueError, match="zero or more"):
        certified_radius(torch.randn(3, 4, dtype=torch.float64), norms)


def test_another_result_in_the_place_of_its_norm_is_named() -> None:
    with pytest.raises(TypeError, match=r"a list: give a Norm \(of network_norm"):
        certified_radius(torch.randn(3, 4, dtype=torch.float64), [1.0])  # type: ignore[arg-type]


def test_logits_whose_difference_overflows_certify_nothing() -> None:
    assert float(certified_radius(logits([1e308, -1e308]), 1.0)) == 0.0


def test_a_quotient_that_overflows_is_a_finite_radius_and_no_slope_is_an_infinite_one() -> None:
    f = logits([2e10, 1e10])
    tiny = torch.full((2, 2), 1e-300, dtype=torch.float64)
    assert 1e308 < float(certified_radius(f, tiny)) < math.inf
    assert float(certified_radius(f, 0.0)) == math.inf


def test_the_rounding_of_a_lead_close_to_the_given_error_is_downwards() -> None:
    ahead, error = 1 - 2.0**-53, 0.5 - 2.0**-54
    assert float(certified_radius(logits([ahead, 0.0]), 1.0, logit_error=error)) == 0.0
