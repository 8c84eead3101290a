"""Norms of layers side by side: ours, deel-torchlip's, orthogonium's, power iteration.

The same layers for all, in the shapes of known networks, with random kernels and with kernels
whose norm is reached in a narrow peak at low frequencies. The truth is the largest singular value
of the zero-padded, strided layer in float64: of its matrix where that is small, else by Lanczos to
convergence; of layers so large that this takes minutes only a lower bound is computed, and ratios
to it are printed as "at most". A number below it bounds nothing. `spectral_norm` is the norm of the
reshaped kernel, which torch's function of that name divides by. orthogonium's Gram iterations are
as many as cost 2e11 multiplications, at most 4. Seconds are those of one thread of this process;
each method runs once on a layer. Methods whose package is not installed are reported and skipped;
they come with

    pip install deel-torchlip orthogonium

Run it with

    python recipes/bench/lipschitz.py --networks alexnet resnet50
"""

import argparse
import sys
import time
from pathlib import Path

import torch
from lipschitz_bench import table, truth
from lipschitz_bench.layers import KERNELS, NETWORKS, Problem, problems
from lipschitz_bench.methods import METHODS, Bound, NotApplicableError
from lipschitz_bench.table import Measured


def arguments() -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    for name, known, default in (
        ("networks", NETWORKS, ["small"]),
        ("kernels", KERNELS, list(KERNELS)),
        ("methods", METHODS, list(METHODS)),
    ):
        add(f"--{name}", nargs="+", choices=list(known), default=default)
    add("--seed", type=int, default=0, help="of the kernels")
    add("--csv", type=Path, help="file to append the numbers to")
    return parser.parse_args()


def say(message: str) -> None:
    """Tell the user what is going on, apart from the tables."""
    print(message, file=sys.stderr, flush=True)


def installed(names: list[str]) -> dict[str, Bound]:
    """Return the methods that can be imported; name the others."""
    bounds = {}
    for name in names:
        try:
            bounds[name] = METHODS[name].load()
        except ImportError as problem:
            package = METHODS[name].package
            say(f"{name}: skipped, {problem} (pip install {package})")
    return bounds


def measure(problem: Problem, bounds: dict[str, Bound]) -> list[Measured]:
    """Return what each method gives for a layer; those that do not take it are left out."""
    torch.manual_seed(0)  # peers start from the global generator
    start = time.process_time()
    true, least = truth.norm(problem), truth.is_least(problem)
    say(f"{problem.name}: {true:.6g} in {time.process_time() - start:.1f} s")
    results = []
    for name, bound in bounds.items():
        start = time.process_time()
        try:
            value = bound(problem)
        except NotApplicableError:
            continue
        except Exception as error:  # a peer's mistake is no reason to lose the others' figures
            say(f"{name} on {problem.name}: failed, {type(error).__name__}: {error}")
            continue
        seconds = time.process_time() - start
        results.append(Measured(problem.name, name, true, value, seconds, least))
        say(f"  {name}: {results[-1].ratio:.6f} in {seconds:.2f} s")
    return results


def main() -> None:
    """Compare the methods on the layers asked for."""
    options = arguments()
    torch.set_num_threads(1)
    bounds = installed(options.methods)
    results: list[Measured] = []
    for problem in problems(options.networks, options.kernels, options.seed):
        found = measure(problem, bounds)
        results += found
        if options.csv:
            table.write(options.csv, found)
    print(table.lines(results))
    print(table.totals(results, {name: one.claim for name, one in METHODS.items()}), end="")


if __name__ == "__main__":
    main()
