"""Searches for perturbations of any tensor that feeds a differentiable function to logits."""

import importlib
from typing import TYPE_CHECKING, Any

from lit_intriguing.attacks.base import Attack, Found
from lit_intriguing.attacks.criteria import (
    Criterion,
    Goal,
    RandomTargets,
    SecondLikeliest,
    TargetClass,
    Targeted,
    TrueLabels,
    Untargeted,
)
from lit_intriguing.attacks.gradient import GradientAttack
from lit_intriguing.attacks.host_loss import HostLoss
from lit_intriguing.attacks.noise import GaussianNoise
from lit_intriguing.attacks.watch import Watch

if TYPE_CHECKING:
    from lit_intriguing.attacks.adapters import (
        AdversarialLibrary,
        AutoAttack,
        Foolbox,
        FromCallable,
        Torchattacks,
    )
    from lit_intriguing.attacks.box_lbfgs import BoxLBFGS, Outcome
    from lit_intriguing.attacks.closest import Closest, Restarts
    from lit_intriguing.attacks.divergence import LargerDivergence
    from lit_intriguing.attacks.survives import Survives
    from lit_intriguing.attacks.virtual_adversarial import VirtualAdversarial

__all__ = [
    "AdversarialLibrary",
    "Attack",
    "AutoAttack",
    "BoxLBFGS",
    "Closest",
    "Criterion",
    "Foolbox",
    "Found",
    "FromCallable",
    "GaussianNoise",
    "Goal",
    "GradientAttack",
    "HostLoss",
    "LargerDivergence",
    "Outcome",
    "RandomTargets",
    "Restarts",
    "SecondLikeliest",
    "Survives",
    "TargetClass",
    "Targeted",
    "Torchattacks",
    "TrueLabels",
    "Untargeted",
    "VirtualAdversarial",
    "Watch",
]

_LATER = {
    **dict.fromkeys(
        ("AdversarialLibrary", "AutoAttack", "Foolbox", "FromCallable", "Torchattacks"), "adapters"
    ),
    **dict.fromkeys(("BoxLBFGS", "Outcome"), "box_lbfgs"),
    **dict.fromkeys(("Closest", "Restarts"), "closest"),
    "LargerDivergence": "divergence",
    "Survives": "survives",
    "VirtualAdversarial": "virtual_adversarial",
}
"""What is loaded when it is first used, and from where: not every run searches or adapts."""


def __getattr__(name: str) -> Any:
    """Load what a run may do without when it is first used."""
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_LATER[name]}")
    found = globals()[name] = getattr(module, name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
