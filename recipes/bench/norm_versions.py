"""Certified norms of convolutions, by this checkout and by another one in turn.

Bounds, and CPU seconds on one thread: the least and the median of `--repeat` runs. Run

    git worktree add ../before COMMIT
    python recipes/bench/norm_versions.py --another ../before
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from another_checkout import module_of
from torch import nn

from lit_intriguing.errors import UsageError
from lit_intriguing.lipschitz import operator_norm
from lit_intriguing.numerics import flush_denormals

Drawn = Callable[[torch.Tensor], Any]
HEAD = ("layer, kernel", "bound before", "bound", "seconds before", "seconds", "times")


def isometry(weight: torch.Tensor) -> None:
    """Fill a weight with a rotation of the channels and a little noise."""
    nn.init.normal_(weight, std=1e-4)
    weight[:, :, 1, 1] += torch.linalg.qr(torch.randn(weight.shape[:2])).Q


def as_it_is(weight: torch.Tensor) -> None:
    """Leave PyTorch's own random weights."""


def random(weight: torch.Tensor) -> None:
    """Fill a weight with normal numbers of standard deviation 1/48."""
    nn.init.normal_(weight, std=1 / 48)


def peaked(weight: torch.Tensor) -> None:
    """Fill a weight with numbers from 0 to 0.05: the norm is that at frequency zero."""
    nn.init.uniform_(weight, 0, 0.05)


CASES: dict[str, tuple[int, int, Drawn, dict[str, Any]]] = {
    "256 channels, 64 x 64, random": (256, 64, random, {}),
    "256 channels, 64 x 64, PyTorch's own": (256, 64, as_it_is, {}),
    "256 channels, 64 x 64, peaked": (256, 64, peaked, {}),
    "256 channels, 64 x 64, nearly an isometry": (256, 64, isometry, {}),
    "256 channels, 128 x 128, stride 2, random": (256, 128, random, {"stride": 2}),
    "256 channels, 32 x 32, random": (256, 32, random, {}),
    "512 channels, 16 x 16, PyTorch's own": (512, 16, as_it_is, {}),
    "128 channels, 64 x 64, random": (128, 64, random, {}),
    "128 channels, 128 x 128, stride 2, PyTorch's own": (128, 128, as_it_is, {"stride": 2}),
    "64 channels, 64 x 64, random": (64, 64, random, {}),
    "64 channels, 64 x 64, circular, PyTorch's own": (
        64, 64, as_it_is, {"padding_mode": "circular"},
    ),
    "64 channels, 100 x 100, dilation 2, PyTorch's own": (64, 100, as_it_is, {"dilation": 2}),
    "256 channels in 32 groups, 64 x 64, PyTorch's own": (256, 64, as_it_is, {"groups": 32}),
    "16 channels, 100 x 100, PyTorch's own": (16, 100, as_it_is, {}),
}  # fmt: skip


def layer(case: str, seed: int) -> tuple[nn.Conv2d, tuple[int, int, int]]:
    """Return a convolution, 3x3 and padded by 1, and the shape of its images."""
    channels, side, draw, options = CASES[case]
    torch.manual_seed(seed)
    convolution = nn.Conv2d(channels, channels, 3, padding=1, bias=False, **options)
    with torch.no_grad():
        draw(convolution.weight)
    return convolution, (channels, side, side)


def line(case: str, another: Callable[..., Any], repeat: int, seed: int) -> str:
    """Return the table's line of a case."""
    convolution, shape = layer(case, seed)
    bounds, seconds = [0.0, 0.0], ([], [])
    for _ in range(repeat):
        for at, norm in enumerate((another, operator_norm)):
            start = time.process_time()
            bounds[at] = norm(convolution, shape).value
            seconds[at].append(time.process_time() - start)
    before, now = (f"{min(each):.2f} (median {statistics.median(each):.2f})" for each in seconds)
    times = min(seconds[0]) / min(seconds[1])
    cells = [case, f"{bounds[0]:.8g}", f"{bounds[1]:.8g}", before, now, f"{times:.2f}"]
    return f"| {' | '.join(cells)} |"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--another", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    try:
        another = module_of(options.another, "lipschitz").operator_norm
    except UsageError as error:
        parser.error(str(error))
    flush_denormals()
    torch.set_num_threads(1)
    print(f"| {' | '.join(HEAD)} |\n{'|---' * len(HEAD)}|")
    for case in options.cases:
        print(line(case, another, options.repeat, options.seed), flush=True)


if __name__ == "__main__":
    main()
