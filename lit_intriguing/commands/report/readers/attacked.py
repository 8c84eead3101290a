"""Results of `lightning attack`: `summary.csv` and its figure."""

from pathlib import Path
from typing import Any

from scipy.stats import binomtest

from lit_intriguing.commands.report.result import (
    Picture,
    Shown,
    Table,
    Value,
    number,
    rows_of,
)

KIND, FILE = "attack", "summary.csv"


def read(folder: Path) -> dict[str, Any]:
    """Return the fields of a `Result`."""
    row = rows_of(folder / FILE)[0]
    attacked = int(row["attacked"])
    reached = round(float(row["success"]) * attacked) if attacked else 0
    rows: list[list[Shown]] = [
        ["images", row["images"]],
        ["attacked", row["attacked"]],
        ["accuracy, %", _share(row["accuracy"], int(row["images"]))],
        ["accuracy after the attack, %", _share(row["accuracy_after"], int(row["images"]))],
        ["goal reached, %", _share(row["success"], attacked)],
        ["distortion, mean of successes", number(row["distortion"], ".4g")],
        ["distortion, median", number(row["median_distortion"], ".4g")],
        ["gradient evaluations an image", number(row["gradients"], ".1f")],
    ]
    alt = "Images, what was added to them, and what the network then predicts"
    figure = Picture(folder / "examples.png", alt)
    distortion = number(row["distortion"], ".4g") or "none"
    reach = f"{reached} of {attacked} images reach their goal, at a mean distortion of {distortion}"
    return {
        "headline": reach,
        "parts": {"distances": reach},
        "tables": [Table("The attack, with 95% intervals.", ["what", "value"], rows)],
        "pictures": [figure] if (folder / "examples.png").is_file() else [],
    }


def _share(text: str, images: int) -> Shown:
    share = number(text, "g")
    if not share or not images:
        return ""
    ends = binomtest(round(float(share) * images), images).proportion_ci(0.95, "wilson")
    return Value(f"{100 * float(share):.2f}", f"{100 * ends.low:.2f} to {100 * ends.high:.2f}")
