"""What an attack does on its way: loss, distortion and success at each call of the model."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lit_intriguing.attacks.criterion import Criterion
from lit_intriguing.checks import check_whole
from lit_intriguing.types import distortion


@dataclass(frozen=True)
class Trace:
    """The way of one example through an attack, at T calls of the model.

    The last call is the one by which the attack's result is verified, so that the last distortion
    and success are those of the result.

    Attributes:
        example: Which of the batch; of `attack_chunk`, which of the chunk's images.
        loss: The criterion's loss, which the attack is to decrease, float32 `(T,)`.
        distortion: Root mean square change from the clean example, float32 `(T,)`.
        success: Whether the criterion is met, bool `(T,)`.
    """

    example: int
    loss: Tensor
    distortion: Tensor
    success: Tensor


class Watch:
    """Looks on while an attack works, without changing what it finds.

    It takes down what the model is asked and what it answers, for a few examples spread over the
    batch. Hence it works for every attack, those of other libraries included. A library that asks
    for another number of examples than it was given is looked at where it is beyond doubt which
    ones they are: those that lie nearer to an example's clean one than to any other, and than any
    other.

    Args:
        examples: How many examples to watch at most.

    Attributes:
        rows: Which of the batch, `(k,)`.
        numbers: What the batch's examples are called, `(N,)`; None for their places in it.

    Raises:
        ValueError: If that is less than 1.

    Examples:
        >>> from lit_intriguing.attacks import GradientAttack, Untargeted
        >>> watch = Watch(1)
        >>> model, x = torch.nn.Linear(2, 2), torch.full((3, 2), 0.5)
        >>> goal = Untargeted(torch.tensor([0, 0, 1]))
        >>> found = GradientAttack(eps=0.5, steps=4)(model, x, goal, watch=watch)
        >>> len(watch.traces[0].loss), bool(watch.traces[0].success[-1] == found.success[0])
        (5, True)
    """

    def __init__(self, examples: int) -> None:
        check_whole("Watch", 1, examples=examples)
        self.examples = examples
        self.rows = torch.zeros(0, dtype=torch.int64)
        self.numbers: Tensor | None = None
        self._clean = torch.zeros(0)
        self._criterion: Criterion | None = None
        self._seen: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []

    def begin(self, clean: Tensor, criterion: Criterion) -> None:
        """Choose examples of a batch, `(N, *S)`; what was seen of another is forgotten."""
        count = min(self.examples, len(clean))
        places = torch.linspace(0, len(clean) - 1, count).round().long() if count else self.rows[:0]
        self.rows = places.to(clean.device)
        self._clean, self._criterion, self._seen = clean, criterion, []
        self.numbers = None

    def saw(self, x: Tensor, logits: Tensor, rows: Tensor | None) -> None:
        """Take down a call of the model.

        Args:
            x: What it was asked for, `(n, *S)`.
            logits: Its answer, `(n, C)`.
            rows: Which of the batch's examples they are, `(n,)`; None where the caller did not say.
        """
        if not len(self.rows) or not len(x):
            return
        assert self._criterion is not None
        with torch.no_grad():
            watched, places = self._watched(x, rows)
            if not len(watched):
                return
            asked, answer = x.detach()[places], logits.detach()[places]
            criterion = self._criterion.select(watched)
            loss, moved = criterion.loss(answer.float()), distortion(self._clean[watched], asked)
            self._seen.append((watched, loss, moved.float(), criterion.met(answer)))

    def _watched(self, x: Tensor, rows: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return which watched examples are among those asked for, and their places in `x`."""
        if rows is None and len(x) != len(self._clean):
            return self._recognised(x)
        if rows is None:
            return self.rows, self.rows
        (which, places) = (self.rows.unsqueeze(1) == rows.to(self.rows.device)).nonzero(
            as_tuple=True
        )
        return self.rows[which], places

    def _recognised(self, x: Tensor) -> tuple[Tensor, Tensor]:
        clean, points = self._clean.flatten(1).float(), x.detach().flatten(1).float()
        places = torch.cdist(clean[self.rows], points).argmin(1)
        distances = torch.cdist(points[places], clean)
        nearest = distances.min(1)
        # Where two clean examples are as near, nothing says which one it is.
        alone = (distances == nearest.values.unsqueeze(1)).sum(1) == 1
        sure = alone & (nearest.indices == self.rows)
        return self.rows[sure], places[sure]

    @property
    def traces(self) -> Sequence[Trace]:
        """What was seen of each watched example, in the order of the batch; on the CPU."""
        if not self._seen:
            return []
        columns = [torch.cat(parts).cpu() for parts in zip(*self._seen, strict=True)]
        which, loss, moved, success = columns
        found = []
        for row in self.rows.tolist():
            own = which == row
            number = row if self.numbers is None else int(self.numbers[row])
            found.append(Trace(number, loss[own], moved[own], success[own]))
        return found
