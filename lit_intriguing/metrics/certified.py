"""Certified accuracy at given distances, as a metric."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from lit_intriguing.argument_types import checked_arguments
from lit_intriguing.lipschitz.certificate import certified_accuracy, certified_radius
from lit_intriguing.lipschitz.norm import Norm
from lit_intriguing.metrics.base import NamedMetric
from lit_intriguing.metrics.sizes import as_sizes, as_texts


@checked_arguments
class CertifiedAccuracy(NamedMetric):
    """`lipschitz.certificate.certified_accuracy` over batches and ranks, each example counted once.

    Args:
        norms: Bounds as for `certified_radius`, of the network as it is.
        at: L2 distances, zero or more, R different ones.
        logit_error: As for `certified_radius`.
        keywords: Of `torchmetrics.Metric`, such as `sync_on_compute`.

    Raises:
        ValueError: For norms of another type, distances that are no numbers or are there twice; in
            `update`, what `certified_radius` and `certified_accuracy` refuse.

    Examples:
        >>> metric = CertifiedAccuracy(norms=1.0, at=[0.0, 1.0])
        >>> metric.update(torch.tensor([[3.0, 0.0], [1.0, 0.0]]).double(), torch.tensor([0, 0]))
        >>> metric.compute()
        tensor([1.0000, 0.5000], dtype=torch.float64)
    """

    higher_is_better = True

    certified: Tensor
    examples: Tensor

    def __init__(
        self,
        norms: Norm | Tensor | float,
        at: Sequence[float],
        logit_error: float | None = None,
        **keywords: Any,
    ) -> None:
        super().__init__(**keywords)
        self.norms, self.logit_error = norms, logit_error
        self.at = as_sizes("at", at)
        self.add_settings(norms, self.at, logit_error)
        zeros = torch.zeros(len(self.at), dtype=torch.int64)
        self.add_state("certified", zeros, dist_reduce_fx="sum")
        self.add_state("examples", torch.tensor(0), dist_reduce_fx="sum")

    def element_names(self) -> list[str]:
        """Return the distance of each share."""
        return [f"at {one}" for one in as_texts(self.at)]

    def update(self, logits: Tensor, labels: Tensor) -> None:
        """Count a batch: logits (n, classes), labels (n,)."""
        if not len(logits):
            return
        radii = certified_radius(logits, self.norms, labels, logit_error=self.logit_error)
        shares = certified_accuracy(radii, logits.argmax(1).cpu() == labels.cpu(), self.at)
        inside = (shares * len(logits)).round().long().to(self.certified.device)
        self.certified, self.examples = self.certified + inside, self.examples + len(logits)

    def compute(self) -> Tensor:
        """Return the shares so far, float64 (R,); NaN without examples."""
        return self.certified.double() / self.examples
