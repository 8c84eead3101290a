"""The modules of Lightning's demos, a GAN as in its tutorial, and the older package's names."""

from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.demos import LightningTransformer
from lightning.pytorch.demos.boring_classes import BoringModel, ManualOptimBoringModel
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from lit_intriguing.lipschitz import PowerIteration
from tests.real_hosts.host import (
    CLASSES,
    NO_LABELS,
    Build,
    Host,
    images,
    shuffled,
)

LIBRARY = "lightning"
MODULE = "pytorch_lightning"

WORDS, TOKENS, NOISE = 20, 6, 4


class _Offline(LightningTransformer):
    """Reads nothing from the net."""

    def prepare_data(self) -> None:
        pass


class _Penalised(ManualOptimBoringModel):
    """Adds the norm of its layer to its loss, as `LipschitzPenalty` says for such modules."""

    def __init__(self) -> None:
        super().__init__()
        self.power = PowerIteration()

    def step(self, batch: Any) -> Tensor:
        self.power.step(self.layer)
        return super().step(batch) + self.power.norm(self.layer)


class _GAN(LightningModule):
    """Two networks, two optimisers, the second network called twice in a step."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.generator = nn.Sequential(
            nn.Linear(NOISE, 64), nn.Sigmoid(), nn.Unflatten(1, (1, 8, 8))
        )
        self.discriminator = nn.Sequential(
            nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 1)
        )

    def forward(self, noise: Tensor) -> Tensor:
        return self.generator(noise)

    def training_step(self, batch: Any, batch_idx: int) -> None:
        images, _ = batch
        of_generator, of_discriminator = self.optimizers()
        noise = torch.randn(len(images), NOISE)
        self._follow(of_generator, self._loss(self(noise), 1.0))
        made, real = self._loss(self(noise).detach(), 0.0), self._loss(images, 1.0)
        self._follow(of_discriminator, (made + real) / 2)

    def penalty(self) -> Tensor | float:
        return 0.0

    def _loss(self, images: Tensor, truth: float) -> Tensor:
        logits = self.discriminator(images)
        truths = torch.full_like(logits, truth)
        return binary_cross_entropy_with_logits(logits, truths) + self.penalty()

    def _follow(self, optimizer: Any, loss: Tensor) -> None:
        self.toggle_optimizer(optimizer)
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()
        self.untoggle_optimizer(optimizer)

    def configure_optimizers(self) -> Any:
        networks = self.generator, self.discriminator
        return [torch.optim.Adam(network.parameters(), 1e-3) for network in networks]


class _PenalisedGAN(_GAN):
    def __init__(self) -> None:
        super().__init__()
        self.power = PowerIteration()

    def penalty(self) -> Tensor:
        layer = self.discriminator[1]
        self.power.step(layer)
        return self.power.norm(layer)


def _numbers(index: int) -> Tensor:
    return torch.randn(32)


def _words(index: int) -> tuple[Tensor, Tensor]:
    words = torch.randint(WORDS, (TOKENS + 1,))
    return words[:-1], words[1:]


def _boring() -> Host:
    return Host(BoringModel(), shuffled(_numbers), "layer", NO_LABELS)


def _manual(module: type[ManualOptimBoringModel] = ManualOptimBoringModel) -> Host:
    known = {"keep_out": False, **NO_LABELS}
    without = {"penalty": lambda: _manual(_Penalised)}
    return Host(module(), shuffled(_numbers), "layer", known, without)


def _transformer() -> Host:
    hidden = "model.transformer.encoder.layers.0"
    known = {"layer": hidden, "input_shape": (TOKENS,), **NO_LABELS}
    return Host(_Offline(WORDS), shuffled(_words), hidden, known)


def _gan(module: type[_GAN] = _GAN) -> Host:
    known = {"model": "discriminator", "keep_out": False}
    without = {"penalty": lambda: _gan(_PenalisedGAN)}
    return Host(module(), images(8, channels=1), "discriminator.1", known, without)


def _older() -> Host:
    import pytorch_lightning as pl

    class OfPytorchLightning(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.network = nn.Sequential(
                nn.Flatten(),
                nn.Linear(64, 16),
                nn.BatchNorm1d(16),
                nn.ReLU(),
                nn.Linear(16, CLASSES),
            )

        def forward(self, x: Tensor) -> Tensor:
            return self.network(x)

        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            loss = nn.functional.cross_entropy(self(batch[0]), batch[1])
            self.log("train_loss", loss)
            return loss

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), 0.1)

    return Host(OfPytorchLightning(), images(8, channels=1), "network.1", trainer=pl.Trainer)


HOSTS: dict[str, Build] = {
    "BoringModel": _boring,
    "ManualOptimBoringModel": _manual,
    "LightningTransformer": _transformer,
    "GAN": _gan,
    "classifier of pytorch_lightning": _older,
}
