"""Draws what distinguishes networks trained in different ways: four pictures and a table.

From the root of a checkout, with a checkpoint for each of several 784-100-100-10 networks, the one
to compare with first:

    python recipes/figures/trainings_compared.py docs/trainings none=A.ckpt "all pools=B.ckpt"

writes docs/trainings_margins.png, _distances.png, _spectra.png and _attacked.png, of MNIST's 10,000
test images (the attack: of the first 1,000, in L2, by BoxLBFGS toward each image's three likeliest
wrong labels). A name given again adds a seed; pictures show its first one, the table means.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor, nn

from lit_intriguing.attacks import BoxLBFGS, Untargeted
from lit_intriguing.data import MNIST
from lit_intriguing.figures.canvas import GREY, INK, PALETTE, new_figure
from lit_intriguing.lipschitz import network_norm
from lit_intriguing.model_sets.sources import ModelSource, load_model
from lit_intriguing.types import Bounds

ATTACKED = 1000
SIZES = (0.5, 1.0, 1.5, 2.0, 3.0)


@dataclass(frozen=True)
class Measured:
    """One network.

    Attributes:
        margins: True logit minus the largest other one, of training and of test images.
        distances: L2 length to the nearest adversarial example; 0 where the image is misread.
        spectra: Singular values of each layer's weights.
        product: Of the layers' norms.
        joint: Bound of the whole network's Lipschitz constant.
    """

    margins: tuple[Tensor, Tensor]
    distances: Tensor
    spectra: list[Tensor]
    product: float
    joint: float


def margin(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the true logit minus the largest other one, `(N,)`."""
    true = logits.gather(1, labels[:, None]).squeeze(1)
    return true - logits.scatter(1, labels[:, None], -torch.inf).amax(1)


def measure(model: nn.Module, data: MNIST) -> Measured:
    """Measure a network on the data."""
    model.eval()
    train, test = data.load_training()[0], data.load_test()
    with torch.no_grad():
        margins = tuple(margin(model(part.inputs), part.labels) for part in (train, test))
    x, y = test.inputs[:ATTACKED], test.labels[:ATTACKED]
    found = BoxLBFGS()(model, x, Untargeted(y), bounds=Bounds(), generator=torch.Generator())
    distances = (found.adversarial - x).flatten(1).norm(dim=1)
    if not bool(found.success.all()):
        distances[~found.success] = torch.inf
    weights = [one.weight.detach() for one in model.modules() if isinstance(one, nn.Linear)]
    spectra = [torch.linalg.svdvals(one.double()) for one in weights]
    bounds = network_norm(model, tuple(x.shape[1:]))
    product = float(torch.stack([one[0] for one in spectra]).prod())
    return Measured((margins[0], margins[1]), distances, spectra, product, bounds.norm.value)


def cumulative(axis: Axes, values: Tensor, colour: str, style: str, label: str | None) -> None:
    """Draw the share of values at or below each, in per cent."""
    ordered = values.sort().values
    share = torch.linspace(100 / len(ordered), 100, len(ordered))
    axis.plot(ordered, share, color=colour, linestyle=style, linewidth=1.4, label=label)


def dressed(axis: Axes, x_label: str, y_label: str, title: str = "") -> None:
    """Label an axis as all figures here are."""
    axis.set_xlabel(x_label, fontsize=9, color=INK)
    axis.set_ylabel(y_label, fontsize=9, color=INK)
    axis.set_title(title, fontsize=9, color=INK, loc="left")
    axis.tick_params(labelsize=8)
    axis.grid(color=GREY, alpha=0.25, linewidth=0.6)
    axis.spines[["top", "right"]].set_visible(False)


def margins_figure(networks: Mapping[str, Measured]) -> Figure:
    """Draw the margins' distributions, training images dashed."""
    figure = new_figure(6.0, 3.6)
    axis = figure.subplots()
    for (name, one), colour in zip(networks.items(), PALETTE, strict=False):
        train, test = one.margins
        cumulative(axis, test, colour, "-", name)
        cumulative(axis, train, colour, ":", None)
    axis.axvline(0, color=GREY, linewidth=1, zorder=0)
    axis.set_yscale("log")
    axis.set_ylim(0.03, 100)
    dressed(axis, "margin: true logit minus the largest other", "images at or below it, %")
    axis.legend(frameon=False, fontsize=8, title="test (dotted: training)", title_fontsize=8)
    return figure


def distances_figure(networks: Mapping[str, Measured]) -> Figure:
    """Draw each image's distance to the border beside that in the first network."""
    (first, reference), *others = networks.items()
    figure = new_figure(2.6 * len(others), 2.9)
    axes = figure.subplots(1, len(others), squeeze=False, sharey=True)[0]
    top = max(float(one.distances[one.distances.isfinite()].max()) for one in networks.values())
    for axis, (name, one), colour in zip(axes, others, PALETTE[1:], strict=False):
        axis.scatter(reference.distances, one.distances, s=3, color=colour, linewidths=0, alpha=0.5)
        axis.plot([0, top], [0, top], color=GREY, linewidth=1, zorder=0)
        farther = float((one.distances > reference.distances).float().mean())
        dressed(axis, f"distance, {first}", "", f"{name}: {farther:.0%} farther")
    axes[0].set_ylabel("distance to the border (L2)", fontsize=9, color=INK)
    return figure


def spectra_figure(networks: Mapping[str, Measured]) -> Figure:
    """Draw the singular values of each layer."""
    layers = len(next(iter(networks.values())).spectra)
    figure = new_figure(2.6 * layers, 2.9)
    axes = figure.subplots(1, layers, squeeze=False)[0]
    for number, axis in enumerate(axes):
        for (name, one), colour in zip(networks.items(), PALETTE, strict=False):
            values = one.spectra[number]
            ranks = range(1, len(values) + 1)
            mark = "o" if len(values) < 20 else ""
            axis.plot(ranks, values, color=colour, linewidth=1.4, marker=mark, ms=3, label=name)
        shape = "first", "second", "third"
        dressed(axis, "rank", "singular value" if number == 0 else "", f"{shape[number]} layer")
        axis.set_ylim(bottom=0)
    axes[-1].legend(frameon=False, fontsize=7)
    return figure


def attacked_figure(networks: Mapping[str, Measured]) -> Figure:
    """Draw accuracy against the size of the perturbation."""
    figure = new_figure(6.0, 3.6)
    axis = figure.subplots()
    for (name, one), colour in zip(networks.items(), PALETTE, strict=False):
        ordered = one.distances.sort().values
        left = torch.linspace(100 - 100 / len(ordered), 0, len(ordered))
        axis.plot(ordered, left, color=colour, linewidth=1.4, label=name)
    axis.set_xlim(left=0)
    dressed(axis, "size of the perturbation (L2)", "accuracy under attack, %")
    axis.legend(frameon=False, fontsize=8)
    return figure


def row(name: str, seeds: Sequence[Measured]) -> str:
    """Return a network's line of the table, means over its seeds."""

    def mean(values: Sequence[float]) -> float:
        return sum(values) / len(values)

    error = mean([100 * float((one.margins[1] <= 0).float().mean()) for one in seeds])
    medians = [mean([float(one.margins[k].median()) for one in seeds]) for k in (0, 1)]
    distance = mean([float(one.distances.median()) for one in seeds])
    accuracy = [
        mean([100 * float((one.distances > s).float().mean()) for one in seeds]) for s in SIZES
    ]
    norms = [mean([float(one.spectra[k][0]) for one in seeds]) for k in range(3)]
    cells = [
        name, f"{len(seeds)}", f"{error:.2f}", *(f"{m:.1f}" for m in medians), f"{distance:.2f}",
        *(f"{a:.1f}" for a in accuracy), *(f"{n:.2f}" for n in norms),
        f"{mean([one.product for one in seeds]):.1f}", f"{mean([one.joint for one in seeds]):.1f}",
    ]  # fmt: skip
    return "| " + " | ".join(cells) + " |"


def head() -> str:
    """Return the table's head."""
    names = [
        "network", "seeds", "test error, %", "median margin, training", "test",
        "median distance", *(f"accuracy at {size}, %" for size in SIZES),
        "norm of layer 1", "2", "3", "product", "joint bound",
    ]  # fmt: skip
    return "| " + " | ".join(names) + " |\n" + "|---" * len(names) + "|"


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the pictures and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("start", help="start of the PNG files' names")
    parser.add_argument("networks", nargs="+", metavar="NAME=CKPT")
    options = parser.parse_args(arguments)
    data = MNIST()
    data.prepare_data()
    measured: dict[str, list[Measured]] = {}
    for given in options.networks:
        name, equals, path = given.partition("=")
        if not equals:
            parser.error(f"expected NAME=CKPT, not '{given}'")
        model = load_model(ModelSource(checkpoint=path), None, None)
        measured.setdefault(name, []).append(measure(model, data))
    firsts = {name: seeds[0] for name, seeds in measured.items()}
    if len(firsts) < 2:
        parser.error("give at least two networks of different names")
    makers = {
        "margins": margins_figure, "distances": distances_figure,
        "spectra": spectra_figure, "attacked": attacked_figure,
    }  # fmt: skip
    for name, maker in makers.items():
        maker(firsts).savefig(Path(f"{options.start}_{name}.png"), dpi=150)
    print(head(), *(row(name, seeds) for name, seeds in measured.items()), sep="\n")


if __name__ == "__main__":
    main()
