"""Weights & Biases."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from lit_intriguing.figures.canvas import pixels
from lit_intriguing.loggers.configuration import by_name
from lit_intriguing.loggers.table import Table
from lit_intriguing.loggers.when import When
from lit_intriguing.tables import Cell
from lit_intriguing.whole_files import write_bytes

FILE = "lightning/config.yaml"
"""The configuration among the run's files; its `config.yaml` is W&B's own."""


@dataclass(frozen=True)
class Wandb:
    """W&B: panels `<key>/figure` and `<key>/table`; columns `model.init_args.optimizer...`."""

    logger: Any

    def figure(self, key: str, figure: Figure, when: When) -> None:
        """Log an image."""
        import wandb

        self._log(f"{key}/figure", [wandb.Image(pixels(figure))], when)

    def table(self, key: str, table: Table, when: When) -> None:
        """Log a table; its pictures stand behind the first column."""
        import wandb

        columns: list[str | int] = [*table.columns[:1], *table.images, *table.columns[1:]]
        rows: list[list[Cell | wandb.Image | None]] = [
            [*row[:1], *(wandb.Image(one[at]) for one in table.images.values()), *row[1:]]
            for at, row in enumerate(table.typed())
        ]
        self._log(f"{key}/table", wandb.Table(columns=columns, data=rows), when)

    def configuration(self, text: str, values: Mapping[str, Any]) -> None:
        """Fill the run's columns; write the file beside its checkpoints and into its files."""
        run = self.logger.experiment
        self.logger.log_hyperparams(by_name(values))
        folder = Path(self.logger.save_dir or ".", str(self.logger.name), str(self.logger.version))
        write_bytes(folder / "config.yaml", text.encode())
        own = Path(run.dir, FILE)
        write_bytes(own, text.encode())
        run.save(str(own), base_path=run.dir, policy="now")

    def _log(self, name: str, value: Any, when: When) -> None:
        self.logger.log_metrics({name: value, "epoch": when.epoch}, step=when.logged)
