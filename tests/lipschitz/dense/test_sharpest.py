"""The sharpest bounds for certified radii."""

import pytest
from torch import Tensor

from lit_intriguing.lipschitz import network_norm
from lit_intriguing.lipschitz.dense import sharpest
from lit_intriguing.models import Classifier


def test_pairs_of_classes_are_bounded_one_by_one_in_stacks_that_are_not_too_wide(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = Classifier(widths=(64, 12, 10))
    network = network_norm(model, (64,))
    assert isinstance(sharpest.sharpest_norms(model, network, (64,)), Tensor)
    monkeypatch.setattr(sharpest, "WIDEST", 11)
    assert sharpest.sharpest_norms(model, network, (64,)) == network.norm
