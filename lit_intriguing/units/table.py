"""A comparison as a table."""

import math
from collections.abc import Sequence

from lit_intriguing.tables import Cell
from lit_intriguing.units.analysis import LayerAnalysis

COLUMNS = [
    "layer", "network", "basis", "images", "directions", "active", "coherence",
    "random coherence", "effect", "effect low", "effect high", "p", "top tenth",
    "random top tenth", "top tenth p", "verdict", "note",
]  # fmt: skip


def table_rows(analyses: Sequence[LayerAnalysis]) -> list[list[Cell]]:
    """Return a row for each analysis, in full precision; NaN where there is no result."""
    return [
        [one.layer, one.network, one.basis, one.images, len(one.coherence), one.active,
         *_tested(one), one.verdict, one.note]
        for one in analyses
    ]  # fmt: skip


def _tested(one: LayerAnalysis) -> list[Cell]:
    if one.mean is None or one.top_tenth is None:
        return [math.nan] * 9
    mean, top, found = one.mean, one.top_tenth, one.effect
    return [
        mean.statistic, float(mean.random.mean()), found.value, found.low, found.high, mean.p,
        top.statistic, float(top.random.mean()), top.p,
    ]  # fmt: skip
