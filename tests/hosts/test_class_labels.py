"""Which hosts have class labels and logits."""

from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.plugins.precision import Precision
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from lit_intriguing.hosts.batch import BatchKeys
from lit_intriguing.hosts.class_labels import class_labels, has_soft_labels
from lit_intriguing.hosts.logits import LogitsModel
from lit_intriguing.hosts.step_loss import StepLoss

N, CLASSES = 8, 3
X = torch.randn(N, 4, generator=torch.Generator().manual_seed(0))
Y = torch.arange(N) % CLASSES


class Host(LightningModule):
    def __init__(self, loss: Any, columns: int = CLASSES, zero: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Linear(4, columns)
        if zero:
            nn.init.zeros_(self.net.weight)
            nn.init.zeros_(self.net.bias)
        self._loss = loss

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return self._loss(self(batch[0]), batch[1])


def fails(logits: Tensor, labels: Tensor) -> Tensor:
    raise RuntimeError("no such batch")


def verdict(host: Host, labels: Tensor = Y) -> Any:
    batch = (X, labels)
    keys = BatchKeys().resolve(batch)
    model = LogitsModel(host, "Test")
    return class_labels(batch, keys, lambda: model, StepLoss(host, Precision()))


HAVE: dict[str, Any] = {
    "cross-entropy": (Host(F.cross_entropy), Y),
    "equal logits": (Host(F.cross_entropy, zero=True), Y),
    "one class in the batch": (Host(F.cross_entropy), Y * 0),
    "ignored labels": (
        Host(lambda z, y: F.cross_entropy(z, y, ignore_index=255)),
        torch.where(Y == 0, 255, Y),
    ),
    "one logit": (
        Host(lambda z, y: F.binary_cross_entropy_with_logits(z[:, 0], y.float()), 1),
        (Y > 0).long(),
    ),
    "labels of a byte": (Host(lambda z, y: F.cross_entropy(z, y.long())), Y.byte()),
}


@pytest.mark.parametrize("name", HAVE)
def test_a_loss_that_depends_on_the_labels_of_logits_has_classes(name: str) -> None:
    found = verdict(*HAVE[name])
    assert found.reason is None
    assert found.asked
    assert found.classes == (2 if name == "one logit" else CLASSES)


HAVE_NOT: dict[str, Any] = {
    "does not depend on the labels": (Host(lambda z, y: z.square().mean()), Y),
    "go up to 6, for 2 classes": (
        Host(lambda z, y: F.mse_loss(z[:, 0], y.float()), 1),
        torch.arange(N) % 7,
    ),
    "go up to 12, for 3 classes": (Host(lambda z, y: z.square().mean()), Y + 10),
}


@pytest.mark.parametrize("reason", HAVE_NOT)
def test_other_hosts_have_none_and_it_is_told_why(reason: str) -> None:
    assert reason in str(verdict(*HAVE_NOT[reason]).reason)


def test_a_step_that_takes_no_such_batch_leaves_it_open() -> None:
    found = verdict(Host(fails))
    assert found.reason is None
    assert not found.asked
    skips = verdict(Host(lambda z, y: None))
    assert not skips.asked


def test_no_label_is_tried_that_is_no_class() -> None:
    """On an accelerator such a label would end the process's use of it."""

    def checked(z: Tensor, y: Tensor) -> Tensor:
        seen.append(y)
        return F.cross_entropy(z, y, ignore_index=255)

    seen: list[Tensor] = []
    verdict(Host(checked), torch.tensor([0, 1, 2, 255] * 2))
    assert all(bool(((y < CLASSES) | (y == 255)).all()) for y in seen)
    assert len(seen) == 2


def test_distributions_over_the_classes_are_soft_labels() -> None:
    soft = torch.rand(N, CLASSES).softmax(1)
    assert has_soft_labels({"x": X, "y": soft}, CLASSES)
    assert not has_soft_labels((X, soft), CLASSES + 1)
    assert not has_soft_labels((X, torch.rand(N, CLASSES) + 1), CLASSES)
    assert not has_soft_labels(X, 4)
