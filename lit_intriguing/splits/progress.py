"""A bar over the chunks that this process works on."""

import sys
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import RichProgressBar, TQDMProgressBar
from tqdm import tqdm

_LOG_SECONDS = 30.0
"""Between two renewals where standard error is a file."""


class ChunkProgress:
    """Takes the place of Lightning's default bar, on rank 0.

    To be made before the loop starts, since Lightning's bar shows itself then.

    Args:
        trainer: Whose bar it is; without one, or with the user's own, nothing is shown.
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
        """Shows the bar.

        Args:
            total: Units of this process; None where it is not known.
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
        """Counts a unit."""
        assert self._bar is not None
        self._bar.set_postfix_str(status, refresh=False)
        self._bar.update()

    def close(self) -> None:
        """Leaves the terminal on a fresh line."""
        if self._bar is not None:
            self._bar.close()
        if self._theirs is not None:
            self._theirs.enable()
