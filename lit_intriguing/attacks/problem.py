"""An attack on a batch as problems for the solvers: flat points, their targets, margins."""

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn import functional as F  # noqa: N812

from lit_intriguing.attacks.criteria import lead
from lit_intriguing.attacks.sealed_model import Model, logits_of
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
    """N examples of shape `S`, seen as points of `D` coordinates.

    Half precision is searched in float32; the model gets its own dtype.

    Args:
        model: Maps tensors like `x` to logits.
        x: Clean examples, `(N, *S)`.
        bounds: The box.
        block: Examples that go through the model at a time.
        targets: Labels aimed at, int64 `(n,)`; of no use before `toward`.
        indices: Which of the N examples are attacked, an index `(n,)`.
    """

    model: Model
    x: Tensor
    bounds: Bounds
    block: int
    targets: Tensor | None = None
    indices: Tensor | None = None

    def __len__(self) -> int:
        return len(self.flat)

    def toward(self, indices: Tensor, targets: Tensor) -> "Problem":
        """Return the problem of bringing some examples (an index) to `targets`, int64."""
        return replace(self, indices=indices, targets=targets)

    @cached_property
    def flat(self) -> Tensor:
        """The clean points, `(n, D)`."""
        x = self.x if self.indices is None else self.x[self.indices]
        dtype = x.dtype if x.dtype in (torch.float32, torch.float64) else torch.float32
        return x.flatten(1).to(dtype)

    @cached_property
    def lower(self) -> Tensor | float:
        """Lower limit: a number, or `(D,)`."""
        return self._limits[0]

    @cached_property
    def upper(self) -> Tensor | float:
        """Upper limit: a number, or `(D,)`."""
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
        """Return points `(n, D)` as examples `(n, *S)` of the model's dtype."""
        return flat.to(self.x.dtype).view(-1, *self.x.shape[1:])

    def logits(self, flat: Tensor | None = None) -> Tensor:
        """Return the logits of all points, without gradients, `(n, C)`.

        Args:
            flat: The points, `(n, D)`; the default is the clean ones.
        """
        flat = self.flat if flat is None else flat
        indices = torch.arange(len(flat), device=flat.device)
        with torch.no_grad():
            parts = [self._logits(flat[part], part) for part in torch.split(indices, self.block)]
        return torch.cat(parts)

    def smooth_margin(self, x: Tensor, indices: Tensor, smoothing: Tensor) -> tuple[Tensor, Tensor]:
        """Return the constraint of the fast mode: see `lit_intriguing.solvers.nearest`."""
        logits = self._logits(x, indices)
        temperature = smoothing / _SHARPEST
        smooth, sharp = smooth_margin(logits.to(x.dtype), self._targets[indices], temperature)
        return smooth, sharp + _rounding(logits)

    def cross_entropy(self, x: Tensor, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss of the paper mode: see `lit_intriguing.solvers.penalty`."""
        logits, targets = self._logits(x, indices), self._targets[indices]
        loss = F.cross_entropy(logits.to(x.dtype), targets, reduction="none")
        return loss, self._margin(logits.detach(), targets)

    def margin(self, logits: Tensor) -> Tensor:
        """Return the largest other logit minus the target's, with the slack: `(n,)`."""
        return self._margin(logits, self._targets)

    def shrink(self, near: Nearest) -> tuple[Tensor, Tensor]:
        """Draw successes toward the clean points as far as they stay successes.

        Along r the margin falls by `|r|^2 / multiplier` to first order; a secant corrects that.
        Two forwards in all.

        Args:
            near: What `smooth_margin` led to.

        Returns:
            The points, `(n, D)`, and the likelihood of the target there, `(n,)`.
        """
        points, likelihood = near.point.clone(), torch.ones_like(near.margin)
        feasible = near.success.nonzero().squeeze(1)
        # Not every model takes an empty batch, which splitting nothing would give.
        for indices in torch.split(feasible, self.block) if len(feasible) else ():
            x0, margin = self.flat[indices], near.margin[indices]
            fall = near.value[indices] / near.multiplier[indices]
            points[indices], likelihood[indices] = self._drawn(
                indices, x0, near.x[indices] - x0, margin, fall
            )
        return points, likelihood

    def _drawn(
        self, indices: Tensor, x0: Tensor, r: Tensor, margin: Tensor, fall: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return points on `x0 + s r`, s in [0.98, 1], and the target's likelihood there.

        Args:
            indices: Which problems these are, `(k,)`.
            x0: Clean points, `(k, D)`.
            r: Perturbations that succeed, `(k, D)`.
            margin: At s = 1, negative, `(k,)`.
            fall: By how much it falls along r, `(k,)`.
        """
        one = torch.ones_like(margin)
        first = 1 + (0.95 * margin / fall).nan_to_num(0.0).clamp(_LEAST - 1, 0.0)
        met, before = self._probe(indices, torch.addcmul(x0, r, first.unsqueeze(1)))
        hit = met < 0
        inner, at = torch.where(hit, first, one), torch.where(hit, met, margin)
        # Short of where the line through both crosses zero: a miss would gain nothing.
        slope = (margin - met) / (one - first)
        second = (inner - 0.98 * at / slope).nan_to_num(1.0)
        second = torch.where(hit, second.clamp(_LEAST, 1.0), second.clamp(first, one))
        met, likelihood = self._probe(indices, torch.addcmul(x0, r, second.unsqueeze(1)))
        final = torch.where((met < 0) & (second < inner), second, inner)
        likelihood = torch.where(final == second, likelihood, before)
        return torch.addcmul(x0, r, final.unsqueeze(1)), likelihood

    def _probe(self, indices: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the margin at `x` and the target's likelihood: `(k,)` each."""
        with torch.no_grad():
            logits = self._logits(x, indices)
        targets = self._targets[indices]
        likely = logits.to(x.dtype).softmax(1).gather(1, targets.unsqueeze(1)).squeeze(1)
        return self._margin(logits, targets), likely

    def squares(self, x: Tensor, success: Tensor) -> Tensor:
        """Return the squared lengths of perturbations, infinite without success: `(n,)`.

        Args:
            x: Points, `(n, D)`.
            success: Which of them succeed, bool `(n,)`.
        """
        return (x - self.flat).square().sum(1).where(success, torch.inf)

    def stationary_c(self, x: Tensor, multiplier: Tensor, likelihood: Tensor) -> Tensor:
        """Return an estimate of the c for which points of the fast mode are stationary.

        `r = -multiplier * grad margin`, and where one other class has all the rest of the
        probability the gradient of the cross-entropy is `1 - p_target` times that of the margin:
        `c = (1 - p_target) |r| / multiplier`. With several such classes it has the size of that
        gradient only.

        Args:
            x: Points, `(n, D)`.
            multiplier: Weight of the margin there, `(n,)`.
            likelihood: p of the target there, `(n,)`.
        """
        length: Tensor = torch.linalg.vector_norm(x - self.flat, dim=1)
        return (1 - likelihood) * length / multiplier

    @property
    def _targets(self) -> Tensor:
        assert self.targets is not None
        return self.targets

    def _logits(self, x: Tensor, indices: Tensor) -> Tensor:
        which = indices if self.indices is None else self.indices[indices]
        return logits_of(self.model, self.shaped(x), which)

    def _margin(self, logits: Tensor, targets: Tensor) -> Tensor:
        return _rounding(logits) - lead(logits, targets).to(self.flat.dtype)


def _rounding(logits: Tensor) -> Tensor:
    """Return what rounding may change in a difference of logits, `(n,)`.

    Half precision sums in float32 and rounds once at the end.
    """
    roundings = _SLACK if logits.dtype in (torch.float32, torch.float64) else 2.0
    return logits.detach().abs().amax(1).float() * (roundings * torch.finfo(logits.dtype).eps)


def smooth_margin(logits: Tensor, targets: Tensor, temperature: Tensor) -> tuple[Tensor, Tensor]:
    """Return `T logsumexp_{j != target}(z_j / T) - z_target`, and its limit for T to 0.

    The first is differentiable by the logits and never less than the second, which is the margin
    of success: negative where the target leads.

    Args:
        logits: z, of shape `(N, C)`, C at least 2.
        targets: int64 `(N,)`.
        temperature: T, positive, in units of the logits, `(N,)`.

    Returns:
        Both margins, `(N,)`, in units of the logits.

    Examples:
        >>> z = torch.tensor([[3.0, 1.0, 0.0]])
        >>> smooth, sharp = smooth_margin(z, torch.tensor([1]), torch.tensor([0.1]))
        >>> smooth.item(), sharp.item()
        (2.0, 2.0)
    """
    smooth, sharp = _SmoothMargin.apply(logits, targets, temperature)
    return smooth, sharp


class _SmoothMargin(torch.autograd.Function):
    """With a gradient written out: that of the parts costs as much as a small network."""

    @staticmethod
    def forward(
        ctx: FunctionCtx, logits: Tensor, targets: Tensor, temperature: Tensor
    ) -> tuple[Tensor, Tensor]:
        column = targets.unsqueeze(1)
        others = logits.scatter(1, column, -torch.inf)
        largest = others.amax(1, keepdim=True)
        weights = others.sub_(largest).div_(temperature.unsqueeze(1)).exp_()
        total = weights.sum(1, keepdim=True)
        sharp = (largest - logits.gather(1, column)).squeeze(1)
        smooth = torch.addcmul(sharp, temperature, total.squeeze(1).log())
        gradient = weights.div_(total).scatter_(1, column, -1.0)
        ctx.save_for_backward(gradient)
        ctx.mark_non_differentiable(sharp)
        return smooth, sharp

    @staticmethod
    @once_differentiable
    def backward(
        ctx: FunctionCtx, smooth: Tensor, sharp: Tensor | None
    ) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors  # type: ignore[attr-defined]
        return gradient * smooth.unsqueeze(1), None, None
