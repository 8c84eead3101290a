"""Which value of a metric over a run is the best; W&B's summary holds it."""

import re
from typing import Any, Literal

from lit_intriguing.private.of_lightning import prefix_of

Best = Literal["min", "max"]

STEP = "trainer/global_step"
"""W&B's axis of steps; Lightning logs it in each row."""

_WORDS: dict[str, Best] = {
    "error": "min",
    "loss": "min",
    "success": "max",
    "distortion": "max",
    "accuracy": "max",
    "acc": "max",
    "radius": "max",
}


def best_of(key: str) -> Best | None:
    """Return which value of a metric is the best, by the words of its name.

    Errors and losses are best where they are least; success, distortion, accuracy and radius where
    they are greatest. The first word that tells decides.

    Args:
        key: Parts separated by slashes, words by underscores.

    Returns:
        None for a metric of which neither end is better, such as an age.

    >>> best_of("val/error"), best_of("examples/distortion_median"), best_of("epoch")
    ('min', 'max', None)
    """
    words = re.split(r"[/_.\-\s]+", key.rpartition("/")[2].lower())
    return next((_WORDS[word] for word in words if word in _WORDS), None)


def define_summaries(logger: Any, keys: set[str]) -> None:
    """Have the run's summary hold the best value of metrics, beside the last.

    Args:
        logger: Of W&B.
        keys: Names of metrics, without the logger's prefix.
    """
    for key in sorted(keys):
        best = best_of(key)
        if best is not None:
            logger.experiment.define_metric(
                prefix_of(logger) + key, step_metric=STEP, step_sync=True, summary=f"{best},last"
            )
