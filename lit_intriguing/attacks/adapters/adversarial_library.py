"""Attacks of adversarial-library, the package `adv_lib`."""

import copy
import inspect
import math
from typing import Any

from torch import Tensor

from lit_intriguing.attacks.adapters.base import ExternalAttack
from lit_intriguing.attacks.adapters.named import Named, check_options, chosen
from lit_intriguing.attacks.adapters.stand_in import StandIn
from lit_intriguing.attacks.adapters.unit_box import box_width
from lit_intriguing.types import Bounds


class AdversarialLibrary(ExternalAttack):
    """An attack of adversarial-library (Rony and Ben Ayed), a function of `adv_lib.attacks`.

    Args:
        attack: The function, such as `adv_lib.attacks.ddn` or a partial of it, or its path with
            `init_args`. Lengths are in widths of the box.
        options: More arguments to call it with.
        one_by_one: Whether each example is attacked by itself.
        seed: Of its random numbers in each call; None to draw it from the call's generator.

    Raises:
        MissingLibraryError: If adversarial-library is not installed.
        ValueError: If there is no such attack or option.
    """

    def __init__(
        self,
        attack: Named,
        options: dict[str, Any] | None = None,
        one_by_one: bool = False,
        seed: int | None = None,
    ) -> None:
        super().__init__(one_by_one, seed)
        choice = chosen(attack, options)
        self.attack: Any = choice.target
        check_options(self.attack, choice.options)
        self.options = choice.options

    @property
    def title(self) -> str:
        """The attack's name, for messages."""
        function = getattr(self.attack, "func", self.attack)  # of a partial
        return f"adv_lib's {getattr(function, '__name__', function)}"

    @property
    def ball_norm(self) -> float | None:
        """The norm of its ball, of a function that must be told a size (`eps`, `ε`)."""
        if self._size is None:
            return None
        if "norm" in self.options:
            return float(self.options["norm"])
        endings = {"_l0": 0.0, "_l1": 1.0, "_l2": 2.0, "_linf": math.inf}
        named = (norm for ending, norm in endings.items() if self.title.endswith(ending))
        return next(named, None)

    @property
    def _size(self) -> str | None:
        """Name of the argument that is a size; one with a default is no ball's, as `fab`'s."""
        taken = inspect.signature(getattr(self.attack, "func", self.attack)).parameters
        named = (taken[name] for name in ("eps", "ε") if name in taken)
        return next((one.name for one in named if one.default is one.empty), None)

    def at(self, radius: float, bounds: Bounds) -> "AdversarialLibrary":
        """Return the same with another size among its options."""
        other = copy.copy(self)
        other.options = {**self.options, str(self._size): radius / box_width(bounds, self.title)}
        return other

    def run(self, model: StandIn, x: Tensor, labels: Tensor, targeted: bool, seed: int) -> object:
        """Let adversarial-library search; arguments as in `ExternalAttack.run`."""
        takes = inspect.signature(self.attack).parameters
        if "targeted" in takes:
            return self.attack(model, x, labels, targeted=targeted, **self.options)
        if targeted:
            raise ValueError(f"{self.title} has no targeted search; take the goal TrueLabels.")
        return self.attack(model, x, labels, **self.options)
