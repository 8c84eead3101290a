"""Probes of small networks on tensors, against a slow and obvious count."""

import pytest
import torch
from torch import nn

from lit_intriguing.attacks import Attack, BoxLBFGS, Found
from lit_intriguing.commands.attack import attack_tensors
from lit_intriguing.commands.probe import ProbeJob, probe_tensors
from lit_intriguing.errors import UsageError
from tests.commands.transfer.small import Loud, NeverCorrect, examples, network, trained

JOB = ProbeJob(factors=(0, 0.5, 1, 2), centres=(0, 1), noise=(0.01, 0.5), draws=4, chunk=16)


class Hopeless(Attack):
    def search(self, model, x, criterion, **options) -> Found:
        return Found(x.clone(), torch.zeros(len(x), dtype=torch.int64))


class Overflowing(nn.Module):
    """Finite in the unit box only."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = trained(0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x) + torch.where(x.max() > 1, torch.inf, 0.0)


@pytest.fixture(scope="module")
def models():
    return {"a": trained(0), "b": trained(1)}


@pytest.fixture(scope="module")
def probes(models):
    return probe_tensors(models, *examples(), JOB)


def test_the_adversarial_line_is_what_a_loop_over_its_points_finds(models, probes):
    images, labels = examples()
    for name, model in models.items():
        made = attack_tensors(model, BoxLBFGS(), images, labels, chunk=16)
        reached = made.success
        found = probes.models[name]
        assert (found.images, found.counted) == (30, int(reached.sum()))
        assert found.distortions.mean == pytest.approx(float(made.distortion[reached].mean()))
        clean, step = images[reached], (made.adversarial - images)[reached]
        own, aim = labels[reached], made.adversarial_predictions[reached]
        for point, factor in zip(found.line("adversarial"), JOB.factors, strict=True):
            with torch.no_grad():
                logits = model(clean + factor * step)
            mean = logits.softmax(1).gather(1, torch.stack([own, aim], 1)).double().mean(0)
            assert point.factor == factor
            assert point.probabilities[:2] == pytest.approx(tuple(mean.tolist()), abs=1e-6)
            predicted = logits.argmax(1)
            assert point.wrong.value == pytest.approx(float((predicted != own).double().mean()))
            assert point.predictions[1] == pytest.approx(float((predicted == aim).double().mean()))
            assert sum(point.predictions) == pytest.approx(1)


def test_the_image_is_right_its_example_wrong_and_a_random_step_of_that_length_rarely(probes):
    for found in probes.models.values():
        start, _, end, _ = found.line("adversarial")
        assert (start.wrong.value, end.wrong.value, end.predictions[1]) == (0, 1, 1)
        assert found.line("random")[0].wrong.value == 0
        assert found.line("random")[2].wrong.value < 0.5


def test_little_noise_leaves_most_images_right_and_moves_examples_over_the_border(probes):
    for found in probes.models.values():
        near, far = found.cloud(0)
        assert near.wrong.value < 0.1 < far.wrong.value
        assert near.wrong.low <= near.wrong.value <= near.wrong.high
        assert 0.2 < found.cloud(1)[0].wrong.value < 0.8
        for point in found.clouds:
            assert sum(point.predictions) == pytest.approx(1)
            assert point.wrong.value == pytest.approx(1 - point.predictions[0])
            assert point.target.value == pytest.approx(point.predictions[1])


def test_the_same_seed_gives_the_same_bits_and_another_model_beside_it_changes_none(models, probes):
    again = probe_tensors(models, *examples(), JOB)
    assert again == probes
    alone = probe_tensors({"b": models["b"]}, *examples(), JOB)
    assert alone.models["b"] == probes.models["b"]
    other = probe_tensors(models, *examples(), ProbeJob(**{**vars(JOB), "seed": 1}))
    assert other != probes


def test_points_are_clipped_to_the_images_bounds_on_demand(models):
    job = ProbeJob(**{**vars(JOB), "factors": (0, 1, 1000), "clip": True})
    found = probe_tensors({"a": models["a"]}, *examples(), job).models["a"]
    free = probe_tensors({"a": models["a"]}, *examples(), ProbeJob(**{**vars(job), "clip": False}))
    assert found.line("adversarial")[:2] == free.models["a"].line("adversarial")[:2]
    assert found.line("random")[2] != free.models["a"].line("random")[2]


def test_a_failing_model_loses_no_other_and_says_why(models, probes):
    odd = {"loud": Loud(), "wide": network(0, inputs=7), "overflowing": Overflowing()}
    found = probe_tensors({**models, **odd}, *examples(), JOB)
    assert found.models == probes.models
    assert "out of order" in found.failures["loud"]
    assert set(found.failures) == set(odd)
    assert found.failures["overflowing"] == "its logits are not finite."


@pytest.mark.parametrize(("model", "attack"), [(NeverCorrect(), BoxLBFGS()), (None, Hopeless())])
def test_without_a_row_that_counts_there_are_no_points(models, model, attack):
    job = ProbeJob(**{**vars(JOB), "attack": attack})
    found = probe_tensors({"x": model or models["a"]}, *examples(), job).models["x"]
    assert (found.images, found.counted, found.lines, found.clouds) == (30, 0, (), ())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"factors": ()}, "factors is empty"),
        ({"factors": (1, 0)}, r"factors must grow: \[1, 0\]"),
        ({"factors": (-1,)}, "factors: a factor is at least 0 and finite, not -1"),
        ({"centres": (0, 0)}, "centres holds a factor twice"),
        ({"noise": (0,)}, "noise: a stddev is positive and finite, not 0"),
        ({"noise": (float("inf"),)}, "noise: a stddev is positive and finite, not inf"),
        ({"draws": 0}, "draws must be at least 1, not 0"),
        ({"chunk": 0}, "chunk must be at least 1"),
    ],
)
def test_numbers_out_of_range_are_refused(models, options, message):
    with pytest.raises(UsageError, match=message):
        probe_tensors(models, *examples(), ProbeJob(**options))


def test_no_images_are_refused(models):
    with pytest.raises(ValueError, match="no images"):
        probe_tensors(models, *examples(0), JOB)
