"""The paper's attack: the nearest adversarial example by box-constrained L-BFGS."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal

import torch
from torch import Tensor
from tqdm import tqdm

from lit_intriguing.argument_types import checked_arguments
from lit_intriguing.attacks.base import Attack, Found
from lit_intriguing.attacks.criteria import Criterion, Targeted, Untargeted
from lit_intriguing.attacks.problem import Problem
from lit_intriguing.attacks.sealed_model import Model
from lit_intriguing.checks import check_whole
from lit_intriguing.solvers import (
    Stage,
    StatusCode,
    Tolerances,
    largest_penalty,
    nearer_of_two,
    nearest_point,
)
from lit_intriguing.types import Bounds

FAST = (
    Stage(smoothing=1.0, tolerance=3e-2, inside=1e-2, steps=18),
    Stage(smoothing=0.3, tolerance=1e-2, inside=5e-3, steps=14),
    Stage(smoothing=0.05, tolerance=2e-3, inside=1e-3, steps=18),
)
"""The fast mode's stages."""

_START = 0.5
"""How far away another search begins, of the distance of what has been found."""

_EASY = 20
"""Gradients of a first search that no second one follows."""


class Outcome(StatusCode):
    """How the search for an example ended: `info["status"]`; each has a `message`."""

    SETTLED = 0, "Found, and the search met its tolerances."
    STEPS = 1, "Found, but the steps were used up before the tolerances were met."
    ALREADY = 2, "The clean example meets the criterion: it is returned as it is."
    NOT_FOUND = 3, "Nothing found: no gradient, or none of the points tried was a success."
    NOT_FINITE = 4, "The model gives NaN or infinity for the clean example."


@checked_arguments
class BoxLBFGS(Attack):
    """The nearest adversarial example in L2, by box-constrained L-BFGS.

    Szegedy et al. 2013, section 4.1: minimise `c |r| + cross-entropy(x + r, target)` with
    `x + r` in the box, for the largest c whose minimiser still has the target label.

    `mode="paper"` does that: each example has its own search along c
    (`lit_intriguing.solvers.largest_penalty`). `mode="fast"` finds somewhat nearer
    examples, in dense networks with fewer gradients: it minimises `|r|` subject to the margin
    between the target and the other classes, which is smooth at first and sharper in each stage
    (`lit_intriguing.solvers.nearest_point`). An example on which that takes more than 20 gradients,
    as it does in networks with normalisation layers, is searched for a second time from a smoother
    start (`lit_intriguing.solvers.nearer_of_two`), and the nearer one is taken.
    Its examples do not depend on the size of the logits. Those of the paper mode do, since the
    cross-entropy of small logits is nearly linear: at a hundredth of the size they were 17 and
    37% farther on two networks.

    All examples share each forward and backward and nothing else. More than `batch_size` of them
    queue: a finished one makes room for the next. Untargeted, the likeliest wrong labels are
    targets in turn, and the nearest example is returned; the fast mode gives a label up once its
    examples are farther away than another label's.

    `info` holds `c` (the weight of `|r|`, in units of the loss over the L2 length of r; in
    the fast mode an estimate, exact to first order where only two classes compete; NaN without
    success as the search saw it),
    `status` (an `Outcome`, int8) and `target` (the label aimed at, int64; -1 where none
    was). An example for which nothing is found spends up to eight times its stages' steps.

    Args:
        mode: `"fast"` or `"paper"`.
        penalty: For the paper mode: `"squared"` weighs `|r|^2`, which has the same stationary
            points and fewer jumps between local minima; `"norm"` weighs `|r|`.
        candidates: Untargeted: how many wrong labels to try.
        batch_size: Examples worked on at a time.
        memory: Pairs of the L-BFGS matrix, m. Work space: `2 m + 12` times the batch.
        stages: For the fast mode; the default is `FAST`.
        second_search: For the fast mode: whether to search for hard examples twice. Without it
            examples in networks with normalisation layers were 0.3 to 2% farther, at half to two
            thirds of the gradients (`recipes/bench/attacks.md`).
        random_starts: For the fast mode: how many further searches begin at random points half as
            far away as what was found, for each wrong label. Each costs about as much as a first
            search, and finds nearer examples of some images whose nearest is not where the
            gradients at the clean image lead (`recipes/robustness_mnist.md`).
        tolerances: For the paper mode.
        progress: Whether to show a bar over the examples on standard error.

    Raises:
        ValueError: If an option is out of its range or belongs to the other mode.
    """

    columns: ClassVar[Mapping[str, torch.dtype]] = {
        "c": torch.float32,
        "status": torch.int8,
        "target": torch.int64,
    }

    def __init__(
        self,
        mode: Literal["fast", "paper"] = "fast",
        *,
        penalty: Literal["squared", "norm"] = "squared",
        candidates: int = 3,
        batch_size: int = 256,
        memory: int = 5,
        stages: Sequence[Stage] | None = None,
        second_search: bool = True,
        random_starts: int = 0,
        tolerances: Tolerances | None = None,
        progress: bool = False,
    ) -> None:
        if mode not in ("fast", "paper"):
            raise ValueError(f"BoxLBFGS: mode must be 'fast' or 'paper', not {mode!r}.")
        if penalty not in ("squared", "norm"):
            raise ValueError(f"BoxLBFGS: penalty must be 'squared' or 'norm', not {penalty!r}.")
        if mode == "fast" and (penalty != "squared" or tolerances is not None):
            raise ValueError("BoxLBFGS: penalty and tolerances belong to mode='paper'.")
        check_whole("BoxLBFGS", 0, random_starts=random_starts)
        if mode == "paper" and not (stages is None and second_search and not random_starts):
            raise ValueError(
                "BoxLBFGS: stages, second_search and random_starts belong to mode='fast'."
            )
        check_whole("BoxLBFGS", 1, candidates=candidates, batch_size=batch_size, memory=memory)
        if stages is not None and not stages:
            raise ValueError("BoxLBFGS: stages must hold at least one.")
        self.mode, self.penalty, self.candidates = mode, penalty, candidates
        self.batch_size = self.slots = batch_size
        self.memory, self.progress, self.second_search = memory, progress, second_search
        self.random_starts = random_starts
        self.stages = FAST if stages is None else tuple(stages)
        self.tolerances = tolerances or Tolerances()

    def _default(self, parameter: inspect.Parameter) -> object:
        instead = {"stages": FAST, "tolerances": Tolerances()}
        return instead.get(parameter.name, super()._default(parameter))

    def search(
        self,
        model: Model,
        x: Tensor,
        criterion: Criterion,
        *,
        bounds: Bounds,
        generator: torch.Generator,
    ) -> Found:
        """Aim at the target, or at the likeliest wrong labels; random are only `random_starts`."""
        whole = Problem(model, x, bounds, self.slots)
        logits = whole.logits()
        finite, met = logits.isfinite().all(1), criterion.met(logits)
        searched = (finite & ~met).nonzero().squeeze(1)
        aims = self._aims(criterion.select(searched), logits[searched])
        tries: list[_Try] = []
        nearest = whole.flat.new_full((len(searched),), torch.inf)
        for number in range(1 + self.random_starts):
            start = None
            if number:
                start = _random_start(whole.toward(searched, searched), nearest, generator)
            for aim in aims.unbind(1):
                problem = whole.toward(searched, aim)
                tries.append(self._aim(problem, logits[searched], nearest, start))
                nearest = torch.minimum(nearest, tries[-1].square)
        aims = aims.repeat(1, 1 + self.random_starts)
        return _assemble(whole, searched, aims, tries, finite, met)

    def _aims(self, criterion: Criterion, logits: Tensor) -> Tensor:
        """Return the labels to aim at, in turn: int64 `(n, k)`."""
        if isinstance(criterion, Targeted):
            return criterion.labels.unsqueeze(1)
        if not isinstance(criterion, Untargeted):
            raise ValueError(
                "BoxLBFGS: the criterion must be Targeted or Untargeted, not "
                f"{type(criterion).__name__}."
            )
        wrong = logits.scatter(1, criterion.labels.unsqueeze(1), -torch.inf)
        return wrong.topk(min(self.candidates, logits.shape[1] - 1), dim=1).indices

    def _aim(
        self, problem: Problem, logits: Tensor, nearest: Tensor, start: Tensor | None
    ) -> "_Try":
        """Search for one target of each example.

        Args:
            problem: The examples and their targets.
            logits: Of the clean examples, `(n, C)`.
            nearest: Squared distances of what other targets gave, infinite where nothing, `(n,)`.
            start: Where it begins, `(n, D)`; None for the clean examples.
        """
        with tqdm(total=len(problem), disable=not self.progress, unit="example") as bar:
            if self.mode == "fast":
                return self._fast(problem, problem.margin(logits), nearest, start, bar)
            return self._paper(problem, bar)

    def _fast(
        self,
        problem: Problem,
        margin: Tensor,
        nearest: Tensor,
        start: Tensor | None,
        bar: "tqdm[object]",
    ) -> "_Try":
        search = nearest_point if not self.second_search else partial(nearer_of_two, easy=_EASY)
        if start is not None:
            search = partial(nearest_point, start=start)
        near = search(
            problem.smooth_margin,
            problem.flat,
            problem.lower,
            problem.upper,
            unit=margin.where(margin > 0, 1.0),  # 0 where all logits are 0
            stages=self.stages,
            memory=self.memory,
            slots=self.slots,
            beaten_at=nearest,
            on_finished=bar.update,
        )
        x, likelihood = problem.shrink(near)
        c = problem.stationary_c(x, near.multiplier, likelihood)
        return _Try(x, problem.squares(x, near.success), c, near.evaluations, near.settled)

    def _paper(self, problem: Problem, bar: "tqdm[object]") -> "_Try":
        best = largest_penalty(
            problem.cross_entropy,
            problem.flat,
            problem.lower,
            problem.upper,
            squared=self.penalty == "squared",
            tolerances=self.tolerances,
            memory=self.memory,
            slots=self.slots,
            on_finished=bar.update,
        )
        square = problem.squares(best.point, best.success)
        return _Try(best.point, square, best.c, best.evaluations, best.settled)


def _random_start(problem: Problem, nearest: Tensor, generator: torch.Generator) -> Tensor:
    """Return a random point near each example, `(n, D)`; itself where nothing has been found.

    Args:
        problem: The examples.
        nearest: Squared distances of what has been found, infinite where nothing, `(n,)`.
        generator: Source of randomness, on the CPU.
    """
    direction = torch.randn(problem.flat.shape, generator=generator).to(problem.flat)
    length = _START * torch.where(nearest.isfinite(), nearest, 0.0).sqrt()
    far = direction * (length / direction.norm(dim=1)).unsqueeze(1)
    start: Tensor = (problem.flat + far).clamp(problem.lower, problem.upper)
    return start


@dataclass(frozen=True)
class _Try:
    """What the search for one target of each of n examples gave.

    Points `(n, D)`; their squared distances, infinite without success, c, evaluations and whether
    the tolerances were met, `(n,)`.
    """

    x: Tensor
    square: Tensor
    c: Tensor
    evaluations: Tensor
    settled: Tensor


def _assemble(
    whole: Problem,
    searched: Tensor,
    aims: Tensor,
    tries: Sequence[_Try],
    finite: Tensor,
    met: Tensor,
) -> Found:
    """Take the nearest success of each example, and the clean one where there is none."""
    count, device = len(whole), searched.device
    adversarial = whole.flat.clone()
    c = whole.flat.new_full((count,), torch.nan)
    target = torch.full((count,), -1, device=device)
    queries = torch.zeros(count, dtype=torch.int64, device=device)
    status = torch.full((count,), int(Outcome.NOT_FOUND), dtype=torch.int8, device=device)
    status[~finite], status[met] = int(Outcome.NOT_FINITE), int(Outcome.ALREADY)
    if aims.shape[1]:
        target[searched] = aims[:, 0]
    best = whole.flat.new_full((len(searched),), torch.inf)
    for aim, found in zip(aims.unbind(1), tries, strict=True):
        queries[searched] += found.evaluations
        better = (found.square < best).nonzero().squeeze(1)
        best[better] = found.square[better]
        where = searched[better]
        adversarial[where], c[where] = found.x[better], found.c[better]
        target[where] = aim[better]
        ended = torch.where(found.settled, int(Outcome.SETTLED), int(Outcome.STEPS))
        status[where] = ended[better].to(torch.int8)
    return Found(whole.shaped(adversarial), queries, {"c": c, "status": status, "target": target})
