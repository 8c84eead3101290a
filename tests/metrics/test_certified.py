import pytest
import torch

from lit_intriguing.lipschitz.certificate import certified_accuracy, certified_radius
from lit_intriguing.metrics.certified import CertifiedAccuracy


def test_batches_give_what_all_rows_at_once_give() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(17, 4, generator=generator, dtype=torch.float64)
    labels, at = torch.arange(17) % 4, torch.tensor([0.0, 0.2, 0.5])
    metric = CertifiedAccuracy(norms=1.0, at=at.tolist())
    for rows in torch.arange(17).split(5):
        metric.update(logits[rows], labels[rows])
    metric.update(logits[:0], labels[:0])
    radii = certified_radius(logits, 1.0, labels)
    whole = certified_accuracy(radii, logits.argmax(1) == labels, at)
    assert torch.equal(metric.compute(), whole)
    assert whole[0] > whole[2]


def test_logits_of_too_little_precision_are_refused() -> None:
    with pytest.raises(ValueError, match="float64_logits"):
        CertifiedAccuracy(norms=1.0, at=[0.0]).update(torch.ones(2, 3), torch.zeros(2))
