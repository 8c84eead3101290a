"""What messages advise in manual optimisation, where examples cannot be kept out of the batch."""

import re
from collections.abc import Callable
from types import TracebackType

from lit_intriguing.errors import UserError

_OPTION = "keep_out=True"

_ADVICE = (
    "In manual optimisation examples must join the host's batch: attack the input, or a layer "
    "whose rows are the batch's, or optimise automatically."
)


class Advised:
    """Advises nothing that manual optimisation refuses, in errors that are raised inside.

    Args:
        automatic: Whether the host optimises automatically.
    """

    def __init__(self, automatic: Callable[[], bool]) -> None:
        self._automatic = automatic

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, UserError) and _OPTION in str(error) and not self._automatic():
            error.args = (without_option(str(error)), *error.args[1:])


def without_option(message: str) -> str:
    """Return a message with other advice than to keep examples out of the batch.

    >>> without_option("Rows cannot join one batch: use keep_out=True.")[:51]
    'Rows cannot join one batch. In manual optimisation '
    """
    message = re.sub(r"Use keep_out=True, or (\w)", lambda found: found[1].upper(), message)
    message = re.sub(rf"(:|, or) (use|set) {_OPTION}(?=\.?$)", "", message)
    sentences = re.split(r"(?<=\.) ", message)
    kept = " ".join(one for one in sentences if _OPTION not in one)
    return f"{kept.removesuffix('.')}. {_ADVICE}"
