"""The moment of a measurement, as loggers, files and titles name it."""

from dataclasses import dataclass

from lightning.pytorch import Trainer

from lit_intriguing.private.of_lightning import optimizer_steps


@dataclass(frozen=True)
class When:
    """A moment of a training.

    Attributes:
        steps: Optimiser steps taken. File names and titles have this number.
        epoch: Number of the epoch, from 0 as in Lightning's own column `epoch`; titles and the
            progress bar count from 1.

    >>> print(When(steps=1200, epoch=7))
    step 1,200, epoch 8
    """

    steps: int
    epoch: int

    @classmethod
    def now(cls, trainer: Trainer) -> "When":
        """Return the present moment of a fit."""
        return cls(optimizer_steps(trainer), trainer.current_epoch)

    @classmethod
    def at_end(cls, trainer: Trainer) -> "When":
        """Return the last moment of a fit, in `on_train_end`: Lightning has counted on by then."""
        return cls(optimizer_steps(trainer), max(trainer.current_epoch - 1, 0))

    @property
    def logged(self) -> int:
        """The step for loggers: the number of the last step, from 0.

        Lightning logs what it measures after n steps, such as `val/error`, under n - 1. With the
        same number rows join.
        """
        return max(self.steps - 1, 0)

    def name(self, key: str) -> str:
        """Return the name of a file, without its ending, for a series; names sort by step.

        >>> When(7, 0).name("examples")
        'examples/step-00000007'
        """
        return f"{key}/step-{self.steps:08d}"

    def __str__(self) -> str:
        """Say it in a title."""
        return f"step {self.steps:,}, epoch {self.epoch + 1}"
