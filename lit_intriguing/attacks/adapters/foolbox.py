"""Attacks of foolbox 3."""

import copy
from typing import Any

from torch import Tensor

from lit_intriguing.attacks.adapters.base import ExternalAttack
from lit_intriguing.attacks.adapters.named import Named, check_options, chosen, library
from lit_intriguing.attacks.adapters.stand_in import StandIn
from lit_intriguing.attacks.adapters.unit_box import box_width
from lit_intriguing.types import Bounds


class Foolbox(ExternalAttack):
    """An attack of foolbox 3 (Rauber et al. 2020).

    Args:
        attack: A foolbox attack, or its class path with `init_args`.
        epsilon: Greatest size of the perturbation in the attack's own distance, in widths of the
            box; None for the smallest perturbation, which attacks that minimise take alone.
        options: More arguments to call it with.
        one_by_one: Whether each example is attacked by itself.
        seed: Of its random numbers in each call; None to draw it from the call's generator.

    Raises:
        MissingLibraryError: If foolbox is not installed.
        ValueError: If there is no such attack or option, or the attack needs an `epsilon`.
    """

    def __init__(
        self,
        attack: Named,
        epsilon: float | None = None,
        options: dict[str, Any] | None = None,
        one_by_one: bool = False,
        seed: int | None = None,
    ) -> None:
        super().__init__(one_by_one, seed)
        choice = chosen(attack, options)
        self._foolbox: Any = library("foolbox")
        self.attack: Any = choice.target
        if isinstance(choice.target, type):
            check_options(choice.target, choice.options)
            self.attack = choice.target(**choice.options)
        elif choice.options:
            raise ValueError(f"{self.title} was built already and takes no options.")
        fixed = isinstance(self.attack, self._foolbox.attacks.base.FixedEpsilonAttack)
        if fixed and epsilon is None:
            raise ValueError(f"{self.title} needs an epsilon, in widths of the box.")
        self.epsilon = epsilon

    @property
    def title(self) -> str:
        """The attack's name, for messages."""
        return f"foolbox's {type(self.attack).__name__}"

    @property
    def ball_norm(self) -> float | None:
        """The norm of its ball, of an attack that needs an epsilon; None for one that minimises."""
        if not isinstance(self.attack, self._foolbox.attacks.base.FixedEpsilonAttack):
            return None
        norm = getattr(self.attack.distance, "p", None)
        return None if norm is None else float(norm)

    def at(self, radius: float, bounds: Bounds) -> "Foolbox":
        """Return the same with another `epsilon`."""
        other = copy.copy(self)
        other.epsilon = radius / box_width(bounds, self.title)
        return other

    def run(self, model: StandIn, x: Tensor, labels: Tensor, targeted: bool, seed: int) -> object:
        """Let foolbox search; arguments as in `ExternalAttack.run`."""
        criteria = self._foolbox.criteria
        criterion = (
            criteria.TargetedMisclassification if targeted else criteria.Misclassification
        )(labels)
        wrapped = self._foolbox.PyTorchModel(model, bounds=(0, 1), device=x.device)
        try:
            return self.attack(wrapped, x, criterion, epsilons=self.epsilon)[1]
        except ValueError as error:
            if len(x) == 1 and "init_attack failed" in str(error):
                return None  # no starting point found: a failure like any other
            raise self._explained(error, targeted) from None

    def _explained(self, error: ValueError, targeted: bool) -> ValueError:
        """Return the library's error, or one that says what to do."""
        if "init_attack failed" in str(error):
            return ValueError(
                f"{self.title} gives up the whole batch: {error}. With one_by_one=True such "
                "examples fail alone."
            )
        if "unsupported criterion" in str(error):
            kind = "targets" if targeted else "labels to leave"
            return ValueError(f"{self.title} does not search with {kind}: {error}.")
        return error
