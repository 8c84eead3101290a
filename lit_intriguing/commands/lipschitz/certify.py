"""The share of a split's images whose prediction provably stays within given distances."""

from collections.abc import Sequence

import torch
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from torch import Tensor
from typing_extensions import override

from lit_intriguing.commands.lipschitz.job import BoundJob
from lit_intriguing.errors import UserError
from lit_intriguing.lipschitz.certificate import (
    certified_accuracy,
    certified_radius,
    float64_logits,
)
from lit_intriguing.lipschitz.dense.sharpest import sharpest_norms
from lit_intriguing.lipschitz.layer_bounds import NetworkNorm
from lit_intriguing.lipschitz.norm import Norm
from lit_intriguing.splits.loop import ChunkLoop, run_loop
from lit_intriguing.splits.split import SplitData

CHUNK = 256
"""Images at once."""


class CertifyRun(ChunkLoop):
    """Finds the certified radius of each image of the predict loop.

    Args:
        data: What the loop runs over.
        norms: See `certified_radius`.
    """

    def __init__(self, data: SplitData, norms: Norm | Tensor) -> None:
        super().__init__(data, "Certify")
        self._norms = norms
        self._radii: list[Tensor] = []
        self._correct: list[Tensor] = []

    @override
    def begin(self, trainer: Trainer, module: LightningModule) -> None:
        self._radii, self._correct = [], []

    @override
    def work(self, trainer: Trainer, index: int, images: Tensor, labels: Tensor) -> None:
        logits = float64_logits(trainer.lightning_module, images)
        try:
            self._radii.append(certified_radius(logits, self._norms, labels))
        except ValueError as error:
            raise UserError(str(error)) from error
        self._correct.append(logits.argmax(1) == labels)
        self.advance("")

    @override
    def finish(self, trainer: Trainer, chunks: int) -> None:
        """Do nothing: there is one process, and all images are here."""

    def accuracy(self, radii: Sequence[float]) -> tuple[dict[float, float], int]:
        """Return the share of images at each radius, and the number of images."""
        at = torch.tensor(list(radii), dtype=torch.float64)
        correct = torch.cat(self._correct)
        shares = certified_accuracy(torch.cat(self._radii), correct, at)
        return dict(zip(radii, shares.tolist(), strict=True)), len(correct)


def certify(
    trainer: Trainer,
    model: LightningModule,
    datamodule: LightningDataModule | None,
    network: NetworkNorm,
    shape: tuple[int, ...],
    job: BoundJob,
) -> tuple[dict[float, float], int]:
    """Certify the images of a split.

    Args:
        trainer: On one process.
        model: Whose bounds `network` holds.
        datamodule: Gives batches `(images, labels)`; where None, the model does.
        network: The bounds.
        shape: Of one example.
        job: Which radii, which images.

    Returns:
        The share of images at each radius, and their number; none where no radius is asked for.

    Raises:
        UserError: The network has no certified bound, or there are no such images.
    """
    if not job.radii:
        return {}, 0
    if trainer.world_size > 1:
        raise UserError("radii are certified on one process: set devices to 1.")
    if not network.norm.finite or network.norm.kind not in ("exact", "upper"):
        raise UserError(
            "no radius can be certified, for the network's bound is "
            f"{network.norm.reason or 'an ' + network.norm.kind}: leave radii out."
        )
    data = SplitData(datamodule or model, job.split, CHUNK, job.limit)
    loop = CertifyRun(data, sharpest_norms(model, network, shape))
    run_loop(trainer, model, loop, lambda: "Nothing is saved: the same command begins again")
    return loop.accuracy(job.radii)
