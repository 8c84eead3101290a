"""Saves a run's whole configuration with its log."""

import yaml
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.cli import SaveConfigCallback
from typing_extensions import override

from lit_intriguing.loggers.destinations import destinations


class SavedConfig(SaveConfigCallback):
    """Hands the configuration to each logger: `config.yaml` and, where it has some, columns.

    Lightning's own writes into the working directory where a logger has no folder of its own,
    and refuses to go on where such a file exists.
    """

    @override
    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Hand the configuration over, on rank 0 only."""
        text = self.parser.dump(self.config, skip_none=False)
        values = yaml.safe_load(text)
        for destination in destinations(trainer.loggers):
            destination.configuration(text, values)
