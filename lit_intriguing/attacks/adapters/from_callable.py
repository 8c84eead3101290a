"""A plain function as an attack."""

from functools import partial
from typing import Any

import torch
from torch import Tensor

from lit_intriguing.attacks.adapters.base import guarded
from lit_intriguing.attacks.adapters.named import Named, check_options, chosen
from lit_intriguing.attacks.adapters.stand_in import StandIn
from lit_intriguing.attacks.base import Attack, Found
from lit_intriguing.attacks.criteria import Criterion
from lit_intriguing.attacks.sealed_model import Model
from lit_intriguing.types import Bounds


class FromCallable(Attack):
    """A function of your own as an attack.

    It is called like an attack, `function(model, x, criterion, bounds=..., generator=...)`,
    inside the guard, and returns M examples like `x`, or a sequence of M with None for a failed
    one. Tensors, dtype and bounds are as the caller gave them; `model` is the stand-in.

    Args:
        function: The function, or its path with `init_args` to call it with besides; of a class,
            the object that the options make is called.
        options: More arguments to call it with.
        one_by_one: Whether each example is attacked by itself.

    Raises:
        MissingLibraryError: If the path's package cannot be found.
        ValueError: If there is no such function or option, or it cannot be called; in the call, for
            a result that is not that many examples.
    """

    def __init__(
        self, function: Named, options: dict[str, Any] | None = None, one_by_one: bool = False
    ) -> None:
        choice = chosen(function, options)
        check_options(choice.target, choice.options)
        self.function: Any = choice.target
        if isinstance(choice.target, type):
            self.function = choice.target(**choice.options)
        elif choice.options:
            self.function = partial(choice.target, **choice.options)
        if not callable(self.function):
            raise ValueError(f"FromCallable: {self.function!r} cannot be called.")
        self.one_by_one = one_by_one

    def search(
        self,
        model: Model,
        x: Tensor,
        criterion: Criterion,
        *,
        bounds: Bounds,
        generator: torch.Generator,
    ) -> Found:
        """Call the function."""

        def one_batch(stand_in: StandIn, batch: Tensor, part: slice, seed: int) -> object:
            wanted = criterion.select(
                torch.arange(len(criterion))[part].to(criterion.labels.device)
            )
            return self.function(stand_in, batch, wanted, bounds=bounds, generator=generator)

        return guarded(
            model, x, one_batch, generator, title="the function", one_by_one=self.one_by_one
        )
