"""A progress bar over the whole run, which shows the time left for all epochs."""

import logging
import math
import re
import sys
import time
from contextlib import ExitStack
from itertools import pairwise
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm
from typing_extensions import override

from lit_intriguing.argument_types import checked_arguments
from lit_intriguing.private.of_lightning import LOGS

_SUCCESS = re.compile(r"adversarial/.*/success")


@checked_arguments
class RunProgress(ProgressBar):
    """A progress bar of the whole fit, with the time spent and the time left.

    On a terminal it is one line, refreshed a few times a second. Elsewhere (a file, a pipe) it
    prints one line for each tenth of the run. Between refreshes a step costs one look at the clock;
    metrics are read, which waits for the device, only when they are printed.

    Args:
        refresh_seconds: Time between two refreshes on a terminal, in seconds.

    Raises:
        ValueError: If `refresh_seconds` is not positive.
    """

    def __init__(self, refresh_seconds: float = 0.5) -> None:
        super().__init__()
        if not refresh_seconds > 0:
            raise ValueError(f"refresh_seconds must be positive, got {refresh_seconds}.")
        self.refresh_seconds = refresh_seconds
        self._enabled = True
        self._bar: tqdm[Any] | None = None
        self._redirection = ExitStack()
        self._next_time = 0.0
        self._next_tenth = 1
        self._start_time = 0.0
        self._start_batches = 0

    @property
    def is_enabled(self) -> bool:
        """Whether the bar is shown; `print` of a LightningModule asks."""
        return self._enabled

    @override
    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Be the run's only bar."""
        super().setup(trainer, pl_module, stage)
        # A Trainer of `pytorch_lightning` knows bars of its own package alone, and adds one.
        added = trainer.progress_bar_callback
        if added is not None and added is not self:
            added.disable()

    @override
    def disable(self) -> None:
        """Hide the bar; Lightning calls this on all ranks but the first."""
        self._enabled = False

    @override
    def enable(self) -> None:
        """Show the bar again after `disable`."""
        self._enabled = True

    @override
    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock; a resumed run starts where it stopped."""
        self._start_time = time.monotonic()
        self._start_batches = _batches_done(trainer)
        self._next_time = 0.0
        total = total_batches(trainer)
        self._next_tenth = 1 + (10 * self._start_batches // total if total else 0)
        if self._enabled and sys.stderr.isatty():
            self._bar = tqdm(
                total=total,
                initial=self._start_batches,
                desc="Run",
                unit="step",
                dynamic_ncols=True,
                smoothing=0,
                file=sys.stderr,
            )
            self._redirection.enter_context(logging_redirect_tqdm(_lightnings_logs()))

    @override
    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Refresh the bar if it is time."""
        if not self._enabled:
            return
        now = time.monotonic()
        if now >= self._next_time:
            self._next_time = now + self.refresh_seconds
            self._refresh(trainer)

    @override
    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the last state."""
        if self._enabled:
            self._refresh(trainer)
        self._close()

    @override
    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Close the bar, which leaves the terminal on a fresh line."""
        self._close()

    @override
    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Close the bar, whatever happened."""
        self._close()

    @override
    def print(
        self, *args: Any, sep: str = " ", end: str = "\n", file: Any = None, **kwargs: Any
    ) -> None:
        """Print above the bar."""
        if self._enabled:
            tqdm.write(sep.join(map(str, args)), file=file, end=end)

    def _refresh(self, trainer: Trainer) -> None:
        done = _batches_done(trainer)
        if self._bar is not None:
            self._bar.n = done
            self._bar.set_postfix_str(_status(trainer), refresh=False)
            self._bar.refresh()
        else:
            self._write_line(trainer, done)

    def _write_line(self, trainer: Trainer, done: int) -> None:
        """Print a line if another tenth of the run is done; never without a total."""
        total = total_batches(trainer)
        if not total or 10 * done < self._next_tenth * total:
            return
        self._next_tenth = 1 + 10 * done // total
        elapsed = time.monotonic() - self._start_time
        left = elapsed * (total - done) / max(done - self._start_batches, 1)
        times = f"{tqdm.format_interval(elapsed)}<{tqdm.format_interval(left)}"
        text = f"Run: {100 * done // total:3d}% {done}/{total} [{times}, {_status(trainer)}]"
        print(text, file=sys.stderr, flush=True)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
        self._redirection.close()


def total_batches(trainer: Trainer) -> int | None:
    """Count the training batches of the whole fit.

    Returns:
        Epochs times batches an epoch, or fewer if `max_steps` ends the run before; None if nothing
        bounds the run.
    """
    bounds: list[float] = []
    if trainer.max_epochs is not None and trainer.max_epochs >= 0:
        bounds.append(trainer.max_epochs * float(trainer.num_training_batches))
    if trainer.max_steps >= 0:
        bounds.append(_batches_of(trainer, trainer.max_steps))
    total = min(bounds, default=math.inf)
    return None if math.isinf(total) else math.ceil(total)


def _batches_of(trainer: Trainer, steps: int) -> float:
    """Return the batches of so many optimiser steps; by hand, at the pace so far."""
    if not trainer.lightning_module.automatic_optimization and trainer.global_step:
        return steps * _batches_done(trainer) / trainer.global_step
    together, in_epoch = trainer.accumulate_grad_batches, float(trainer.num_training_batches)
    if math.isinf(in_epoch) or not in_epoch:
        return steps * together
    # The last step of an epoch takes what is left of its batches.
    batches = 0.0
    for together, epochs in _accumulated(trainer):
        each = math.ceil(in_epoch / together)
        if steps <= epochs * each:
            break
        steps, batches = int(steps - epochs * each), batches + epochs * in_epoch
    epochs, rest = divmod(steps, each)
    return batches + epochs * in_epoch + rest * together


def _accumulated(trainer: Trainer) -> list[tuple[int, float]]:
    """Return how many batches a step has, and in how many epochs, from the first to the last."""
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        schedule = getattr(callback, "scheduling", None)  # of `GradientAccumulationScheduler`
        if schedule is not None and hasattr(callback, "get_accumulate_grad_batches"):
            begins = [*sorted(schedule), math.inf]
            return [(schedule[begin], end - begin) for begin, end in pairwise(begins)]
    return [(trainer.accumulate_grad_batches, math.inf)]


def _batches_done(trainer: Trainer) -> int:
    return int(trainer.fit_loop.epoch_loop.total_batch_idx) + 1


def _status(trainer: Trainer) -> str:
    """Return the epoch, the metrics logged with `prog_bar=True` and the success, as text."""
    metrics = {**trainer.progress_bar_metrics, **_success(trainer)}
    values = (f"{name}={value:.3g}" for name, value in metrics.items())
    epochs = trainer.max_epochs if trainer.max_epochs is not None else -1
    epoch = trainer.current_epoch + 1
    of = f"{min(epoch, epochs)}/{epochs}" if epochs > 0 else f"{epoch}"
    return ", ".join([f"epoch {of}", *values])


def _success(trainer: Trainer) -> dict[str, float]:
    """Return the share of new adversarial examples that succeed, mean over the attacked layers."""
    found = [
        float(value) for name, value in trainer.callback_metrics.items() if _SUCCESS.fullmatch(name)
    ]
    return {"adversarial/success": sum(found) / len(found)} if found else {}


def _lightnings_logs() -> list[logging.Logger]:
    """Return the logs whose lines would end up on the bar's own line."""
    return [logging.getLogger(name) for name in LOGS]
