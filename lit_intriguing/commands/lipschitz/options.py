"""The options of `lightning lipschitz`, with their defaults: the only list of them."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from jsonargparse.typing import NonNegativeFloat, PositiveInt
from lightning.pytorch import LightningDataModule, LightningModule, Trainer

from lit_intriguing.checks import as_list
from lit_intriguing.commands.lipschitz.job import BoundJob

if TYPE_CHECKING:
    from lit_intriguing.commands.lipschitz.output import Result


class LipschitzTrainer(Trainer):
    """A Trainer with the method `lipschitz`, whose parameters are the command's options."""

    def lipschitz(
        self,
        model: LightningModule,
        datamodule: LightningDataModule | None = None,
        input_shape: list[PositiveInt] | None = None,
        layers: list[str] | str | None = None,
        paper_values: dict[str, float] | None = None,
        method: Literal["certified", "probable"] = "certified",
        radii: list[NonNegativeFloat] | None = None,
        split: Literal["train", "validation", "test"] = "test",
        limit: int | None = None,
        output: str = "lipschitz",
        ckpt_path: str | None = None,
        weights_only: bool | None = None,
    ) -> "Result":
        """Bound the Lipschitz constants (L2) of each layer and of the whole network.

        Runs on one process, on the CPU, whatever the Trainer's options say.

        Args:
            model: Whose `forward` is bounded, in evaluation mode.
            datamodule: Gives batches (images, labels); where null, the model does.
            input_shape: Of one example, without the batch (null: that of the data's first).
            layers: Names of the layers to show, or one name (null: all whose constant is not 1).
            paper_values: The paper's value of layers, by their names, shown beside.
            method: How: certified, or probable, which is tighter for convolutions on small images
                and too low with a probability of 1e-9 for each of them.
            radii: L2 radii within which the share of predictions that cannot change is certified.
            split: Whose images are certified.
            limit: Certify no more images than that.
            output: Folder for table, figure and summary.
            ckpt_path: The weights: a checkpoint of `lightning fit`.
            weights_only: Whether the checkpoint may hold tensors and plain values only.

        Returns:
            The bounds, which are printed as well.

        Raises:
            UserError: Something of this does not fit together; the message says what to do.
        """
        # Here, so that what it needs is not offered in every `--help`.
        from lit_intriguing.commands.lipschitz.command import bound_network

        job = BoundJob(
            input_shape=None if input_shape is None else tuple(input_shape),
            layers=as_list(layers),
            paper=paper_values or {},
            radii=radii or (),
            split=split,
            limit=limit,
            output=Path(output),
            method=method,
        )
        return bound_network(self, model, datamodule, job, ckpt_path, weights_only)
