"""The table of a network: one line a method, distortions on the same images."""

import csv
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from .measure import Measured
from .methods import EXACT, REFERENCE

FULL = 0.99
"""Success from which a method has a say in which images count."""

HEADINGS = {
    "method": "method",
    "images": "images",
    "success": "success %",
    "rms": "RMS",
    "to_pdgd": "/ PDGD",
    "to_exact": "/ exact",
    "to_nearest": "0.9 quantile / nearest",
    "gradients": "gradients",
    "forwards": "forwards",
    "rate": "examples/s",
    "overhead": "overhead",
    "violation": "outside box",
}
FORMATS = {
    "success": ".2f",
    "rms": ".5f",
    "to_pdgd": ".4f",
    "to_exact": ".4f",
    "to_nearest": ".3f",
    "gradients": ".1f",
    "forwards": ".1f",
    "rate": ".4g",
    "overhead": ".2f",
    "violation": ".0e",
}
Cells = dict[str, str | float | None]


def counting_images(results: Mapping[str, Measured]) -> Tensor:
    """Return the images on which every method of full success succeeded: bool `(N,)`.

    A method that ran on the first few images has a say in those.
    """
    images = torch.ones(max(map(len, results.values())), dtype=torch.bool)
    for name, result in results.items():
        if name != EXACT and result.success.double().mean() >= FULL:
            images[: len(result)] &= result.success
    return images


def lines(results: Mapping[str, Measured]) -> list[Cells]:
    """Return the cells of each method's line; None where there is nothing to say."""
    images = counting_images(results)
    return [_line(name, result, results, images) for name, result in results.items()]


def _line(name: str, result: Measured, results: Mapping[str, Measured], images: Tensor) -> Cells:
    # The exact solution lies on the boundary, where rounding decides on the label.
    mine = images[: len(result)] if name == EXACT else images[: len(result)] & result.success
    return {
        "method": name,
        "images": len(result),
        "success": None if name == EXACT else 100 * result.success.double().mean().item(),
        "rms": result.rms[mine].mean().item(),
        "to_pdgd": _ratio(result, results, REFERENCE, mine),
        "to_exact": _ratio(result, results, EXACT, mine),
        "to_nearest": _tail(result, results, mine),
        "gradients": result.gradients or None,
        "forwards": result.forwards if result.gradients else None,
        "rate": result.rate,
        "overhead": result.overhead if result.overheads else None,
        "violation": result.violation,
    }


def _ratio(
    result: Measured, results: Mapping[str, Measured], to: str, mine: Tensor
) -> float | None:
    """Return the ratio of the mean distortions on the images that both have."""
    if to not in results:
        return None
    reference = results[to]
    count = min(len(result), len(reference))
    images = mine[:count]
    if to != EXACT:
        images = images & reference.success[:count]
    return (result.rms[:count][images].mean() / reference.rms[:count][images].mean()).item()


def _tail(result: Measured, results: Mapping[str, Measured], mine: Tensor) -> float:
    """Return the 0.9 quantile, image by image, of the distortion over the least of all methods."""
    count = len(result)
    nearest = torch.full((count,), torch.inf, dtype=result.rms.dtype)
    for other in results.values():
        both = min(count, len(other))
        met = other.rms[:both].where(other.success[:both], torch.inf)
        nearest[:both] = torch.minimum(nearest[:both], met)
    ratios = (result.rms / nearest)[mine]
    return ratios.quantile(0.9).item() if len(ratios) else torch.nan


def text(table: list[Cells]) -> str:
    """Return the table in columns, in Markdown; columns without an entry are left out."""
    shown = [key for key in HEADINGS if any(line[key] is not None for line in table)]
    cells = [[HEADINGS[key] for key in shown]]
    cells += [[_written(key, line[key]) for key in shown] for line in table]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    written = []
    for line in (cells[0], rule, *cells[1:]):
        numbers = [cell.rjust(width) for cell, width in zip(line, widths, strict=True)]
        written.append(f"| {' | '.join([line[0].ljust(widths[0]), *numbers[1:]])} |")
    return "\n".join(written)


def _written(key: str, value: str | float | None) -> str:
    if value is None:
        return ""
    return format(value, FORMATS.get(key, "")) if isinstance(value, float) else str(value)


def write(path: Path, table: list[Cells], **common: str | int) -> None:
    """Append a table to a CSV file, each line with what the run has in common."""
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, [*common, *HEADINGS])
        if new:
            writer.writeheader()
        writer.writerows([{**common, **line} for line in table])
