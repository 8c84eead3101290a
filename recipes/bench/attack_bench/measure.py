"""What a method costs and finds, measured in the same way for all."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from .counted import Counted
from .images import Problems
from .methods import Method, Search

BARE_SECONDS = 0.15
"""How long the bare forward and backward is timed at a time."""


@dataclass
class Measured:
    """A method on one network.

    Attributes:
        success: Which examples have the label that is wanted, bool `(N,)`.
        rms: Root mean square of each perturbation, pixels in [0, 1], double `(N,)`.
        violation: The most by which a pixel leaves [0, 1].
        gradients: Evaluations an example; `forwards`: those without a backward pass.
        seconds: Of each run over all examples: of the processor on a CPU, of the wall on a GPU.
        overheads: Of each run, over as many bare forward and backward passes.
    """

    success: Tensor
    rms: Tensor
    violation: float
    gradients: float
    forwards: float
    seconds: list[float] = field(default_factory=list)
    overheads: list[float] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.rms)

    def add(self, other: "Measured") -> None:
        """Take in the times of another run."""
        self.seconds += other.seconds
        self.overheads += other.overheads

    @property
    def rate(self) -> float:
        """Examples a second: the median of the runs."""
        return len(self) / statistics.median(self.seconds)

    @property
    def overhead(self) -> float:
        """Time over that of the bare passes: the median of the runs."""
        return statistics.median(self.overheads)


def clock(device: torch.device) -> float:
    """Return seconds: of this process on a CPU, of the wall, all work done, on a GPU."""
    if device.type == "cpu":
        return time.process_time()
    torch.cuda.synchronize(device)
    return time.perf_counter()


def timed(run: Callable[[], Tensor], device: torch.device) -> tuple[Tensor, float]:
    """Return what a call returns and its seconds."""
    start = clock(device)
    result = run()
    return result, clock(device) - start


def bare(network: nn.Module, x: Tensor) -> float:
    """Return seconds an image of the logits and their gradient by the images, and nothing else."""

    def once() -> Tensor:
        point = x.detach().requires_grad_()
        logits = network(point)
        return torch.autograd.grad(logits, point, torch.ones_like(logits))[0]

    once()
    passes, start = 0, clock(x.device)
    while (spent := clock(x.device) - start) < BARE_SECONDS:
        for _ in range(1 + passes // 4):
            once()
            passes += 1
    return spent / passes / len(x)


def run(
    method: Method, search: Search, network: nn.Module, problems: Problems, batch: int
) -> Measured:
    """Return what one run of a method finds and costs."""
    images = problems.x[: 1 if method.single else batch]
    before = bare(network, images) if method.counted else 0.0
    model, device = Counted(network), problems.x.device
    found, seconds = timed(lambda: search(model, problems, batch), device)
    after = bare(network, images) if method.counted else 0.0
    count, tally = len(problems), model.tally
    result = judged(network, problems, found, batch)
    result.gradients = tally.gradients / count
    result.forwards = (tally.forwards - tally.gradients) / count
    result.seconds.append(seconds)
    if tally.gradients:
        result.overheads.append(seconds / (tally.gradients * (before + after) / 2))
    return result


def judged(network: nn.Module, problems: Problems, found: Tensor, batch: int) -> Measured:
    """Return success and distortion, by the examples alone, whatever the method says of them."""
    violation = (found - found.clamp(0, 1)).abs().amax().item()
    inside = found.detach().clamp(0, 1)
    with torch.no_grad():
        logits = torch.cat([network(x.to(problems.x.dtype)) for x in inside.split(batch)])
    success = problems.met(logits.argmax(1)) & inside.flatten(1).isfinite().all(1)
    difference = inside.double() - problems.x.double()
    rms = difference.flatten(1).square().mean(1).sqrt()
    return Measured(success.cpu(), rms.cpu(), violation, 0.0, 0.0)
