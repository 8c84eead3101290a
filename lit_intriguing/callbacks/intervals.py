"""When a run is measured, and how often that is in the whole run."""

import math

from lightning.pytorch import Trainer

from lit_intriguing.callbacks.run_progress import total_batches
from lit_intriguing.private.of_lightning import optimizer_steps

MOST = 40
"""Measurements of a run, about, where nothing else was asked for: each epoch of a shorter one."""


def epochs_between(trainer: Trainer, given: int | None, most: int = MOST) -> int:
    """Return the epochs from one measurement to the next.

    Args:
        trainer: In a fit.
        given: What was asked for; None for at most `most` measurements in the run, and each epoch
            of a run without an end.
        most: Measurements.
    """
    epochs = epochs_of(trainer)
    return given or (1 if epochs is None else max(1, math.ceil(epochs / most)))


def epoch_is_due(trainer: Trainer, given: int | None, most: int = MOST) -> bool:
    """Return whether to measure at the end of the present epoch.

    Args:
        trainer: In a fit.
        given: Epochs from one measurement to the next; None also measures the first and the last.
        most: As for `epochs_between`.
    """
    number = trainer.current_epoch + 1
    ends = given is None and number in (1, epochs_of(trainer))
    return ends or number % epochs_between(trainer, given, most) == 0


def turn(
    trainer: Trainer,
    every_n_epochs: int | None,
    every_n_steps: int | None,
    most: int = MOST,
) -> tuple[int, int | None]:
    """Return the number of the present measurement in the run, and how many it has.

    Args:
        trainer: In a fit.
        every_n_epochs: Epochs from one measurement to the next, as for `epochs_between`.
        every_n_steps: Steps, in their place.
        most: As for `epochs_between`.

    Returns:
        The number, from 0; and the total, None in a run without an end.
    """
    if every_n_steps is not None:
        batches = total_batches(trainer)
        steps = None if batches is None else batches // trainer.accumulate_grad_batches
        number, total, every = optimizer_steps(trainer), steps, every_n_steps
    else:
        number, total = trainer.current_epoch + 1, epochs_of(trainer)
        every = epochs_between(trainer, every_n_epochs, most)
    return max(number // every - 1, 0), None if total is None else total // every


def epochs_of(trainer: Trainer) -> int | None:
    """Return the epochs of the fit; None if nothing bounds them."""
    batches = total_batches(trainer)
    if batches is not None and math.isfinite(trainer.num_training_batches):
        return math.ceil(batches / max(int(trainer.num_training_batches), 1))
    most = trainer.max_epochs
    return None if most is None or most < 0 else most
