"""Attacks made of attacks: the nearest of what several of them, or several runs of one, find."""

import copy
from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from lit_intriguing.argument_types import checked_arguments
from lit_intriguing.attacks.base import Attack, Found
from lit_intriguing.attacks.criteria import Criterion
from lit_intriguing.attacks.sealed_model import Model
from lit_intriguing.checks import check_whole
from lit_intriguing.types import Bounds


@checked_arguments
class Closest(Attack):
    """Takes the nearest success in L2 of several attacks, example by example.

    `queries` are those of all attacks together. `info` holds `attack`: which of them found the
    example, -1 where none did.

    Args:
        attacks: At least one. They draw from the same generator, one after the other.

    Raises:
        ValueError: If there is no attack.
    """

    columns: ClassVar[Mapping[str, torch.dtype]] = {"attack": torch.int64}

    def __init__(self, attacks: Sequence[Attack]) -> None:
        if not attacks:
            raise ValueError("Closest: attacks must hold at least one.")
        self.attacks = list(attacks)

    @property
    def ball_norm(self) -> float | None:
        """The norm of the balls of all of them; None where they have not all the same."""
        norms = {attack.ball_norm for attack in self.attacks}
        return norms.pop() if len(norms) == 1 else None

    def at(self, radius: float, bounds: Bounds) -> "Closest":
        """Return the same attacks, each with another radius."""
        other = copy.copy(self)
        other.attacks = [attack.at(radius, bounds) for attack in self.attacks]
        return other

    def search(
        self,
        model: Model,
        x: Tensor,
        criterion: Criterion,
        *,
        bounds: Bounds,
        generator: torch.Generator,
    ) -> Found:
        """Run all attacks."""
        nearest, best = x.clone(), torch.full((len(x),), torch.inf, device=x.device)
        queries = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        which = torch.full_like(queries, -1)
        for number, attack in enumerate(self.attacks):
            found = attack(model, x, criterion, bounds=bounds, generator=generator)
            queries += found.queries
            distance = found.distortion.to(best)
            better = found.success & (distance < best)
            nearest[better], best[better] = found.adversarial[better], distance[better]
            which[better] = number
        return Found(nearest, queries, {"attack": which})


class Restarts(Attack):
    """Runs an attack several times and takes the nearest success in L2, example by example.

    For attacks that draw random numbers, such as `GradientAttack(random_start=True)`: others find
    the same each time. `info` holds `attack`: the number of the run, -1 without success.

    Args:
        attack: The attack.
        times: How often it is run.

    Raises:
        ValueError: If `times` is less than 1.
    """

    columns: ClassVar[Mapping[str, torch.dtype]] = Closest.columns

    def __init__(self, attack: Attack, times: int) -> None:
        check_whole("Restarts", 1, times=times)
        self.attack, self.times = attack, times

    @property
    def ball_norm(self) -> float | None:
        """The norm of the attack's ball."""
        return self.attack.ball_norm

    def at(self, radius: float, bounds: Bounds) -> "Restarts":
        """Return as many runs of the attack with another radius."""
        other = copy.copy(self)
        other.attack = self.attack.at(radius, bounds)
        return other

    def search(
        self,
        model: Model,
        x: Tensor,
        criterion: Criterion,
        *,
        bounds: Bounds,
        generator: torch.Generator,
    ) -> Found:
        """Run it again and again."""
        runs = Closest([self.attack] * self.times)
        return runs.search(model, x, criterion, bounds=bounds, generator=generator)
