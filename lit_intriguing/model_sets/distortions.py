"""How far the examples of a set lie from their images."""

import math
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Distortions:
    """Root mean square changes of a set's rows; NaN without any.

    Rows that were not moved, since the model gets them wrong as they are, are left out.
    """

    rows: int
    mean: float
    deviation: float
    median: float

    @classmethod
    def of(cls, values: Tensor) -> "Distortions":
        """Of (n,) changes."""
        values = values.double()
        values = values[values > 0]
        if not len(values):
            return cls(0, math.nan, math.nan, math.nan)
        deviation = float(values.std()) if len(values) > 1 else math.nan
        return cls(len(values), float(values.mean()), deviation, float(values.quantile(0.5)))
