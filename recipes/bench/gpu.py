"""Check and measure what matters on a GPU, in one command of under six minutes.

From the root of a checkout: python recipes/bench/gpu.py

First all tests that need a GPU; then the attack of 4,096 MNIST images and of 256 photographs in
float32 and bfloat16, beside bare forward and backward passes and beside the time in which a copy
would move the vectors that its steps read and write; a step of adversarial training beside that of
a bare loop; the network's pass by a CUDA graph, with the numbers that it gives; the bound of
ResNet-50, and that of a smaller network beside the CPU's. A Markdown table at the end, with the
seconds of each part. What cannot be measured is said in its line, and the command then fails.
Without a GPU everything is smaller and runs on the CPU.
"""

import argparse
import itertools
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from lit_intriguing.attacks import BoxLBFGS, Targeted
from lit_intriguing.data.images.dataset import FolderImages
from lit_intriguing.data.images.files import walk
from lit_intriguing.data.images.preparation import evaluated
from lit_intriguing.lipschitz import network_norm
from lit_intriguing.models import pretrained
from lit_intriguing.numerics import flush_denormals, keep_freed_memory, spare_search_for_gpus
from lit_intriguing.tables import markdown_table
from recipes.bench import adversarial_step
from recipes.bench.attack_bench import images, measure, networks
from recipes.bench.attack_bench.counted import Counted
from recipes.bench.attack_bench.images import Problems

MEMORY = 5
"""Pairs of the L-BFGS matrix, m."""

BATCH = 200
"""Images of a training step."""

CLOSE = 1e-4
"""What a device may change in a number, relative: rounding in float32, many times over."""

Row = tuple[str, str]


@dataclass(frozen=True)
class Sizes:
    """How much is measured.

    Attributes:
        digits: MNIST images attacked, all in one batch.
        photographs: Likewise.
        rows: Images of the longer run of training; a fifth of them make the shorter one.
        blocks: Pairs of runs of each kind of training.
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
ON_CPU = Sizes(64, 2, 30_000, 3, "resnet18", 32)


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
    """Run the tests that need a GPU; without one the same of tests/gpu on the CPU."""
    marker, folder = (
        ("gpu", "tests") if device.type == "cuda" else ("not gpu and not slow", "tests/gpu")
    )
    # A test elsewhere whose imports are not installed must not keep these from running.
    words = ["-m", marker, folder, "-p", "no:cacheprovider", "--continue-on-collection-errors"]
    command = [sys.executable, "-m", "pytest", "-q", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    last = done.stdout.strip().splitlines()[-1] if done.stdout.strip() else done.stderr[-200:]
    if done.returncode:
        raise RuntimeError(f"{last}\n{done.stdout[-3000:]}")
    yield f"`pytest -m '{marker}' {folder}`", last.strip("= ")


def vectors_moved(memory: int) -> int:
    """Return how many vectors of an example a step of the search reads and writes: `4 m + 63`.

    Counted in `lit_intriguing/solvers` for the fast mode in a box, where the trial is accepted and
    is no nearer success than the best. Each operation reads its inputs and writes its result, as
    where no cache holds the vectors of a batch. What has one number an example counts nothing.

    | operations | reads | writes |
    |---|---|---|
    | free coordinates: `toward`, clamped, plus x, two comparisons, their product | 9 | 6 |
    | newest pair, r and a, masked (`Pairs.apply`) | 5 | 4 |
    | inner products of all vectors with these four (`Gram.multiply`) | 2 m + 6 | |
    | combination of all vectors (`Pairs.combine`) | 2 m + 2 | 1 |
    | trial: `x + free * step`, clamped | 4 | 2 |
    | the network's own copy of it (`SealedModel`) | 1 | 1 |
    | whether the gradient is finite (`Evaluation.finite`) | 1 | |
    | new pair (`Pairs.store`) | 4 | 2 |
    | test: length of the step, its products with a and r, new r and its length | 10 | 3 |
    | new a (`Descent.advance`) | 1 | 1 |

    The network's pass is not among them. Blocks that stay in a CPU's cache need less.
    """
    reads = 9 + 5 + (2 * memory + 6) + (2 * memory + 2) + 4 + 1 + 1 + 4 + 10 + 1
    writes = 6 + 4 + 1 + 2 + 1 + 2 + 3 + 1
    return reads + writes


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
        if device.type == "cuda":
            search(Counted(model))  # kernels are chosen in a first run
        found, seconds = measure.timed(lambda: search(counted), device)  # noqa: B023
        bare = (before + measure.bare(model, problems.x)) / 2
        gradients = counted.tally.gradients / batch
        floor = bare + 4 * problems.x[0].numel() * vectors_moved(MEMORY) / bandwidth
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
    """Attack the photographs that there are, or noise, toward "ostrich"."""
    folder = Path(os.environ.get("LIT_INTRIGUING_DATA", "")) / "imagenet"
    network, of_network = squeezenet(folder / "squeezenet1_0_rgb01.pth")
    x, what = pictures(folder / "sample", sizes.photographs)
    problems = toward_ostrich(network.to(device), x.to(device), sizes.photographs)
    yield from attacked(f"{what}, {of_network}", network, problems, device, copied(device))


def squeezenet(weights: Path) -> tuple[nn.Module, str]:
    """Return SqueezeNet 1.0, with random weights where there is no such file, and its name."""
    if weights.is_file():
        return networks.load("squeezenet", Path(), weights), "SqueezeNet 1.0"
    network = random_network("squeezenet1_0").eval().requires_grad_(False)
    return network, "SqueezeNet 1.0 with random weights"


def pictures(folder: Path, count: int) -> tuple[Tensor, str]:
    """Return at most so many photographs of a folder, drawn from all, or noise; and which."""
    generator = torch.Generator().manual_seed(0)
    paths = sorted(walk(folder)) if folder.is_dir() else []
    if not paths:
        noise = torch.rand(count, 3, images.SIDE, images.SIDE, generator=generator)
        return noise, "noise for want of photographs"
    chosen = [paths[i] for i in torch.randperm(len(paths), generator=generator)[:count].tolist()]
    read = FolderImages(folder, chosen, torch.zeros(len(chosen)), 3, evaluated(images.SIDE, 256))
    x = torch.stack([read[i][0] for i in range(len(read))])
    return x, f"{len(x)} of {len(paths)} photographs of `{folder.parent.name}/{folder.name}`"


def toward_ostrich(network: nn.Module, x: Tensor, count: int) -> Problems:
    """Return so many images toward "ostrich", again and again the same where there are fewer.

    Labels are the network's own predictions; images that it takes for ostriches are left out.
    """
    with torch.no_grad():
        labels = network(x).argmax(1)
    others = (labels != images.OSTRICH).nonzero().squeeze(1)
    if not len(others):
        raise RuntimeError("the network takes every image for an ostrich")
    rows = others.repeat(-(-count // len(others)))[:count]
    return Problems(x[rows], labels[rows], torch.full_like(rows, images.OSTRICH))


def random_network(name: str) -> nn.Module:
    """Return a network of torchvision with random weights."""
    import torchvision

    torch.manual_seed(0)
    network: nn.Module = getattr(torchvision.models, name)(weights=None)
    return network


def steps(device: torch.device, sizes: Sizes) -> Iterator[Row]:
    """Measure a step of adversarial training beside the same in a bare loop.

    A step is the difference of two runs over that of their numbers of steps: start and end of a
    run, which are the same in both, do not count.
    """
    torch.manual_seed(0)
    x = torch.rand(sizes.rows, 1, 28, 28, device=device)
    y = torch.randint(10, (sizes.rows,), device=device)
    short = sizes.rows // 5
    count = -(-sizes.rows // BATCH) - -(-short // BATCH)

    def seconds(run: Callable[[Tensor, Tensor], None], rows: int) -> float:
        start = measure.clock(device)
        run(x[:rows], y[:rows])
        return measure.clock(device) - start

    kinds = (bare_training, our_training)
    for run in kinds:
        seconds(run, short)
    pairs = [
        [(seconds(run, sizes.rows) - seconds(run, short)) / count for run in kinds]
        for _ in range(sizes.blocks)
    ]
    bare, ours = (statistics.median(column) * 1e3 for column in zip(*pairs, strict=True))
    yield (
        "a step with pools of three layers, 784-100-100-10",
        f"{ours:.2f} ms, bare loop {bare:.2f} ms: {ours / bare:.2f} times; medians of "
        f"{sizes.blocks} differences of {count} steps",
    )


def bare_training(x: Tensor, y: Tensor) -> None:
    """Train an epoch in a bare loop."""
    adversarial_step.bare(x, y, BATCH, 2)


def our_training(x: Tensor, y: Tensor) -> None:
    """Train the same through Lightning."""
    with tempfile.TemporaryDirectory() as folder:
        adversarial_step.through_lightning(x, y, BATCH, [adversarial_step.pools(BATCH, 2)], folder)


def graph(device: torch.device, sizes: Sizes) -> Iterator[Row]:
    """Measure the network's forward and backward by a CUDA graph beside the same by calls."""
    row = "the network's forward and backward alone, by a CUDA graph"
    if device.type != "cuda":
        yield row, "needs a GPU"
        return
    network = pretrained("adv_mnist_pools").to(device).requires_grad_(False)
    x = torch.rand(sizes.digits, 784, device=device)
    expected, called = logits_and_gradient(network, x), measure.bare(network, x)
    # Captured on other images, so that a replay has to read those that it is given.
    example = torch.zeros_like(x).requires_grad_()
    captured = torch.cuda.make_graphed_callables(network, (example,))
    off = farthest(logits_and_gradient(captured, x), expected)
    replayed = measure.bare(captured, x)
    yield row, f"{replayed / called:.2f} times that by calls, logits and gradients {off:.1g} off"


def logits_and_gradient(network: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return copies of the logits and of the gradient of their sum by the images."""
    point = x.detach().requires_grad_()
    logits = network(point)
    (gradient,) = torch.autograd.grad(logits.sum(), point)
    return logits.detach().clone(), gradient.clone()


def farthest(found: tuple[Tensor, ...], expected: tuple[Tensor, ...]) -> float:
    """Return how far off tensors are, relative to the largest number of each.

    Raises:
        RuntimeError: If that is more than rounding.
    """
    pairs = zip(found, expected, strict=True)
    each = torch.stack([(one - other).abs().amax() / other.abs().amax() for one, other in pairs])
    off = float(each.amax())  # NaN where one is
    if not off <= CLOSE:
        raise RuntimeError(f"numbers are {off:.1g} off, of the largest; at most {CLOSE:g}")
    return off


def bounds(device: torch.device, sizes: Sizes) -> Iterator[Row]:
    """Bound a network with random weights; on a GPU a smaller one as well, beside the CPU."""
    value, seconds = bounded(sizes.network, sizes.side, device)
    yield f"bound of {sizes.network}, {sizes.side} pixels", f"{float(value):.4g}, {seconds:.1f} s"
    row = f"bound of {ON_CPU.network}, {ON_CPU.side} pixels, beside the CPU's"
    if device.type == "cpu":
        yield row, "needs a GPU"
    else:
        yield row, beside_the_cpu(ON_CPU.network, ON_CPU.side, device)


def bounded(name: str, side: int, device: torch.device) -> tuple[Tensor, float]:
    """Return the bound of a network with random weights, and the seconds that it takes."""
    network = random_network(name).eval().to(device)

    def bound() -> Tensor:
        return torch.tensor(network_norm(network, (3, side, side)).norm.value, dtype=torch.float64)

    return measure.timed(bound, device)


def beside_the_cpu(name: str, side: int, device: torch.device) -> str:
    """Return in words how a device's bound compares with the CPU's; see `farthest`."""
    (here, ours), (there, theirs) = (
        bounded(name, side, one) for one in (device, torch.device("cpu"))
    )
    off = farthest((here,), (there,))
    return f"{off:.1g} off, {ours:.1f} s for {theirs:.1f} s of the processor"


PARTS: dict[str, Callable[[torch.device, Sizes], Iterator[Row]]] = {
    "checks": lambda device, sizes: checks(device),
    "digits": digits,
    "photographs": photographs,
    "steps": steps,
    "graph": graph,
    "bounds": bounds,
}


def measured(parts: Sequence[str], device: torch.device) -> tuple[list[Row], list[str]]:
    """Return the rows of all parts and of their seconds, and the parts that failed."""
    rows: list[Row] = []
    failed, times = [], [time.perf_counter()]
    for part in parts:
        try:
            rows += PARTS[part](device, ON_GPU if device.type == "cuda" else ON_CPU)
        except Exception as error:  # the other parts still say what they can
            traceback.print_exc()
            failed.append(part)
            rows.append((part, f"FAILED: {type(error).__name__}"))
        times.append(time.perf_counter())
    spent = [after - before for before, after in itertools.pairwise(times)]
    each = ", ".join(f"{part} {one:.0f}" for part, one in zip(parts, spent, strict=True))
    rows.append(("seconds of the whole run", f"{sum(spent):.0f}: {each}"))
    return rows, failed


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
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU, one thread"
    if device.type == "cpu":
        torch.set_num_threads(1)
    rows, failed = measured(options.parts, device)
    print(markdown_table(("measured", f"{name}, torch {torch.__version__}"), rows))
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    flush_denormals()
    keep_freed_memory()
    spare_search_for_gpus()
    main()
