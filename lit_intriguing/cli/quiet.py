"""Keeps from the user what the libraries below say and what nobody can act on here."""

import logging
import warnings

from lit_intriguing.private.of_lightning import LOGS

_ADVERT = "\N{ELECTRIC LIGHT BULB} Tip:"
_OF_LIGHTNING = "`isinstance.treespec, LeafSpec.` is deprecated"


def silence_adverts() -> None:
    """Drop Lightning's adverts for its other products, and a warning about its own code."""
    import lightning.pytorch  # noqa: F401  # which makes the handlers

    # A filter of a logger does not see what loggers below it say; one of a handler does.
    for name in LOGS:
        for handler in logging.getLogger(name).handlers:
            handler.addFilter(_is_no_advert)
    warnings.filterwarnings("ignore", _OF_LIGHTNING, FutureWarning)


def _is_no_advert(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith(_ADVERT)
