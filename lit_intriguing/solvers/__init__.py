"""Numerical solvers for many independent problems at once; they know no network."""

from lit_intriguing.solvers.box_lbfgs import BoxSolution, Status, minimise_box
from lit_intriguing.solvers.nearest import Nearest, Stage, nearest_point
from lit_intriguing.solvers.penalty import Penalised, Tolerances, largest_penalty

__all__ = [
    "BoxSolution",
    "Nearest",
    "Penalised",
    "Stage",
    "Status",
    "Tolerances",
    "largest_penalty",
    "minimise_box",
    "nearest_point",
]
