"""Networks of segmentation-models-pytorch, trained as its examples do."""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from tests.real_hosts.host import CLASSES, NO_LABELS, Around, Build, Host, shuffled

LIBRARY = "segmentation-models-pytorch"
MODULE = "segmentation_models_pytorch"


class _Segmentation(Around):
    def __init__(self, network: Any) -> None:
        import segmentation_models_pytorch as smp

        super().__init__(network)
        self.loss = smp.losses.DiceLoss(mode="multiclass")

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss = self.loss(self(batch["image"]), batch["mask"])
        self.log("train_loss", loss)
        return loss


class _TwoHeads(_Segmentation):
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        masks, logits = self(batch["image"])
        return self.loss(masks, batch["mask"]) + cross_entropy(logits, batch["label"])


def _unet(**options: Any) -> Any:
    import segmentation_models_pytorch as smp

    return smp.Unet(
        "resnet18", encoder_weights=None, encoder_depth=3, decoder_channels=(8, 8, 8),
        classes=CLASSES, **options,
    )  # fmt: skip


def _example(index: int) -> dict[str, Any]:
    return {"image": torch.rand(3, 32, 32), "mask": torch.randint(CLASSES, (32, 32))}


def _example_with_label(index: int) -> dict[str, Any]:
    return {**_example(index), "label": index % CLASSES}


# The encoder has deeper layers, which its depth leaves out.
_KNOWN = {"layers": ["network.encoder.conv1", "network.segmentation_head.0"], **NO_LABELS}


def _one_head() -> Host:
    return Host(_Segmentation(_unet()), shuffled(_example), "network.encoder.layer1", _KNOWN)


def _two_heads() -> Host:
    network = _unet(aux_params={"classes": CLASSES})
    return Host(_TwoHeads(network), shuffled(_example_with_label), "network.encoder.layer1", _KNOWN)


HOSTS: dict[str, Build] = {"Unet": _one_head, "Unet, auxiliary head": _two_heads}
