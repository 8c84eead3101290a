"""Comet."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from lit_intriguing.figures.canvas import pixels
from lit_intriguing.loggers.configuration import flat
from lit_intriguing.loggers.table import Table
from lit_intriguing.loggers.when import When


@dataclass(frozen=True)
class Comet:
    """Comet: images `<key>/figure`, tables `<key>/step-<step>.csv`, parameters, `config.yaml`."""

    logger: Any

    def figure(self, key: str, figure: Figure, when: When) -> None:
        """Log an image."""
        self.logger.experiment.log_image(pixels(figure), name=f"{key}/figure", step=when.logged)

    def table(self, key: str, table: Table, when: When) -> None:
        """Log a table, without pictures."""
        rows = [list(row) for row in table.rows]
        self.logger.experiment.log_table(
            f"{when.name(key)}.csv", tabular_data=rows, headers=list(table.columns)
        )

    def configuration(self, text: str, values: Mapping[str, Any]) -> None:
        """Log a parameter for each value, and the whole as a file."""
        self.logger.log_hyperparams(flat(values))
        self.logger.experiment.log_asset_data(text, name="config.yaml")
