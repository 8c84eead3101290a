"""An attack on a batch as problems for the solvers: flat points, rows, margins."""

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from lit_intriguing.attacks.base import Model, logits_of
from lit_intriguing.attacks.criteria import lead
from lit_intriguing.attacks.margin import smooth_margin
from lit_intriguing.solvers import Nearest
from lit_intriguing.types import Bounds

_SHARPEST = 15.0
"""The temperature is the smoothing over this: at smoothing 1, a fifteenth of the first margin."""

_SLACK = 16.0
"""A success must lead by so many roundings of the logits: other batches round otherwise."""

_LEAST = 0.98
"""A point found is drawn toward the clean one by at most this factor."""


@dataclass(frozen=True)
class Problem:
    """N examples of shape ``S``, seen as points of ``D`` coordinates.

    Half precision is searched in float32; the model gets its own dtype.

    Args:
        model: Maps tensors like ``x`` to logits.
        x: Clean examples, ``(N, *S)``.
        bounds: The box.
        block: Examples that go through the model at a time.
        targets: Labels aimed at, int64 ``(n,)``; of no use before :meth:`toward`.
        rows: Which of the N examples are aimed with, an index ``(n,)``.
    """

    model: Model
    x: Tensor
    bounds: Bounds
    block: int
    targets: Tensor | None = None
    rows: Tensor | None = None

    def __len__(self) -> int:
        return len(self.flat)

    def toward(self, rows: Tensor, targets: Tensor) -> "Problem":
        """Return the problem of bringing some rows (an index) to ``targets``, int64."""
        return replace(self, rows=rows, targets=targets)

    @cached_property
    def flat(self) -> Tensor:
        """The clean points, ``(n, D)``."""
        x = self.x if self.rows is None else self.x[self.rows]
        dtype = x.dtype if x.dtype in (torch.float32, torch.float64) else torch.float32
        return x.flatten(1).to(dtype)

    @cached_property
    def lower(self) -> Tensor | float:
        """Lower limit: a number, or ``(D,)``."""
        return self._limits[0]

    @cached_property
    def upper(self) -> Tensor | float:
        """Upper limit: a number, or ``(D,)``."""
        return self._limits[1]

    @cached_property
    def _limits(self) -> tuple[Tensor | float, Tensor | float]:
        shape = self.x.shape[1:]
        lower, upper = (
            float(limit) if limit.numel() == 1 else limit.expand(shape).flatten()
            for limit in self.bounds.tensors_like(self.x)
        )
        return lower, upper

    def shaped(self, flat: Tensor) -> Tensor:
        """Return points ``(n, D)`` as examples ``(n, *S)`` of the model's dtype."""
        return flat.to(self.x.dtype).view(-1, *self.x.shape[1:])

    def logits(self, flat: Tensor | None = None) -> Tensor:
        """Return the logits of all points, without gradients, ``(n, C)``.

        Args:
            flat: The points, ``(n, D)``; the default is the clean ones.
        """
        flat = self.flat if flat is None else flat
        rows = torch.arange(len(flat), device=flat.device)
        with torch.no_grad():
            parts = [self._logits(flat[part], part) for part in torch.split(rows, self.block)]
        return torch.cat(parts)

    def smooth_margin(self, x: Tensor, rows: Tensor, smoothing: Tensor) -> tuple[Tensor, Tensor]:
        """The constraint of the fast mode: see `lit_intriguing.solvers.nearest`."""
        logits = self._logits(x, rows)
        temperature = smoothing / _SHARPEST
        smooth, sharp = smooth_margin(logits.to(x.dtype), self._targets[rows], temperature)
        return smooth, sharp + _rounding(logits)

    def cross_entropy(self, x: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """The loss of the paper mode: see `lit_intriguing.solvers.penalty`."""
        logits, targets = self._logits(x, rows), self._targets[rows]
        loss = F.cross_entropy(logits.to(x.dtype), targets, reduction="none")
        return loss, self._margin(logits.detach(), targets)

    def margin(self, logits: Tensor) -> Tensor:
        """Return the largest other logit minus the target's, with the slack: ``(n,)``."""
        return self._margin(logits, self._targets)

    def shrink(self, near: Nearest) -> tuple[Tensor, Tensor]:
        """Draw successes toward the clean points as far as they stay successes.

        Along r the margin falls by ``|r|^2 / multiplier`` to first order; a secant corrects that.
        Two forwards in all.

        Args:
            near: What :meth:`smooth_margin` led to.

        Returns:
            The points, ``(n, D)``, and the likelihood of the target there, ``(n,)``.
        """
        points, likelihood = near.x.clone(), torch.ones_like(near.margin)
        feasible = near.feasible.nonzero().squeeze(1)
        # Not every model takes an empty batch, which splitting nothing would give.
        for rows in torch.split(feasible, self.block) if len(feasible) else ():
            x0, margin = self.flat[rows], near.margin[rows]
            fall = near.square[rows] / near.multiplier[rows]
            points[rows], likelihood[rows] = self._drawn(rows, x0, near.x[rows] - x0, margin, fall)
        return points, likelihood

    def _drawn(
        self, rows: Tensor, x0: Tensor, r: Tensor, margin: Tensor, fall: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return points on ``x0 + s r``, s in [0.98, 1], and the target's likelihood there.

        Args:
            rows: Which problems these are, ``(k,)``.
            x0: Clean points, ``(k, D)``.
            r: Perturbations that succeed, ``(k, D)``.
            margin: At s = 1, negative, ``(k,)``.
            fall: By how much it falls along r, ``(k,)``.
        """
        one = torch.ones_like(margin)
        first = 1 + (0.95 * margin / fall).nan_to_num(0.0).clamp(_LEAST - 1, 0.0)
        met, before = self._probe(rows, torch.addcmul(x0, r, first.unsqueeze(1)))
        hit = met < 0
        inner, at = torch.where(hit, first, one), torch.where(hit, met, margin)
        # Short of where the line through both crosses zero: a miss would gain nothing.
        slope = (margin - met) / (one - first)
        second = (inner - 0.98 * at / slope).nan_to_num(1.0)
        second = torch.where(hit, second.clamp(_LEAST, 1.0), second.clamp(first, one))
        met, likelihood = self._probe(rows, torch.addcmul(x0, r, second.unsqueeze(1)))
        final = torch.where((met < 0) & (second < inner), second, inner)
        likelihood = torch.where(final == second, likelihood, before)
        return torch.addcmul(x0, r, final.unsqueeze(1)), likelihood

    def _probe(self, rows: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the margin at ``x`` and the target's likelihood: ``(k,)`` each."""
        with torch.no_grad():
            logits = self._logits(x, rows)
        targets = self._targets[rows]
        likely = logits.to(x.dtype).softmax(1).gather(1, targets.unsqueeze(1)).squeeze(1)
        return self._margin(logits, targets), likely

    def stationary_c(self, x: Tensor, multiplier: Tensor, likelihood: Tensor) -> Tensor:
        """Return an estimate of the c for which points of the fast mode are stationary.

        ``r = -multiplier * grad margin``, and where one other class has all the rest of the
        probability the gradient of the cross-entropy is ``1 - p_target`` times that of the margin:
        ``c = (1 - p_target) |r| / multiplier``. With several such classes it has the size of that
        gradient only.

        Args:
            x: Points, ``(n, D)``.
            multiplier: Weight of the margin there, ``(n,)``.
            likelihood: p of the target there, ``(n,)``.
        """
        length: Tensor = torch.linalg.vector_norm(x - self.flat, dim=1)
        return (1 - likelihood) * length / multiplier

    @property
    def _targets(self) -> Tensor:
        assert self.targets is not None
        return self.targets

    def _logits(self, x: Tensor, rows: Tensor) -> Tensor:
        which = rows if self.rows is None else self.rows[rows]
        return logits_of(self.model, self.shaped(x), which)

    def _margin(self, logits: Tensor, targets: Tensor) -> Tensor:
        return _rounding(logits) - lead(logits, targets).to(self.flat.dtype)


def _rounding(logits: Tensor) -> Tensor:
    """Return what rounding may change in a difference of logits, ``(n,)``.

    Half precision sums in float32 and rounds once at the end.
    """
    roundings = _SLACK if logits.dtype in (torch.float32, torch.float64) else 2.0
    return logits.detach().abs().amax(1).float() * (roundings * torch.finfo(logits.dtype).eps)
