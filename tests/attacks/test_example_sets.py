"""The sets that models are shown."""

import pytest
import torch

from lit_intriguing.attacks import BoxLBFGS
from lit_intriguing.attacks.example_sets import adversarial_set, amplified_set, clean_set, noise_set
from lit_intriguing.commands.attack import attack_tensors
from lit_intriguing.types import Bounds, distortion
from tests.commands.transfer.small import examples as small_examples
from tests.commands.transfer.small import trained


@pytest.fixture(scope="module")
def examples():
    images, labels = small_examples(40)
    labels[:3] = (labels[:3] + 1) % 3  # which the model then gets wrong as they are
    return attack_tensors(trained(0), BoxLBFGS(), images, labels, only_correct=False)


def test_examples_that_reach_their_goal_count_and_their_own_model_is_wrong_on_all(examples):
    found = adversarial_set(examples, "a")
    assert found.counted.sum() >= 35
    assert (found.known["a"][found.counted] != examples.labels[found.counted]).all()
    assert torch.equal(found.counted, examples.success)


def test_amplified_examples_have_one_distortion_and_their_own_direction(examples):
    found = amplified_set(examples, 0.25, None)
    moved = found.counted
    assert 30 <= moved.sum() < 40  # some of the first three needed no change
    assert found.distortion[moved].numpy() == pytest.approx(0.25, rel=1e-5)
    before = (examples.adversarial - examples.clean)[moved]
    after = (found.images - examples.clean)[moved]
    assert torch.cosine_similarity(before, after).numpy() == pytest.approx(1.0, abs=1e-5)
    assert torch.equal(found.images[~moved], examples.clean[~moved])
    assert float(found.images.min()) < 0  # as in the paper, not clipped


def test_noise_is_as_large_as_asked_for_the_same_each_time_and_clipped_only_on_demand():
    images = torch.rand(50, 1, 20, 20)
    free, again = (noise_set(images, 0.3, torch.Generator().manual_seed(1), None) for _ in range(2))
    assert float(free.distortion.mean()) == pytest.approx(0.3, rel=0.01)
    assert torch.equal(free.images, again.images)
    assert free.counted.all()
    clipped = noise_set(images, 0.3, torch.Generator().manual_seed(1), Bounds())
    assert torch.equal(clipped.images, free.images.clamp(0, 1))
    assert torch.equal(clipped.distortion, distortion(images, clipped.images))


def test_clean_rows_all_count_and_are_not_moved():
    found = clean_set(torch.rand(4, 3))
    assert found.counted.all()
    assert not found.distortion.any()
