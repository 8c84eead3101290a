"""Adversarial training as it was published: what a step trains on, given a batch and examples."""

from lit_intriguing.schemes.free import Free
from lit_intriguing.schemes.mart import MART
from lit_intriguing.schemes.scheme import ExamplesAlone, Scheme
from lit_intriguing.schemes.trades import TRADES
from lit_intriguing.schemes.vat import VAT

__all__ = ["MART", "TRADES", "VAT", "ExamplesAlone", "Free", "Scheme"]
