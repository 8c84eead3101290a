import itertools

import pytest
import torch

from lit_intriguing.errors import UserError
from lit_intriguing.units.coherence import ByFeatures, ByLabels, feature_coherence, label_coherence


def test_both_are_means_over_pairs() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(3, (40,), generator=generator)
    features = torch.randn(40, 6, generator=generator)
    top = torch.stack([torch.randperm(40, generator=generator)[:5] for _ in range(7)])
    for row, by_label, by_feature in zip(
        top, label_coherence(labels, top), feature_coherence(features, top), strict=True
    ):
        pairs = list(itertools.combinations(row.tolist(), 2))
        same = sum(labels[i] == labels[j] for i, j in pairs) / len(pairs)
        cosines = [torch.cosine_similarity(features[i], features[j], dim=0) for i, j in pairs]
        assert float(by_label) == pytest.approx(float(same))
        assert float(by_feature) == pytest.approx(float(sum(cosines) / len(pairs)), abs=1e-6)


def test_features_are_centred_and_found_by_index() -> None:
    features = torch.tensor([[11.0, 10.0], [9.0, 10.0], [12.0, 10.0], [8.0, 10.0]])
    coherence = ByFeatures(torch.tensor([3, 5, 8, 9]), features)
    assert coherence(torch.tensor([[3, 8], [3, 5]])).tolist() == [1.0, -1.0]


def test_a_feature_vector_of_zero_is_like_nothing() -> None:
    assert feature_coherence(torch.zeros(2, 3), torch.tensor([[0, 1]])).tolist() == [0.0]


def test_what_does_not_fit() -> None:
    with pytest.raises(UserError, match="All 3 images have the label 4"):
        ByLabels(torch.tensor([4, 4, 4]))
    with pytest.raises(UserError, match="one integer for each image"):
        ByLabels(torch.zeros(3))
    with pytest.raises(UserError, match=r"shape \(2, F\)"):
        ByFeatures(torch.arange(2), torch.zeros(3, 4))
    with pytest.raises(UserError, match="not finite"):
        ByFeatures(torch.arange(1), torch.tensor([[torch.nan]]))
    with pytest.raises(ValueError, match="k at least 2"):
        label_coherence(torch.arange(3), torch.tensor([[0]]))
