"""Sets of examples that models are evaluated on: clean, adversarial, amplified, noise."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from lit_intriguing.attacks import GaussianNoise, Untargeted
from lit_intriguing.attacks.base import per_row
from lit_intriguing.attacks.examples import Examples
from lit_intriguing.types import UNBOUNDED, Bounds, distortion


@dataclass(frozen=True)
class ExampleSet:
    """Examples that models are evaluated on.

    Attributes:
        images: `(n, *S)`.
        counted: Which of them the error is about, bool `(n,)`.
        distortion: Root mean square change from the clean images, `(n,)`.
        known: Predictions `(n,)` that are known already, by the name of the model.
    """

    images: Tensor
    counted: Tensor
    distortion: Tensor
    known: Mapping[str, Tensor] = field(default_factory=dict)


def clean_set(images: Tensor) -> ExampleSet:
    """Return the images as they are, `(n, *S)`: all count."""
    return ExampleSet(images, _all(images), images.new_zeros(len(images)))


def adversarial_set(examples: Examples, model: str) -> ExampleSet:
    """Return the examples made for a model; those that reach their goal and fool it count.

    On its own examples a model's error is therefore 100% (table 2's diagonal).

    Args:
        examples: Of n images.
        model: The model's name.
    """
    predictions = examples.adversarial_predictions
    counted = examples.success & (predictions != examples.labels)
    return ExampleSet(examples.adversarial, counted, examples.distortion, {model: predictions})


def amplified_set(examples: Examples, stddev: float, bounds: Bounds | None) -> ExampleSet:
    """Move the successes on along their own direction until each has the same distortion.

    Szegedy et al. 2013, section 4.2: `x + s (x' - x) / rms(x' - x)`. An image that the model
    misclassifies anyway, and that the attack therefore did not change, has no direction and does
    not count.

    Args:
        examples: Of n images.
        stddev: s, root mean square change.
        bounds: What the images are clipped to; None: as in the paper, not at all.
    """
    own = examples.distortion
    moved = examples.success & (examples.adversarial_predictions != examples.labels) & (own > 0)
    factor = torch.where(moved, stddev / own.where(moved, 1.0), 0.0)
    step = (examples.adversarial - examples.clean) * per_row(factor, examples.clean)
    images = (bounds or UNBOUNDED).clamp(examples.clean + step)
    return ExampleSet(images, moved, distortion(examples.clean, images))


def noise_set(
    images: Tensor, stddev: float, generator: torch.Generator, bounds: Bounds | None
) -> ExampleSet:
    """Return the images with Gaussian noise: all count.

    Args:
        images: `(n, *S)`.
        stddev: Of the noise on each element.
        generator: Of the noise, on the CPU.
        bounds: As for `amplified_set`. The paper's distortions, 0.1 and 0.3 for noise of 0.1 and
            0.3, are those of noise that is not clipped.
    """
    box = bounds or UNBOUNDED
    nothing = Untargeted(torch.zeros(len(images), dtype=torch.int64))
    attack = GaussianNoise(stddev)
    found = attack.search(_no_model, images, nothing, bounds=box, generator=generator)
    noisy = box.clamp(found.adversarial)
    return ExampleSet(noisy, _all(images), distortion(images, noisy))


def _all(images: Tensor) -> Tensor:
    return torch.ones(len(images), dtype=torch.bool, device=images.device)


def _no_model(x: Tensor) -> Tensor:
    raise AssertionError("noise asks no model")
