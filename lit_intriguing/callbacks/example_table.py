"""The table of adversarial examples with class labels."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from lit_intriguing.attacks.box_lbfgs import Outcome
from lit_intriguing.loggers.table import Pixels, Table
from lit_intriguing.tables import Cell

_FIRST = ("label", "target", "prediction", "adversarial_prediction", "success", "distortion")
_CLASSES = {
    "labels": "label",
    "targets": "target",
    "predictions": "prediction",
    "adversarial_predictions": "adversarial_prediction",
}
ANY = "any other"
"""The target where any wrong label would do."""


def example_table(
    columns: Mapping[str, Tensor],
    names: Sequence[str] | None,
    images: Mapping[str, Pixels],
) -> Table:
    """Return a row for each example, of all columns with one number for it.

    Args:
        columns: See `Examples.columns`.
        names: Of the classes; None for their numbers.
        images: Columns of pictures.

    Returns:
        `example` (its number), `label`, `target`, `prediction`, `adversarial_prediction`,
        `success`, `distortion`, and what else the attack reports: `status` as a word;
        `aimed_at`, the label that it came nearest by, where that is not the target.
    """
    numbers = {name: one for name, one in columns.items() if one.ndim == 1}
    aimed = numbers.pop("target", None)
    if aimed is not None and not aimed.equal(numbers["targets"]):
        numbers["aimed_at"] = aimed
    cells = {_CLASSES.get(name, name): _cells(name, one, names) for name, one in numbers.items()}
    order = [*_FIRST, *(name for name in cells if name not in _FIRST)]
    rows = zip(*(cells[name] for name in order), strict=True)
    return Table(["example", *order], [[number, *row] for number, row in enumerate(rows)], images)


def _cells(name: str, column: Tensor, names: Sequence[str] | None) -> list[Cell]:
    values: list[Cell] = column.tolist()
    if name == "status":
        return [_outcome(int(one)) for one in values]
    if name in _CLASSES or name == "aimed_at":
        return [_class(int(one), names) for one in values]
    return values


def _class(label: int, names: Sequence[str] | None) -> Cell:
    if label < 0:
        return ANY
    return label if names is None else names[label]


def _outcome(code: int) -> str:
    """Return how a search ended, in words; of `BoxLBFGS`, whose status it is."""
    known = {int(one): one for one in Outcome}
    return known[code].name.lower().replace("_", " ") if code in known else "not attacked"
