"""The best multipliers of a slope matrix, by gradient steps."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from lit_intriguing.lipschitz.dense.slope_matrix import SlopeMatrix
from lit_intriguing.lipschitz.layers.activations import Slopes

RATE = 0.2
"""First length of a step: of the logarithm of a multiplier."""
SMOOTH = 0.05, 1e-3
"""How far below the largest eigenvalue others count as large, relative: at first and at the end."""
DIRECTIONS = 4
"""Eigenvectors that take part in a gradient: at the optimum several eigenvalues are largest."""
LEAST_SUM = 0.05
"""Least sum of a slope interval's ends, relative to its length, that the search works with.

A term with this sum makes it stay inside: without it, as for slopes of -1 to 1, it would end at the
first edge that it meets."""
MOMENTS = 0.9, 0.99
"""Of Adam (Kingma and Ba 2015)."""
TINY = 1e-30
"""For layers that cancel each other."""


def best_multipliers(matrix: SlopeMatrix, steps: int, start: Tensor | None = None) -> Tensor:
    """Minimise the least t for which `A(t, T) >= 0` for some t.

    Adam on `log T`. The units are eliminated from A layer by layer, from the last one: with S
    what the layers above have left, layer k leaves `W' (s T (2 T - S)^-1 s T - 2 p T) W`, s and p
    the sum and the product of its slopes' ends, and t is the largest eigenvalue of what is left for
    the inputs. The gradient is that of a smooth maximum of its largest eigenvalues, at vectors that
    a few steps of a block Krylov method improve.

    Args:
        matrix: Of B problems, which share nothing but time.
        steps: How many.
        start: T to start from, `(B, n)`, of which `A(t, T) > 0` for some t.

    Returns:
        The best T met, `(B, n)`, up to floating-point errors.
    """
    x = (_start(matrix) if start is None else start).log()
    search = _Search(matrix, x)
    for step in range(steps):
        search.step(step / steps)
    return search.best.exp()


class _Search:
    """The state of the search."""

    def __init__(self, matrix: SlopeMatrix, x: Tensor) -> None:
        self._matrix, self._x, self._feasible = matrix, x, x
        self.best, self._least = x, torch.full((len(x),), torch.inf, dtype=torch.float64)
        self._mean, self._square = torch.zeros_like(x), torch.zeros_like(x)
        self._taken = 0
        shape = len(x), matrix.inputs, min(DIRECTIONS, matrix.inputs)
        generator = torch.Generator().manual_seed(0)
        self._vectors = torch.randn(shape, generator=generator, dtype=torch.float64)

    def step(self, done: float) -> None:
        """Evaluate the point, store it if it is the best, and step on."""
        factors = self._factors()
        multipliers = self._x.exp()
        values, self._vectors = top_vectors(
            lambda v: left_for_inputs(self._matrix, multipliers, factors, v),
            self._vectors,
            blocks=2 if self._taken else 6,
        )
        greatest = values[:, -1:].clamp_min(TINY)
        better = values[:, -1] < self._least
        self._least = torch.where(better, values[:, -1], self._least)
        self.best = torch.where(better.unsqueeze(1), self._x, self.best)
        smooth = SMOOTH[0] * (SMOOTH[1] / SMOOTH[0]) ** done
        shares = ((values / greatest - 1) / smooth).softmax(1)
        along = self._vectors * shares.sqrt().unsqueeze(1)
        gradient = multipliers * gradient_along(self._matrix, multipliers, factors, along)
        gradient = gradient.nan_to_num(0.0, 0.0, 0.0) / greatest
        # At an edge it has no limit; one such gradient would make Adam's steps tiny for long.
        gradient /= torch.linalg.vector_norm(gradient, dim=1, keepdim=True).clamp_min(1.0)
        self._x = self._x - self._adam(gradient, RATE * (1 - 0.98 * done))

    def _factors(self) -> list[Tensor]:
        """Go back towards the last point as often as needed."""
        factors, feasible = eliminated(self._matrix, self._x.exp())
        tries = 0
        while not bool(feasible.all()):
            tries += 1
            back = self._feasible if tries > 20 else (self._x + self._feasible) / 2
            self._x = torch.where(feasible.unsqueeze(1), self._x, back)
            factors, feasible = eliminated(self._matrix, self._x.exp())
            if tries > 20:
                break
        self._feasible = self._x
        return factors

    def _adam(self, gradient: Tensor, rate: float) -> Tensor:
        self._taken += 1
        first, second = MOMENTS
        self._mean = first * self._mean + (1 - first) * gradient
        self._square = second * self._square + (1 - second) * gradient.square()
        mean = self._mean / (1 - first**self._taken)
        return rate * mean / ((self._square / (1 - second**self._taken)).sqrt() + TINY)


def _start(matrix: SlopeMatrix) -> Tensor:
    """Return T strictly inside, `(B, n)`: one number a layer, as in the product."""
    s, found = matrix.output, list[Tensor]()
    for weight, (lo, hi) in zip(reversed(matrix.weights), reversed(matrix.slopes), strict=True):
        greatest = torch.linalg.eigvalsh(s)[:, -1].clamp_min(TINY).view(-1, 1)
        found.insert(0, greatest.expand(-1, len(weight)))
        if len(found) < len(matrix.weights):
            lower = torch.linalg.cholesky_ex(_inner(s, found[0])).L
            s = _left(weight, (lo, hi), found[0], lower)
    return torch.cat(found, 1)


def _inner(s: Tensor, multipliers: Tensor) -> Tensor:
    """Return `2 T - S`."""
    inner = -s
    inner.diagonal(dim1=1, dim2=2).add_(2 * multipliers)
    return inner


def _left(weight: Tensor, slopes: Slopes, multipliers: Tensor, lower: Tensor) -> Tensor:
    """Return what a layer leaves for the one below, of the factor of `2 T - S`."""
    cross, square = _sum_and_product(slopes)
    rows = multipliers.unsqueeze(2) * weight
    half = torch.linalg.solve_triangular(lower, cross * rows, upper=False)
    s: Tensor = half.mT @ half
    return s - 2 * square * (weight.mT @ rows) if square else s


def _sum_and_product(slopes: Slopes) -> tuple[float, float]:
    lo, hi = slopes
    return math.copysign(max(abs(lo + hi), LEAST_SUM * (hi - lo)), lo + hi), lo * hi


def eliminated(matrix: SlopeMatrix, multipliers: Tensor) -> tuple[list[Tensor], Tensor]:
    """Return the factors of `2 T - S` of each layer, the first layer's first, and feasibility.

    Args:
        matrix: Of B problems.
        multipliers: T, `(B, n)`.

    Returns:
        Lower triangles `(B, n_k, n_k)`, and bool `(B,)`: those of others mean nothing.
    """
    s, factors = matrix.output, list[Tensor]()
    feasible = torch.ones(len(multipliers), dtype=torch.bool)
    parts = matrix.by_layer(multipliers)
    for k in reversed(range(len(parts))):
        lower, info = torch.linalg.cholesky_ex(_inner(s, parts[k]))
        feasible &= info == 0
        factors.insert(0, lower)
        if k:
            s = _left(matrix.weights[k], matrix.slopes[k], parts[k], lower)
    return factors, feasible


def left_for_inputs(
    matrix: SlopeMatrix, multipliers: Tensor, factors: list[Tensor], v: Tensor
) -> Tensor:
    """Return what is left for the inputs times vectors `(B, inputs, r)`."""
    first, (cross, square) = matrix.weights[0], _sum_and_product(matrix.slopes[0])
    t = matrix.by_layer(multipliers)[0].unsqueeze(2)
    u = first @ v
    z = torch.cholesky_solve(cross * t * u, factors[0])
    return first.mT @ (cross * t * z - 2 * square * t * u)


def gradient_along(
    matrix: SlopeMatrix, multipliers: Tensor, factors: list[Tensor], v: Tensor
) -> Tensor:
    """Return the gradient in T, `(B, n)`, of the sum of `v' M v`, M what is left for the inputs.

    With u = W v, the changes of a layer's inputs, its worst outputs are `z = (2 T - S)^-1 s T u`,
    which the layer above is fed with.
    """
    gradients = list[Tensor]()
    parts = matrix.by_layer(multipliers)
    for weight, slopes, t, lower in zip(matrix.weights, matrix.slopes, parts, factors, strict=True):
        cross, square = _sum_and_product(slopes)
        u = weight @ v
        v = torch.cholesky_solve(cross * t.unsqueeze(2) * u, lower)
        gradients.append(2 * (v * (cross * u - v) - square * u.square()).sum(2))
    return torch.cat(gradients, 1)


def top_vectors(
    apply: Callable[[Tensor], Tensor], vectors: Tensor, blocks: int
) -> tuple[Tensor, Tensor]:
    """Improve the largest eigenvectors of symmetric matrices by a block Krylov method.

    Args:
        apply: Multiplies `(B, n, r)`.
        vectors: Guess, `(B, n, r)`.
        blocks: How often to multiply.

    Returns:
        Ritz values, ascending, `(B, r)`, and vectors.
    """
    found = [torch.linalg.qr(vectors).Q]
    for _ in range(blocks):
        found.append(torch.linalg.qr(apply(found[-1])).Q)
    basis = torch.linalg.qr(torch.cat(found, 2)).Q
    small = (basis.mT @ apply(basis)).nan_to_num(0.0, 0.0, 0.0)
    values, turned = torch.linalg.eigh((small + small.mT) / 2)
    count = vectors.shape[2]
    return values[:, -count:], basis @ turned[:, :, -count:]
