"""Sends figures, tables and the configuration to whichever logger is there.

Loggers are recognised by the names of their classes: those of `lightning`, of `pytorch_lightning`
and of Fabric, and subclasses of them, are then all the same, and none of the three has to be
imported.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from matplotlib.figure import Figure

from lit_intriguing.figures.canvas import png
from lit_intriguing.loggers.comet import Comet
from lit_intriguing.loggers.configuration import by_name
from lit_intriguing.loggers.failures import attempt
from lit_intriguing.loggers.mlflow import MLflow
from lit_intriguing.loggers.table import Table
from lit_intriguing.loggers.tensorboard import TensorBoard
from lit_intriguing.loggers.wandb import Wandb
from lit_intriguing.loggers.when import When
from lit_intriguing.tables import csv_table
from lit_intriguing.whole_files import write_bytes


class Destination(Protocol):
    """A place that takes figures, tables and the configuration."""

    def figure(self, key: str, figure: Figure, when: When) -> None:
        """Take a figure.

        Args:
            key: Name of the series that the figure belongs to, parts separated by slashes.
            figure: A figure made in this package.
            when: When what it shows was measured.
        """

    def table(self, key: str, table: Table, when: When) -> None:
        """Take a table; else as `figure`."""

    def configuration(self, text: str, values: Mapping[str, Any]) -> None:
        """Take the configuration of the run.

        Args:
            text: As YAML.
            values: The same, as plain values.
        """


@dataclass(frozen=True)
class Files:
    """A folder: `<key>/step-<step>.png` for figures, `.csv` for tables; `config.yaml`."""

    folder: Path

    def figure(self, key: str, figure: Figure, when: When) -> None:
        """Write a PNG file."""
        write_bytes(self.path(key, when, ".png"), png(figure))

    def table(self, key: str, table: Table, when: When) -> None:
        """Write a CSV file, the columns' names in its first line; without pictures."""
        content = csv_table(table.columns, table.rows)
        write_bytes(self.path(key, when, ".csv"), content.encode())

    def configuration(self, text: str, values: Mapping[str, Any]) -> None:
        """Write `config.yaml`."""
        write_bytes(self.folder / "config.yaml", text.encode())

    def path(self, key: str, when: When, suffix: str) -> Path:
        """Return the file of a series at a moment; names sort by step."""
        return self.folder / f"{when.name(key)}{suffix}"


@dataclass(frozen=True)
class Unknown:
    """A logger of another kind: it gets the configuration alone."""

    logger: Any

    def figure(self, key: str, figure: Figure, when: When) -> None:
        """Leave it out."""

    def table(self, key: str, table: Table, when: When) -> None:
        """Leave it out."""

    def configuration(self, text: str, values: Mapping[str, Any]) -> None:
        """Hand the values over as hyperparameters."""
        self.logger.log_hyperparams(by_name(values))


@dataclass(frozen=True)
class Forgiving:
    """The place of a logger, whose failures do not end the run."""

    logger: Any
    place: Destination

    def figure(self, key: str, figure: Figure, when: When) -> None:
        """Hand a figure on."""
        attempt(self.logger, self.place.figure, key, figure, when)

    def table(self, key: str, table: Table, when: When) -> None:
        """Hand a table on."""
        attempt(self.logger, self.place.table, key, table, when)

    def configuration(self, text: str, values: Mapping[str, Any]) -> None:
        """Hand the configuration on."""
        attempt(self.logger, self.place.configuration, text, values)


def destinations(loggers: Iterable[object], folder: Path | None = None) -> list[Destination]:
    """Return where figures and tables go.

    Args:
        loggers: The trainer's. W&B, TensorBoard, MLflow, Comet and CSV (files beside `metrics.csv`)
            are known; others get nothing but the configuration. One that fails gives a warning.
        folder: Takes files in any case.

    Returns:
        Each place once, though a CSV logger may write to `folder` too.
    """
    own = None if folder is None else Files(folder.absolute())
    found: list[Destination] = [] if own is None else [own]
    places = list(found)
    for logger in loggers:
        place = attempt(logger, place_of, logger)
        if place is not None and place not in places:
            places.append(place)
            found.append(Forgiving(logger, place))
    return found


def place_of(logger: Any) -> Destination:
    """Return the place of a logger."""
    names = {kind.__name__ for kind in type(logger).__mro__}
    for name, kind in _KINDS.items():
        if name in names:
            return kind(logger)
    if "CSVLogger" in names:
        # Asked before its first write, the logger would find our files and warn.
        return Files(Path(logger.experiment.log_dir).absolute())
    return Unknown(logger)


_KINDS: dict[str, Callable[[Any], Destination]] = {
    "WandbLogger": Wandb,
    "TensorBoardLogger": TensorBoard,
    "MLFlowLogger": MLflow,
    "CometLogger": Comet,
}
