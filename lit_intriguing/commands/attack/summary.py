"""What came of an attack, in numbers."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor

from lit_intriguing.tables import csv_table


@dataclass(frozen=True)
class Summary:
    """The numbers of one attack.

    Attributes:
        images: Of the split, or of the part that was asked for.
        attacked: Images attacked.
        accuracy: Share of images that the model classifies correctly.
        accuracy_after: The same on the adversarial images, those not attacked included.
        success: Share of the attacked images on which the goal was reached; NaN without any.
        distortion: Mean over the successes, in the units of what was attacked; NaN without any.
        median_distortion: Their median.
        c: Mean of the paper's c over the successes, where the attack has one; else NaN.
        gradients: Mean gradient evaluations over the attacked images.
        seconds: Spent on attacking, summed over all processes.
    """

    images: int
    attacked: int
    accuracy: float
    accuracy_after: float
    success: float
    distortion: float
    median_distortion: float
    c: float
    gradients: float
    seconds: float

    def text(self, paper: float | None = None) -> str:
        """Return a table for a terminal.

        Args:
            paper: A mean distortion to write beside that measured.

        >>> print(Summary(9, 8, 8 / 9, 0, 1, .04, .03, math.nan, 21, 2.5).text())
        images               9
        attacked             8
        accuracy             88.89%, after the attack 0.00%
        success              100.00%
        distortion           0.04 mean, 0.03 median, of successes
        gradient evaluations 21.0 an image
        seconds              2.5
        """
        lines = {
            "images": f"{self.images}",
            "attacked": f"{self.attacked}",
            "accuracy": f"{self.accuracy:.2%}, after the attack {self.accuracy_after:.2%}",
            "success": f"{self.success:.2%}",
            "distortion": (
                f"{self.distortion:.4g} mean, {self.median_distortion:.4g} median, of successes"
                f"{'' if paper is None else f' (paper: {paper:g} mean)'}"
            ),
            "c": f"{self.c:.4g} mean, of successes",
            "gradient evaluations": f"{self.gradients:.1f} an image",
            "seconds": f"{self.seconds:.1f}",
        }
        if math.isnan(self.c):
            del lines["c"]
        return "\n".join(f"{name:<20} {value}" for name, value in lines.items())

    def csv(self) -> str:
        """Return the headings and a row."""
        numbers = asdict(self)
        return csv_table(list(numbers), [list(numbers.values())])

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> "Summary":
        """Return the summary that a manifest holds; earlier versions wrote `rows` for `images`."""
        return cls(**{"images" if name == "rows" else name: it for name, it in stored.items()})


def summarise(columns: Mapping[str, Tensor], seconds: float) -> Summary:
    """Compute the numbers.

    Args:
        columns: See `Examples`.
        seconds: Spent on attacking.
    """
    attacked, success = columns["attacked"], columns["success"]
    distortion = columns["distortion"][success].double()
    labels = columns["labels"]
    return Summary(
        images=len(labels),
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
