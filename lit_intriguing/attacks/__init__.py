"""Searches for perturbations of any tensor that feeds a differentiable function to logits."""

from lit_intriguing.attacks.adapters import (
    AdversarialLibrary,
    AutoAttack,
    Foolbox,
    FromCallable,
    Torchattacks,
)
from lit_intriguing.attacks.base import Attack, Found
from lit_intriguing.attacks.box_lbfgs import BoxLBFGS, Outcome
from lit_intriguing.attacks.criteria import (
    Criterion,
    Goal,
    RandomTargets,
    SecondLikeliest,
    Targeted,
    TrueLabels,
    Untargeted,
)
from lit_intriguing.attacks.gradient import GradientAttack
from lit_intriguing.attacks.noise import GaussianNoise

__all__ = [
    "AdversarialLibrary",
    "Attack",
    "AutoAttack",
    "BoxLBFGS",
    "Criterion",
    "Foolbox",
    "Found",
    "FromCallable",
    "GaussianNoise",
    "Goal",
    "GradientAttack",
    "Outcome",
    "RandomTargets",
    "SecondLikeliest",
    "Targeted",
    "Torchattacks",
    "TrueLabels",
    "Untargeted",
]
