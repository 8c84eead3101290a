"""Numerical solvers for many independent problems at once; they know no network."""

from lit_intriguing.solvers.box_lbfgs import BoxSolution, minimise_box
from lit_intriguing.solvers.nearer_of_two import nearer_of_two
from lit_intriguing.solvers.nearest import Nearest, Stage, nearest_point
from lit_intriguing.solvers.penalty import Penalised, Tolerances, largest_penalty
from lit_intriguing.solvers.solution import NearestSolution, Solution, Status, StatusCode

__all__ = [
    "BoxSolution",
    "Nearest",
    "NearestSolution",
    "Penalised",
    "Solution",
    "Stage",
    "Status",
    "StatusCode",
    "Tolerances",
    "largest_penalty",
    "minimise_box",
    "nearer_of_two",
    "nearest_point",
]
