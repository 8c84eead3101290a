"""What processes agree upon, so that none waits for one that has failed or has no examples."""

from collections.abc import Callable, Iterable
from typing import Any

import torch.distributed as dist
from lightning.pytorch import Trainer

from lit_intriguing.errors import UserError
from lit_intriguing.pools.trial import Findings


def agreed(trainer: Trainer, trial: Callable[[], Findings | None]) -> Findings | None:
    """Return what the trials of all processes showed; every process must call it.

    Args:
        trainer: The run's.
        trial: Makes this process's.

    Raises:
        UserError: If the trial of another process failed, with its cause; an error of this
            process's own is raised as it is.
    """
    if trainer.world_size == 1:
        return trial()
    findings, failure = None, None
    try:
        findings = trial()
    except Exception as error:
        failure = error
    _raise_together(failure)
    every = trainer.strategy.reduce_boolean_decision
    if not every(findings is not None, all=True):
        return None
    assert findings is not None
    classes = every(findings.no_classes is None, all=True)
    joins = every(findings.no_joining is None, all=True)
    mixed = not every(not findings.mixed, all=True)
    other = "another process found a reason"
    return Findings(
        None if classes else findings.no_classes or other,
        None if joins else findings.no_joining or other,
        mixed,
    )


def _raise_together(failure: Exception | None) -> None:
    causes: list[Any] = [None] * dist.get_world_size()
    own = None if failure is None else f"{type(failure).__name__}: {failure}"
    dist.all_gather_object(causes, own)
    if failure is not None:
        raise failure
    for rank, cause in enumerate(causes):
        if cause is not None:
            raise UserError(
                f"AdversarialTraining: the batch or the training step of process {rank} cannot be "
                f"used: {cause}"
            )


def known_anywhere(trainer: Trainer, asked: Iterable[str], here: Iterable[str]) -> list[str]:
    """Return the names that some process has; every process must call it.

    Args:
        trainer: The run's.
        asked: All names, in the same order everywhere.
        here: Those that this process has.
    """
    mine = set(here)
    if trainer.world_size == 1:
        return [name for name in asked if name in mine]
    some = trainer.strategy.reduce_boolean_decision
    return [name for name in asked if some(name in mine, all=False)]
