"""MLflow."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from lit_intriguing.loggers.configuration import flat
from lit_intriguing.loggers.table import Table
from lit_intriguing.loggers.when import When
from lit_intriguing.tables import csv_table

FILE = "config.yaml"
_LENGTH = 250
"""Characters of a parameter that Lightning hands over; it cuts without a word."""


@dataclass(frozen=True)
class MLflow:
    """MLflow: parameters, and artifacts `<key>/step-<step>.png` and `.csv`, `config.yaml`."""

    logger: Any

    def figure(self, key: str, figure: Figure, when: When) -> None:
        """Store a PNG file."""
        self.logger.experiment.log_figure(self.logger.run_id, figure, f"{when.name(key)}.png")

    def table(self, key: str, table: Table, when: When) -> None:
        """Store a CSV file, without pictures."""
        text = csv_table(table.columns, table.rows)
        self.logger.experiment.log_text(self.logger.run_id, text, f"{when.name(key)}.csv")

    def configuration(self, text: str, values: Mapping[str, Any]) -> None:
        """Store a parameter for each value, and the whole as a file."""
        self.logger.experiment.log_text(self.logger.run_id, text, FILE)
        self.logger.log_hyperparams({key: shortened(one) for key, one in flat(values).items()})


def shortened(value: Any) -> Any:
    """Return a value, or where it is too long for a parameter its beginning, and where it is whole.

    >>> shortened(0.5), len(shortened("x" * 1000))
    (0.5, 250)
    """
    text = str(value)
    end = f"... (all of it: {FILE})"
    return value if len(text) <= _LENGTH else text[: _LENGTH - len(end)] + end
