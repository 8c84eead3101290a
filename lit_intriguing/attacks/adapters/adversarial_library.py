"""Attacks of adversarial-library, the package `adv_lib`."""

import inspect
from typing import Any

from torch import Tensor

from lit_intriguing.attacks.adapters.base import ExternalAttack
from lit_intriguing.attacks.adapters.named import Named, check_options, chosen
from lit_intriguing.attacks.adapters.stand_in import StandIn


class AdversarialLibrary(ExternalAttack):
    """An attack of adversarial-library (Rony and Ben Ayed), a function of `adv_lib.attacks`.

    Args:
        attack: The function, such as `adv_lib.attacks.ddn` or a partial of it, or its path with
            `init_args`. Lengths are in widths of the box.
        options: More arguments to call it with.
        one_by_one: Whether each example is attacked by itself.

    Raises:
        MissingLibraryError: If adversarial-library is not installed.
        ValueError: If there is no such attack or option.
    """

    def __init__(
        self, attack: Named, options: dict[str, Any] | None = None, one_by_one: bool = False
    ) -> None:
        super().__init__(one_by_one)
        choice = chosen(attack, options)
        self.attack: Any = choice.target
        check_options(self.attack, choice.options)
        self.options = choice.options

    @property
    def title(self) -> str:
        """The attack's name, for messages."""
        function = getattr(self.attack, "func", self.attack)  # of a partial
        return f"adv_lib's {getattr(function, '__name__', function)}"

    def run(self, model: StandIn, x: Tensor, labels: Tensor, targeted: bool, seed: int) -> object:
        """Let adversarial-library search; arguments as in `ExternalAttack.run`."""
        takes = inspect.signature(self.attack).parameters
        if "targeted" in takes:
            return self.attack(model, x, labels, targeted=targeted, **self.options)
        if targeted:
            raise ValueError(f"{self.title} has no targeted search; take the goal TrueLabels.")
        return self.attack(model, x, labels, **self.options)
