"""Norms of linear operators: certified by Cholesky factorisations, or probable by Lanczos."""

from lit_intriguing.solvers.spectral.bounds import padded, sampled, supremum
from lit_intriguing.solvers.spectral.by_taps import too_large
from lit_intriguing.solvers.spectral.dense import certified_norm
from lit_intriguing.solvers.spectral.lanczos import probable_norm
from lit_intriguing.solvers.spectral.padded_axis import PaddedAxis, enclosing_axis, padded_axis
from lit_intriguing.solvers.spectral.symbol import Symbol, symbol

__all__ = [
    "PaddedAxis",
    "Symbol",
    "certified_norm",
    "enclosing_axis",
    "padded",
    "padded_axis",
    "probable_norm",
    "sampled",
    "supremum",
    "symbol",
    "too_large",
]
