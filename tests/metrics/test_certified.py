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


@pytest.mark.parametrize(
    ("name", "value"), [("norms", "1"), ("norms", None), ("at", "0.5"), ("logit_error", "0")]
)
def test_arguments_of_another_type_are_refused_by_their_names(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"CertifiedAccuracy: {name} must be"):
        CertifiedAccuracy(**{"norms": 1.0, "at": [0.0], name: value})
