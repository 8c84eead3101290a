"""Results of `lightning fit`: `metrics.csv` of a CSVLogger, and pictures of callbacks."""

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml

from lit_intriguing.commands.report.result import Picture, Shown, Table
from lit_intriguing.figures.canvas import png
from lit_intriguing.figures.curves import error_curves

KIND, FILE = "training", "metrics.csv"
POINTS = 150
"""Of a curve, at most."""
PICTURES = 4
"""Of callbacks, at most: the newest."""
TEST = "test/error"
_NOT_METRICS = ("epoch", "step")
Series = tuple[Sequence[float], Sequence[float]]


def read(folder: Path) -> dict[str, Any]:
    """Return the fields of a `Result`.

    Raises:
        ValueError: A number is none, or there are no metrics.
    """
    series = _series(folder / FILE)
    settings = _settings(folder)
    config = yaml.safe_load(settings) or {}
    seed = config.get("seed_everything")
    error = 100 * series[TEST][1][-1] if TEST in series else None
    last = max(steps[-1] for steps, _ in series.values())
    result = "not tested" if error is None else f"test error {error:.2f}%"
    return {
        "headline": f"{result}, seed {seed}, {last:.0f} steps",
        "tables": [_table(series)],
        "pictures": [*_curves(series), *_of_callbacks(folder)],
        "settings": settings,
        "error": error,
        "seed": "" if seed is None else str(seed),
    }


def _series(path: Path) -> dict[str, Series]:
    """Return steps and values of each metric."""
    found: dict[str, tuple[list[float], list[float]]] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            for name, text in row.items():
                if name not in _NOT_METRICS and text:
                    steps, values = found.setdefault(name, ([], []))
                    steps.append(float(row["step"]))
                    values.append(float(text))
    if not found:
        raise ValueError(f"{path.name} holds no metrics")
    return dict(found)


def _settings(folder: Path) -> str:
    path = folder / "config.yaml"
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _table(series: Mapping[str, Series]) -> Table:
    rows: list[list[Shown]] = [
        [name, f"{values[-1]:.4g}", f"{min(values):.4g}", f"{max(values):.4g}", f"{steps[-1]:.0f}"]
        for name, (steps, values) in sorted(series.items())
    ]
    return Table("All metrics.", ["metric", "last", "least", "greatest", "last step"], rows)


def _curves(series: Mapping[str, Series]) -> list[Picture]:
    losses = [name for name in series if name in ("train/loss", "val/loss", "validation/loss")]
    errors = [
        name
        for name, (steps, _) in series.items()
        if name.split("/")[0] in ("train", "val", "validation") and "error" in name
        and len(steps) > 1
    ]  # fmt: skip
    return [
        _curve({name: series[name] for name in names}, label)
        for names, label in ((losses, "loss"), (errors, "error"))
        if names
    ]


def _curve(series: Mapping[str, Series], label: str) -> Picture:
    curves = {}
    for name, (steps, values) in series.items():
        each = math.ceil(len(steps) / POINTS)
        curves[name] = (torch.tensor(steps[::each]), torch.tensor([values[::each]]))
    figure = error_curves(curves, x_label="steps", y_label=label)
    ends = ", ".join(f"{n} from {v[0]:.3g} to {v[-1]:.3g}" for n, (_, v) in series.items())
    return Picture(png(figure), f"Curve of {label} against steps: {ends}")


def _of_callbacks(folder: Path) -> list[Picture]:
    files = sorted(folder.rglob("*.png"), key=lambda file: file.stat().st_mtime_ns)
    return [
        Picture(path, f"Picture of a callback: {path.relative_to(folder).with_suffix('')}")
        for path in files[-PICTURES:]
    ]
