"""Values for callbacks that monitor one, such as `ModelCheckpoint` and `EarlyStopping`."""

from collections.abc import Iterable, Mapping

import torch
import torch.distributed as dist
from lightning.pytorch import Trainer
from torch import Tensor

from lit_intriguing.errors import UserError
from lit_intriguing.patience import from_the_first
from lit_intriguing.private.of_lightning import callbacks_of, set_callback_metrics
from lit_intriguing.spelling import did_you_mean, several_nearest


def tell_monitors(trainer: Trainer, values: Mapping[str, float]) -> None:
    """Put the first process's values into `trainer.callback_metrics`, on every process.

    Every process must call it; loggers do not get them. They stay until the next ones.
    """
    values = from_the_first(values)
    tensors = {name: torch.tensor(value, dtype=torch.float32) for name, value in values.items()}
    set_callback_metrics(trainer, tensors)


def mean_over_processes(trainer: Trainer, values: Mapping[str, Tensor | float]) -> dict[str, float]:
    """Return the means over the processes that have a value. Every process must call it."""
    own = {name: float(value) for name, value in values.items()}
    if trainer.world_size == 1:
        return own
    all_of_them: list[dict[str, float]] = [{} for _ in range(trainer.world_size)]
    dist.all_gather_object(all_of_them, own)
    names = dict.fromkeys(name for one in all_of_them for name in one)
    return {name: _mean(one[name] for one in all_of_them if name in one) for name in names}


def is_monitored(trainer: Trainer, prefix: str) -> bool:
    """Return whether a callback of the run has a `monitor` whose name begins so."""
    monitors = (getattr(one, "monitor", None) for one in callbacks_of(trainer))
    return any(isinstance(name, str) and name.startswith(prefix) for name in monitors)


def check_monitors(trainer: Trainer, prefix: str, names: Iterable[str]) -> None:
    """Refuse a callback that monitors what will never be measured.

    Args:
        trainer: Before its fit.
        prefix: Begins the names of all that a callback of ours measures, such as `robustness/`.
        names: All of these names, with the prefix.

    Raises:
        UserError: A `monitor` begins so and is none of the names; the nearest ones are said.
    """
    known = list(names)
    for callback in callbacks_of(trainer):
        name = getattr(callback, "monitor", None)
        if isinstance(name, str) and name.startswith(prefix) and name not in known:
            others = ", ".join(several_nearest(name, known))
            raise UserError(
                f"{type(callback).__name__} monitors {name!r}, which is not measured."
                f"{did_you_mean(name, known)} Near are: {others}."
            )


def validates_within_fit(trainer: Trainer) -> bool:
    """Return whether a validation of a fit runs, not its sanity check."""
    return bool(trainer.validating and trainer.state.fn == "fit")


def _mean(values: Iterable[float]) -> float:
    return float(torch.tensor(list(values), dtype=torch.float64).mean())
