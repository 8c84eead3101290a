"""Saves a run's whole configuration with its log."""

from pathlib import Path

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.cli import SaveConfigCallback
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from typing_extensions import override


class SavedConfig(SaveConfigCallback):
    """Writes `config.yaml` into a logger's folder, or hands it to a logger without one.

    Lightning's own writes into the working directory where a logger has no folder of its own,
    and refuses to go on where such a file exists.
    """

    @override
    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write the configuration, on rank 0 only."""
        text = self.parser.dump(self.config, skip_none=False)
        for logger in trainer.loggers:
            _hand_over(logger, text)


def _hand_over(logger: Logger, text: str) -> None:
    if isinstance(logger, CSVLogger | TensorBoardLogger):
        # The CSV logger warns of a folder that is not empty: let it begin first.
        _ = logger.experiment
        folder = Path(logger.log_dir)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.yaml").write_text(text, encoding="utf-8")
    else:
        logger.log_hyperparams({"config": text})
