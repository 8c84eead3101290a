"""Small hosts without class labels, one of each kind, and their data."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.utils.data import DataLoader

ROWS, BATCH = 24, 8
SIDE = 8


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


class Unlabelled(LightningModule):
    """A host with much that a measurement could disturb."""

    def __init__(self, net: nn.Module | None = None, flat: bool = True) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = net or nn.Sequential(
            nn.Linear(12, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 3)
        )
        self.steps = 0
        self.losses: list[float] = []

    def forward(self, x: Tensor) -> Any:
        return self.net(x)

    def loss(self, batch: Any) -> Tensor:
        return F.mse_loss(self(batch[0]), batch[1])

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss = self.loss(batch) * (1 + 1e-3 * torch.rand(()))
        self.steps += 1
        self.losses.append(float(loss.detach()))
        self.log("train/loss", loss, batch_size=BATCH)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val/loss", self.loss(batch), batch_size=BATCH)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), 0.01)


class Regression(Unlabelled):
    pass


class IntegerRegression(Unlabelled):
    """Counts as targets, with one output."""

    def __init__(self) -> None:
        super().__init__(nn.Sequential(nn.Linear(12, 16), nn.Tanh(), nn.Linear(16, 1)))

    def loss(self, batch: Any) -> Tensor:
        return F.mse_loss(self(batch[0])[:, 0], batch[1].float())


class MultiLabel(Unlabelled):
    def loss(self, batch: Any) -> Tensor:
        return F.binary_cross_entropy_with_logits(self(batch[0]), batch[1].float())


class SoftLabels(Unlabelled):
    def loss(self, batch: Any) -> Tensor:
        return F.cross_entropy(self(batch[0]), batch[1])


class TwoHeads(Unlabelled):
    """A label and a number, from two outputs."""

    def __init__(self) -> None:
        super().__init__(nn.Sequential(nn.Linear(12, 16), nn.Tanh()))
        self.one, self.two = nn.Linear(16, 3), nn.Linear(16, 1)

    def forward(self, x: Tensor) -> Any:
        h = self.net(x)
        return {"kind": self.one(h), "size": self.two(h)}

    def loss(self, batch: Any) -> Tensor:
        out = self(batch["x"])
        return F.cross_entropy(out["kind"], batch["y"]["kind"]) + F.mse_loss(
            out["size"][:, 0], batch["y"]["size"]
        )


class Autoencoder(Unlabelled):
    """Labels are in the batch, and of no use."""

    def __init__(self) -> None:
        super().__init__(nn.Sequential(nn.Linear(12, 5), nn.Tanh(), nn.Linear(5, 12)))

    def loss(self, batch: Any) -> Tensor:
        return F.mse_loss(self(batch[0]), batch[0])


class Plain(Unlabelled):
    """A batch that is a tensor, as in Lightning's BoringModel."""

    def loss(self, batch: Any) -> Tensor:
        return self(batch).square().mean()


class Pairs(Unlabelled):
    """Self-supervised: two views of each example are contrasted with those of the others."""

    def loss(self, batch: Any) -> Tensor:
        one, two = (F.normalize(self(view)) for view in batch[0])
        return F.cross_entropy(one @ two.T / 0.2, torch.arange(len(one)))


class Images(Unlabelled):
    def __init__(self, channels: int) -> None:
        super().__init__(
            nn.Sequential(
                nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout2d(0.2),
                nn.Conv2d(6, channels, 3, padding=1),
            )
        )  # fmt: skip


class Segmentation(Images):
    def __init__(self) -> None:
        super().__init__(4)

    def loss(self, batch: Any) -> Tensor:
        return F.cross_entropy(self(batch["image"]), batch["mask"], ignore_index=255)


class OneMap(Images):
    """Binary segmentation, whose network returns a mapping."""

    def __init__(self) -> None:
        super().__init__(1)

    def forward(self, x: Tensor) -> Any:
        return {"out": self.net(x), "aux": x.mean()}

    def loss(self, batch: Any) -> Tensor:
        return F.binary_cross_entropy_with_logits(self(batch[0])["out"], batch[1])


class Lists(Images):
    """Images and boxes as lists, of which a step returns a loss."""

    def __init__(self) -> None:
        super().__init__(4)

    def forward(self, images: Any) -> Any:
        return [self.net(image.unsqueeze(0)).mean((0, 2, 3)) for image in images]

    def loss(self, batch: Any) -> Tensor:
        images, targets = batch
        pairs = zip(self(images), targets, strict=True)
        return torch.stack([(box - one["boxes"]).square().mean() for box, one in pairs]).mean()


class Text(Unlabelled):
    """Token ids with a mask, as Hugging Face's tokenizers give them."""

    def __init__(self) -> None:
        super().__init__(nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 2)))
        self.embed = nn.Embedding(20, 6, padding_idx=0)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, labels: Any = None) -> Any:
        weight = attention_mask.unsqueeze(-1)
        mean = (self.embed(input_ids) * weight).sum(1) / weight.sum(1)
        return F.cross_entropy(self.net(mean), labels), self.net(mean)

    def loss(self, batch: Any) -> Tensor:
        return self(**batch)[0]


@dataclass
class Sample:
    x: Tensor
    y: Tensor


class Dataclass(Unlabelled):
    def loss(self, batch: Any) -> Tensor:
        return F.mse_loss(self(batch.x), batch.y)


def text(row: int) -> dict[str, Tensor]:
    length = 3 + row % 3
    ids = torch.zeros(5, dtype=torch.int64)
    ids[:length] = torch.randint(1, 20, (length,), generator=torch.Generator().manual_seed(row))
    return {"input_ids": ids, "attention_mask": (ids > 0).long(), "labels": torch.tensor(row % 2)}


def boxes(row: int) -> dict[str, Tensor]:
    return {"boxes": numbers(1 + row % 3, 4, seed=row)}


def lists(samples: list[Any]) -> Any:
    images, targets = zip(*samples, strict=True)
    return list(images), list(targets)


def dataclasses(samples: list[Any]) -> Sample:
    return Sample(*(torch.stack(one) for one in zip(*samples, strict=True)))


@dataclass(frozen=True)
class Kind:
    """A host, one sample of its data, and what else the callbacks are to be told."""

    host: Callable[[], Unlabelled]
    sample: Callable[[int], Any]
    options: tuple[tuple[str, Any], ...] = ()
    collate: Callable[[list[Any]], Any] | None = None

    def loader(self, shuffle: bool = False) -> DataLoader[Any]:
        samples = [self.sample(row) for row in range(ROWS)]
        return DataLoader(samples, BATCH, shuffle=shuffle, collate_fn=self.collate)


def x(row: int) -> Tensor:
    return numbers(12, seed=row) * 2 - 1


def image(row: int) -> Tensor:
    return numbers(3, SIDE, SIDE, seed=row)


def square(row: int) -> Tensor:
    """A map with a square of one class, and a corner that the loss ignores."""
    found = torch.zeros(SIDE, SIDE, dtype=torch.int64)
    found[row % 3 : row % 3 + 4, 2:6] = 1 + row % 3
    found[0, 0] = 255
    return found


KINDS = {
    "regression": Kind(Regression, lambda row: (x(row), numbers(3, seed=row))),
    "integer regression": Kind(IntegerRegression, lambda row: (x(row), row % 7)),
    "multi-label": Kind(MultiLabel, lambda row: (x(row), (numbers(3, seed=row) > 0.5).long())),
    "soft labels": Kind(SoftLabels, lambda row: (x(row), numbers(3, seed=row).softmax(0))),
    "two heads": Kind(
        TwoHeads, lambda row: {"x": x(row), "y": {"kind": row % 3, "size": float(row)}},
        (("inputs", "x"),),
    ),
    "autoencoder": Kind(Autoencoder, lambda row: (x(row), row % 3)),
    "tensor": Kind(Plain, x),
    "pairs": Kind(Pairs, lambda row: ((x(row), x(row) + 0.1), row % 3)),
    "segmentation": Kind(Segmentation, lambda row: {"image": image(row), "mask": square(row)}),
    "one map": Kind(OneMap, lambda row: (image(row), (square(row) == 1).float().unsqueeze(0))),
    "lists": Kind(Lists, lambda row: (image(row), boxes(row)), collate=lists),
    "text": Kind(Text, text, (("layer", "embed"),)),
    "dataclass": Kind(Dataclass, lambda row: (x(row), numbers(3, seed=row)), collate=dataclasses),
}  # fmt: skip
