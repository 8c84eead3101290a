"""Ends the training of a sparse autoencoder when its filters are sparse and local."""

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from lit_intriguing.argument_types import checked_arguments
from lit_intriguing.errors import UserError
from lit_intriguing.figures.filters import filters_figure
from lit_intriguing.hosts.checkpoint_file import check_checkpoint
from lit_intriguing.loggers.destinations import destinations
from lit_intriguing.loggers.when import When
from lit_intriguing.models.autoencoder import SparseAutoencoder
from lit_intriguing.models.localisation import localisation

_ACTIVATION = "train/activation"


@checked_arguments
class SparseFilters(Callback):
    """A stop of training when mean activation and localisation reach their thresholds.

    The mean activation is that over the units and the examples of the epoch, the localisation the
    median over the filters of `lit_intriguing.models.localisation.localisation`. Both are logged
    after each epoch, as `train/activation` by the module and `filters/localisation`. If the
    thresholds were reached, one line at the end says so, which is also in `outcome`; if not, there
    is a warning. The filters go to the loggers as a figure, `filters`. The callback only measures:
    weights and random states do not change.

    Args:
        activation: Mean activation to reach from above, between 0 and 1.
        local: Localisation to reach from below, between 0 and 1.

    Raises:
        ValueError: For a threshold out of range.
        UserError: When training starts, for a module other than a `SparseAutoencoder`, or filters
            that are not square images.
    """

    def __init__(self, activation: float, local: float) -> None:
        super().__init__()
        for name, value in (("activation", activation), ("local", local)):
            if not 0 < value < 1:
                raise ValueError(f"SparseFilters: {name} lies between 0 and 1, not {value}.")
        self.activation, self.local = activation, local
        self.outcome: str | None = None
        self._epochs, self._reached = 0, ""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Have a damaged checkpoint refused when it is read; see `check_checkpoint`."""
        check_checkpoint(trainer)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Refuse a module without such filters."""
        localisation(_autoencoder(pl_module).filters)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure, log, and ask to stop where both thresholds are reached."""
        mean = float(_activation(trainer))
        local = float(localisation(_autoencoder(pl_module).filters).median())
        pl_module.log("filters/localisation", local, prog_bar=True)
        self._epochs += 1
        self._reached = (
            f"after {self._epochs} epochs: mean activation {mean:.4f}, "
            f"median localisation {local:.3f}"
        )
        if mean <= self.activation and local >= self.local:
            self.outcome = f"filters sparse and local {self._reached}"
            trainer.should_stop = True

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print how the training ended and draw the filters."""
        if self.outcome is not None:
            trainer.print(self.outcome)
        elif self._reached:
            rank_zero_warn(
                f"The filters are not sparse and local {self._reached}; asked for were at most "
                f"{self.activation:g} and at least {self.local:g}. Raise max_epochs, the module's "
                "sparsity or its decay, or choose other thresholds."
            )
        if trainer.is_global_zero:
            self._draw(trainer, _autoencoder(pl_module))

    def _draw(self, trainer: Trainer, module: SparseAutoencoder) -> None:
        for place in destinations(trainer.loggers):
            figure = filters_figure(module.filters, self._reached)
            place.figure("filters", figure, When.at_end(trainer))

    def state_dict(self) -> dict[str, Any]:
        """Return what was reached last."""
        return {"epochs": self._epochs, "reached": self._reached}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a checkpoint."""
        self._epochs, self._reached = state_dict["epochs"], state_dict["reached"]


def _activation(trainer: Trainer) -> Tensor:
    if _ACTIVATION not in trainer.callback_metrics:
        raise UserError(
            f"SparseFilters finds no {_ACTIVATION!r} at the end of the epoch: let the module log "
            "it, as training_step of SparseAutoencoder does"
        )
    return trainer.callback_metrics[_ACTIVATION]


def _autoencoder(module: LightningModule) -> SparseAutoencoder:
    if not isinstance(module, SparseAutoencoder):
        raise UserError(
            f"SparseFilters measures a SparseAutoencoder, not a {type(module).__name__}: leave the "
            "callback out, or train a SparseAutoencoder"
        )
    return module
