"""Which attacks run at which sizes."""

from collections.abc import Mapping
from dataclasses import dataclass

from lit_intriguing.attacks import Attack, BoxLBFGS, Closest, GradientAttack, Restarts
from lit_intriguing.robustness.sizes import NORMS, Sizes
from lit_intriguing.types import Bounds

_NOT_IN_NAMES = "/."
"""Characters that mean something in the names of scalars and columns."""


@dataclass(frozen=True)
class Planned:
    """One run of an attack over the examples.

    Attributes:
        name: Of the attack.
        attack: The attack, at its size.
        norm: In which its size is fixed; None where it searches for the nearest example.
        size: That size; None likewise.
    """

    name: str
    attack: Attack
    norm: str | None = None
    size: float | None = None


def usual_attacks(sizes: Sizes, random_starts: int = 4) -> dict[str, Attack]:
    """Return the attacks where none are given.

    `BoxLBFGS` answers all L2 sizes, and some of Linf. Where sizes in Linf are asked for, projected
    gradient descent from random starts runs at each of them.

    Args:
        sizes: Of each norm.
        random_starts: Of `BoxLBFGS`.
    """
    attacks: dict[str, Attack] = {"lbfgs": BoxLBFGS(random_starts=random_starts)}
    if "linf" in sizes:
        steps = GradientAttack(sizes["linf"][-1], "inf", steps=20, random_start=True)
        attacks["pgd"] = Restarts(steps, 2)
    return attacks


def plan(attacks: Mapping[str, Attack], sizes: Sizes, bounds: Bounds) -> list[Planned]:
    """Return the runs: one of an attack that searches for the nearest, else one for each size.

    Args:
        attacks: By name, in the order in which they run.
        sizes: Of each norm.
        bounds: The box of the examples.

    Raises:
        ValueError: If there is no attack, a name cannot be used, or an attack's ball is of a norm
            of which no sizes are given.
    """
    if not attacks:
        raise ValueError("attacks is empty: leave it out for the usual ones.")
    runs: list[Planned] = []
    for name, attack in attacks.items():
        if not name or any(one in name for one in _NOT_IN_NAMES) or name in ("certified", "test"):
            raise ValueError(
                f"attacks: the name {name!r} cannot be used; take a plain word, not 'certified' "
                "or 'test'."
            )
        if isinstance(attack, Closest) and len({one.ball_norm for one in attack.attacks}) > 1:
            raise ValueError(
                f"the attack {name!r} mixes attacks in balls of several norms, or in a ball and "
                "for the nearest: name each of them in attacks."
            )
        if attack.ball_norm is None:
            runs.append(Planned(name, attack))
            continue
        norm = next((one for one, number in NORMS.items() if number == attack.ball_norm), None)
        if norm is None:
            raise ValueError(
                f"the attack {name!r} ({type(attack).__name__}) searches in a ball of another norm "
                f"than {' and '.join(NORMS)}: leave it out."
            )
        if norm not in sizes:
            raise ValueError(
                f"the attack {name!r} ({type(attack).__name__}) searches in a ball of {norm}, and "
                f"there are no sizes of {norm}: give some, or leave the attack out."
            )
        runs += [Planned(name, attack.at(size, bounds), norm, size) for size in sizes[norm]]
    return runs
