"""Lipschitz bounds of a stack of dense layers as a whole, tighter than the product of the norms."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor

from lit_intriguing.lipschitz.dense.slope_matrix import SlopeMatrix
from lit_intriguing.lipschitz.dense.slope_search import best_multipliers
from lit_intriguing.lipschitz.layers.activations import Slopes
from lit_intriguing.lipschitz.norm import Norm, product, total, unknown
from lit_intriguing.solvers.spectral.dense import certified_norm
from lit_intriguing.solvers.spectral.rounding import frobenius, gamma, rounded_up, scaled

LARGEST = 6000
"""Inputs, at most as many as the first layer has units, and hidden units of the joint bound.

Time grows with their cube, memory with their square: 2.5 GB for as many."""
MOST_STEPS, LEAST_STEPS, WORK = 120, 10, 1e12
"""Steps of the search by default: as many as fit into WORK, one counting the cube of the size.

Ten steps end 2.9% above 120 (784-500-500-10 of random weights, seed 0)."""
PAIR_STEPS = 0.35
"""Of these, steps for a pair, which starts from the multipliers of the whole."""
MOST_CLASSES = 32
"""Up to so many classes all pairs are bounded; beyond, those that are asked for."""
LEAST = 1e-100
"""Rows of a scaled last layer that differ by less are left to the product: their squares vanish."""
AT_ONCE = 20_000_000
"""Entries of the matrices of the pairs that are computed at a time."""


def stack_norm(
    weights: Sequence[Tensor],
    slopes: Sequence[Slopes],
    *,
    steps: int | None = None,
) -> Norm:
    """Bound the Lipschitz constant of `W_L phi(.. phi(W_1 x + b_1) ..) + b_L` as a whole.

    The semidefinite programme LipSDP-Neuron (Fazlyab et al. 2019, "Efficient and accurate
    estimation of Lipschitz constants for deep neural networks", theorem 2), solved by gradient
    steps; the multipliers that they end with are certified in float64, so how well they end has no
    part in whether the bound holds. Never above the product of the layers' constants. Beyond
    `LARGEST` inputs and hidden units it is the product of such bounds of parts of the stack, or of
    the layers' constants where no two of them fit; the reason says so.

    Args:
        weights: `W_1 .. W_L`, `(n_k, n_{k-1})`, real, the first layer first. Taken in float64.
        slopes: Interval `(lo, hi)` that holds the slopes of each of the L - 1 activations, one
            activation acting on each unit by itself: (0, 1) for ReLU, (0, 1/4) for a sigmoid.
        steps: Of the search; by default `MOST_STEPS`, of wide stacks fewer, down to `LEAST_STEPS`.

    Returns:
        Of kind `upper`; infinite, with the reason, where a weight or slope is not finite.

    Raises:
        ValueError: If the shapes do not fit each other, a slope interval is empty, or the number
            of steps negative.

    Examples:
        >>> first, last = torch.tensor([[1.0], [1.0]]), torch.tensor([[1.0, -1.0]])
        >>> round(stack_norm([first, last], [(0.0, 1.0)]).value, 2)  # the product is 2
        1.0
    """
    _check(weights, slopes, steps)
    wide = [weight.detach().cpu().double() for weight in weights]
    if not _finite(wide, slopes):
        return unknown("dense stack: a weight or slope is not a finite number")
    simple = _product_bound(wide, slopes)
    stack = _prepared(wide, slopes)
    if stack is None or simple.value == 0:
        return simple
    if stack.size > LARGEST:
        return _by_parts(wide, slopes, steps, stack.size)
    last, factor = scaled(stack.last)
    matrix = stack.matrix(_gram_above(last[None]))
    bound = _certified(matrix, best_multipliers(matrix, _steps(steps, stack.size)))
    return min(simple, stack.whole(float(bound), factor), key=lambda norm: norm.value)


def pair_norms(
    weights: Sequence[Tensor],
    slopes: Sequence[Slopes],
    pairs: Tensor | None = None,
    *,
    steps: int | None = None,
) -> Tensor:
    """Bound the Lipschitz constants of the differences of two logits; see `stack_norm`.

    Beyond `LARGEST` inputs and hidden units it warns and returns products of constants.

    Args:
        weights: As there; the last has a row for each of K classes.
        slopes: As there.
        pairs: Which differences to bound by themselves, integers `(P, 2)`; all where None, which
            needs at most `MOST_CLASSES` classes. The others are `sqrt(2)` times the whole
            network's bound, or less.
        steps: As there, for the whole network; `PAIR_STEPS` times as many for the pairs.

    Returns:
        Upper bounds `L_ij` of `logit_i - logit_j`, symmetric, float64 `(K, K)`; zero on the
        diagonal, infinite where a weight or slope is not finite.

    Raises:
        ValueError: As there, for pairs that are no classes, and for too many classes.
    """
    _check(weights, slopes, steps)
    wide = [weight.detach().cpu().double() for weight in weights]
    classes = len(wide[-1])
    pairs = _pairs(pairs, classes)
    if not _finite(wide, slopes):
        return _table(torch.full((classes, classes), math.inf, dtype=torch.float64))
    bounds = _simple_pairs(wide, slopes)
    stack = _prepared(wide, slopes)
    if stack is not None and stack.size > LARGEST:
        warnings.warn(f"pair_norms: {_too_wide(stack.size)}", stacklevel=2)
    elif stack is not None and bool((bounds > 0).any()):
        _tighten(bounds, stack, pairs, _steps(steps, stack.size))
    return _table(bounds)


def _by_parts(
    weights: Sequence[Tensor], slopes: Sequence[Slopes], steps: int | None, size: int
) -> Norm:
    """Return the product of joint bounds of parts, which are as long as fits, from the end.

    From the end, because a joint bound gains most where few outputs follow many units.
    """
    parts, end = list[tuple[int, int]](), len(weights)
    while end:
        start = end - 1
        while start and _size(weights[start - 1 : end]) <= LARGEST:
            start -= 1
        parts.insert(0, (start, end))
        end = start
    if len(parts) == 1:  # it should fit, but could not be made narrow
        return replace(_product_bound(weights, slopes), reason=_too_wide(size))
    between = [slopes[start - 1] for start, _ in parts[1:]]
    stretch = [Norm(max(abs(lo), abs(hi)), "upper") for lo, hi in between]
    found = [stack_norm(weights[a:b], slopes[a : b - 1], steps=steps) for a, b in parts]
    joint = [f"{a + 1} to {b}" for a, b in parts if b > a + 1]
    kind = f"constants, joint ones of the layers {', '.join(joint)}" if joint else "constants"
    return replace(product([*found, *stretch]), kind="upper", reason=_too_wide(size, kind))


def _size(weights: Sequence[Tensor]) -> int:
    """Return at least the inputs and hidden units that a joint bound of these layers has.

    Merging makes no stack larger: `_merged` sees to it.
    """
    return min(weights[0].shape) + sum(len(weight) for weight in weights[:-1])


def _too_wide(size: int, kind: str = "constants") -> str:
    return (
        f"a product of {kind}: {size} inputs and hidden units are more than the {LARGEST} that "
        "a joint bound is computed for"
    )


def _steps(steps: int | None, size: int) -> int:
    return min(MOST_STEPS, max(LEAST_STEPS, int(WORK / size**3))) if steps is None else steps


def _table(bounds: Tensor) -> Tensor:
    bounds = torch.minimum(bounds, bounds.mT)
    bounds.fill_diagonal_(0.0)
    return bounds


def _simple_pairs(weights: Sequence[Tensor], slopes: Sequence[Slopes]) -> Tensor:
    """Return the product of the constants for each pair, `(K, K)`."""
    last, factor = scaled(weights[-1])
    rows = last.unsqueeze(0) - last.unsqueeze(1)
    # Each entry of a difference is off by one rounding, and the squares of small ones vanish.
    lengths = frobenius(rows.unsqueeze(2)) * (1 + gamma(2)) + LEAST * rows.any(2).double()
    lengths *= factor
    if len(weights) == 1:
        return lengths
    below = _product_bound(weights[:-1], slopes[:-1])
    lo, hi = slopes[-1]
    below = below.times(max(abs(lo), abs(hi)))
    return lengths * rounded_up(below.value)


def _tighten(bounds: Tensor, stack: "_Stack", pairs: Tensor, steps: int) -> None:
    """Lower the bounds `(K, K)` in place, by the whole network's and by each pair's own."""
    last, factor = scaled(stack.last)
    matrix = stack.matrix(_gram_above(last[None]))
    start = best_multipliers(matrix, steps)
    whole = stack.whole(float(_certified(matrix, start)), factor)
    bounds.clamp_(max=whole.times(rounded_up(math.sqrt(2))).value)
    different = last[pairs[:, 0]] - last[pairs[:, 1]]
    pairs = pairs[different.abs().amax(1) > LEAST]
    for part in torch.split(pairs, max(1, AT_ONCE // (6 * stack.size**2))):
        rows = last[part[:, 0]] - last[part[:, 1]]
        pair = stack.matrix(_gram_above(rows.unsqueeze(1)))
        first = _shares(matrix.output, rows).unsqueeze(1) * start
        multipliers = best_multipliers(pair, math.ceil(PAIR_STEPS * steps), first)
        found = [stack.pair(t, factor).value for t in _certified(pair, multipliers).tolist()]
        lower = torch.tensor(found, dtype=torch.float64)
        for i, j in (part.unbind(1), part.flip(1).unbind(1)):
            bounds[i, j] = torch.minimum(bounds[i, j], lower)


def _shares(whole: Tensor, rows: Tensor) -> Tensor:
    """Return about the least c, `(P,)`, with `c S >= w w'` for S `(1, n, n)` and each row w.

    It is `w' S^-1 w`, at most 2 for the difference of two rows of which S is the Gram matrix.
    """
    lower, info = torch.linalg.cholesky_ex(whole[0])
    shares = torch.linalg.solve_triangular(lower, rows.mT, upper=False).square().sum(0)
    known = (int(info) == 0) & shares.isfinite()
    return 1.01 * torch.where(known, shares, 2.0).clamp(1e-3, 2.0)


@dataclass(frozen=True)
class _Stack:
    """A stack made ready: linear activations merged, the first layer narrow, entries moderate.

    Attributes:
        hidden: `W_1 .. W_m`, of entries below 1.
        slopes: Of the m activations, `lo < hi`.
        last: The last layer, `(K, n_m)`.
        factor: What the scaling has divided the hidden layers by, exactly.
        lost: What merging may have lost of the constant of the whole.
    """

    hidden: tuple[Tensor, ...]
    slopes: tuple[Slopes, ...]
    last: Tensor
    factor: tuple[float, ...]
    lost: Norm

    @property
    def size(self) -> int:
        """Inputs and hidden units."""
        return self.hidden[0].shape[1] + sum(len(weight) for weight in self.hidden)

    def matrix(self, output: Tensor) -> SlopeMatrix:
        """Return the inequality for last layers of which `(B, n_m, n_m)` is the Gram matrix."""
        return SlopeMatrix(self.hidden, self.slopes, output)

    def whole(self, square: float, factor: float) -> Norm:
        """Return the constant of the whole: of a certified t and the last layer's divisor."""
        norm = Norm(rounded_up(math.sqrt(square)), "upper")
        for divisor in (factor, *self.factor):
            norm = norm.times(divisor)
        return total([norm, self.lost])

    def pair(self, square: float, factor: float) -> Norm:
        """Return that of a difference of two logits, which loses up to `sqrt(2)` times more."""
        norm = _Stack(self.hidden, self.slopes, self.last, self.factor, Norm(0.0, "upper"))
        lost = self.lost.times(rounded_up(math.sqrt(2)))
        return total([norm.whole(square, factor), lost])


def _prepared(weights: Sequence[Tensor], slopes: Sequence[Slopes]) -> _Stack | None:
    """Return the stack made ready; None where no joint bound is needed."""
    merged, left, lost = _merged(weights, slopes)
    if not left:
        return None
    merged = _alive(merged)
    if any(weight.numel() == 0 for weight in merged):
        return None
    merged[0] = _narrowed(merged[0])
    hidden, factors = zip(*(scaled(weight) for weight in merged[:-1]), strict=True)
    return _Stack(hidden, tuple(left), merged[-1], factors, lost)


def _merged(
    weights: Sequence[Tensor], slopes: Sequence[Slopes]
) -> tuple[list[Tensor], list[Slopes], Norm]:
    """Multiply layers between which the activation is linear: `lo == hi`.

    A first layer that the next one widens is made narrow before: the inputs of their product, which
    is of low rank, are then as few as the units that were between them.

    Returns:
        Weights and slopes, and a bound of the constant of what rounding took from the products.
    """
    merged, left = [weights[0]], list[Slopes]()
    errors = [0.0]
    for weight, (lo, hi) in zip(weights[1:], slopes, strict=True):
        if lo < hi:
            merged.append(weight)
            left.append((lo, hi))
            errors.append(0.0)
            continue
        if len(merged) == 1 and len(weight) > len(merged[0]):
            merged[0] = _narrowed(merged[0])
        size = float(frobenius(weight)) * float(frobenius(merged[-1])) * abs(lo)
        errors[-1] = rounded_up(
            gamma(weight.shape[1] + 2) * size + errors[-1] * abs(lo) * float(frobenius(weight))
        )
        merged[-1] = weight @ (lo * merged[-1])
    return merged, left, _loss(merged, left, errors)


def _loss(weights: Sequence[Tensor], slopes: Sequence[Slopes], errors: Sequence[float]) -> Norm:
    """Bound what errors of norms `errors` of the weights can change: one layer after another."""
    if not any(errors):
        return Norm(0.0, "upper")
    sizes = [
        Norm(rounded_up(float(frobenius(weight)) + error), "upper")
        for weight, error in zip(weights, errors, strict=True)
    ]
    stretch = [Norm(max(abs(lo), abs(hi)), "upper") for lo, hi in slopes]
    return total(
        [Norm(0.0, "upper")]
        + [
            product([*sizes[:k], Norm(error, "upper"), *sizes[k + 1 :], *stretch])
            for k, error in enumerate(errors)
            if error
        ]
    )


def _alive(weights: Sequence[Tensor]) -> list[Tensor]:
    """Leave out hidden units that nothing enters or leaves: their multipliers have no optimum."""
    weights = list(weights)
    count = len(weights) - 1
    for k in (*range(count), *reversed(range(count))):
        used = weights[k].any(1) & weights[k + 1].any(0)
        weights[k], weights[k + 1] = weights[k][used], weights[k + 1][:, used]
    return weights


def _narrowed(weight: Tensor) -> Tensor:
    """Return a square R with `R R' >= W W'` where W is wide: no constant is smaller with it."""
    units, inputs = weight.shape
    if units >= inputs:
        return weight
    weight, factor = scaled(weight)
    gram = weight @ weight.mT
    # Of the Gram matrix and of its factorisation, Higham 2002, theorem 10.3.
    margin = (gamma(inputs) + 2 * gamma(units)) * frobenius(weight) ** 2
    gram.diagonal().add_(margin)
    lower, info = torch.linalg.cholesky_ex(gram)
    return (weight if int(info) else lower) * factor


def _gram_above(weights: Tensor) -> Tensor:
    """Return `S >= W' W`, rounding included, of W `(B, K, n)` off by a rounding itself."""
    output = weights.mT @ weights
    margin = gamma(weights.shape[1] + 4) * frobenius(weights) ** 2
    output.diagonal(dim1=1, dim2=2).add_(margin.unsqueeze(1))
    return output


def _certified(matrix: SlopeMatrix, multipliers: Tensor) -> Tensor:
    """Return for each problem a t that is proven with these multipliers, or infinity: (B,)."""
    least = matrix.least(multipliers)
    bounds = torch.full_like(least, math.inf)
    extra = 10 * matrix.size * gamma(matrix.size)  # about what the proof takes from the diagonal
    for _ in range(9):
        t = least * (1 + extra)
        open_ = bounds.isinf() & (t > 0)
        if not bool(open_.any()):
            break
        proven = matrix.holds(t.where(open_, 1.0), multipliers) & open_
        bounds = torch.where(proven, t, bounds)
        extra *= 10
    return bounds


def _product_bound(weights: Sequence[Tensor], slopes: Sequence[Slopes]) -> Norm:
    layers = [Norm(float(certified_norm(weight)), "upper") for weight in weights]
    return product([*layers, *(Norm(max(abs(lo), abs(hi)), "upper") for lo, hi in slopes)])


def _finite(weights: Sequence[Tensor], slopes: Sequence[Slopes]) -> bool:
    return all(bool(weight.isfinite().all()) for weight in weights) and all(
        math.isfinite(slope) for pair in slopes for slope in pair
    )


def _check(weights: Sequence[Tensor], slopes: Sequence[Slopes], steps: int | None) -> None:
    if steps is not None and steps < 0:
        raise ValueError(f"Dense stack: the search cannot take {steps} steps.")
    if not weights or len(slopes) != len(weights) - 1:
        raise ValueError(
            f"Dense stack: {len(weights)} weights need {max(len(weights) - 1, 0)} slope intervals "
            f"between them (and at least one weight), not {len(slopes)}."
        )
    for weight in weights:
        if weight.ndim != 2 or weight.is_complex():
            raise ValueError(
                "Dense stack: weights must be real matrices (outputs, inputs), not "
                f"{weight.dtype} of shape {tuple(weight.shape)}."
            )
    for before, after in pairwise(weights):
        if after.shape[1] != before.shape[0]:
            raise ValueError(
                f"Dense stack: a layer of {before.shape[0]} outputs cannot feed one of "
                f"{after.shape[1]} inputs."
            )
    for lo, hi in slopes:
        if not lo <= hi:
            raise ValueError(f"Dense stack: no slope lies between {lo} and {hi}.")


def _pairs(pairs: Tensor | None, classes: int) -> Tensor:
    """Return the pairs to bound by themselves, int64 `(P, 2)`."""
    if pairs is None:
        if classes > MOST_CLASSES:
            raise ValueError(
                f"pair_norms: {classes} classes have {classes * (classes - 1) // 2} pairs: name "
                f"those of interest in `pairs` (P, 2), or, for all at once, give certified_radius "
                f"the norm of stack_norm; all pairs are bounded up to {MOST_CLASSES} classes."
            )
        return torch.triu_indices(classes, classes, 1).mT
    if pairs.ndim != 2 or pairs.shape[1] != 2 or pairs.is_floating_point():
        raise ValueError(f"pair_norms: pairs must be integers (P, 2), not {tuple(pairs.shape)}.")
    if bool(((pairs < 0) | (pairs >= classes)).any()):
        raise ValueError(f"pair_norms: pairs must name classes from 0 to {classes - 1}.")
    pairs = torch.unique(pairs.cpu().long().sort(1).values, dim=0)
    return pairs[pairs[:, 0] != pairs[:, 1]]
