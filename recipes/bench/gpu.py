"""Check and measure what matters on a GPU, in one command of under six minutes.

From the root of a checkout: python recipes/bench/gpu.py

First the checks of tests/gpu; then the attack of 4,096 MNIST images and of 256 photographs in
float32 and bfloat16, beside bare forward and backward passes and beside the least time in which its
vectors can be read and written; a step of adversarial training beside a bare loop; a pass by a CUDA
graph; the bounds of ResNet-50. A Markdown table at the end. What cannot be measured is said in its
line, and the command then fails. Without a GPU everything is smaller and runs on the CPU.
"""

import argparse
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from lit_intriguing.attacks import BoxLBFGS, Targeted
from lit_intriguing.lipschitz import network_norm
from lit_intriguing.models import pretrained
from lit_intriguing.tables import markdown_table
from recipes.bench import adversarial_step
from recipes.bench.attack_bench import images, measure, networks
from recipes.bench.attack_bench.counted import Counted
from recipes.bench.attack_bench.images import Problems

MEMORY = 5
"""Pairs of the L-BFGS matrix: a step reads and writes some `2 m + 12` vectors an image."""

Row = tuple[str, str]


@dataclass(frozen=True)
class Sizes:
    """How much is measured.

    Attributes:
        digits: MNIST images attacked, all in one batch.
        photographs: Likewise.
        rows: Images of an epoch of training.
        blocks: Epochs of each kind of training.
        network: Of torchvision, bounded for images of `side` pixels.
        side: Pixels.
    """

    digits: int
    photographs: int
    rows: int
    blocks: int
    network: str
    side: int


ON_GPU = Sizes(4096, 256, 60_000, 3, "resnet50", 224)
ON_CPU = Sizes(64, 2, 2_000, 1, "resnet18", 32)


class InHalf(nn.Module):
    """A network in bfloat16, for images in float32."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.bfloat16()

    def forward(self, x: Tensor) -> Tensor:
        """Return logits `(N, C)` in bfloat16 of images `(N, *S)`."""
        logits: Tensor = self.network(x.bfloat16())
        return logits


def checks(device: torch.device) -> Iterator[Row]:
    """Run tests/gpu: resume, pools on the device, mixed precision, bounds, two GPUs."""
    marker = "gpu" if device.type == "cuda" else "not gpu"
    words = ["-m", "pytest", "-q", "-m", marker, "tests/gpu", "-p", "no:cacheprovider"]
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
    last = done.stdout.strip().splitlines()[-1] if done.stdout.strip() else done.stderr[-200:]
    if done.returncode:
        raise RuntimeError(f"{last}\n{done.stdout[-3000:]}")
    yield "checks of `tests/gpu`", last.strip("= ")


def copied(device: torch.device) -> float:
    """Return bytes a second of memory read and written by a copy."""
    source = torch.empty(2**26 if device.type == "cuda" else 2**23, device=device)
    target = torch.empty_like(source)
    target.copy_(source)
    seconds = [measure.timed(lambda: target.copy_(source), device)[1] for _ in range(5)]
    return 8 * len(source) / statistics.median(seconds)


def attacked(
    name: str, network: nn.Module, problems: Problems, device: torch.device, bandwidth: float
) -> Iterator[Row]:
    """Measure the attack on a network in float32 and, after that, in bfloat16."""
    problems = problems.to(device)
    batch = len(problems)
    for kind in ("float32", "bfloat16"):
        model = (network if kind == "float32" else InHalf(network)).to(device)
        attack = BoxLBFGS(batch_size=batch, memory=MEMORY, second_search=False)

        def search(counted: nn.Module, attack: BoxLBFGS = attack) -> Tensor:
            aim = Targeted(problems.targets)
            return attack(counted, problems.x, aim, bounds=(0.0, 1.0)).adversarial

        before = measure.bare(model, problems.x)
        counted = Counted(model)
        search(Counted(model))  # kernels are chosen in a first run
        found, seconds = measure.timed(lambda: search(counted), device)  # noqa: B023
        bare = (before + measure.bare(model, problems.x)) / 2
        gradients = counted.tally.gradients / batch
        bytes_moved = 4 * problems.x[0].numel() * (2 * MEMORY + 12)
        floor = bare + bytes_moved / bandwidth
        result = measure.judged(model, problems, found, batch)
        yield (
            f"{name}, {kind}, {batch} at once",
            f"{batch / seconds:.4g} examples/s, {gradients:.1f} gradients each, "
            f"{float(result.success.float().mean()):.1%} reach their target, "
            f"{seconds / (batch * gradients * bare):.2f} times the bare passes, "
            f"{seconds / (batch * gradients * floor):.2f} times passes and vectors moved",
        )


def digits(device: torch.device, sizes: Sizes) -> Iterator[Row]:
    """Attack MNIST images."""
    network = pretrained("adv_mnist_pools").requires_grad_(False)
    problems = images.digits(network, sizes.digits, 0)
    yield from attacked("MNIST, 100-100-10", network, problems, device, copied(device))


def photographs(device: torch.device, sizes: Sizes) -> Iterator[Row]:
    """Attack photographs, toward "ostrich"; without data, noise on a random network."""
    folder = Path(os.environ.get("LIT_INTRIGUING_DATA", "")) / "imagenet"
    weights = folder / "squeezenet1_0_rgb01.pth"
    if weights.is_file() and sum(p.is_dir() for p in (folder / "sample").iterdir()) == 1000:
        network = networks.load("squeezenet", Path(), weights)
        problems = images.photographs(network, sizes.photographs, 0, folder / "sample")
        name = "photographs, SqueezeNet 1.0"
    else:
        network = networks.load("squeezenet", Path(), weights) if weights.is_file() else None
        network = network or random_network("squeezenet1_0").eval().requires_grad_(False)
        x = torch.rand(sizes.photographs, 3, 227, 227, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            labels = network(x).argmax(1)
        problems = Problems(x, labels, torch.full_like(labels, images.OSTRICH))
        name = "noise, SqueezeNet 1.0"
    yield from attacked(name, network, problems, device, copied(device))


def random_network(name: str) -> nn.Module:
    """Return a network of torchvision with random weights."""
    import torchvision

    torch.manual_seed(0)
    network: nn.Module = getattr(torchvision.models, name)(weights=None)
    return network


def steps(device: torch.device, sizes: Sizes) -> Iterator[Row]:
    """Measure a step of adversarial training beside the same in a bare loop."""
    torch.manual_seed(0)
    x = torch.rand(sizes.rows, 1, 28, 28, device=device)
    y = torch.randint(10, (sizes.rows,), device=device)

    def bare() -> Tensor:
        adversarial_step.bare(x, y, 200, 2)
        return x

    def ours() -> Tensor:
        with tempfile.TemporaryDirectory() as folder:
            pools = [adversarial_step.pools(200, 2)]
            adversarial_step.through_lightning(x, y, 200, pools, folder)
        return x

    for run in (bare, ours):
        run()
    pairs = [[measure.timed(run, device)[1] for run in (bare, ours)] for _ in range(sizes.blocks)]
    count = sizes.rows / 200
    middle = [statistics.median(column) / count * 1e3 for column in zip(*pairs, strict=True)]
    ratio = statistics.median(pair[1] / pair[0] for pair in pairs)
    yield (
        "a step with pools of three layers, 784-100-100-10",
        f"{middle[1]:.2f} ms, bare loop {middle[0]:.2f} ms: {ratio:.2f} times",
    )


def graph(device: torch.device, sizes: Sizes) -> Iterator[Row]:
    """Measure a forward and backward pass by a CUDA graph beside one by calls."""
    if device.type != "cuda":
        yield "a pass by a CUDA graph", "needs a GPU"
        return
    network = pretrained("adv_mnist_pools").to(device).requires_grad_(False)
    x = torch.rand(sizes.digits, 784, device=device)
    called = measure.bare(network, x)
    captured = torch.cuda.make_graphed_callables(network, (x.clone().requires_grad_(),))
    replayed = measure.bare(captured, x)
    yield "a pass by a CUDA graph, of one by calls", f"{replayed / called:.2f} times"


def bounds(device: torch.device, sizes: Sizes) -> Iterator[Row]:
    """Bound a network with random weights; its bounds are those of the CPU's run."""
    network = random_network(sizes.network).eval().to(device)
    shape = (3, sizes.side, sizes.side)

    def bound() -> Tensor:
        return torch.tensor(network_norm(network, shape).norm.value)

    value, seconds = measure.timed(bound, device)
    yield f"bound of {sizes.network}, {sizes.side} pixels", f"{float(value):.4g}, {seconds:.1f} s"


PARTS: dict[str, Callable[[torch.device, Sizes], Iterator[Row]]] = {
    "checks": lambda device, sizes: checks(device),
    "digits": digits,
    "photographs": photographs,
    "steps": steps,
    "graph": graph,
    "bounds": bounds,
}


def main(words: list[str] | None = None) -> None:
    """Print the table; fail where a part did."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    options = parser.parse_args(words)
    device = torch.device(options.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        parser.error("no GPU is visible")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    torch.set_flush_denormal(True)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU, one thread"
    if device.type == "cpu":
        torch.set_num_threads(1)
    rows: list[Row] = []
    failed = []
    for part in options.parts:
        try:
            rows += PARTS[part](device, ON_GPU if device.type == "cuda" else ON_CPU)
        except Exception as error:  # the other parts still say what they can
            traceback.print_exc()
            failed.append(part)
            rows.append((part, f"FAILED: {type(error).__name__}"))
    print(markdown_table(("measured", f"{name}, torch {torch.__version__}"), rows))
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
