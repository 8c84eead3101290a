"""Weights that a model fetches by their name, where nothing can be fetched."""

import re

_REASON = re.compile(r"<urlopen error (?:\[Errno -?\d+\] )?([^>]+)>|(HTTP Error \d+: \w[\w ]*)")


def sentence(message: str) -> str | None:
    """Rewrites the failure of a download while the configuration's objects are made.

    Args:
        message: the text of an error from making them.

    Returns:
        One line with what to do; None where the error is about something else.

    >>> sentence("- <urlopen error [Errno -2] Name or service not known>").split(":")[0]
    'the pretrained weights cannot be downloaded (Name or service not known)'
    >>> sentence("width must be positive")
    """
    found = _REASON.search(message)
    if found is None:
        return None
    return (
        f"the pretrained weights cannot be downloaded ({found[1] or found[2]}): leave them out, "
        "and name a file of weights, as lit_intriguing.models.Network takes one (--model.weights "
        "FILE)."
    )
