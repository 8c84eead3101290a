"""What is told of another project's LightningModule, and small parts that several share."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Dataset

from lit_intriguing.lipschitz import PowerIteration

BATCH = 4
"""Examples in a batch."""

CLASSES = 3
"""Of classifiers."""

EXAMPLES = 8
"""Examples in an epoch."""

NO_LABELS = {"features": nn.Flatten()}
"""What `UnitAnalysis` compares examples by where they have no classes."""


@dataclass(frozen=True)
class Host:
    """A host that is ready to be trained.

    Attributes:
        module: The host.
        loader: Its training data.
        hidden: Name of the submodule that is attacked and analysed as a hidden layer.
        known: Options that a refusal may name, with values that are right for this host. `layer` is
            the layer that is attacked or analysed.
        without: For a column, a host that does what the refusal says in place of the callback.
        validation: Its validation data; None for none.
        trainer: Of the package that the host imports.
        plain: Whether its checkpoints load with `weights_only`.
        of_column: Options as `known`, for one column.
    """

    module: LightningModule
    loader: Any
    hidden: str
    known: Mapping[str, Any] = field(default_factory=dict)
    without: Mapping[str, Callable[[], "Host"]] = field(default_factory=dict)
    validation: Any = None
    trainer: type = Trainer
    plain: bool = True
    of_column: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


Build = Callable[[], Host]


class Listed(Dataset[Any]):
    """A data set of examples in memory."""

    def __init__(self, example: Callable[[int], Any]) -> None:
        self.examples = [example(index) for index in range(EXAMPLES)]

    def __getitem__(self, index: int) -> Any:
        return self.examples[index]

    def __len__(self) -> int:
        return len(self.examples)


def shuffled(example: Callable[[int], Any], **options: Any) -> DataLoader[Any]:
    """Return an ordinary loader of examples that are made from their numbers."""
    return DataLoader(Listed(example), batch_size=BATCH, shuffle=True, **options)


def in_order(example: Callable[[int], Any], collate: Any = None) -> DataLoader[Any]:
    """Return a loader for validation."""
    return DataLoader(Listed(example), batch_size=BATCH, collate_fn=collate)


def images(size: int = 32, channels: int = 3, classes: int = CLASSES) -> DataLoader[Any]:
    """Return images in [0, 1] with a class each."""
    return shuffled(lambda index: (torch.rand(channels, size, size), index % classes))


def norm_of(weight: nn.Parameter, power: PowerIteration) -> Tensor:
    """Return the norm of a linear map, as `LipschitzPenalty` says where it knows no layer."""
    layer = nn.utils.skip_init(nn.Linear, weight.shape[1], weight.shape[0], bias=False)
    layer.weight = weight
    power.step(layer)
    return power.norm(layer)


class Around(LightningModule):
    """The classifier that most projects write around a network of images."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Any:
        return self.network(x)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        images, labels = batch
        loss = cross_entropy(self(images), labels)
        self.log("train_loss", loss)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=1e-3)
