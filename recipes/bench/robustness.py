"""Robust accuracy under our attacks beside AutoAttack's, and what both cost in gradients.

For each network, on the first images of MNIST's test set, without training anything:

- ours: `lightning evaluate`'s usual attacks, one run for all sizes;
- AutoAttack's own script (standard, all images in one batch), one run for each size. Each result is
  stored in `--cache`, and not run again: a run takes minutes, most of them for Square, which asks
  for no gradient.

Gradient evaluations are counted alike, inside the network, whether an attack has use for them or
not. With `--check`, AutoAttack runs through `lit_intriguing` as well, at the largest L2 size, and
must break the same images. AutoAttack comes with

    pip install 'lit-intriguing[autoattack]'

Run it with

    python recipes/bench/robustness.py --network adv_mnist=adv_mnist --network plain=PATH.ckpt
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from attack_bench.counted import Counted
from attack_bench.images import mnist
from torch import Tensor, nn

from lit_intriguing.attacks import AutoAttack
from lit_intriguing.attacks.adapters.autoattack import load_autoattack
from lit_intriguing.data_folder import cache_folder
from lit_intriguing.errors import UserError
from lit_intriguing.models import Classifier
from lit_intriguing.numerics import flush_denormals
from lit_intriguing.robustness import evaluate_tensors
from lit_intriguing.shipped_weights import found_checkpoint
from lit_intriguing.tables import markdown_table
from lit_intriguing.tensor_files import read_tensors
from lit_intriguing.whole_files import draft

NORMS = {"l2": "L2", "linf": "Linf"}
"""AutoAttack's names."""


@dataclass(frozen=True)
class Reached:
    """What an attack left.

    Attributes:
        robust: Which images are still read rightly, bool `(N,)`.
        gradients: Evaluations an image.
    """

    robust: Tensor
    gradients: float

    @property
    def accuracy(self) -> float:
        """In per cent."""
        return 100 * float(self.robust.double().mean())


def arguments() -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--network", action="append", required=True, metavar="NAME=CHECKPOINT",
        help="a 784-100-100-10 network")  # fmt: skip
    add("--images", type=int, default=1000)
    add("--l2", type=float, nargs="*", default=[0.5, 1.0, 1.5], metavar="SIZE")
    add("--linf", type=float, nargs="*", default=[0.1], metavar="SIZE")
    add("--seed", type=int, default=0)
    add("--cache", type=Path, default=cache_folder() / "bench" / "autoattack")
    add("--without-square", action="store_true", help="leave Square out, which asks for no "
        "gradient and takes most of the time: AutoAttack may then leave too much")  # fmt: skip
    add("--stored", action="store_true", help="run no AutoAttack; show those stored")
    add("--check", action="store_true", help="AutoAttack through this package as well")
    options = parser.parse_args()
    for text in options.network:
        if "=" not in text:
            parser.error(f"--network {text}: write NAME=CHECKPOINT")
    return options


def network(path: Path) -> nn.Module:
    """Return a network in evaluation mode."""
    found = Classifier((784, 100, 100, 10))
    found.load_state_dict(torch.load(path, map_location="cpu", weights_only=True)["state_dict"])
    return found.eval().requires_grad_(False)


def autoattack(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    name: str,
    at: tuple[str, float],
    options: argparse.Namespace,
) -> Reached | None:
    """Run AutoAttack's own script, or read what it gave before; None where it is not to run."""
    norm, size = NORMS[at[0]], at[1]
    ending = "_without_square" if options.without_square else ""
    file = options.cache / f"{name}_{norm}_{size:g}_{len(x)}_{options.seed}{ending}.pt"
    if not file.is_file():
        if options.stored:
            return None
        counted = Counted(model)
        attack = load_autoattack()(counted, norm=norm, eps=size, seed=options.seed, device="cpu")
        if options.without_square:
            attack.attacks_to_run = [one for one in attack.attacks_to_run if one != "square"]
        adversarial, *_ = attack.run_standard_evaluation(x, y, batch_size=len(x))
        with torch.no_grad():
            robust = model(adversarial).argmax(1) == y
        file.parent.mkdir(parents=True, exist_ok=True)
        with draft(file) as path:
            torch.save({"robust": robust, "gradients": counted.tally.gradients}, path)
    found = read_tensors(file, "delete it, and it is made again")
    return Reached(found["robust"], found["gradients"] / len(x))


def ours(
    model: nn.Module, x: Tensor, y: Tensor, norm: str, sizes: list[float], seed: int
) -> dict[float, Reached]:
    """Run our usual attacks for one norm; all of its sizes share the gradients."""
    counted = Counted(model)
    found = evaluate_tensors(counted, x, y, sizes={norm: sizes}, seed=seed, chunk=len(x))
    gradients = counted.tally.gradients / len(x)
    nearest = found.nearest(norm)
    return {size: Reached(nearest > size * (1 + 1e-5), gradients) for size in sizes}


def same_images(model: nn.Module, x: Tensor, y: Tensor, size: float, seed: int) -> Tensor:
    """Return which images AutoAttack, through this package, leaves read rightly: bool `(N,)`."""
    attacks = {"autoattack": AutoAttack(size, "L2", seed=seed)}
    found = evaluate_tensors(model, x, y, attacks=attacks, sizes={"l2": [size]}, chunk=len(x))
    return found.nearest("l2") > size * (1 + 1e-5)


def rows(name: str, model: nn.Module, options: argparse.Namespace) -> list[list[str | float]]:
    """Return a row of the table for each norm and size."""
    x, y = (one[: options.images] for one in mnist("t10k"))
    lines: list[list[str | float]] = []
    for norm, sizes in (("l2", options.l2), ("linf", options.linf)):
        found = ours(model, x, y, norm, sizes, options.seed) if sizes else {}
        for size, mine in found.items():
            theirs = autoattack(model, x, y, name, (norm, size), options)
            line = [name, norm, size, f"{mine.accuracy:.1f}"]
            if theirs is None:
                line += ["not run", "", f"{mine.gradients:.0f}", ""]
            else:
                more = mine.accuracy - theirs.accuracy
                line += [f"{theirs.accuracy:.1f}", f"{more:+.1f}", f"{mine.gradients:.0f}",
                         f"{theirs.gradients:.0f}"]  # fmt: skip
            lines.append(line)
            if options.check and norm == "l2" and size == sizes[-1] and theirs is not None:
                other = int((same_images(model, x, y, size, options.seed) != theirs.robust).sum())
                print(f"{name}, {norm} {size:g}: {other} images differ", flush=True)
    return lines


def main() -> None:
    """Print the table."""
    options = arguments()
    flush_denormals()
    torch.set_num_threads(1)
    lines = []
    try:
        for text in options.network:
            name, checkpoint = text.split("=", 1)
            lines += rows(name, network(found_checkpoint(checkpoint)), options)
    except UserError as problem:
        sys.exit(str(problem))
    columns = ["network", "norm", "size", "robust accuracy, ours, %", "AutoAttack, %",
               "ours minus theirs", "gradients an image, ours", "AutoAttack"]  # fmt: skip
    print(markdown_table(columns, lines), end="")


if __name__ == "__main__":
    main()
