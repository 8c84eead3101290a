"""What the topographic penalty adds to a training step of `ReconstructionTICA`.

A step is the forward and backward pass of a network like that of `recipes/quocnet_cifar.yaml` on
random images, all stages at once, and Adam's update. Steps with the penalty and steps without it,
in which the last stage makes no pools, take turns on the same weights. The penalty's share is one
minus the ratio of the medians of their CPU times; the last column takes the fastest step of each
kind in the place of the medians, which suffers less from what else the machine does. Run it with

    OMP_NUM_THREADS=1 python recipes/bench/tica_step.py
"""

import argparse
import time
from collections.abc import Callable, Sequence
from statistics import median

import torch
from torch import Tensor

from lit_intriguing.models import QuocNet, ReconstructionTICA

KERNELS = (8, 5)
"""Of the stages."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the options, measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=80, help="steps of each kind")
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--pool", type=int, nargs="+", default=[3, 5])
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    print("| stages | pool | ms without | ms with | share of the penalty, % | of the fastest, % |")
    print("|---|---|---|---|---|---|")
    for stages in range(1, len(KERNELS) + 1):
        for pool in options.pool:
            times = measured(stages, pool, options.batch_size, options.pairs)
            print(f"| {stages} | {pool} | {row(*times)} |")


def row(bare: list[float], whole: list[float]) -> str:
    """Return the cells of both kinds of steps, and of the difference."""
    shares = [100 * (1 - of(bare) / of(whole)) for of in (median, min)]
    cells = [1000 * median(bare), 1000 * median(whole), *shares]
    return " | ".join(f"{cell:.1f}" for cell in cells)


def measured(
    stages: int, pool: int, batch_size: int, pairs: int
) -> tuple[list[float], list[float]]:
    """Return the CPU seconds of steps without the penalty, and of those with it."""
    torch.manual_seed(0)
    kernels = list(KERNELS[:stages])
    model = ReconstructionTICA(QuocNet((3, 32, 32), stages, kernel=kernels, pool=pool, pixels=5))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, fused=True)
    x = torch.rand(batch_size, 3, 32, 32)
    losses = (
        lambda: without_penalty(model.network, x),
        lambda: model.loss(model.objectives(x, range(stages))),
    )
    spent: tuple[list[float], list[float]] = ([], [])
    for pair in range(pairs + 2):
        for kind in (0, 1) if pair % 2 else (1, 0):
            took = seconds(losses[kind], optimizer)
            if pair >= 2:  # the first are slower: memory is fetched
                spent[kind].append(took)
    return spent


def without_penalty(network: QuocNet, x: Tensor) -> Tensor:
    """Return the error of reconstruction of all stages; the last one makes no pools."""
    x, error = network.prepare(x), torch.zeros(())
    for stage in network.stages:
        y = stage.filters(x)
        error = error + (stage.filters.decode(y) - x).square().sum() / len(x)
        if stage is not network.stages[-1]:
            x = stage.contrast(stage.pool(y))
    return error


def seconds(loss: Callable[[], Tensor], optimizer: torch.optim.Optimizer) -> float:
    """Return the CPU seconds of a training step."""
    start = time.process_time()
    optimizer.zero_grad()
    loss().backward()
    optimizer.step()
    return time.process_time() - start


if __name__ == "__main__":
    main()
