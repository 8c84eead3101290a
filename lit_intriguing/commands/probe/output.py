"""The numbers of a probing study on the screen, as CSV, as Markdown and as figures."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from lit_intriguing.commands.probe.points import DIRECTIONS, ProbeJob
from lit_intriguing.commands.probe.table import ModelProbes, Probes
from lit_intriguing.figures.canvas import png
from lit_intriguing.figures.probing import Cloud, Line, clouds_figure, lines_figure
from lit_intriguing.metrics.probing import KINDS
from lit_intriguing.tables import Cell, csv_table, markdown_table, screen_table

ALONG = (
    "model", "direction", "factor", "mean distortion", "rows",
    *(f"probability {kind}" for kind in KINDS), *(f"answers {kind}" for kind in KINDS),
    "wrong", "low", "high",
)  # fmt: skip
AROUND = (
    "model", "centre", "noise", "rows", "draws", *(f"answers {kind}" for kind in KINDS),
    "wrong", "wrong low", "wrong high", "target", "target low", "target high",
)  # fmt: skip
Grid = tuple[list[str], list[list[Cell]]]


@dataclass(frozen=True)
class Report:
    """How the numbers are shown.

    Attributes:
        probes: The numbers.
        job: What was asked for.
        confidence: Of the intervals.
        title: Heading.
    """

    probes: Probes
    job: ProbeJob
    confidence: float = 0.95
    title: str = "Probing"

    def screen(self) -> str:
        """For a terminal."""
        parts = [self.title]
        for words, (columns, lines) in self._grids():
            parts += [f"\n{words}", screen_table(columns, lines)]
        return "\n".join([*parts, *self._notes()])

    def page(self) -> str:
        """As Markdown."""
        parts = [f"# {self.title}\n"]
        for words, (columns, lines) in self._grids():
            parts += [f"{words}\n", markdown_table(columns, lines)]
        return "\n".join([*parts, "".join(f"- {note}\n" for note in self._notes())])

    def write(self, folder: Path) -> list[str]:
        """Writes all files; returns their names."""
        folder.mkdir(parents=True, exist_ok=True)
        texts = {
            "along.csv": csv_table(ALONG, list(self._along_cells())),
            "around.csv": csv_table(AROUND, list(self._around_cells())),
            "probe.md": self.page(),
        }
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8")
        return [*texts, *self._draw(folder)]

    def _draw(self, folder: Path) -> list[str]:
        there = self._there()
        if not there:
            return []
        lines = {
            _named(name, one): {direction: _line(one, direction) for direction in DIRECTIONS}
            for name, one in there.items()
        }
        clouds = {
            _named(name, one): {centre: _cloud(one, centre) for centre in self.job.centres}
            for name, one in there.items()
        }
        (folder / "along.png").write_bytes(png(lines_figure(lines, title=self.title)))
        (folder / "around.png").write_bytes(png(clouds_figure(clouds, title=self.title)))
        return ["along.png", "around.png"]

    def _there(self) -> dict[str, ModelProbes]:
        return {name: one for name, one in self.probes.models.items() if one.counted}

    def _grids(self) -> Iterator[tuple[str, Grid]]:
        yield (
            "Wrong answers, %, at multiples of each row's own adversarial perturbation:",
            self._along_grid(),
        )
        yield (
            "Wrong answers and, in brackets, answers of the class that the example reaches, both "
            "% of all answers, in Gaussian noise of these standard deviations around the image "
            "(0), its example (1) and other points of the line:",
            self._around_grid(),
        )

    def _along_grid(self) -> Grid:
        columns = ["", "rows", "distortion", "direction", *(f"{f:g}" for f in self.job.factors)]
        lines: list[list[Cell]] = []
        for name, one in self._there().items():
            for direction in DIRECTIONS:
                mean = f"{one.distortions.mean:.4f}"
                head: list[Cell] = [name, one.counted, mean, direction]
                points = one.line(direction)
                lines.append([*head, *(f"{100 * point.wrong.value:.1f}" for point in points)])
        return columns, lines

    def _around_grid(self) -> Grid:
        columns = ["", "centre", *(f"{length:g}" for length in self.job.noise)]
        lines: list[list[Cell]] = []
        for name, one in self._there().items():
            for centre in self.job.centres:
                cells: list[Cell] = [
                    f"{100 * point.wrong.value:.1f} ({100 * point.target.value:.1f})"
                    for point in one.cloud(centre)
                ]
                lines.append([name, f"{centre:g}", *cells])
        return columns, lines

    def _along_cells(self) -> Iterator[Sequence[Cell]]:
        for name, one in self._there().items():
            for point in one.lines:
                yield [
                    name, point.direction, point.factor, point.factor * one.distortions.mean,
                    one.counted, *point.probabilities, *point.answers,
                    point.wrong.value, point.wrong.low, point.wrong.high,
                ]  # fmt: skip

    def _around_cells(self) -> Iterator[Sequence[Cell]]:
        for name, one in self._there().items():
            for point in one.clouds:
                wrong, target = point.wrong, point.target
                yield [
                    name, point.centre, point.noise, one.counted, self.job.draws, *point.answers,
                    wrong.value, wrong.low, wrong.high, target.value, target.low, target.high,
                ]  # fmt: skip

    def _notes(self) -> list[str]:
        notes = []
        for name, one in self.probes.models.items():
            if one.counted < one.rows:
                notes.append(
                    f"{name}: {one.counted} of {one.rows} rows count, those that it reads rightly "
                    f"and that the attack succeeds on{'' if one.counted else ': no numbers'}."
                )
        return [*notes, *(f"{name!r}: {why}" for name, why in self.probes.failures.items())]


def _named(name: str, one: ModelProbes) -> str:
    return f"{name}\ndistortion {one.distortions.mean:.3f}"


def _line(one: ModelProbes, direction: str) -> Line:
    points = one.line(direction)
    return Line(
        torch.tensor([point.factor for point in points]),
        torch.tensor([point.probabilities for point in points]),
        torch.tensor([point.answers for point in points]),
    )


def _cloud(one: ModelProbes, centre: float) -> Cloud:
    points = one.cloud(centre)
    return Cloud(
        torch.tensor([point.noise for point in points]),
        torch.tensor([[p.wrong.value, p.wrong.low, p.wrong.high] for p in points]),
        torch.tensor([[p.target.value, p.target.low, p.target.high] for p in points]),
    )
