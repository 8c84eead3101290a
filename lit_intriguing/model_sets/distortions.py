"""How far the examples of a set lie from their images."""

import math
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Distortions:
    """Root mean square changes of a set's images, in their units; NaN without any.

    Images that were not changed, since the model misclassifies them as they are, are left out.

    Attributes:
        images: How many were changed.
        mean: Of the changes.
        deviation: Sample standard deviation (n - 1); NaN below two.
        median: Of the changes.
    """

    images: int
    mean: float
    deviation: float
    median: float

    @classmethod
    def of(cls, values: Tensor) -> "Distortions":
        """Return the statistics of changes, `(n,)`."""
        values = values.double()
        values = values[values > 0]
        if not len(values):
            return cls(0, math.nan, math.nan, math.nan)
        deviation = float(values.std()) if len(values) > 1 else math.nan
        return cls(len(values), float(values.mean()), deviation, float(values.quantile(0.5)))
