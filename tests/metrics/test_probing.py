"""Probes against closed forms for linear models, and intervals against SciPy's."""

import math

import pytest
import torch
from scipy.stats import binomtest, norm

from lit_intriguing.metrics.probing import (
    along,
    around,
    clustered_share,
    kind_probabilities,
    predicted_kinds,
    random_steps,
)
from lit_intriguing.types import Bounds

ZERO, ONE = torch.tensor([0]), torch.tensor([1])


def linear(weight: torch.Tensor, bias: float = 0.0):
    """Class 1 on the positive side of a hyperplane, class 0 on the other; 2 is out of reach."""

    def model(x: torch.Tensor) -> torch.Tensor:
        score = x @ weight + bias
        return torch.stack([torch.zeros_like(score), score, torch.full_like(score, -200)], 1)

    return model


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_probabilities_are_those_of_label_target_and_the_rest():
    logits = torch.randn(7, 5, generator=generator())
    labels, targets = torch.arange(7) % 5, (torch.arange(7) + 2) % 5
    expected = []
    for row, label, target in zip(logits.softmax(1), labels, targets, strict=True):
        rest = [float(p) for c, p in enumerate(row) if c not in (int(label), int(target))]
        expected.append([float(row[label]), float(row[target]), sum(rest)])
    found = kind_probabilities(logits, labels, targets)
    torch.testing.assert_close(found, torch.tensor(expected))


def test_half_precision_logits_give_single_precision_probabilities():
    assert kind_probabilities(torch.zeros(1, 4).half(), ZERO, ONE).dtype == torch.float32


@pytest.mark.parametrize(
    ("labels", "targets", "message"),
    [
        (torch.tensor([0, 1]), torch.tensor([1, 1]), "a target is the label"),
        (torch.tensor([0]), torch.tensor([1]), r"must be \(N,\), not \(2,\), \(1,\) and \(1,\)"),
    ],
)
def test_rows_that_have_no_three_kinds_are_refused(labels, targets, message):
    with pytest.raises(ValueError, match=message):
        predicted_kinds(torch.tensor([0, 1]), labels, targets)


def test_along_a_line_a_linear_model_follows_the_logistic_curve_and_turns_at_the_hyperplane():
    weight = torch.tensor([3.0, -4.0], dtype=torch.float64)
    start = torch.tensor([[-1.0, 1.0]], dtype=torch.float64)
    step = -float(start[0] @ weight) / 25 * weight[None]  # to the hyperplane
    factors = [0.0, 0.5, 0.999, 1.001, 2.0]
    found = along(linear(weight), start, step, factors, ZERO, ONE)
    expected = [1 / (1 + math.exp(-7 * (t - 1))) for t in factors]
    torch.testing.assert_close(found.probabilities[0, :, 1], torch.tensor(expected).double())
    torch.testing.assert_close(found.probabilities.sum(2), torch.ones(1, 5).double())
    assert found.kinds.tolist() == [[0, 0, 0, 1, 1]]


def test_points_beyond_the_bounds_are_clipped_where_bounds_are_given():
    weight, start = torch.ones(1), torch.zeros(1, 1)
    model = linear(weight, -1.5)
    step, factors = torch.ones(1, 1), [2.0]
    assert along(model, start, step, factors, ZERO, ONE).kinds.item() == 1
    assert along(model, start, step, factors, ZERO, ONE, Bounds()).kinds.item() == 0
    noise = around(model, start[None], [100.0], 50, ZERO, ONE, generator(), Bounds())
    assert noise.flatten().tolist() == [50, 0, 0]


def test_the_share_of_noise_beyond_a_hyperplane_is_a_normal_distributions():
    weight = torch.randn(20, generator=generator(1)).double()
    clean = -0.3 * weight / weight.norm()  # 0.3 before the hyperplane
    centres = torch.stack([clean, -clean, 0 * clean])[:, None].expand(3, 500, 20)
    labels, targets = torch.zeros(500).long(), torch.ones(500).long()
    lengths, draws = [0.1, 0.3, 1.0], 20
    found = around(linear(weight), centres, lengths, draws, labels, targets, generator(2))
    shares = found.double().mean(0) / draws
    assert found.sum(3).eq(draws).all()
    for k, distance in enumerate((-0.3, 0.3, 0.0)):
        for at, length in enumerate(lengths):
            expected = norm.cdf(distance / length)
            error = math.sqrt(expected * (1 - expected) / (500 * draws))
            assert abs(float(shares[k, at, 1]) - expected) < 4 * error + 1e-12
    assert found[..., 2].sum() == 0


def test_all_centres_and_models_meet_the_same_noise_and_more_lengths_change_none():
    weight = torch.randn(4, generator=generator(1))
    centres = torch.zeros(2, 6, 4)
    labels, targets = torch.zeros(6).long(), torch.ones(6).long()
    arguments = (5, labels, targets)
    found = around(linear(weight), centres, [0.1, 1.0], *arguments, generator())
    assert torch.equal(found[:, 0], found[:, 1])
    assert torch.equal(found[:, :, 0], found[:, :, 1])  # a hyperplane through the centre
    alone = around(linear(weight), centres[:1], [1.0], *arguments, generator())
    assert torch.equal(alone[:, 0, 0], found[:, 0, 1])
    assert len(found.unique(dim=0)) > 1


def test_random_steps_are_as_long_as_the_given_ones_and_point_elsewhere():
    given = torch.randn(5, 3, 4, generator=generator()).double()
    given[2] = 0
    found = random_steps(given, generator(1))
    torch.testing.assert_close(found.flatten(1).norm(dim=1), given.flatten(1).norm(dim=1))
    cosine = torch.cosine_similarity(found.flatten(1), given.flatten(1))
    assert cosine.abs().max() < 0.9


@pytest.mark.parametrize(("wrong", "rows"), [(0, 9), (3, 9), (9, 9), (1, 500)])
def test_with_one_draw_a_row_the_interval_is_wilsons(wrong, rows):
    counts = (torch.arange(rows) < wrong).long()
    found = clustered_share(counts, 1, 0.9)
    expected = binomtest(wrong, rows).proportion_ci(0.9, "wilson")
    assert found.value == pytest.approx(wrong / rows)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert 0 <= found.low <= found.value <= found.high <= 1


def test_draws_that_only_repeat_each_other_make_the_interval_no_narrower():
    once = clustered_share(torch.tensor([1, 0, 0, 1, 0]), 1)
    assert clustered_share(torch.tensor([8, 0, 0, 8, 0]), 8) == once


def test_independent_draws_count_as_so_many_and_never_as_more():
    counts = torch.distributions.Binomial(10, torch.tensor(0.3)).sample((4000,))
    found = clustered_share(counts, 10)
    expected = binomtest(int(counts.sum()), 40000).proportion_ci(0.95, "wilson")
    width = expected.high - expected.low
    assert found.high - found.low == pytest.approx(width, rel=0.06)
    even = clustered_share(torch.tensor([5, 5, 5]), 10)
    least = binomtest(15, 30).proportion_ci(0.95, "wilson")
    assert (even.low, even.high) == pytest.approx((least.low, least.high))


def test_the_interval_holds_the_true_share_about_as_often_as_it_says():
    torch.manual_seed(0)
    held = 0
    for _ in range(400):
        own = torch.distributions.Beta(0.6, 1.4).sample((60,))  # mean 0.3
        share = clustered_share(torch.distributions.Binomial(8, own).sample(), 8)
        held += share.low <= 0.3 <= share.high
    assert 0.92 < held / 400 < 0.98


def test_without_rows_there_is_no_share():
    assert math.isnan(clustered_share(torch.zeros(0).long(), 5).value)
