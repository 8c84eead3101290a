"""Loggers that do not stop a training, and whose rows and summaries are in order."""

from lightning.pytorch import Callback, LightningModule, Trainer

from lit_intriguing.loggers.guard import guard


class LoggerGuard(Callback):
    """Keeps a training going where a logger fails, and what loggers get in order.

    The command line has it in each run; in a Trainer of your own give it as the first callback.

    - A logger that raises, as where a disk is full or a server is gone, gives one warning. What it
      was to log is lost, the other loggers get theirs, and training continues. After ten failures
      in a row it is not asked again in this run. A logger that cannot even begin ends the run
      before training, as without this callback.
    - A CSV logger has one row a step: a row is written when the next one begins, or at the end.
    - In the summary of a W&B run, errors and losses have their least value beside the last one;
      success, distortion and accuracy their greatest (`val/error.min`, `examples/distortion.max`).

    It changes nothing else of a run.
    """

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Stand before the loggers, until Lightning finalises them."""
        for logger in trainer.loggers:
            guard(logger)
