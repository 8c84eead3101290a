"""Callbacks for any Lightning project; one in a file, which is loaded when it is first used."""

import importlib
from typing import TYPE_CHECKING, Any

from lit_intriguing.private.of_lightning import make_known_to_both

if TYPE_CHECKING:
    from lit_intriguing.callbacks.adversarial_examples import AdversarialExamples
    from lit_intriguing.callbacks.adversarial_training import AdversarialTraining
    from lit_intriguing.callbacks.adversarial_weight_perturbation import (
        AdversarialWeightPerturbation,
    )
    from lit_intriguing.callbacks.convergence import Convergence
    from lit_intriguing.callbacks.exact_resume import ExactResume
    from lit_intriguing.callbacks.fully_shard import FullyShard
    from lit_intriguing.callbacks.lipschitz_monitor import LipschitzMonitor
    from lit_intriguing.callbacks.lipschitz_penalty import LipschitzPenalty
    from lit_intriguing.callbacks.logger_guard import LoggerGuard
    from lit_intriguing.callbacks.logistic_from_tanh import LogisticFromTanh
    from lit_intriguing.callbacks.moving_average import MovingAverage
    from lit_intriguing.callbacks.robustness_evaluation import RobustnessEvaluation
    from lit_intriguing.callbacks.run_progress import RunProgress
    from lit_intriguing.callbacks.sparse_filters import SparseFilters
    from lit_intriguing.callbacks.training_error import TrainingError
    from lit_intriguing.callbacks.transfer_evaluation import TransferEvaluation
    from lit_intriguing.callbacks.under_attack import UnderAttack
    from lit_intriguing.callbacks.unit_analysis import UnitAnalysis
    from lit_intriguing.pools import PerturbedLayer

__all__ = [
    "AdversarialExamples",
    "AdversarialTraining",
    "AdversarialWeightPerturbation",
    "Convergence",
    "ExactResume",
    "FullyShard",
    "LipschitzMonitor",
    "LipschitzPenalty",
    "LoggerGuard",
    "LogisticFromTanh",
    "MovingAverage",
    "PerturbedLayer",
    "RobustnessEvaluation",
    "RunProgress",
    "SparseFilters",
    "TrainingError",
    "TransferEvaluation",
    "UnderAttack",
    "UnitAnalysis",
]

_FILES = {
    "AdversarialExamples": "lit_intriguing.callbacks.adversarial_examples",
    "AdversarialTraining": "lit_intriguing.callbacks.adversarial_training",
    "AdversarialWeightPerturbation": ("lit_intriguing.callbacks.adversarial_weight_perturbation"),
    "Convergence": "lit_intriguing.callbacks.convergence",
    "ExactResume": "lit_intriguing.callbacks.exact_resume",
    "FullyShard": "lit_intriguing.callbacks.fully_shard",
    "LipschitzMonitor": "lit_intriguing.callbacks.lipschitz_monitor",
    "LipschitzPenalty": "lit_intriguing.callbacks.lipschitz_penalty",
    "LoggerGuard": "lit_intriguing.callbacks.logger_guard",
    "LogisticFromTanh": "lit_intriguing.callbacks.logistic_from_tanh",
    "MovingAverage": "lit_intriguing.callbacks.moving_average",
    "PerturbedLayer": "lit_intriguing.pools",
    "RobustnessEvaluation": "lit_intriguing.callbacks.robustness_evaluation",
    "RunProgress": "lit_intriguing.callbacks.run_progress",
    "SparseFilters": "lit_intriguing.callbacks.sparse_filters",
    "TrainingError": "lit_intriguing.callbacks.training_error",
    "TransferEvaluation": "lit_intriguing.callbacks.transfer_evaluation",
    "UnderAttack": "lit_intriguing.callbacks.under_attack",
    "UnitAnalysis": "lit_intriguing.callbacks.unit_analysis",
}


def __getattr__(name: str) -> Any:
    """Load a callback when it is first used: one needs matplotlib, another the Lipschitz bounds."""
    if name not in _FILES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(importlib.import_module(_FILES[name]), name)
    make_known_to_both(found)  # each time, since the other package may have come since
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
