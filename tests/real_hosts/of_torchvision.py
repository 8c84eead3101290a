"""A network of torchvision whose output in training has auxiliary heads."""

from typing import Any

from torch import Tensor
from torch.nn.functional import cross_entropy

from tests.real_hosts.host import CLASSES, Around, Build, Host, images

LIBRARY = "torchvision"
MODULE = "torchvision.models"


class _WithAuxiliaryHeads(Around):
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        images, labels = batch
        output = self(images)
        heads = output.aux_logits1, output.aux_logits2
        auxiliary = sum(cross_entropy(logits, labels) for logits in heads)
        return cross_entropy(output.logits, labels) + 0.3 * auxiliary


def _googlenet() -> Host:
    from torchvision.models import googlenet

    network = googlenet(num_classes=CLASSES, aux_logits=True, init_weights=False)
    return Host(_WithAuxiliaryHeads(network), images(64), "network.inception3a")


HOSTS: dict[str, Build] = {"GoogLeNet": _googlenet}
