"""Callbacks for any Lightning project; one a file."""

from lit_intriguing.callbacks.adversarial_examples import AdversarialExamples
from lit_intriguing.callbacks.adversarial_training import AdversarialTraining
from lit_intriguing.callbacks.convergence import Convergence
from lit_intriguing.callbacks.exact_resume import ExactResume
from lit_intriguing.callbacks.lipschitz_monitor import LipschitzMonitor
from lit_intriguing.callbacks.lipschitz_penalty import LipschitzPenalty
from lit_intriguing.callbacks.moving_average import MovingAverage
from lit_intriguing.callbacks.run_progress import RunProgress
from lit_intriguing.callbacks.sparse_filters import SparseFilters
from lit_intriguing.callbacks.training_error import TrainingError
from lit_intriguing.callbacks.transfer_evaluation import TransferEvaluation
from lit_intriguing.pools import PerturbedLayer

__all__ = [
    "AdversarialExamples",
    "AdversarialTraining",
    "Convergence",
    "ExactResume",
    "LipschitzMonitor",
    "LipschitzPenalty",
    "MovingAverage",
    "PerturbedLayer",
    "RunProgress",
    "SparseFilters",
    "TrainingError",
    "TransferEvaluation",
]
