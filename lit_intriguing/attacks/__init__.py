"""Searches for perturbations of any tensor that feeds a differentiable function to logits."""

from lit_intriguing.attacks.adapters import (
    AdversarialLibrary,
    AutoAttack,
    Foolbox,
    FromCallable,
    Torchattacks,
)
from lit_intriguing.attacks.base import Attack, Found
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
    "Criterion",
    "Foolbox",
    "Found",
    "FromCallable",
    "GaussianNoise",
    "Goal",
    "GradientAttack",
    "RandomTargets",
    "SecondLikeliest",
    "Targeted",
    "Torchattacks",
    "TrueLabels",
    "Untargeted",
]
