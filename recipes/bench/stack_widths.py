"""The joint bound of dense stacks by their width: bound, seconds, peak memory.

Of each width w a 784-w-w-10 network of ReLUs with PyTorch's random weights: the product of its
layers' constants, the bound that `network_norm` gives, whether it is one of parts, its CPU seconds
and the peak memory of the process, of which each width has its own. Run

    python recipes/bench/stack_widths.py --widths 1500 1800 2600 2700
"""

import argparse
import multiprocessing
import resource
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import torch
from torch import nn

from lit_intriguing.lipschitz import network_norm

INPUTS, OUTPUTS = 784, 10


@dataclass(frozen=True)
class Measured:
    """What a width costs.

    Attributes:
        product: Of the layers' constants.
        bound: Of the network.
        reason: Why the bound is coarser than usual; empty where it is not.
        seconds: CPU seconds.
        gigabytes: Most memory of the process, 10^9 bytes.
    """

    product: float
    bound: float
    reason: str
    seconds: float
    gigabytes: float


def network(width: int, seed: int) -> nn.Sequential:
    """Return the network, its weights drawn after that seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Linear(INPUTS, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(),
            nn.Linear(width, OUTPUTS),
        )  # fmt: skip


def measure(width: int, seed: int, threads: int) -> Measured:
    """Bound the network of a width."""
    torch.set_num_threads(threads)
    model = network(width, seed)
    start = time.process_time()
    found = network_norm(model, (INPUTS,))
    seconds = time.process_time() - start
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return Measured(
        found.product.value, found.norm.value, found.norm.reason, seconds, kilobytes * 1024 / 1e9
    )


def line(width: int, found: Measured) -> str:
    """Return a row of the table."""
    parts = ", in parts" if found.reason else ""
    return (
        f"| {width:,}{parts} | {found.product:.3f} | {found.bound:.3f} | {found.seconds:.0f} | "
        f"{found.gigabytes:.1f} |"
    )


def arguments(args: list[str] | None) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--widths", nargs="+", type=int, default=[1500], metavar="W")
    parser.add_argument("--seed", type=int, default=0, help="of the weights")
    parser.add_argument("--threads", type=int, default=1, help="of PyTorch")
    return parser.parse_args(args)


def main(args: list[str] | None = None) -> None:
    """Print a table of the widths asked for."""
    options = arguments(args)
    print("| w | product | bound | seconds | GB |\n|---|---|---|---|---|", flush=True)
    fresh = multiprocessing.get_context("spawn")
    for width in options.widths:
        with ProcessPoolExecutor(1, mp_context=fresh) as pool:
            found = pool.submit(measure, width, options.seed, options.threads).result()
        print(line(width, found), flush=True)


if __name__ == "__main__":
    main()
