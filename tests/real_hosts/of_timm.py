"""Networks of timm in an ordinary classifier."""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from tests.real_hosts.host import CLASSES, Around, Build, Host, images

LIBRARY = "timm"
MODULE = "timm"


def _classifier(
    name: str,
    hidden: str,
    checkpointing: bool = False,
    module: type[Around] = Around,
    **options: Any,
) -> Host:
    import timm

    network = timm.create_model(name, pretrained=False, num_classes=CLASSES, **options)
    if checkpointing:
        # It calls what the stages hold, not the stages.
        network.set_grad_checkpointing()
    known = {"layer": f"network.{hidden}.0"} if checkpointing else {}
    return Host(module(network), images(), f"network.{hidden}", known)


class _MixesUp(Around):
    """Pairs and weighs its examples inside the step."""

    def __init__(self, network: nn.Module) -> None:
        from timm.data import Mixup
        from timm.loss import SoftTargetCrossEntropy

        super().__init__(network)
        self.mixup = Mixup(mixup_alpha=0.8, cutmix_alpha=1.0, num_classes=CLASSES)
        self.loss = SoftTargetCrossEntropy()

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        images, labels = self.mixup(*batch)
        return self.loss(self(images), labels)


class _Normalises(Around):
    """Normalises inside the step, so that its `forward` takes normalised images."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__(network)
        config = network.pretrained_cfg
        self.mean = torch.tensor(config["mean"])[:, None, None]
        self.std = torch.tensor(config["std"])[:, None, None]

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        images, labels = batch
        return cross_entropy(self((images - self.mean) / self.std), labels)


HOSTS: dict[str, Build] = {
    "resnet10t": partial(_classifier, "resnet10t", "layer2"),
    "resnet10t, gradient checkpointing": partial(_classifier, "resnet10t", "layer2", True),
    "resnet10t, mixup": partial(_classifier, "resnet10t", "layer2", module=_MixesUp),
    "resnet10t, normalised in the step": partial(
        _classifier, "resnet10t", "layer2", module=_Normalises
    ),
    "mobilenetv3": partial(_classifier, "mobilenetv3_small_050", "blocks.1"),
    "swin": partial(
        _classifier, "swin_tiny_patch4_window7_224", "layers.0", img_size=32, window_size=4,
        embed_dim=16, depths=(2, 1), num_heads=(2, 2),
    ),
    "ViT": partial(
        _classifier, "vit_tiny_patch16_224", "blocks.0", img_size=32, patch_size=8,
        embed_dim=16, depth=2, num_heads=2,
    ),
    "convnext": partial(
        _classifier, "convnext_atto", "stages.1", depths=(1, 1, 1, 1), dims=(8, 8, 16, 16)
    ),
}  # fmt: skip
