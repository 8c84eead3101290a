"""Norms of linear operators: certified by Cholesky factorisations, or probable by Lanczos."""

from lit_intriguing.solvers.spectral.bounds import padded, sampled, supremum
from lit_intriguing.solvers.spectral.dense import certified_norm
from lit_intriguing.solvers.spectral.extent import Line, containing, line
from lit_intriguing.solvers.spectral.lanczos import probable_norm
from lit_intriguing.solvers.spectral.symbol import Symbol, symbol

__all__ = [
    "Line",
    "Symbol",
    "certified_norm",
    "containing",
    "line",
    "padded",
    "probable_norm",
    "sampled",
    "supremum",
    "symbol",
]
