"""An evaluation in numbers: as scalars for loggers, and as tables."""

import math
from collections.abc import Sequence

from torch import Tensor

from lit_intriguing.robustness.evaluation import QUANTILES, Evaluation
from lit_intriguing.robustness.sizes import Sizes, size_key
from lit_intriguing.tables import Cell

CERTIFIED = "certified"
"""Begins the names of errors that bounds leave possible."""


def scalar_names(attacks: Sequence[str], sizes: Sizes) -> list[str]:
    """Return the names of all scalars that `scalars` may give.

    Args:
        attacks: Their names.
        sizes: Of each norm.

    >>> scalar_names(["lbfgs"], {"l2": (0.5,)})[:3]
    ['clean', 'gradients', 'l2_0.5']
    """
    keys = [size_key(norm, size) for norm, some in sizes.items() for size in some]
    several = attacks if len(attacks) > 1 else []
    return [
        "clean",
        "gradients",
        *keys,
        *(f"{key}_worst_class" for key in keys),
        *(f"{CERTIFIED}/{key}" for key in keys),
        *(f"{attack}/{key}" for attack in several for key in keys),
        *(_quantile_key(norm, share) for norm in sizes for share in QUANTILES),
    ]


def _quantile_key(norm: str, share: float) -> str:
    return f"{norm}_q{100 * share:.0f}"


def scalars(found: Evaluation, sizes: Sizes, shared: bool) -> dict[str, float]:
    """Return an evaluation as scalars; NaN for what is not known.

    `clean` is the error without an attack, `<norm>_<size>` that in the worst case,
    `<norm>_<size>_worst_class` that of the class with the largest one, `certified/...` what bounds
    leave possible, `<attack>/...` the error by one of several attacks, `<norm>_q50` the median of
    the minimal distances over the examples read rightly (`q10`, `q90` likewise), `gradients` the
    mean number of gradient evaluations an example.

    Args:
        found: The evaluation.
        sizes: Of each norm.
        shared: See `evaluate_tensors`.
    """
    values = {
        "clean": float(found.wrong.double().mean()),
        "gradients": float(found.queries.double().mean()),
    }
    for norm, some in sizes.items():
        worst = found.class_errors(norm, some).nan_to_num(-math.inf).amax(0)
        proved = found.uncertified(norm, some)
        for at, (size, error) in enumerate(zip(some, found.error(norm, some), strict=True)):
            key = size_key(norm, size)
            values[key] = float(error)
            values[f"{key}_worst_class"] = float(worst[at])
            if proved is not None:
                values[f"{CERTIFIED}/{key}"] = float(proved[at])
        for share, distance in zip(QUANTILES, found.quantiles(norm).tolist(), strict=True):
            values[_quantile_key(norm, share)] = distance if math.isfinite(distance) else math.nan
    for name, counted in by_attack(found.attacks, shared).items():
        for norm, some in sizes.items():
            for size, error in zip(some, found.error(norm, some, counted).tolist(), strict=True):
                values[f"{name}/{size_key(norm, size)}"] = error
    return values


def by_attack(attacks: Sequence[str], shared: bool) -> dict[str, list[str]]:
    """Return which attacks count for the error by each: with work shared, those before it too.

    Nothing where there is one attack: its error is the worst case.
    """
    if len(attacks) < 2:
        return {}
    return {name: list(attacks[: at + 1]) if shared else [name] for at, name in enumerate(attacks)}


def size_table(found: Evaluation, sizes: Sizes, shared: bool) -> tuple[list[str], list[list[Cell]]]:
    """Return column names, and a row for each size: errors in per cent."""
    counted = by_attack(found.attacks, shared)
    word = "up to" if shared else "by"
    columns = [
        "norm", "size", "error, %", *(f"{word} {name}, %" for name in counted),
        "not certified, %", "worst class", "its error, %",
    ]  # fmt: skip
    rows: list[list[Cell]] = []
    for norm, some in sizes.items():
        errors = {name: found.error(norm, some, own).tolist() for name, own in counted.items()}
        proved, classes = found.uncertified(norm, some), found.class_errors(norm, some)
        for at, (size, error) in enumerate(zip(some, found.error(norm, some), strict=True)):
            worst = int(classes[:, at].nan_to_num(-1.0).argmax())
            rows.append([
                norm, size, _per_cent(error), *(_per_cent(own[at]) for own in errors.values()),
                "" if proved is None else _per_cent(proved[at]),
                worst if error else "", _per_cent(classes[worst, at]),
            ])  # fmt: skip
    return columns, rows


def _per_cent(share: Tensor | float) -> float:
    """Return a share in per cent, without the last digits' rounding of binary numbers."""
    return round(100 * float(share), 10)


def class_table(found: Evaluation, sizes: Sizes) -> tuple[list[str], list[list[Cell]]]:
    """Return column names, and a row for each class that has examples: errors in per cent."""
    counts = found.labels.bincount().tolist()
    by_size = {
        (norm, size): errors
        for norm, some in sizes.items()
        for size, errors in zip(some, found.class_errors(norm, some).T.tolist(), strict=True)
    }
    wrong = 100 * found.class_errors(next(iter(sizes)), [0.0])[:, 0]
    columns = ["class", "examples", "clean, %", *(f"{n} {s:g}, %" for n, s in by_size)]
    rows: list[list[Cell]] = [
        [label, count, float(wrong[label]), *(100 * one[label] for one in by_size.values())]
        for label, count in enumerate(counts)
        if count
    ]
    return columns, rows


def trial_table(found: Evaluation) -> tuple[list[str], list[list[Cell]]]:
    """Return column names, and a row for each run of an attack.

    Its success and its gradient evaluations are over the examples on which it ran, the mean
    distance over its successes.
    """
    rows: list[list[Cell]] = []
    for trial in found.trials:
        tried, fooled = int(trial.tried.sum()), int(trial.fooled.sum())
        norm = trial.norm or "l2"
        away = trial.distances[norm][trial.fooled]
        queries = trial.queries[trial.tried].double()
        rows.append([
            trial.attack, trial.norm or "nearest", "" if trial.size is None else trial.size,
            tried, "" if not tried else 100 * fooled / tried,
            "" if not fooled else float(away.mean()), norm,
            "" if not tried else float(queries.mean()),
        ])  # fmt: skip
    return [
        "attack", "ball", "size", "images", "success, %", "mean distance", "in", "gradients",
    ], rows  # fmt: skip
