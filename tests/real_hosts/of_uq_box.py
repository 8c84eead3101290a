"""Methods of lightning-uq-box, whose batches are dicts out of a data module."""

from functools import partial
from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor, nn
from torch.utils.data import DataLoader

from lit_intriguing.lipschitz import PowerIteration
from lit_intriguing.units import Mean, Reading
from tests.real_hosts.host import CLASSES, NO_LABELS, Build, Host, in_order, norm_of, shuffled

LIBRARY = "lightning-uq-box"
MODULE = "lightning_uq_box.uq_methods"

NUMBERS, SIZE, COPIES = 6, 16, 2


class _Data(LightningDataModule):
    def __init__(self, inputs: tuple[int, ...], target: Any) -> None:
        super().__init__()

        def example(index: int) -> dict[str, Any]:
            return {"input": torch.rand(inputs), "target": target(index)}

        self._loaders = shuffled(example), in_order(example)

    def train_dataloader(self) -> DataLoader[Any]:
        return self._loaders[0]

    def val_dataloader(self) -> DataLoader[Any]:
        return self._loaders[1]


def _label(index: int) -> int:
    return index % CLASSES


def _number(index: int) -> Tensor:
    return torch.rand(1)


def _mask(index: int) -> Tensor:
    return torch.randint(CLASSES, (SIZE, SIZE))


def _mlp(outputs: int) -> nn.Module:
    from lightning_uq_box.models import MLP

    return MLP(dropout_p=0.1, n_inputs=NUMBERS, n_hidden=[8, 8], n_outputs=outputs)


class _MeanOverCopies(Reading):
    """The mean over the copies of the batch that `forward` makes."""

    def __call__(self, output: Tensor) -> Tensor:
        return Mean()(output).unflatten(0, (COPIES, -1)).mean(0)


def _classification(method: str, known: Any = None, of_column: Any = None, **options: Any) -> Host:
    from lightning_uq_box import uq_methods

    kind = getattr(uq_methods, method)
    module = kind(_mlp(CLASSES), loss_fn=nn.CrossEntropyLoss(), **options)
    data = _Data((NUMBERS,), _label)
    return Host(module, data, "model.model.0", known or {}, of_column=of_column or {})


def _bayesian(penalised: bool = False) -> Host:
    from lightning_uq_box.uq_methods import BNN_VI_ELBO_Classification

    class Penalised(BNN_VI_ELBO_Classification):
        def on_fit_start(self) -> None:
            super().on_fit_start()
            self.power = PowerIteration()

        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            weight = self.model.model[0].mu_weight
            return super().training_step(batch, batch_idx) + norm_of(weight, self.power)

    kind = Penalised if penalised else BNN_VI_ELBO_Classification
    module = kind(_mlp(CLASSES), nn.CrossEntropyLoss(), num_mc_samples_train=2)
    without = {"penalty": lambda: _bayesian(penalised=True)}
    return Host(module, _Data((NUMBERS,), _label), "model.model.0", without=without)


def _sngp() -> Host:
    from lightning_uq_box.uq_methods import SNGPClassification

    module = SNGPClassification(
        _mlp(8), nn.CrossEntropyLoss(), num_targets=CLASSES, num_gp_features=8,
        num_random_features=16,
    )  # fmt: skip
    return Host(module, _Data((NUMBERS,), _label), "feature_extractor.model.0", {"output": 0})


def _regression(method: str, outputs: int, **options: Any) -> Host:
    from lightning_uq_box import uq_methods

    module = getattr(uq_methods, method)(_mlp(outputs), **options)
    known = {"inputs": "input", **NO_LABELS}
    return Host(module, _Data((NUMBERS,), _number), "model.model.0", known)


def _segmentation() -> Host:
    from lightning_uq_box.uq_methods import DeterministicSegmentation

    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, CLASSES, 3, padding=1)
    )
    module = DeterministicSegmentation(network, nn.CrossEntropyLoss())
    return Host(module, _Data((3, SIZE, SIZE), _mask), "model.0", NO_LABELS)


HOSTS: dict[str, Build] = {
    "deterministic classification": partial(_classification, "DeterministicClassification"),
    "MC-dropout classification": partial(
        _classification, "MCDropoutClassification", num_mc_samples=2
    ),
    "BNN_VI_ELBO classification": _bayesian,
    "SNGP classification": _sngp,
    "Masksembles classification": partial(
        _classification,
        "MasksemblesClassification",
        {"reading": _MeanOverCopies(), "keep_out": True},
        {"hidden": {"layer": ""}},  # every layer of it has copies of the rows
        num_estimators=COPIES,
        scale=2.0,
    ),
    "deterministic regression": partial(
        _regression, "DeterministicRegression", 1, loss_fn=nn.MSELoss()
    ),
    "mean-variance regression": partial(_regression, "MVERegression", 2, burnin_epochs=1),
    "quantile regression": partial(_regression, "QuantileRegression", 3),
    "segmentation": _segmentation,
}
