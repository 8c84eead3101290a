"""The topographic penalty's share of a training step of `ReconstructionTICA`, measured in one run.

A step is the forward and backward pass of a network like that of `recipes/quocnet_cifar.yaml` on
random images, all stages at once, and Adam's update. The penalty is the pools of all stages, their
weighted sum, and its gradient added to that of the filters' outputs; lower stages' pools, which the
next stage needs in any case, are counted in. Steps and penalties take turns. Prints medians of CPU
time, and the median, least and largest share of a turn. Run it with

    OMP_NUM_THREADS=1 python recipes/bench/tica_step.py
"""

import argparse
import time
from collections.abc import Callable, Sequence
from statistics import median

import torch
from torch import Tensor

from lit_intriguing.models import QuocNet, ReconstructionTICA

KERNELS = (6, 5)
"""Of the stages."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the options, measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=40)
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--maps", type=int, default=16)
    parser.add_argument("--pool", type=int, nargs="+", default=[3, 5])
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    print("| stages | pool | step, ms | penalty, ms | share, % | of a turn, % |")
    print("|---|---|---|---|---|---|")
    for stages in range(1, len(KERNELS) + 1):
        for pool in options.pool:
            torch.manual_seed(0)
            kernels = list(KERNELS[:stages])
            network = QuocNet(
                (3, 32, 32), stages, options.maps, kernel=kernels, pool=pool, pixels=5
            )
            x = torch.rand(options.batch_size, 3, 32, 32)
            turns = measured(ReconstructionTICA(network), x, options.turns)
            print(f"| {stages} | {pool} | {row(turns)} |")


def row(turns: Sequence[tuple[float, float]]) -> str:
    """Return the cells of a table for the seconds of steps and penalties."""
    steps, penalties = (1000 * median(each) for each in zip(*turns, strict=True))
    shares = [100 * penalty / step for step, penalty in turns]
    spread = f"{min(shares):.1f} to {max(shares):.1f}"
    return f"{steps:.1f} | {penalties:.2f} | {median(shares):.1f} | {spread}"


def measured(model: ReconstructionTICA, x: Tensor, turns: int) -> list[tuple[float, float]]:
    """Return the CPU seconds of a step, and those of the penalty alone, for each turn."""
    stages = model.network.stages
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, fused=True)
    outputs = filtered(model.network, x)

    def step() -> None:
        optimizer.zero_grad()
        model.loss(model.objectives(x, range(len(stages)))).backward()
        optimizer.step()

    def penalty() -> None:
        pools = [stage.pool(y).sum() for stage, y in zip(stages, outputs, strict=True)]
        (model.sparsity * torch.stack(pools).sum() / len(x)).backward()

    found = [(seconds(step), seconds(penalty)) for _ in range(turns + 2)]
    return found[2:]  # the first are slower: memory is fetched


def filtered(network: QuocNet, x: Tensor) -> list[Tensor]:
    """Return what the filters of each stage give, laid out as they give it, with gradients."""
    found, x = list[Tensor](), network.prepare(x)
    with torch.no_grad():
        for stage in network.stages:
            found.append(stage.filters(x))
            x = stage.contrast(stage.pool(found[-1]))
    for y in found:
        y.requires_grad_().grad = torch.zeros_like(y)
    return found


def seconds(run: Callable[[], None]) -> float:
    """Return the CPU seconds that something takes."""
    start = time.process_time()
    run()
    return time.process_time() - start


if __name__ == "__main__":
    main()
