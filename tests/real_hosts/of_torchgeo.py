"""Tasks of torchgeo, whose batches are dicts."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from tests.real_hosts.host import CLASSES, NO_LABELS, Build, Host, in_order, shuffled

LIBRARY = "torchgeo"
MODULE = "torchgeo.trainers"

Target = Callable[[int], Any]

SIZE = 32


def _host(
    trainer: str, target: Target | None, key: str = "label", hidden: str = "model.layer2",
    more: dict[str, Any] | None = None, known: Any = NO_LABELS, **options: Any,
) -> Host:  # fmt: skip
    from torchgeo import trainers

    def example(index: int) -> dict[str, Any]:
        found = {"image": torch.rand(3, SIZE, SIZE), **(more or {})}
        return found if target is None else {**found, key: target(index)}

    module = getattr(trainers, trainer)(**options)
    loader = shuffled(example)
    # Their learning rate follows `val_loss`.
    return Host(module, loader, hidden, known, validation=in_order(example))


def _detection() -> Host:
    from torchgeo.trainers import ObjectDetectionTask

    module = ObjectDetectionTask("fcos", "resnet18", num_classes=CLASSES)
    loader = shuffled(_boxes, collate_fn=_listed)
    return Host(
        module,
        loader,
        "model.backbone.body.layer2",
        NO_LABELS,
        validation=in_order(_boxes, _listed),
    )


def _boxes(index: int) -> dict[str, Any]:
    count = 1 + index % 3
    corners = 20 * torch.rand(count, 2)
    boxes = torch.cat([corners, corners + 5 + 10 * torch.rand(count, 2)], 1)
    labels = torch.randint(1, CLASSES, (count,))
    return {"image": torch.rand(3, SIZE, SIZE), "bbox_xyxy": boxes, "label": labels}


def _listed(examples: list[dict[str, Any]]) -> dict[str, Any]:
    """Put images in a tensor and boxes, of which each has its number, in a list."""
    found: dict[str, Any] = {key: [one[key] for one in examples] for key in examples[0]}
    return {**found, "image": torch.stack(found["image"])}


def _label(index: int) -> int:
    return index % CLASSES


def _truth(index: int) -> int:
    return index % 2


def _truths(index: int) -> Tensor:
    return torch.tensor([index % 2, 1, index % 3 == 0]).long()


def _number(index: int) -> Tensor:
    return torch.rand(())


def _mask(index: int) -> Tensor:
    return torch.randint(CLASSES, (SIZE, SIZE))


_classification = partial(
    _host, "ClassificationTask", _label, model="resnet10t", num_classes=CLASSES
)
_regression = partial(
    _host, "RegressionTask", model="resnet10t", known={"inputs": "image", **NO_LABELS}
)

HOSTS: dict[str, Build] = {
    "classification, cross-entropy": _classification,
    "classification, focal loss": partial(_classification, loss="focal"),
    "classification, frozen backbone": partial(_classification, freeze_backbone=True),
    "classification, index and bounds in the batch": partial(
        _classification, more={"index": 0, "bounds": torch.rand(6)},
        known={"inputs": "image", "labels": "label"}
    ),
    "binary classification": partial(
        _host, "ClassificationTask", _truth, model="resnet10t", task="binary", loss="bce"
    ),
    "multilabel classification": partial(
        _host, "ClassificationTask", _truths, model="resnet10t", task="multilabel", loss="bce",
        num_labels=3,
    ),
    "regression": partial(_regression, _number),
    "regression, integer targets": partial(_regression, _label),
    "segmentation": partial(
        _host, "SemanticSegmentationTask", _mask, "mask", "model.encoder.layer1", model="unet",
        backbone="resnet18", num_classes=CLASSES,
    ),
    "object detection": _detection,
    "SimCLR": partial(
        _host, "SimCLRTask", None, hidden="backbone.layer2",
        # It augments without gradients, which then reach no input.
        known={"layer": "backbone.layer2", **NO_LABELS},
        model="resnet10t", layers=3,
        hidden_dim=8, output_dim=8, memory_bank_size=16, size=SIZE, lr=0.01,
    ),
}  # fmt: skip
