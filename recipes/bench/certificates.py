"""Whole-network bounds and certified radii on MNIST, beside a search and an attack.

Of each network: the product of its layers' constants, the joint bound and its time, the largest
norm of a Jacobian that a gradient search finds (a lower bound), the median certified L2 radius of
the test images by the product, by the joint bound and by pairs of classes, and the attack's
distances: no certified radius may be larger. Networks are trained at the first run and stored. Run

    python recipes/bench/certificates.py --networks fc100 fc200
"""

import argparse
import sys
import time
from pathlib import Path

import torch
from attack_bench import networks
from attack_bench.images import mnist
from torch import Tensor, nn

from lit_intriguing.attacks import BoxLBFGS, Untargeted
from lit_intriguing.data_folder import cache_folder
from lit_intriguing.errors import UsageError, UserError
from lit_intriguing.lipschitz.certificate import certified_radius, float64_logits
from lit_intriguing.lipschitz.dense.stack import pair_norms, stack_norm
from lit_intriguing.lipschitz.layers.activations import Slopes, slope_interval
from lit_intriguing.lipschitz.norm import Norm, product
from lit_intriguing.lipschitz.registry import operator_norm
from lit_intriguing.numerics import flush_denormals


def arguments() -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--networks", nargs="+", default=["fc100"], metavar="NAME", help="dense ones of "
        f"{', '.join(networks.PLANS)}; another seed as fc100_s1")  # fmt: skip
    add("--checkpoint", type=Path, help="weights for the network instead, a Lightning checkpoint")
    add("--images", type=int, default=10_000, help="test images attacked, the first ones")
    add("--starts", type=int, default=32, help="points that the search starts from")
    add("--steps", type=int, default=300, help="steps of the search")
    add("--no-pairs", action="store_true", help="leave the bounds of pairs of classes out")
    add("--cache", type=Path, default=cache_folder() / "bench", help="folder of the networks")
    return parser.parse_args()


def stack(network: nn.Module) -> tuple[list[nn.Linear], list[Slopes]]:
    """Return the dense layers and the slopes between them.

    Raises:
        UsageError: If there are other layers.
    """
    linears, slopes = list[nn.Linear](), list[Slopes]()
    for module in network.modules():
        if isinstance(module, nn.Linear):
            linears.append(module)
        elif isinstance(module, nn.Conv2d):
            raise UsageError("only networks of dense layers")
        elif not list(module.children()):
            interval = slope_interval(module)
            if interval not in (None, (1.0, 1.0)):
                slopes.append(interval)
    return linears, slopes


class Search:
    """A search for the point of the steepest Jacobian, in float64: any point is a lower bound.

    Args:
        linears: The dense layers.
        slopes: Between them; (0, 1) is a ReLU, (0, 1/4) a sigmoid.
    """

    RATES = ((0.05, 0.05), (0.2, 0.0))
    """First and last rate: constant, and falling. Both are tried, whatever the activation."""

    def __init__(self, linears: list[nn.Linear], slopes: list[Slopes]) -> None:
        self.weights = [linear.weight.detach().double() for linear in linears]
        self.biases = [linear.bias.detach().double() for linear in linears]
        # J J' is the same with a triangle in place of the first layer, which is wide.
        self.triangle = torch.linalg.qr(self.weights[0].mT).R.mT
        self.sigmoid = slopes[0] == (0.0, 0.25)

    def jacobians(self, x: Tensor, sharpness: float) -> Tensor:
        """Of inputs (N, n_0), up to a rotation; exact where the sharpness of a ReLU is infinite."""
        slopes = list[Tensor]()
        for weight, bias in zip(self.weights[:-1], self.biases, strict=False):
            u = x @ weight.mT + bias
            if self.sigmoid:
                x = u.sigmoid()
                slopes.append(x * (1 - x))
            else:
                x = u.relu()
                hard = (u > 0).double()
                slopes.append(hard if sharpness == torch.inf else (sharpness * u).sigmoid())
        j = self.weights[-1].expand(len(x), -1, -1)  # from the outputs, which are few
        for slope, weight in zip(reversed(slopes), [*self.weights[-2:0:-1], self.triangle],
                                 strict=True):  # fmt: skip
            j = (j * slope.unsqueeze(1)) @ weight
        return j

    def squares(self, x: Tensor, sharpness: float) -> Tensor:
        """Return the squared norms (N,)."""
        j = self.jacobians(x, sharpness)
        return torch.linalg.eigvalsh(j @ j.mT)[:, -1]

    def run(self, x: Tensor, steps: int) -> float:
        """Return the largest norm met at any point, with any of the rates, from inputs (N, n_0)."""
        return max(self.ascend(x, steps, *rates) for rates in self.RATES)

    def ascend(self, x: Tensor, steps: int, rate: float, least: float) -> float:
        """Ascend by Adam."""
        x = x.double().clone().requires_grad_()
        optimizer = torch.optim.Adam([x], lr=rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps, least)
        best = 0.0
        for step in range(steps):
            sharpness = 0.3 * 100 ** (step / steps)
            optimizer.zero_grad()
            (-self.squares(x, sharpness).log().sum()).backward()
            optimizer.step()
            schedule.step()
            if step % 10 and step < steps - 1:
                continue
            with torch.no_grad():
                best = max(best, float(self.squares(x, torch.inf).max()))
        return best**0.5


def attack_distances(network: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Return L2 distances `(N,)` to wrong predictions; infinite where the attack finds none."""
    found = BoxLBFGS()(network, x, Untargeted(y))
    distances = (found.adversarial.double() - found.clean.double()).flatten(1).norm(dim=1)
    return distances.where(found.success, torch.inf)


def report(name: str, options: argparse.Namespace) -> None:
    """Print what is found of one network."""
    network = networks.load(name, options.cache, options.checkpoint)
    linears, slopes = stack(network)
    weights = [linear.weight for linear in linears]
    simple = product([*map(operator_norm, linears), *(Norm(hi) for _, hi in slopes)])
    start = time.process_time()
    joint = stack_norm(weights, slopes)
    seconds = time.process_time() - start
    x, y = mnist("t10k")
    lower = Search(linears, slopes).run(x[: options.starts].flatten(1), options.steps)
    print(f"{name}: product {simple.value:.3f}, joint {joint.value:.3f} in {seconds:.2f} s")
    print(f"  steepest point found {lower:.3f}: joint {joint.value / lower:.3f} times that, "
          f"product {simple.value / lower:.3f} times", flush=True)  # fmt: skip
    norms: dict[str, Norm | Tensor] = {"product": simple, "joint": joint}
    if not options.no_pairs:
        start = time.process_time()
        norms["pairs"] = pair_norms(weights, slopes)
        print(f"  pairs in {time.process_time() - start:.1f} s", flush=True)
    radii_beside_the_attack(network, x[: options.images], y[: options.images], norms)


def radii_beside_the_attack(
    network: nn.Module, x: Tensor, y: Tensor, norms: dict[str, Norm | Tensor]
) -> None:
    """Print the median radii, and how many exceed the attack's distance."""
    logits, distances = float64_logits(network, x), attack_distances(network, x, y)
    for name, norm in norms.items():
        radii = certified_radius(logits, norm, y)
        over = int((radii > distances).sum())
        print(f"  {name}: median radius {radii.median():.4f}, larger than the attack's distance "
              f"for {over} of {len(x)}", flush=True)  # fmt: skip
    found = int(distances.isfinite().sum())
    print(f"  attack: median distance {distances.median():.4f}, {found} of {len(x)} found")


def main() -> None:
    """Report on each network asked for."""
    options = arguments()
    flush_denormals()
    torch.set_num_threads(1)
    try:
        for name in options.networks:
            report(name, options)
    except (UsageError, UserError) as problem:
        sys.exit(str(problem))


if __name__ == "__main__":
    main()
