"""AutoAttack, as its authors publish it or as repackaged in pyautoattack."""

import copy
import inspect
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from torch import Tensor

from lit_intriguing.attacks.adapters.base import ExternalAttack
from lit_intriguing.attacks.adapters.named import library
from lit_intriguing.attacks.adapters.stand_in import StandIn
from lit_intriguing.attacks.adapters.unit_box import box_width
from lit_intriguing.checks import check_whole
from lit_intriguing.types import Bounds


class AutoAttack(ExternalAttack):
    """AutoAttack (Croce and Hein 2020), on images `(N, C, H, W)`, untargeted.

    Examples that no attack of the ensemble broke come back unchanged. Its warnings, of zero
    gradients for one, go to the logger `auto-attack` or to the screen.

    Args:
        eps: Greatest length of the perturbation in `norm`, in widths of the box.
        norm: "Linf", "L2" or "L1".
        version: "standard" (needs ten classes or more), "plus", "rand" for networks with
            randomness, or "custom".
        attacks: With "custom", which of apgd-ce, apgd-dlr, apgd-t, fab, fab-t and square.
        one_by_one: Whether each example is attacked by itself.
        seed: Of its random numbers in each call; None to draw it from the call's generator.
        batch_size: Examples at a time; None for all that it gets.

    Raises:
        MissingLibraryError: If neither autoattack nor pyautoattack is installed.
        ValueError: For an unknown norm or version, or `attacks` that do not go with the version;
            in the call, for examples that are no images, or targets.
    """

    images_only = True

    def __init__(
        self,
        eps: float,
        norm: str = "Linf",
        version: str = "standard",
        attacks: Sequence[str] | None = None,
        one_by_one: bool = False,
        seed: int | None = None,
        batch_size: int | None = None,
    ) -> None:
        super().__init__(one_by_one, seed)
        check_whole("AutoAttack", 1, batch_size=batch_size)
        for name, value, known in (
            ("norm", norm, ("Linf", "L2", "L1")),
            ("version", version, ("standard", "plus", "rand", "custom")),
        ):
            if value not in known:
                raise ValueError(f"AutoAttack: {name} must be one of {known}, not {value!r}.")
        if (version == "custom") != bool(attacks):
            raise ValueError('AutoAttack: version="custom" and a list of attacks go together.')
        self._make: Callable[..., Any] = load_autoattack()
        self.eps, self.norm, self.version = eps, norm, version
        self.attacks, self.batch_size = list(attacks or []), batch_size

    @property
    def ball_norm(self) -> float | None:
        """The norm of its ball."""
        return {"L1": 1.0, "L2": 2.0, "Linf": math.inf}[self.norm]

    def at(self, radius: float, bounds: Bounds) -> "AutoAttack":
        """Return the same with another `eps`."""
        other = copy.copy(self)
        other.eps = radius / box_width(bounds, self.title)
        return other

    @property
    def title(self) -> str:
        """The attack's name, for messages."""
        return "AutoAttack"

    def run(self, model: StandIn, x: Tensor, labels: Tensor, targeted: bool, seed: int) -> object:
        """Let AutoAttack search; arguments as in `ExternalAttack.run`."""
        if targeted:
            raise ValueError("AutoAttack has no targeted search; take the goal TrueLabels.")
        takes = inspect.signature(self._make).parameters
        options = {"eps": self.eps, "norm": self.norm, "version": self.version, "seed": seed}
        if self.attacks:
            options["attacks" if "attacks" in takes else "attacks_to_run"] = self.attacks
        if "verbose" in takes:
            options["verbose"] = False
        attack = self._make(model, device=x.device, **options)
        evaluate = attack.run_standard_evaluation
        size = "bs" if "bs" in inspect.signature(evaluate).parameters else "batch_size"
        with _tracer_restored():
            found = evaluate(x, labels, **{size: self.batch_size or len(x)})
        return found[0] if isinstance(found, tuple) else found


def load_autoattack() -> Callable[..., Any]:
    """Return the class, of the authors' own package where that is installed.

    Raises:
        MissingLibraryError: If neither autoattack nor pyautoattack is.
    """
    package = "autoattack" if find_spec("autoattack") else "pyautoattack"
    made: Callable[..., Any] = library(package).AutoAttack
    return made


@contextmanager
def _tracer_restored() -> Iterator[None]:
    """Restore the tracer of a debugger or of a measurement of coverage, which AutoAttack drops."""
    tracer = sys.gettrace()
    try:
        yield
    finally:
        sys.settrace(tracer)
