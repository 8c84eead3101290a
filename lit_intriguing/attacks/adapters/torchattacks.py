"""Attacks of torchattacks."""

from typing import Any

from torch import Tensor

from lit_intriguing.attacks.adapters.base import ExternalAttack
from lit_intriguing.attacks.adapters.named import Named, check_options, chosen
from lit_intriguing.attacks.adapters.stand_in import StandIn


class Torchattacks(ExternalAttack):
    """An attack of torchattacks (Kim 2020), on images `(N, C, H, W)`.

    Args:
        attack: The class or a partial of it, or its class path with `init_args`; `model` is
            filled in for each batch. Lengths are in widths of the box.
        options: More arguments to call it with.
        one_by_one: Whether each example is attacked by itself.
        seed: Of its random numbers in each call; None to draw it from the call's generator.

    Raises:
        MissingLibraryError: If torchattacks is not installed.
        ValueError: If there is no such attack or option, or an attack was built already; in the
            call, for examples that are no images, or targets where the attack takes none.
    """

    images_only = True

    def __init__(
        self,
        attack: Named,
        options: dict[str, Any] | None = None,
        one_by_one: bool = False,
        seed: int | None = None,
    ) -> None:
        super().__init__(one_by_one, seed)
        choice = chosen(attack, options)
        if hasattr(choice.target, "model"):
            raise ValueError(
                f"{type(choice.target).__name__} was built for one model already. Give its class, "
                "with options by functools.partial or as class_path and init_args."
            )
        check_options(choice.target, choice.options)
        self.attack: Any = choice.target
        self.options = choice.options

    @property
    def title(self) -> str:
        """The attack's name, for messages."""
        made = getattr(self.attack, "func", self.attack)  # of a partial
        return f"torchattacks' {getattr(made, '__name__', made)}"

    def run(self, model: StandIn, x: Tensor, labels: Tensor, targeted: bool, seed: int) -> object:
        """Let torchattacks search; arguments as in `ExternalAttack.run`."""
        attack = self.attack(model, **self.options)
        if targeted:
            if "targeted" not in attack.supported_mode:
                raise ValueError(f"{self.title} has no targeted search; take the goal TrueLabels.")
            attack.set_mode_targeted_by_label(quiet=True)
        return attack(x, labels)
