"""What is asked for: which bounds, compared with what, written where."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.pytorch import LightningDataModule, LightningModule
from lightning.pytorch.utilities.model_helpers import is_overridden

from lit_intriguing.errors import UserError
from lit_intriguing.lipschitz.registry import Method, check_method
from lit_intriguing.splits.fingerprint import class_name, described, of_model

if TYPE_CHECKING:
    # Only here: `--help` would offer the data module of that file among the user's choices.
    from lit_intriguing.splits.split import Split


@dataclass(frozen=True, kw_only=True)
class BoundJob:
    """What `lightning lipschitz` is to do; see `options.py` for the options."""

    input_shape: tuple[int, ...] | None
    layers: Sequence[str]
    paper: Mapping[str, float]
    radii: Sequence[float]
    split: "Split"
    limit: int | None
    output: Path
    method: Method

    def settings(
        self, model: LightningModule, source: LightningDataModule | LightningModule
    ) -> dict[str, Any]:
        """Return what the result depends on, as plain values.

        Args:
            model: With its weights loaded.
            source: Where the images come from.
        """
        named = vars(self).items()
        return {
            "model": of_model(model),
            "data": class_name(source),
            **{name: described(value) for name, value in named if name != "output"},
        }

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
