"""Bounds of random convolutions against the dense SVD: are any too low, and how tight are they?

    python -m tests.lipschitz.random.random_convolutions --number 10000

One in four operators takes the bound without a shape; the others are not written out as matrices,
as small ones are by default: this measures the bounds of large ones.
"""

import argparse
import random

import numpy as np

from lit_intriguing.lipschitz.layers import convolution
from tests.lipschitz.random.random_layers import draw

SLACK = 1e-12
"""Of the dense SVD itself, relative: n times the unit of rounding."""


def main() -> None:
    """Print the number, the worst ratio and quantiles of bound / truth."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--number", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    convolution.SMALL = 0
    ratios: dict[str, list[float]] = {}
    low = 0
    for index in range(options.number):
        case = draw(rng)
        shape = None if index % 4 == 3 else case.shape
        bound = convolution.convolution_norm(case.layer, shape).value
        if bound < case.norm * (1 - SLACK):
            low += 1
            print(f"TOO LOW: {case.layer}, {shape or case.shape}: {bound} for {case.norm}")
        if case.norm > 0:
            mode = case.layer.padding_mode if shape else "any shape"
            ratios.setdefault(mode, []).append(bound / case.norm)
    print(f"{options.number} layers, {low} bounds too low")
    print("padding, number, least ratio, then its quantiles 0.1, 0.5, 0.9, 1")
    for mode, found in sorted(ratios.items()):
        quantiles = " ".join(f"{q:.4f}" for q in np.quantile(found, [0.1, 0.5, 0.9, 1]))
        print(f"{mode:10} {len(found):6} {min(found):.12f} {quantiles}")


if __name__ == "__main__":
    main()
