"""Minimal-distortion attacks side by side: ours, SciPy, adversarial-library and foolbox 3.

The same images, targets, network and process for all. Success and distortion are computed from
the examples handed back, gradient evaluations counted inside the network, forward passes without
a backward apart. Each method runs `--repeat` times, the methods in turn; examples a second and
overhead are medians of these runs. Slow methods run once, on few images, in one batch of these.
The overhead is the time over that of as many bare forward and backward passes, in the same
batches, timed just before and after. On a CPU, seconds are those of the process, on one thread.
Distortion is the mean over the images on which every method with at least 99% success succeeded,
for another method over those on which it did too. Networks are trained at the first run and stored.
Methods whose package is not installed are reported and skipped; the packages come with

    pip install 'lit-intriguing[adversarial-library,foolbox]'

Run it with

    python recipes/bench/attacks.py --networks fc100 --images 512
"""

import argparse
import sys
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from another_checkout import module_of
from attack_bench import images, measure, networks, table
from attack_bench.images import Problems
from attack_bench.measure import Measured
from attack_bench.methods import EXTRAS, METHODS, Method, NotApplicableError, Search, ours
from torch import nn

from lit_intriguing.data.mnist_files import places
from lit_intriguing.data_folder import cache_folder
from lit_intriguing.errors import UsageError, UserError
from lit_intriguing.numerics import flush_denormals


def arguments() -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add, several = parser.add_argument, {"nargs": "+", "metavar": "NAME"}
    add("--networks", default=["fc100"], **several, help=f"of {', '.join(networks.NAMES)}; "
        "another seed as fc100_s1")  # fmt: skip
    add("--methods", default=list(METHODS), **several, help=f"of {', '.join(METHODS)}")
    add("--images", type=int, default=512, help="training images attacked")
    add("--slow-images", type=int, default=32, help="the first of these for the slow methods")
    add("--batch", type=int, default=256, help="images of a batch")
    add("--repeat", type=int, default=3, help="runs of each method, slow ones once, the first "
        "after one on two images to warm up; with 1 there is none")  # fmt: skip
    add("--seed", type=int, default=0, help="of the choice of images and targets")
    add("--device", choices=["cpu", "cuda"], help="default: the CPU, then a GPU if there is one")
    add("--cache", type=Path, default=cache_folder() / "bench", help="folder of the networks")
    add("--checkpoint", action="append", default=[], metavar="NETWORK=PATH",
        help="weights for a network instead: a state dict or a Lightning checkpoint")  # fmt: skip
    add("--photographs", type=Path, help="folder of ImageNet images, one folder a class")
    add("--untargeted", action="store_true", help="any label but the image's own is wanted")
    add("--another", type=Path, metavar="FOLDER", help="another checkout, whose fast mode "
        "becomes a method as well: `another`")  # fmt: skip
    add("--csv", type=Path, help="file to append the table to")
    options = parser.parse_args()
    check(parser, options)
    return options


def check(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """End with what is wrong with the options, before anything is run."""
    if options.another is not None:
        options.methods.append("another")
        METHODS["another"] = Method(partial(another, options.another))
    unknown = [name for name in options.methods if name not in METHODS]
    if unknown:
        parser.error(f"no method {unknown[0]!r}: take {', '.join(METHODS)}")
    for text in options.checkpoint:
        if text.split("=")[0] not in options.networks or "=" not in text:
            parser.error(f"--checkpoint {text}: NETWORK=PATH, for a network of --networks")
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: PyTorch sees no GPU")
    try:
        for name in options.networks:
            networks.kind_and_seed(name)
    except UsageError as problem:
        parser.error(str(problem))
    for name in ("images", "slow_images", "batch", "repeat"):
        if getattr(options, name) < 1:
            parser.error(f"--{name.replace('_', '-')} must be at least 1")


def another(checkout: Path) -> Search:
    """Return the fast mode of another checkout."""
    return ours("fast", attacks=module_of(checkout, "attacks").__name__)


def say(message: str) -> None:
    """Tell the user what is going on, apart from the table."""
    print(message, file=sys.stderr, flush=True)


def installed(names: list[str]) -> dict[str, Search]:
    """Return the searches that can be imported; name the others."""
    searches = {}
    for name in names:
        try:
            searches[name] = METHODS[name].load()
        except ModuleNotFoundError as problem:
            module = (problem.name or "").split(".")[0]
            package = f"'lit-intriguing[{EXTRAS[module]}]'" if module in EXTRAS else module
            say(f"{name}: skipped, {module} is not installed (pip install {package})")
        except ImportError as problem:
            say(f"{name}: skipped, {problem}")
    return searches


def in_data_folders(name: str) -> Path:
    """Return where a file of ImageNet lies, in the first data folder that has it."""
    candidates = [place / "imagenet" / name for place in places(None)]
    return next((path for path in candidates if path.exists()), candidates[0])


def prepared(name: str, options: argparse.Namespace) -> tuple[nn.Module, Problems]:
    """Return a network and what is to be attacked on it."""
    given = dict(text.split("=", 1) for text in options.checkpoint)
    checkpoint = Path(given[name]) if name in given else None
    if name in networks.PHOTOGRAPHS:
        if name == networks.SQUEEZENET:
            checkpoint = checkpoint or in_data_folders("squeezenet1_0_rgb01.pth")
        network = networks.load(name, options.cache, checkpoint)
        folder = options.photographs or in_data_folders("sample")
        problems = images.photographs(network, options.images, options.seed, folder)
    else:
        network = networks.load(name, options.cache, checkpoint)
        problems = images.digits(network, options.images, options.seed)
    return network, replace(problems, targeted=not options.untargeted)


def compare(
    searches: Mapping[str, Search],
    network: nn.Module,
    problems: Problems,
    options: argparse.Namespace,
) -> dict[str, Measured]:
    """Return what each method finds and costs, the runs of all in turn."""
    results: dict[str, Measured] = {}
    left = dict(searches)
    for block in range(options.repeat):
        for name, search in list(left.items()):
            cold = block == 0 and options.repeat > 1
            result = one_run(name, search, network, problems, options, cold)
            if result is None or METHODS[name].slow:
                del left[name]
            if result is None:
                results.pop(name, None)
            elif name in results:
                results[name].add(result)
            else:
                results[name] = result
    return results


def one_run(
    name: str,
    search: Search,
    network: nn.Module,
    problems: Problems,
    options: argparse.Namespace,
    cold: bool,
) -> Measured | None:
    """Return one run of a method; None, said aloud, where it cannot or does not run."""
    method = METHODS[name]
    mine = problems.first(options.slow_images) if method.slow else problems
    try:
        if cold and not method.slow:
            measure.run(method, search, network, mine.first(2), options.batch)
        result = measure.run(method, search, network, mine, options.batch)
    except NotApplicableError as problem:
        say(f"{name}: skipped, {problem}")
        return None
    except Exception as problem:  # a peer's mistake is no reason to lose the others' figures
        say(f"{name}: failed, {type(problem).__name__}: {problem}")
        return None
    say(f"{name}: {result.seconds[0]:.2f} s for {len(mine)} images")
    return result


def report(
    name: str, device: str, searches: Mapping[str, Search], options: argparse.Namespace
) -> None:
    """Print the table of one network on one device, and append it to the file."""
    network, problems = prepared(name, options)
    network, problems = network.to(device), problems.to(torch.device(device))
    say(f"{name} on {device}: {len(problems)} images")
    results = compare(searches, network, problems, options)
    if not results:
        return
    lines, used = table.lines(results), int(table.counting_images(results).sum())
    speed = 1 / measure.bare(network, problems.x[: options.batch])
    print(f"\n{name} on {device}, batch {options.batch}, seed {options.seed}")
    print(f"distortion over {used} of {len(problems)} images; bare passes: {speed:.4g} images/s\n")
    print(table.text(lines), flush=True)
    if options.csv:
        common = {"network": name, "device": device, "batch": options.batch}
        table.write(options.csv, lines, **common, seed=options.seed, rows=used)


def one_thread() -> None:
    """Let no method gain by threads that another has no use for."""
    torch.set_num_threads(1)


def main() -> None:
    """Compare the methods on each network and device asked for."""
    options = arguments()
    flush_denormals()
    one_thread()
    everywhere = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    try:
        searches = installed(options.methods)
        for device in [options.device] if options.device else everywhere:
            for name in options.networks:
                report(name, device, searches, options)
    except (UsageError, UserError) as problem:
        sys.exit(str(problem))


if __name__ == "__main__":
    main()
