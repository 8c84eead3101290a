"""What callbacks that measure and report have in common; they do not change the run."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_warn

from lit_intriguing.callbacks.drawing import Drawing
from lit_intriguing.checks import check_whole
from lit_intriguing.errors import UserError
from lit_intriguing.hosts.checkpoint_file import check_checkpoint
from lit_intriguing.hosts.monitored import is_monitored, tell_monitors, validates_within_fit
from lit_intriguing.hosts.muted import muted
from lit_intriguing.isolation import own_randomness, untouched
from lit_intriguing.loggers.failures import attempt
from lit_intriguing.loggers.when import When
from lit_intriguing.patience import prepare_to_wait
from lit_intriguing.private.of_lightning import callbacks_of, optimizer_steps
from lit_intriguing.splice import eager


class Measuring(Callback):
    """A callback with a name, a folder, scalars for every logger, and warnings that come once.

    The scalars are also in `trainer.callback_metrics`, the same on every process, for callbacks
    that monitor one (`ModelCheckpoint`, `EarlyStopping`). Where one does, each validation is
    measured too, before they look. A scalar that is unknown, such as the distortion where no
    example was found, is NaN there: `EarlyStopping` ends the run then, unless
    `check_finite=False`.

    Args:
        name: Name of the scalars, figures and files, different for each callback of the run.
        dirpath: Folder in place of the run's own.
        seed: Seed of its own random numbers.
        draw_every: Measurements from one that is drawn to the next; see `Drawing`.
    """

    def __init__(
        self, name: str, dirpath: str | Path | None, seed: int, draw_every: int | None = None
    ) -> None:
        super().__init__()
        self.name, self.dirpath, self.seed = name, dirpath, seed
        self.drawing = Drawing(type(self).__name__, draw_every)
        self._warned: set[str] = set()
        self._news: dict[str, float] = {}
        self._row: dict[str, float] = {}
        self._validated_step: int | None = None

    @property
    def state_key(self) -> str:
        """The key of this callback's state in a checkpoint, different for each name."""
        return f"{type(self).__name__}[{self.name}]"

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuse another callback of this name before training starts.

        Lightning itself compares only callbacks that save a state.

        Raises:
            UserError: If two callbacks would write to the same series, figures and files.
        """
        check_checkpoint(trainer)
        prepare_to_wait()
        named = [
            type(one).__name__
            for one in callbacks_of(trainer)
            if isinstance(one, Measuring) and one.name == self.name
        ]
        self._news, self._row, self._validated_step = {}, {}, None
        if stage == "fit" and len(named) > 1:
            raise UserError(
                f"{' and '.join(named)} have one name, {self.name!r}, and would write to the same "
                "series and files: leave one of them out, or give it another name"
            )

    def check_at_least_one(self, **options: int | None) -> None:
        """Refuse options below 1.

        Raises:
            ValueError: With the option's name.
        """
        check_whole(type(self).__name__, 1, **options)

    @contextmanager
    def isolated(self, pl_module: LightningModule) -> Iterator[None]:
        """Use random numbers of its own, tell nobody, compile nothing; restore what was there."""
        with (
            own_randomness(self.seed % 2**32),
            untouched(pl_module),
            muted(pl_module),
            eager(pl_module),
        ):
            yield

    @contextmanager
    def measured(self, trainer: Trainer, when: When, seconds: str = "seconds") -> Iterator[None]:
        """Log what is noted inside to every logger, in one row with the epoch and the time it took.

        It is logged also where something fails after it was noted, such as a figure. A logger that
        fails gives a warning.

        Args:
            trainer: Has the loggers.
            when: The moment.
            seconds: Name of the scalar with the time, that of drawing included.
        """
        start = time.perf_counter()
        try:
            yield
        finally:
            if self._row:
                self._row[f"{self.name}/{seconds}"] = time.perf_counter() - start
            row, self._row = self._row, {}
            for logger in trainer.loggers if row else ():
                attempt(logger, logger.log_metrics, {**row, "epoch": when.epoch}, step=when.logged)

    def note(self, values: Mapping[str, float]) -> None:
        """Note scalars of the present measurement; NaN is logged nowhere.

        Callbacks that monitor one get it, NaN or not, when all processes have called `tell`.
        """
        named = {f"{self.name}/{key}": value for key, value in values.items()}
        self._news |= named
        self._row |= {key: value for key, value in named.items() if not math.isnan(value)}

    def tell(self, trainer: Trainer) -> None:
        """Put what was logged last into `trainer.callback_metrics`; every process must call it."""
        news, self._news = self._news, {}
        tell_monitors(trainer, news)

    def is_due_in_validation(self, trainer: Trainer) -> bool:
        """Return whether to measure before a validation's end, since callbacks look then.

        That is where one monitors what is measured here, and only in the validations of a fit.
        """
        due = validates_within_fit(trainer) and is_monitored(trainer, f"{self.name}/")
        if due:
            self._validated_step = optimizer_steps(trainer)
        return due

    def was_in_validation(self, trainer: Trainer) -> bool:
        """Return whether the present weights were measured in a validation."""
        return self._validated_step == optimizer_steps(trainer)

    def draw_last(self) -> None:
        """Draw the last measurement, if that has not been done; a failure gives one warning."""
        self.or_warn(self.drawing.finish, "drew nothing at the end")

    def or_warn(self, action: Callable[[], None], what: str) -> None:
        """Do something that must not end the run: a failure gives one warning of this callback."""
        try:
            action()
        except Exception as error:
            self.warn_once(
                "failure",
                f"{type(self).__name__} {what}: {type(error).__name__}: {error}. Training "
                "continues. This warning comes once.",
            )

    def folder(self, trainer: Trainer) -> Path:
        """Return the folder in which `ModelCheckpoint` puts `checkpoints`; on rank 0 only."""
        if self.dirpath is not None:
            return Path(self.dirpath)
        if not trainer.loggers:
            return Path(trainer.default_root_dir)
        logger = trainer.loggers[0]
        version = logger.version if isinstance(logger.version, str) else f"version_{logger.version}"
        return Path(logger.save_dir or trainer.default_root_dir, str(logger.name), version)

    def warn_once(self, kind: str, message: str) -> None:
        """Warn, the first time of its kind in a run."""
        if kind not in self._warned:
            self._warned.add(kind)
            rank_zero_warn(message)


def is_trial(trainer: Trainer) -> bool:
    """Return whether the run is a `fast_dev_run`."""
    return bool(trainer.fast_dev_run)  # type: ignore[attr-defined]
