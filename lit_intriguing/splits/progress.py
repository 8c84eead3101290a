"""A progress bar over the chunks that this process works on."""

import sys
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import RichProgressBar, TQDMProgressBar
from tqdm import tqdm

_LOG_SECONDS = 30.0
"""Between two renewals where standard error is a file."""


class ChunkProgress:
    """A progress bar in the place of Lightning's default bar, on rank 0.

    Create it before the loop starts: Lightning's bar appears then.

    Args:
        trainer: Whose bar is replaced; without one, or with the user's own, there is no bar.
        task: What is done.
        unit: What is counted.
    """

    def __init__(self, trainer: Trainer, task: str = "Attack", unit: str = "chunk") -> None:
        theirs = trainer.progress_bar_callback
        self._theirs = theirs if type(theirs) in (TQDMProgressBar, RichProgressBar) else None
        if self._theirs is not None:
            self._theirs.disable()
        self._hidden = self._theirs is None or not trainer.is_global_zero
        self._task, self._unit = task, unit
        self._bar: tqdm[Any] | None = None

    def begin(self, total: int | None) -> None:
        """Show the bar.

        Args:
            total: Units of this process; None if unknown.
        """
        self._bar = tqdm(
            total=total,
            desc=self._task,
            unit=self._unit,
            file=sys.stderr,
            dynamic_ncols=True,
            mininterval=0.5 if sys.stderr.isatty() else _LOG_SECONDS,
            smoothing=0,
            disable=self._hidden,
        )

    def advance(self, status: str) -> None:
        """Count a unit, with a text behind the bar."""
        assert self._bar is not None
        self._bar.set_postfix_str(status, refresh=False)
        self._bar.update()

    def close(self) -> None:
        """Close the bar, which leaves the terminal on a fresh line."""
        if self._bar is not None:
            self._bar.close()
        if self._theirs is not None:
            self._theirs.enable()
