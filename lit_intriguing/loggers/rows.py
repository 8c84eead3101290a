"""One row a step in the table of a CSV logger."""

from collections.abc import Callable, Mapping
from typing import Any


class Rows:
    """Puts together what is logged of one step, and hands it on as one row.

    Lightning logs the metrics of a step, of a validation and of an epoch one by one, and our
    callbacks log theirs. A row is handed on when another step's begins, or by `flush`. Where a
    value comes again with another number, another row begins.

    Args:
        log_metrics: Takes a row, and its step.
        save: Writes what was handed over.
    """

    def __init__(self, log_metrics: Callable[..., object], save: Callable[[], object]) -> None:
        self._log_metrics, self._save = log_metrics, save
        self._row: dict[str, Any] = {}
        self._step: int | None = None
        self._news = False

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Take metrics of a step."""
        again = any(key in self._row and self._row[key] != one for key, one in metrics.items())
        if step is None or step != self._step or again:
            self._hand_over()
        self._row |= metrics
        self._step = step
        if step is None:
            self._hand_over()

    def save(self) -> None:
        """Write whole rows; nothing where there are no new ones: Lightning asks at each log."""
        if self._news:
            self._news = False
            self._save()

    def flush(self) -> None:
        """Write everything."""
        self._hand_over()
        self.save()

    def _hand_over(self) -> None:
        row, self._row = self._row, {}
        if row:
            self._news = True
            self._log_metrics(row, step=self._step)
