"""Forward and backward pass of untied filters, as a multiple of the matrix products alone.

For images of 32 and 64 pixels, with the gradient by the weights, and by the images too: median
milliseconds of `torch.bmm` on windows that are there already, and of `LocalFilters`, which copies
them in blocks of so many MiB. One takes turns with the other. Run it with

    OMP_NUM_THREADS=1 python recipes/bench/untied_filters.py
"""

import argparse
import time
from collections.abc import Callable, Sequence
from statistics import median

import torch
from torch import Tensor

from lit_intriguing.models import LocalFilters

CASES = ((32, 8, 32), (64, 18, 8))
"""Pixels, kernel and images of a batch."""
MAPS = 8


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the options, measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--memory", nargs="+", type=float, default=[4.0, 16.0, 256.0])
    parser.add_argument("--turns", type=int, default=12)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    print("| pixels | gradient by | bmm, ms |", *(f"{m:g} MiB |" for m in options.memory))
    print("|---|---|---|" + "---|" * len(options.memory))
    for case in CASES:
        for images in (False, True):
            bare, *ours = measured(case, images, options.memory, options.turns)
            name = "weights and images" if images else "weights"
            ratios = " | ".join(f"{one / bare:.2f}" for one in ours)
            print(f"| {case[0]} | {name} | {bare:.1f} | {ratios} |")


def measured(
    case: tuple[int, int, int], images: bool, memory: Sequence[float], turns: int
) -> list[float]:
    """Return the median milliseconds of the products alone, and of the layer for each memory."""
    size, kernel, count = case
    layers = [LocalFilters((3, size, size), MAPS, kernel, memory=each) for each in memory]
    positions, _, taps = layers[0].weight.shape
    x = torch.randn(count, 3, size, size, requires_grad=images)
    windows = torch.randn(positions, count, taps, requires_grad=images)
    weight = torch.randn(positions, MAPS, taps, requires_grad=True)
    steps = [step(lambda: torch.bmm(windows, weight.transpose(1, 2)), [windows, weight])]
    steps += [step(lambda layer=layer: layer(x), [x, layer.weight]) for layer in layers]
    spent: list[list[float]] = [[] for _ in steps]
    for turn in range(turns + 1):
        for one, times in zip(steps, spent, strict=True):
            start = time.process_time()
            one()
            if turn:
                times.append(1000 * (time.process_time() - start))
    return [median(times) for times in spent]


def step(forward: Callable[[], Tensor], leaves: Sequence[Tensor]) -> Callable[[], None]:
    """Return a forward and backward pass, with gradients made anew."""
    gradient = torch.randn_like(forward())

    def run() -> None:
        for leaf in leaves:
            leaf.grad = None
        forward().backward(gradient)

    return run


if __name__ == "__main__":
    main()
