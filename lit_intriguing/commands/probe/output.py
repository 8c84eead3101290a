"""What comes out: a probing study on the screen, as CSV, as Markdown and as figures."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from typing_extensions import override

from lit_intriguing.commands.probe.job import DIRECTIONS, ProbeJob
from lit_intriguing.commands.probe.table import ModelProbes, Probes
from lit_intriguing.figures.canvas import png
from lit_intriguing.figures.probing import Cloud, Line, clouds_figure, lines_figure
from lit_intriguing.metrics.probing import KINDS
from lit_intriguing.model_sets.report import Report, Section
from lit_intriguing.tables import Cell, csv_table

ALONG = (
    "model", "direction", "factor", "mean distortion", "images",
    *(f"probability {kind}" for kind in KINDS), *(f"predictions {kind}" for kind in KINDS),
    "wrong", "low", "high",
)  # fmt: skip
AROUND = (
    "model", "centre", "noise", "images", "draws", *(f"predictions {kind}" for kind in KINDS),
    "wrong", "wrong low", "wrong high", "target", "target low", "target high",
)  # fmt: skip


@dataclass(frozen=True)
class ProbeReport(Report):
    """How the numbers are shown.

    Attributes:
        probes: The numbers.
        job: What was asked for.
    """

    PICTURES: ClassVar[tuple[str, ...]] = ("along.png", "around.png")

    probes: Probes
    job: ProbeJob

    @override
    def sections(self, *, page: bool) -> list[Section]:
        return [self._along_section(), self._around_section()]

    @override
    def notes(self) -> list[str]:
        notes = [
            f"{name}: {one.counted} of {one.images} images count, those that it classifies "
            f"correctly and that the attack succeeds on{'' if one.counted else ': no numbers'}."
            for name, one in self.probes.models.items()
            if one.counted < one.images
        ]
        return [*notes, *(f"{name!r}: {why}" for name, why in self.probes.failures.items())]

    @override
    def files(self) -> dict[str, str | bytes]:
        texts = {
            "along.csv": csv_table(ALONG, list(self._along_cells())),
            "around.csv": csv_table(AROUND, list(self._around_cells())),
            "probe.md": self.page(),
        }
        return {**texts, **self._figures()}

    def _figures(self) -> dict[str, bytes]:
        there = self._there()
        if not there:
            return {}
        lines = {
            _named(name, one): {direction: _line(one, direction) for direction in DIRECTIONS}
            for name, one in there.items()
        }
        clouds = {
            _named(name, one): {centre: _cloud(one, centre) for centre in self.job.centres}
            for name, one in there.items()
        }
        drawn = (lines_figure(lines, title=self.title), clouds_figure(clouds, title=self.title))
        return dict(zip(self.PICTURES, map(png, drawn), strict=True))

    def _there(self) -> dict[str, ModelProbes]:
        """Return those models that have numbers."""
        return {name: one for name, one in self.probes.models.items() if one.counted}

    def _along_section(self) -> Section:
        text = "Wrong predictions, %, at multiples of each image's own adversarial perturbation:"
        columns = ["", "images", "distortion", "direction", *(f"{f:g}" for f in self.job.factors)]
        rows: list[list[Cell]] = []
        for name, one in self._there().items():
            for direction in DIRECTIONS:
                mean = f"{one.distortions.mean:.4f}"
                head: list[Cell] = [name, one.counted, mean, direction]
                points = one.line(direction)
                rows.append([*head, *(f"{100 * point.wrong.value:.1f}" for point in points)])
        return Section(text, columns, rows)

    def _around_section(self) -> Section:
        text = (
            "Wrong predictions and, in brackets, predictions of the class that the example "
            "reaches, both % of all predictions, in Gaussian noise of these standard deviations "
            "around the image (0), its example (1) and other points of the line:"
        )
        columns = ["", "centre", *(f"{length:g}" for length in self.job.noise)]
        rows: list[list[Cell]] = []
        for name, one in self._there().items():
            for centre in self.job.centres:
                cells: list[Cell] = [
                    f"{100 * point.wrong.value:.1f} ({100 * point.target.value:.1f})"
                    for point in one.cloud(centre)
                ]
                rows.append([name, f"{centre:g}", *cells])
        return Section(text, columns, rows)

    def _along_cells(self) -> Iterator[Sequence[Cell]]:
        for name, one in self._there().items():
            for point in one.lines:
                yield [
                    name, point.direction, point.factor, point.factor * one.distortions.mean,
                    one.counted, *point.probabilities, *point.predictions,
                    point.wrong.value, point.wrong.low, point.wrong.high,
                ]  # fmt: skip

    def _around_cells(self) -> Iterator[Sequence[Cell]]:
        for name, one in self._there().items():
            for point in one.clouds:
                wrong, target = point.wrong, point.target
                yield [
                    name, point.centre, point.noise, one.counted, self.job.draws,
                    *point.predictions,
                    wrong.value, wrong.low, wrong.high, target.value, target.low, target.high,
                ]  # fmt: skip


def _named(name: str, one: ModelProbes) -> str:
    return f"{name}\ndistortion {one.distortions.mean:.3f}"


def _line(one: ModelProbes, direction: str) -> Line:
    points = one.line(direction)
    return Line(
        torch.tensor([point.factor for point in points]),
        torch.tensor([point.probabilities for point in points]),
        torch.tensor([point.predictions for point in points]),
    )


def _cloud(one: ModelProbes, centre: float) -> Cloud:
    points = one.cloud(centre)
    return Cloud(
        torch.tensor([point.noise for point in points]),
        torch.tensor([[p.wrong.value, p.wrong.low, p.wrong.high] for p in points]),
        torch.tensor([[p.target.value, p.target.low, p.target.high] for p in points]),
    )
