"""What is said at the end of a training: where everything lies, and what to type next."""

import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.utilities.model_helpers import is_overridden

from lit_intriguing.cli import closing_test
from lit_intriguing.cli.messages import newest_checkpoint
from lit_intriguing.configuration.arguments import without

OF_FIT_ALONE = ("--ckpt_path", "--test_after_fit")


def closing_words(
    trainer: Trainer,
    model: LightningModule,
    datamodule: LightningDataModule | None,
    arguments: Sequence[str],
) -> str:
    """Return lines with the paths of weights, metrics and pictures, and the next commands.

    Args:
        trainer: After the training.
        model: What was trained.
        datamodule: Its data.
        arguments: Of the command, the subcommand first.
    """
    rows: list[tuple[str, str]] = []
    if closing_test.lacks_test_set(datamodule):
        rows.append(("test", "none: the data has no test set"))
    checkpoint = newest_checkpoint(trainer)
    rows.append(("weights", "not saved" if checkpoint is None else _short(checkpoint)))
    for logger in trainer.loggers:
        metrics, pictures = _places(logger)
        rows.append(("metrics", metrics))
        rows += [("pictures", one) for one in pictures]
    if checkpoint is not None:
        for subcommand in _next(trainer, model, datamodule):
            words = [subcommand, *without(arguments[1:], OF_FIT_ALONE)]
            command = shlex.join([*words, "--ckpt_path", _short(checkpoint)])
            rows.append(("next", f"{_program()} {command}"))
    return "\n".join(f"{name:<9}{text}" for name, text in rows)


def _next(
    trainer: Trainer, model: LightningModule, datamodule: LightningDataModule | None
) -> list[str]:
    """Return the subcommands that make sense for a model."""
    tested = ["test"] if closing_test.has_test(model, datamodule) else []
    if closing_test.METRIC not in trainer.callback_metrics or not is_overridden("forward", model):
        return tested
    return [*tested, "attack", "lipschitz"]


def _places(logger: Any) -> tuple[str, list[str]]:
    """Return where a logger's metrics are, and the folders with pictures beside them."""
    names = {kind.__name__ for kind in type(logger).__mro__}
    if "CSVLogger" in names:
        folder = Path(logger.log_dir)
        pictures = sorted({_short(file.parent) for file in folder.rglob("*.png")})
        return _short(folder / "metrics.csv"), pictures
    if "TensorBoardLogger" in names:
        return f"tensorboard --logdir {shlex.quote(_short(Path(logger.log_dir)))}", []
    if "WandbLogger" in names:
        run = logger.experiment
        # Offline, W&B warns where it is asked for an address.
        url = None if getattr(run, "offline", False) else getattr(run, "url", None)
        return str(url or f"W&B, offline, in {_short(Path(logger.save_dir or '.') / 'wandb')}"), []
    if "MLFlowLogger" in names:
        store = shlex.quote(str(logger.experiment.tracking_uri))
        return f"mlflow ui --backend-store-uri {store}", []
    if "CometLogger" in names:
        return str(logger.experiment.url), []
    return type(logger).__name__, []


def _short(path: Path) -> str:
    """Return a path as seen from the working directory, where it lies below it."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def _program() -> str:
    """Return how the program was called."""
    called = Path(sys.argv[0])
    if called.parts[-2:] == ("lit_intriguing", "__main__.py"):
        return "python -m lit_intriguing"
    # A shell hands over the full path of what it found by its bare name.
    by_name = shutil.which(called.name) == str(called)
    is_ours = called.name in ("lightning", "lit-intriguing")
    return _short(called) if is_ours and not by_name else "lightning"
