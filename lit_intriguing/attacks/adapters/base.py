"""What all adapters of other libraries share: the guard, the units, the examples."""

import math
from abc import abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor

from lit_intriguing.attacks.adapters.stand_in import StandIn
from lit_intriguing.attacks.adapters.unit_box import UnitBox
from lit_intriguing.attacks.base import Attack, Found
from lit_intriguing.attacks.criteria import Criterion, Targeted, Untargeted
from lit_intriguing.attacks.model_rows import call_with_rows, takes_rows
from lit_intriguing.attacks.sealed_model import Model, unsealed
from lit_intriguing.checks import check_whole
from lit_intriguing.errors import UserError
from lit_intriguing.isolation import own_randomness, untouched
from lit_intriguing.types import Bounds

__all__ = ["ExternalAttack", "StandIn"]


class ExternalAttack(Attack):
    """An attack of another library, inside the guard; what holds for all stands in the package.

    Args:
        one_by_one: Whether each example is attacked by itself.
        seed: Of the library's random numbers in each call; None to draw it from the call's
            generator. With the library's own seed, and the same examples in a batch, its own
            results come out.

    Raises:
        ValueError: If the seed is negative, or too large for numpy.
    """

    images_only = False
    """Whether the library takes shapes `(N, C, H, W)` alone."""

    def __init__(self, one_by_one: bool = False, seed: int | None = None) -> None:
        check_whole(type(self).__name__, 0, seed=seed)
        if seed is not None and seed >= 2**32:
            raise ValueError(f"{type(self).__name__}: seed must be less than 2^32, not {seed}.")
        self.one_by_one, self.seed = one_by_one, seed

    @property
    @abstractmethod
    def title(self) -> str:
        """The attack's name, for messages."""

    @abstractmethod
    def run(self, model: StandIn, x: Tensor, labels: Tensor, targeted: bool, seed: int) -> object:
        """Let the library search.

        Args:
            model: The stand-in for the model; it maps points of [0, 1] to logits.
            x: Examples in [0, 1], float32, `(M, *S)`.
            labels: Targets, or labels to leave, int64 `(M,)`.
            targeted: Which of the two.
            seed: For a library that does not take the global random states.

        Returns:
            What the library gives: M examples, or a sequence of M with None for a failed one.
        """

    def search(
        self,
        model: Model,
        x: Tensor,
        criterion: Criterion,
        *,
        bounds: Bounds,
        generator: torch.Generator,
    ) -> Found:
        """Show the library the examples in [0, 1], and map back what it finds."""
        if self.images_only and x.ndim != 4:
            raise ValueError(
                f"{self.title} takes images of shape (N, C, H, W), not {tuple(x.shape)}."
            )
        targeted, labels = goal(criterion, self.title), criterion.labels.to(x.device)
        box = UnitBox(bounds, x, self.title)

        def one_batch(stand_in: StandIn, seen: Tensor, part: slice, seed: int) -> object:
            return self.run(stand_in, seen, labels[part], targeted, seed)

        found = guarded(
            model, box.seen, one_batch, generator,
            back=box.back, title=self.title, one_by_one=self.one_by_one, seed=self.seed,
        )  # fmt: skip
        return Found(box.result(found.adversarial), found.queries, found.info)


def guarded(
    model: Model,
    seen: Tensor,
    one_batch: Callable[[StandIn, Tensor, slice, int], object],
    generator: torch.Generator,
    *,
    title: str,
    one_by_one: bool,
    seed: int | None = None,
    back: Callable[[Tensor], Tensor] = lambda seen: seen,
) -> Found:
    """Run a search of another library on the batch, or one by one, and put back what it touched.

    Args:
        model: The model attacked.
        seen: What the search sees, `(N, *S)`.
        one_batch: The search: stand-in for the model, examples, their slice of the batch, seed.
        generator: Source of the seeds.
        title: Its name, for messages.
        one_by_one: Whether each example is a batch.
        seed: Given to the search each time; None for seeds of the generator.
        back: From what the search sees to the model's input.
    """
    size = 1 if one_by_one else len(seen)
    found, forwards, gradients = [], [], []
    for start in range(0, len(seen), size):
        part = slice(start, start + size)
        batch = seen[part].clone()
        drawn = int(torch.randint(2**31, (), generator=generator))
        used = drawn if seed is None else seed
        stand_in = StandIn(_for_rows(model, back, start, size), batch)
        with untouched(unsealed(model)), own_randomness(used):
            result = one_batch(stand_in, batch, part, used)
        found.append(as_examples(result, seen[part], title))
        forwards += [math.ceil(stand_in.forwards / size)] * size
        gradients += [math.ceil(stand_in.gradients / size)] * size
    counts = torch.tensor([gradients, forwards], dtype=torch.int64, device=seen.device)
    return Found(torch.cat(found), counts[0], {"forwards": counts[1]})


def _for_rows(
    model: Model, back: Callable[[Tensor], Tensor], start: int, size: int
) -> Callable[[Tensor], Tensor]:
    """Return the model on what the library sees of a batch.

    A network above a hidden layer must know which examples it gets. With a library that repeats or
    leaves out examples, that is known only where there is just one.
    """
    if not takes_rows(model):
        return lambda seen: model(back(seen))

    def with_rows(seen: Tensor) -> Tensor:
        if size > 1 and len(seen) != size:
            return _whole_batch(model, back(seen), size)
        rows = torch.arange(start, start + size, device=seen.device)
        logits: Tensor = call_with_rows(model, back(seen), rows.expand(len(seen)))
        return logits

    return with_rows


def _whole_batch(model: Model, x: Tensor, size: int) -> Tensor:
    try:
        return model(x)  # the model itself needs no rows, a network above a layer does
    except UserError as error:
        raise ValueError(
            f"The library asks for {len(x)} of {size} examples, and the model must know which: set "
            "one_by_one=True."
        ) from error


def goal(criterion: Criterion, title: str) -> bool:
    """Return whether a criterion is targeted.

    Raises:
        ValueError: If it is neither `Targeted` nor `Untargeted`; a subclass may mean
            something else, which no library would know.
    """
    if type(criterion) not in (Targeted, Untargeted):
        raise ValueError(
            f"{title} knows the criteria Targeted and Untargeted, not {type(criterion).__name__}."
        )
    return type(criterion) is Targeted


def as_examples(result: object, like: Tensor, title: str) -> Tensor:
    """Return the result of a library as a tensor like `like`; what is missing is NaN.

    Raises:
        ValueError: If it cannot be that many examples of that shape.
    """
    if result is None:
        return torch.full_like(like, math.nan)
    if isinstance(result, list | tuple) and len(result) == len(like):
        missing = torch.full_like(like[:1], math.nan)[0]
        result = torch.stack([missing if one is None else _tensor(one, like) for one in result])
    found = _tensor(result, like)
    if found.shape != like.shape:
        raise ValueError(
            f"{title} returned a tensor of shape {tuple(found.shape)} for examples of shape "
            f"{tuple(like.shape)}."
        )
    return found


def _tensor(value: object, like: Tensor) -> Tensor:
    return torch.as_tensor(value, dtype=like.dtype, device=like.device).detach()
