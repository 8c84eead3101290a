"""What came of an attack, in numbers."""

import csv
import io
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from torch import Tensor


@dataclass(frozen=True)
class Summary:
    """The numbers of one attack.

    Attributes:
        rows: Of the split, or of the part that was asked for.
        attacked: Rows attacked.
        accuracy: Share of rows that the model reads rightly.
        accuracy_after: The same on the adversarial rows, those not attacked included.
        success: Share of the attacked rows on which the goal was reached; NaN without any.
        distortion: Mean over the successes, in the units of what was attacked; NaN without any.
        median_distortion: Their median.
        c: Mean of the paper's c over the successes, where the attack has one; else NaN.
        gradients: Mean gradient evaluations over the attacked rows.
        seconds: Spent on attacking, summed over all processes.
    """

    rows: int
    attacked: int
    accuracy: float
    accuracy_after: float
    success: float
    distortion: float
    median_distortion: float
    c: float
    gradients: float
    seconds: float

    def text(self) -> str:
        """A table for a terminal.

        >>> print(Summary(9, 8, 8 / 9, 0, 1, .04, .03, math.nan, 21, 2.5).text())
        rows                 9
        attacked             8
        accuracy             88.89%, after the attack 0.00%
        success              100.00%
        distortion           0.04 mean, 0.03 median, of successes
        gradient evaluations 21.0 a row
        seconds              2.5
        """
        lines = {
            "rows": f"{self.rows}",
            "attacked": f"{self.attacked}",
            "accuracy": f"{self.accuracy:.2%}, after the attack {self.accuracy_after:.2%}",
            "success": f"{self.success:.2%}",
            "distortion": (
                f"{self.distortion:.4g} mean, {self.median_distortion:.4g} median, of successes"
            ),
            "c": f"{self.c:.4g} mean, of successes",
            "gradient evaluations": f"{self.gradients:.1f} a row",
            "seconds": f"{self.seconds:.1f}",
        }
        if math.isnan(self.c):
            del lines["c"]
        return "\n".join(f"{name:<20} {value}" for name, value in lines.items())

    def csv(self) -> str:
        """A header and a line."""
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerows([asdict(self).keys(), asdict(self).values()])
        return buffer.getvalue()


def summarise(columns: Mapping[str, Tensor], seconds: float) -> Summary:
    """Works the numbers out.

    Args:
        columns: See `Examples`.
        seconds: Spent on attacking.
    """
    attacked, success = columns["attacked"], columns["success"]
    distortion = columns["distortion"][success].double()
    labels = columns["labels"]
    return Summary(
        rows=len(labels),
        attacked=int(attacked.sum()),
        accuracy=_accuracy(columns["predictions"], labels),
        accuracy_after=_accuracy(columns["adversarial_predictions"], labels),
        success=float(success[attacked].double().mean()),
        distortion=float(distortion.mean()),
        median_distortion=float(distortion.quantile(0.5)) if len(distortion) else math.nan,
        c=float(columns["c"][success].double().nanmean()) if "c" in columns else math.nan,
        gradients=float(columns["queries"][attacked].double().mean()),
        seconds=round(seconds, 2),
    )


def _accuracy(predictions: Tensor, labels: Tensor) -> float:
    return float((predictions == labels).double().mean())
