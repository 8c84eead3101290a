"""Folders with results, in the columns of the commands that write them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lit_intriguing.commands.ablate import output as ablation
from lit_intriguing.commands.attack.summary import Summary
from lit_intriguing.commands.lipschitz import output as bounds
from lit_intriguing.commands.probe import output as probing
from lit_intriguing.commands.transfer.output import CSV_COLUMNS
from lit_intriguing.figures.canvas import new_figure, png
from lit_intriguing.lipschitz.layer_bounds import FOLDED, PADDED, LayerBound, NetworkNorm
from lit_intriguing.lipschitz.norm import Norm, unknown
from lit_intriguing.tables import csv_table
from lit_intriguing.units import table as units


def write(path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes rows in a command's columns; a name that is none of them fails."""
    for row in rows:
        assert set(row) <= set(columns), set(row) - set(columns)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(csv_table(columns, [[row.get(one, "") for one in columns] for row in rows]))


def picture(path: Path, inches: float = 1.0) -> None:
    path.write_bytes(png(new_figure(inches, inches)))


def _cell(name: str, kind: str, model: str, error: float, **more: Any) -> dict[str, Any]:
    ends = {"low": error - 1, "high": error + 1}
    return {
        "set": name, "kind": kind, "model": model, "error": error, "images": 64, **ends, **more,
    }  # fmt: skip


def transfer(folder: Path) -> Path:
    rows = [
        *(_cell("test error", "clean", m, e, paper=1.5) for m, e in (("A", 1.25), ("B", 2.5))),
        *(_cell("clean", "clean", m, 3.0) for m in "AB"),
        _cell("for A", "adversarial", "A", 100.0, **{"made for": "A", "distortion": 0.05}),
        _cell("for A", "adversarial", "B", 20.0, **{"made for": "A", "distortion": 0.05}),
        _cell("for B", "adversarial", "A", 30.0, **{"made for": "B", "distortion": 0.07}),
        _cell("for B", "adversarial", "B", 100.0,
              **{"made for": "B", "distortion": 0.07}),
        *(_cell("noise 0.3", "noise", m, 9.0, stddev=0.3, distortion=0.3) for m in "AB"),
        _cell("for A, amplified to 0.1", "amplified", "A", 99.0,
              **{"made for": "A", "stddev": 0.1, "distortion": 0.1}),
        {"set": "for A, amplified to 0.1", "kind": "amplified", "model": "B", "made for": "A",
         "stddev": 0.1, "mark": "failed"},
    ]  # fmt: skip
    for row in rows:  # one for a whole set, as the command writes it
        if row["set"] == "for B":
            row["paper distortion"] = 0.065
    write(folder / "transfer.csv", CSV_COLUMNS, rows)
    picture(folder / "transfer.png")
    return folder


def probes(folder: Path) -> Path:
    along = [
        {"model": "A", "direction": direction, "factor": factor, "wrong": wrong, "low": wrong / 2,
         "high": wrong}
        for direction in ("adversarial", "random")
        for factor, wrong in ((0.5, 0.125), (1.0, 0.5))
    ]  # fmt: skip
    around = [
        {"model": "A", "centre": centre, "noise": noise, "wrong": 0.75, "wrong low": 0.5,
         "wrong high": 1.0}
        for centre in (0, 1) for noise in (0.1, 0.2)
    ]  # fmt: skip
    write(folder / "along.csv", probing.ALONG, along)
    write(folder / "around.csv", probing.AROUND, around)
    return folder


def lipschitz(folder: Path) -> Path:
    layers = (
        LayerBound("one", "Linear", (4,), Norm(2.5)),
        LayerBound("two", "Odd", (4,), unknown("no rule for Odd")),
        LayerBound("norm", "BatchNorm", (4,), Norm(1.0), f"{FOLDED}one"),
        LayerBound("conv", "Conv2d", (4,), Norm(1.5), f"{PADDED}pad"),
    )
    network = NetworkNorm(layers, unknown("no rule for Odd"))
    folder.mkdir(parents=True, exist_ok=True)
    bounds.write(
        folder,
        bounds.Result(network, layers, (4,), 1.0, {"one": 2.75}, certified={0.5: 0.25}, images=8),
    )
    return folder


def unit_analysis(folder: Path) -> Path:
    usual = {"basis": "units", "images": 360, "directions": 100, "active": 97}
    found = {"effect": 0.05, "effect low": -0.15, "effect high": 0.26, "p": 0.6}
    rows = [
        {"layer": "hidden1", "network": "trained", "verdict": "no distinction", **usual, **found},
        {"layer": "hidden1", "network": "untrained", "verdict": "undecided", **usual, **found},
        {"layer": "silent", "network": "trained", "note": "no active unit", **usual,
         **dict.fromkeys(found, "nan")},
    ]  # fmt: skip
    write(folder / "units.csv", units.COLUMNS, rows)
    picture(folder / "images_hidden1.png")
    return folder


def ablated(folder: Path) -> Path:
    rows = [
        {"row": "input", "chosen": "1 of 3", "mean": "1.13", "sd": "0.15", "min": "1.00",
         "max": "1.30", "n": 3, "failed": 0, "seeds": "1.00 1.10 1.30"},
        {"row": "all", "chosen": "2 of 3", "mean": "1.00", "min": "1.00", "max": "1.00", "n": 1,
         "failed": 2, "seeds": "1.00"},
    ]  # fmt: skip
    write(folder / "ablation.csv", [*ablation.COLUMNS, "seeds"], rows)
    return folder


def attacked(folder: Path, attacked: int = 8) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    share = 1.0 if attacked else float("nan")
    summary = Summary(9, attacked, 8 / 9, 0.0, share, 0.04, 0.03, 1.0, 21.0, 2.5)
    (folder / "summary.csv").write_text(summary.csv())
    picture(folder / "examples.png")
    return folder


def trained(folder: Path, *, seed: int = 0, error: float | None = 0.0125) -> Path:
    columns = ["epoch", "step", "train/loss", "train/batch_error", "test/error"]
    rows: list[dict[str, Any]] = [
        {
            "epoch": step // 20,
            "step": step,
            "train/loss": 2.0 / (step + 1),
            "train/batch_error": 0.5,
        }
        for step in range(40)
    ]
    if error is not None:
        rows.append({"epoch": 1, "step": 40, "test/error": error})
    write(folder / "metrics.csv", columns, rows)
    (folder / "config.yaml").write_text(f"seed_everything: {seed}\n")
    return folder
