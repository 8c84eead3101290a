"""What is asked for: layers, how they are read, what images are compared by."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.utilities.model_helpers import is_overridden
from torch import nn

from lit_intriguing.errors import UserError
from lit_intriguing.splits.fingerprint import class_name, described, of_model
from lit_intriguing.splits.loop import chunk_loader, on_rank_zero
from lit_intriguing.splits.resumable_store import Store
from lit_intriguing.units.analyse import TRAINED, check_layers_of, check_number, control_of
from lit_intriguing.units.layers import matching_layers
from lit_intriguing.units.network_scan import Named, ScanSettings

if TYPE_CHECKING:
    # Only here: `--help` would offer the data module of that file among the user's choices.
    from lit_intriguing.splits.split import Split, SplitData

CHUNK = 100
"""Images a forward pass."""


@dataclass(frozen=True, kw_only=True)
class UnitJob:
    """What `lightning units` is to do; see `options.py` for the options."""

    layers: Sequence[str]
    scan: ScanSettings
    features: nn.Module | None
    directions: Named
    principal: bool
    control: bool | nn.Module
    split: "Split"
    limit: int | None
    chunk: int
    rows: int
    output: Path

    def check(self, model: LightningModule) -> None:
        """Refuse what is wrong before anything starts.

        Raises:
            UserError: A number out of range, a model without `forward`, or an unknown layer.
        """
        for name in ("limit", "chunk", "rows"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UserError(f"{name} must be at least 1, not {value}.")
        if self.limit is not None and self.limit < self.scan.k:
            raise UserError(f"limit {self.limit} leaves fewer images than k, {self.scan.k}.")
        if self.output.exists() and not self.output.is_dir():
            raise UserError(f"the output {self.output} is a file: name a folder.")
        if not is_overridden("forward", model):
            raise UserError(f"{type(model).__name__} has no forward, so no layer can be read.")
        if not is_overridden("configure_model", model):  # else its layers come later
            self._check_layers(matching_layers(model, self.layers))

    def _check_layers(self, names: Sequence[str]) -> None:
        unknown = [layer for layer in self.directions if layer not in names]
        if unknown:
            raise UserError(
                f"directions are given for {', '.join(unknown)}, but the option layers names "
                f"{', '.join(names)}."
            )
        if isinstance(self.control, nn.Module):
            check_layers_of(self.control, names)

    def networks(self, model: LightningModule) -> dict[str, nn.Module]:
        """Return the network and its control by name, on the network's device.

        Args:
            model: With its weights loaded.
        """
        layers = matching_layers(model, self.layers)
        control = control_of(model, self.control, layers, self.scan.seed)
        return {TRAINED: model, **{name: one.to(model.device) for name, one in control.items()}}

    def settings(
        self, model: LightningModule, source: LightningDataModule | LightningModule
    ) -> dict[str, Any]:
        """Return what the top images depend on, as plain values.

        What they are compared by is not among it (see `comparison`): while a scan goes on, it
        serves other features as well.

        Args:
            model: With its weights loaded.
            source: Where the images come from.
        """
        return {
            "model": of_model(model),
            "data": class_name(source),
            "layers": matching_layers(model, self.layers),
            **{name: described(value) for name, value in vars(self.scan).items()},
            **{
                name: described(getattr(self, name))
                for name in ("directions", "principal", "control", "split", "limit", "chunk")
            },
        }

    def comparison(self) -> dict[str, Any]:
        """Return what a finished comparison depends on beside the top images, as plain values."""
        compared_by = "labels" if self.features is None else described(self.features)
        return {"compared_by": compared_by, "rows": self.rows}


def begin_store(
    job: UnitJob, store: Store, data: "SplitData", trainer: Trainer, module: LightningModule
) -> None:
    """Write down what is asked for, or see whether a begun comparison is the same.

    Raises:
        UserError: There are fewer images than k, or the folder holds something else.
    """
    check_number(chunk_loader(trainer).examples, job.scan.k)
    settings = job.settings(module, data.source) | {"precision": trainer.precision}
    on_rank_zero(trainer, lambda: store.begin(settings))
