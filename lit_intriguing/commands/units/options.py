"""The options of `lightning units`, with their defaults: the only list of them."""

from pathlib import Path
from typing import Any, Literal

from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from torch import nn

from lit_intriguing.checks import as_list
from lit_intriguing.commands.units.job import CHUNK, UnitJob
from lit_intriguing.units import Mean, Reading
from lit_intriguing.units.directions_file import read_directions
from lit_intriguing.units.network_scan import K, ScanSettings
from lit_intriguing.units.statistics import ROTATIONS


class UnitTrainer(Trainer):
    """A Trainer with the method `units`, whose parameters are the command's options."""

    def units(
        self,
        model: LightningModule,
        datamodule: LightningDataModule | None = None,
        layers: list[str] | str | None = None,
        reading: Reading | None = None,
        k: int = K,
        rotations: int = ROTATIONS,
        features: nn.Module | None = None,
        directions: str | None = None,
        principal: bool = False,
        control: bool | nn.Module = True,
        split: Literal["train", "validation", "test"] = "test",
        limit: int | None = None,
        chunk: int = CHUNK,
        rows: int = 4,
        output: str = "units",
        seed: int = 0,
        ckpt_path: str | None = None,
        weights_only: bool | None = None,
    ) -> dict[str, Any]:
        """Compare the top images of a network's units with those of random directions.

        Says for each layer whether units are more coherent than random directions of the same
        space, by an exact test. The result does not depend on the number of processes or on the
        data's batch size. Run again, the same command goes on after the last saved chunk.

        Args:
            model: Whose layers are read.
            datamodule: Gives batches (images, labels); where null, the model does.
            layers: Names of submodules, or patterns such as features.*.relu; or one of these.
            reading: From a layer's output to activations: the class path of a reading (null: Mean,
                over positions; also Maximum, Centre, Token).
            k: Top images of each direction.
            rotations: Random bases; with fewer than 39 no verdict can name a side.
            features: The class path of another network that maps images to features (N, F), by
                which images are compared (null: by their labels).
            directions: File of further directions to compare, such as concept vectors: .npz with an
                array (m, D) for each layer, or such a mapping as torch.save wrote it.
            principal: Compare the principal components of each layer as well; takes a first pass.
            control: Compare a copy with fresh weights as well; or the class path of a network with
                the same layers, to compare that.
            split: Which images, in the data set's own order.
            limit: Take no more images than that.
            chunk: Images of one forward pass.
            rows: Directions of each kind in the grids of images.
            output: Folder for table and figures.
            seed: Of random bases and fresh weights.
            ckpt_path: The weights: a checkpoint of `lightning fit`.
            weights_only: Whether the checkpoint may hold tensors and plain values only.

        Returns:
            What was written; the table is printed as well.

        Raises:
            UserError: Something of this does not fit together; the message says what to do.
        """
        # Here, so that callbacks and data of its own are not offered in every `--help`.
        from lit_intriguing.commands.units.command import compare_units

        job = UnitJob(
            layers=as_list(layers),
            scan=ScanSettings(reading or Mean(), k, rotations, seed),
            features=features,
            directions={} if directions is None else read_directions(directions),
            principal=principal,
            control=control,
            split=split,
            limit=limit,
            chunk=chunk,
            rows=rows,
            output=Path(output),
        )
        return compare_units(self, model, datamodule, job, ckpt_path, weights_only)
