"""What the command line says of failures that Lightning or a download words for a programmer."""

import re
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.trainer.states import TrainerFn

from lit_intriguing.private import of_lightning_cli

_DOWNLOAD = re.compile(r"<urlopen error (?:\[Errno -?\d+\] )?([^>]+)>|(HTTP Error \d+: \w[\w ]*)")
_REPEATED = re.compile(r"more than one stateful callback of type `(\w+)`")
_WAYS_OUT = {
    "AdversarialTraining": (
        "Fragments in configs/attack and configs/adversarial combine with recipes that have none "
        "(baseline_mnist, dropout_mnist)."
    )
}
_LOGGERS = {
    "wandb": (
        "W&B",
        "Without a network or an account set WANDB_MODE=offline, and send the run later by "
        "`wandb sync`; or take another logger, as by --config configs/logger/csv.yaml.",
    ),
    "mlflow": (
        "MLflow",
        "Check its tracking_uri, or take another logger, as by --config configs/logger/csv.yaml.",
    ),
}
"""Package to the logger's name, and a way out where it raises before training."""
_OTHERWISE = "Leave one of them out of the configuration files."


def failed_download(message: str) -> str | None:
    """Say what to do where weights that a model fetches by their name cannot be fetched.

    Args:
        message: The text of an error from making the configuration's objects.

    Returns:
        One line; None where the error is about something else.

    >>> failed_download("- <urlopen error [Errno -2] Name or service not known>").split(":")[0]
    'the pretrained weights cannot be downloaded (Name or service not known)'
    >>> failed_download("width must be positive")
    """
    found = _DOWNLOAD.search(message)
    if found is None:
        return None
    return (
        f"the pretrained weights cannot be downloaded ({found[1] or found[2]}): leave them out, "
        "and name a file of weights, as lit_intriguing.models.Network takes one (--model.weights "
        "FILE)."
    )


def repeated_callback(message: str) -> str | None:
    """Say what to do about two callbacks of one class, whose states Lightning cannot tell apart.

    They come where a fragment adds what a recipe already has.

    Args:
        message: The text of a `RuntimeError` from building the Trainer.

    Returns:
        One line; None where the error is about something else.

    >>> repeated_callback("Found more than one stateful callback of type `ExactResume`. In the ...")
    'there are two ExactResume callbacks. Leave one of them out of the configuration files.'
    """
    found = _REPEATED.search(message)
    if found is None:
        return None
    name = found.group(1)
    return f"there are two {name} callbacks. {_WAYS_OUT.get(name, _OTHERWISE)}"


def failed_logger(error: Exception) -> str | None:
    """Say what to do where a logger cannot begin, as without a network or an account.

    Args:
        error: What ended the run.

    Returns:
        One line; None where the error is about something else.
    """
    packages = {kind.__module__.partition(".")[0] for kind in type(error).__mro__}
    reason = " ".join(str(error).split()).rstrip(".")
    for package, (name, way_out) in _LOGGERS.items():
        if package in packages:
            return f"{name} cannot begin. {way_out} It says: {reason}."
    return None


def other_optimizer(trainer: Trainer, error: Exception) -> str | None:
    """Say that a run cannot go on from a checkpoint of another optimiser.

    Args:
        trainer: Of the run that failed.
        error: With which.

    Returns:
        One line; None where the failure is about something else.
    """
    if trainer.ckpt_path is None or trainer.state.fn != TrainerFn.FITTING:
        return None
    lacking = any(
        one.defaults.keys() - group.keys()
        for one in trainer.optimizers
        for group in one.param_groups
    )
    if not lacking and "loaded state dict" not in str(error):
        return None
    return (
        f"the checkpoint {trainer.ckpt_path} is of a run with another optimizer, or of other "
        "groups of parameters: give the options of that run."
    )


def interruption(trainer: Trainer) -> str:
    """Say how to go on after Ctrl-C, with the newest checkpoint on disk where there is one.

    One of weights alone does not count: `fit` cannot go on from it.
    """
    if trainer.state.fn != TrainerFn.FITTING:
        return "interrupted."
    whole = [c for c in trainer.checkpoint_callbacks if not getattr(c, "save_weights_only", False)]
    checkpoint = _newest_of(whole)
    if checkpoint is None:
        return "interrupted. No checkpoint was saved to go on from: the same command begins again."
    path = shlex.quote(str(checkpoint))
    return f"interrupted. To go on, repeat the command with --ckpt_path {path}"


def newest_checkpoint(trainer: Trainer) -> Path | None:
    """Return the checkpoint written last among those that the Trainer's callbacks know."""
    return _newest_of(trainer.checkpoint_callbacks)


def _newest_of(callbacks: Iterable[Checkpoint]) -> Path | None:
    paths = {Path(p) for c in callbacks for p in _known_to(c) if p}
    there = [p for p in paths if p.exists()]
    # Copies such as last.ckpt may share a time with their original: the name decides then.
    return max(there, key=lambda p: (p.stat().st_mtime_ns, p.name), default=None)


def _known_to(callback: Checkpoint) -> Iterator[str]:
    for name in ("last_model_path", "best_model_path"):
        yield str(getattr(callback, name, ""))
    yield of_lightning_cli.newest_path(callback)
