"""Results of `lightning evaluate`: `sizes.csv` and its figure."""

from pathlib import Path
from typing import Any

from lit_intriguing.commands.report.result import Picture, Shown, Table, number, rows_of

KIND, FILE = "errors under attack", "sizes.csv"


def read(folder: Path) -> dict[str, Any]:
    """Return the fields of a `Result`."""
    rows = rows_of(folder / FILE)
    body: list[list[Shown]] = [[_shown(cell) for cell in row.values()] for row in rows]
    figure = Picture(folder / "robustness.png", "Error against the size of the perturbation")
    return {
        "headline": f"error under attack at {len(rows)} sizes",
        "tables": [Table("Errors at each size of the perturbation.", list(rows[0]), body)],
        "pictures": [figure] if (folder / "robustness.png").is_file() else [],
    }


def _shown(cell: str) -> str:
    try:
        return number(cell, ".4g")
    except ValueError:
        return cell
