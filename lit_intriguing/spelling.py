"""The nearest right spelling of a name, for messages."""

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Find the known name that `name` most probably stands for.

    Args:
        name: what was written.
        known: the names that would have been right.

    Returns:
        The nearest name, compared without regard to case, or None where nothing is near.

    >>> nearest("max_epoch", ["max_epochs", "min_epochs", "max_steps"])
    'max_epochs'
    >>> nearest("classifier", ["Classifier"])
    'Classifier'
    >>> nearest("zebra", ["max_epochs"]) is None
    True
    """
    # Sorted, so that equally near names give the same result in each process.
    spellings = {k.lower(): k for k in sorted(known, reverse=True)}
    found = difflib.get_close_matches(name.lower(), spellings, n=1)
    return spellings[found[0]] if found else None


def several_nearest(name: str, known: Iterable[str], count: int = 4) -> list[str]:
    """Return the known names that are most like one, the likest first, however far they are.

    Args:
        name: what was written.
        known: the names that would have been right.
        count: how many at most.

    >>> several_nearest("robustness/l2_15", ["robustness/clean", "robustness/l2_1.5"], 1)
    ['robustness/l2_1.5']
    """
    return difflib.get_close_matches(name, sorted(known), n=count, cutoff=0.0)


def did_you_mean(name: str, known: Iterable[str], *, whole: str = "{}") -> str:
    """Write the end of an error message: a question with the nearest name, or nothing.

    Args:
        name: what was written.
        known: the names that would have been right.
        whole: a format string that puts the nearest name into a longer one.

    >>> did_you_mean("fti", ["fit", "test"])
    " Did you mean 'fit'?"
    >>> did_you_mean("nets", ["Classifier"], whole="models.{}")
    ''
    """
    found = nearest(name, known)
    return "" if found is None else f" Did you mean '{whole.format(found)}'?"
