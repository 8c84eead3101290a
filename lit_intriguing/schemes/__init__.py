"""Adversarial training as it was published: what a step trains on, given a batch and examples."""

import importlib
from typing import TYPE_CHECKING, Any

from lit_intriguing.schemes.scheme import ExamplesAlone, Scheme

if TYPE_CHECKING:
    from lit_intriguing.schemes.free import Free
    from lit_intriguing.schemes.mart import MART
    from lit_intriguing.schemes.trades import TRADES
    from lit_intriguing.schemes.vat import VAT

__all__ = ["MART", "TRADES", "VAT", "ExamplesAlone", "Free", "Scheme"]

_LATER = {"Free": "free", "MART": "mart", "TRADES": "trades", "VAT": "vat"}


def __getattr__(name: str) -> Any:
    """Load a scheme when it is first used: most runs have none."""
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_LATER[name]}")
    found = globals()[name] = getattr(module, name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
