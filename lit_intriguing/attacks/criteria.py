"""What an attack aims at: criteria (`criterion.py`), and goals that set them (`targets.py`).

The classes bear this module's name: manifests and YAML files hold it.
"""

from lit_intriguing.attacks.criterion import Criterion, Targeted, Untargeted, lead
from lit_intriguing.attacks.targets import (
    Goal,
    RandomTargets,
    SecondLikeliest,
    TargetClass,
    TrueLabels,
)

__all__ = [
    "Criterion",
    "Goal",
    "RandomTargets",
    "SecondLikeliest",
    "TargetClass",
    "Targeted",
    "TrueLabels",
    "Untargeted",
    "lead",
]

for _class in (
    Criterion, Goal, RandomTargets, SecondLikeliest, TargetClass, Targeted, TrueLabels, Untargeted,
):  # fmt: skip
    _class.__module__ = __name__
