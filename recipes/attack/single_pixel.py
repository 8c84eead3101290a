"""The single-pixel attack, as an example of a plain function in the place of an attack.

Su, Vargas and Sakurai 2019, "One pixel attack for fooling deep neural networks": differential
evolution over a pixel's place and value, without gradients. See single_pixel.md.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import differential_evolution
from torch import Tensor

from lit_intriguing.attacks import Criterion
from lit_intriguing.attacks.base import Model
from lit_intriguing.types import Bounds


def single_pixel(
    model: Model,
    x: Tensor,
    criterion: Criterion,
    *,
    bounds: Bounds,
    generator: torch.Generator,
    population: int = 400,
    generations: int = 100,
) -> list[Tensor | None]:
    """Change one pixel of each image, all its channels.

    Args:
        model: Maps images to logits `(M, C)`.
        x: Images of shape `(N, C, H, W)`.
        criterion: What counts as success; the search decreases its loss.
        bounds: Least and greatest value of a pixel, finite.
        generator: Source of randomness.
        population: Candidates kept (the paper's 400).
        generations: Greatest number of generations (the paper's 100); the search of an image ends
            with its first success.

    Returns:
        The changed images; None for one on which the search failed.
    """
    return [
        _one(model, image, criterion.select(torch.tensor([row])), bounds, generator, population,
             generations)
        for row, image in enumerate(x)
    ]  # fmt: skip


def _one(
    model: Model,
    image: Tensor,
    criterion: Criterion,
    bounds: Bounds,
    generator: torch.Generator,
    population: int,
    generations: int,
) -> Tensor | None:
    lower, upper = (limit.expand_as(image[None])[0] for limit in bounds.tensors_like(image[None]))
    channels, height, width = image.shape
    random = np.random.default_rng(int(torch.randint(2**31, (), generator=generator)))

    def changed(candidates: NDArray[np.float64]) -> Tensor:
        """One image for each column (row, column, then each channel's share of its range)."""
        places = torch.as_tensor(candidates[:2]).long().to(image.device)
        down, right = places[0].clamp(max=height - 1), places[1].clamp(max=width - 1)
        share = torch.as_tensor(candidates[2:]).to(image)
        images = image.repeat(len(down), 1, 1, 1)
        value = lower[:, down, right] + share * (upper - lower)[:, down, right]
        images[torch.arange(len(down)), :, down, right] = value.T
        return images

    def loss(candidates: NDArray[np.float64]) -> NDArray[np.float64]:
        logits = model(changed(candidates))
        everywhere = criterion.select(torch.zeros(len(logits), dtype=torch.int64))
        values: NDArray[np.float64] = everywhere.loss(logits).double().cpu().numpy()
        return values

    def met(best: NDArray[np.float64], convergence: float = 0.0) -> bool:
        return bool(criterion.met(model(changed(best[:, None]))))

    # Places uniform, values normal around the middle, as in section 3.3 of the paper.
    start = random.normal(0.5, 0.5, (population, 2 + channels)).clip(0, 1)
    start[:, :2] = random.uniform(0, (height, width), (population, 2))
    found = differential_evolution(
        loss, [(0, height), (0, width)] + [(0, 1)] * channels, init=start, maxiter=generations,
        strategy="rand1bin", mutation=0.5, recombination=1.0, tol=0, polish=False, callback=met,
        vectorized=True, updating="deferred", seed=random,
    )  # fmt: skip
    return changed(found.x[:, None])[0] if met(found.x) else None
