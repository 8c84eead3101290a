"""Two callbacks of one class, as when a fragment adds what a recipe already has."""

import re

_CLASS = re.compile(r"more than one stateful callback of type `(\w+)`")
_HINTS = {
    "AdversarialTraining": (
        "Fragments in configs/attack combine with recipes that have none "
        "(baseline_mnist, dropout_mnist)."
    )
}
_OTHERWISE = "Leave one of them out of the configuration files."


def sentence(message: str) -> str | None:
    """Rewrites Lightning's refusal of two callbacks whose states it could not tell apart.

    Args:
        message: the text of a `RuntimeError` from building the trainer.

    Returns:
        One line with what to do; None where the error is about something else.

    >>> sentence("Found more than one stateful callback of type `ExactResume`. In the ...")
    'there are two ExactResume callbacks. Leave one of them out of the configuration files.'
    """
    found = _CLASS.search(message)
    if found is None:
        return None
    name = found.group(1)
    return f"there are two {name} callbacks. {_HINTS.get(name, _OTHERWISE)}"
