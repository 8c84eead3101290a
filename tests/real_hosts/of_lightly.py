"""Self-supervised learning as lightly's examples write it."""

from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from tests.real_hosts.host import NO_LABELS, Around, Build, Host, shuffled

LIBRARY = "lightly"
MODULE = "lightly.models.modules"


class _SimCLR(Around):
    def __init__(self) -> None:
        from lightly.loss import NTXentLoss
        from lightly.models.modules import SimCLRProjectionHead

        super().__init__(_backbone())
        self.projection_head = SimCLRProjectionHead(512, 16, 8)
        self.criterion = NTXentLoss()

    def forward(self, x: Tensor) -> Tensor:
        return self.projection_head(self.network(x).flatten(start_dim=1))

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        first, second = batch[0]
        loss = self.criterion(self(first), self(second))
        self.log("train_loss", loss)
        return loss


class _BYOL(Around):
    """Its step moves a second network after the first."""

    def __init__(self) -> None:
        from lightly.loss import NegativeCosineSimilarity
        from lightly.models.modules import BYOLPredictionHead, BYOLProjectionHead
        from lightly.models.utils import deactivate_requires_grad

        network = nn.Sequential(_backbone(), nn.Flatten(), BYOLProjectionHead(512, 16, 8))
        super().__init__(network)
        self.prediction_head = BYOLPredictionHead(8, 16, 8)
        self.momentum = deepcopy(network)
        deactivate_requires_grad(self.momentum)
        self.criterion = NegativeCosineSimilarity()

    def forward(self, x: Tensor) -> Tensor:
        return self.prediction_head(self.network(x))

    def forward_momentum(self, x: Tensor) -> Tensor:
        return self.momentum(x).detach()

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        from lightly.models.utils import update_momentum

        update_momentum(self.network, self.momentum, m=0.99)
        first, second = batch[0]
        there = self.criterion(self(first), self.forward_momentum(second))
        back = self.criterion(self(second), self.forward_momentum(first))
        loss = 0.5 * (there + back)
        self.log("train_loss", loss)
        return loss


def _backbone() -> nn.Module:
    from torchvision.models import resnet18

    return nn.Sequential(*list(resnet18().children())[:-1])


def _views(index: int) -> Any:
    views = [torch.rand(3, 32, 32), torch.rand(3, 32, 32)]
    return views, index, f"{index}.png"


# The first view; the number of the example is no class.
_KNOWN = {"inputs": "0.0", **NO_LABELS}


def _simclr() -> Host:
    return Host(_SimCLR(), shuffled(_views), "network.5", _KNOWN)


def _byol() -> Host:
    return Host(_BYOL(), shuffled(_views), "network.0.5", _KNOWN)


HOSTS: dict[str, Build] = {"SimCLR": _simclr, "BYOL": _byol}
