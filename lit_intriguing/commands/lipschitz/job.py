"""What is asked for: the options of `lightning lipschitz`, with their defaults."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from jsonargparse.typing import NonNegativeFloat, PositiveInt
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.utilities.model_helpers import is_overridden

from lit_intriguing.errors import UserError
from lit_intriguing.lipschitz.registry import Method, check_method

if TYPE_CHECKING:
    from lit_intriguing.commands.lipschitz.output import Result

    # Only here: `--help` would offer the data module of that file among the user's choices.
    from lit_intriguing.splits.split import Split


@dataclass(frozen=True, kw_only=True)
class BoundJob:
    """What `lightning lipschitz` is to do; see `LipschitzTrainer` for the options."""

    input_shape: tuple[int, ...] | None
    layers: Sequence[str]
    paper: Mapping[str, float]
    radii: Sequence[float]
    split: "Split"
    limit: int | None
    output: Path
    method: Method

    def check(self, model: LightningModule) -> None:
        """Refuse what is known to be wrong before anything starts.

        Raises:
            UserError: A number out of range, a method that there is not, radii to certify by
                bounds that are not certified, a file in the folder's place, or a model without
                `forward`.
        """
        self._check_method()
        if self.input_shape is not None and not (
            self.input_shape and all(size >= 1 for size in self.input_shape)
        ):
            raise UserError(
                "input_shape is that of one example, sizes of 1 or more without the batch, such "
                f"as [3, 224, 224], not {list(self.input_shape)}."
            )
        if self.limit is not None and self.limit < 1:
            raise UserError(f"limit must be at least 1, not {self.limit}.")
        for radius in self.radii:
            if not 0 <= radius < math.inf:
                raise UserError(f"radii are L2 distances of zero or more, not {radius}.")
        for name, value in self.paper.items():
            if not 0 <= value < math.inf:
                raise UserError(f"paper_values are zero or more, not {value} for {name}.")
        if self.output.exists() and not self.output.is_dir():
            raise UserError(f"the output {self.output} is a file: name a folder.")
        if not is_overridden("forward", model):
            raise UserError(
                f"{type(model).__name__} has no forward: what is bounded is model(images)."
            )

    def _check_method(self) -> None:
        try:
            check_method(self.method)
        except ValueError as error:
            raise UserError(str(error)) from error
        if self.radii and self.method != "certified":
            raise UserError(
                f"radii are certified by certified bounds, not by {self.method} ones: leave radii "
                "out, or take the method certified."
            )


class LipschitzTrainer(Trainer):
    """A Trainer with the method `lipschitz`, whose parameters are the command's options."""

    def lipschitz(
        self,
        model: LightningModule,
        datamodule: LightningDataModule | None = None,
        input_shape: list[PositiveInt] | None = None,
        layers: list[str] | None = None,
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
            layers: Names of the layers to show (null: all whose constant is not 1).
            paper_values: The paper's value of layers, by their names, shown beside.
            method: How: certified, or probable, which is tighter for convolutions on small images
                and too low with a probability of 1e-9 for each of them.
            radii: L2 radii within which the share of answers that cannot change is certified.
            split: Whose rows are certified.
            limit: Certify no more rows than that.
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
            layers=layers or (),
            paper=paper_values or {},
            radii=radii or (),
            split=split,
            limit=limit,
            output=Path(output),
            method=method,
        )
        return bound_network(self, model, datamodule, job, ckpt_path, weights_only)
