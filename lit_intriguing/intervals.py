"""The interval of a mean."""

import math
from collections.abc import Sequence
from statistics import mean, stdev

from scipy.stats import t


def interval_of_mean(values: Sequence[float]) -> tuple[float, float]:
    """Return the 95% interval of a mean by Student's t; two NaN for fewer than two values.

    >>> [round(end, 2) for end in interval_of_mean([1.0, 1.1, 1.3])]
    [0.75, 1.51]
    """
    if len(values) < 2:
        return math.nan, math.nan
    half = float(t.ppf(0.975, len(values) - 1)) * stdev(values) / math.sqrt(len(values))
    return mean(values) - half, mean(values) + half
