"""The best multipliers of a slope matrix, by a barrier method."""

from dataclasses import replace

import torch
from torch import Tensor

from lit_intriguing.lipschitz.stacks.slope_matrix import SlopeMatrix

FASTER = 0.5
"""What the barrier's weight is multiplied by when a centre is reached."""
CENTRED = 1.0
"""Newton decrement at which a point counts as a centre."""
SHORTEST = 1e-6
"""Length of a step, relative to Newton's, below which the search gives up."""
TINY = 1e-30
"""For layers that cancel each other."""


def best_multipliers(
    matrix: SlopeMatrix, tolerance: float, max_steps: int, start: Tensor | None = None
) -> Tensor:
    """Minimise t subject to ``A(t, T) >= 0``.

    Damped Newton steps on ``t / weight - log det A`` for falling weights (Boyd and Vandenberghe
    2004, Convex Optimization, section 11.3): at a centre t is at most ``size * weight`` above the
    optimum. The B problems share each factorisation and nothing else.

    Args:
        matrix: Of B problems.
        tolerance: How far t may end above the optimum, relative to t.
        max_steps: Newton steps at most; every iterate is feasible.
        start: A feasible z, well inside, such as that of a similar problem at a high tolerance.

    Returns:
        z = (t, T), feasible, ``(B, 1 + n)``.
    """
    z = _start(matrix) if start is None else start.clone()
    weight = z[:, 0] / (matrix.size * (10 if start is None else 1))
    running = torch.arange(len(z))
    for _ in range(max_steps):
        if not len(running):
            break
        part = replace(matrix, output=matrix.output[running])
        z[running], decrement, moved = _newton(part, z[running], weight[running])
        centred = decrement < CENTRED
        gap = matrix.size * weight[running] / z[running, 0]
        weight[running] *= torch.where(centred, FASTER, 1.0)
        running = running[moved & ~(centred & (gap <= tolerance))]
    return z


def _start(matrix: SlopeMatrix) -> Tensor:
    """Return z = (t, T) strictly inside, ``(B, 1 + n)``: one number a layer, as in the product."""
    s, numbers = matrix.output, list[Tensor]()
    for weight, (lo, hi) in zip(reversed(matrix.weights), reversed(matrix.slopes), strict=True):
        greatest = torch.linalg.eigvalsh(s)[:, -1].clamp_min(TINY).view(-1, 1, 1)
        eye = torch.eye(len(weight), dtype=torch.float64)
        # What the layer's inequality leaves for du, the best dv inserted.
        inner = torch.linalg.inv(2 * greatest * eye - s) * (greatest * (lo + hi)) ** 2
        s = weight.mT @ (inner - 2 * lo * hi * greatest * eye) @ weight
        s = (s + s.mT) / 2
        numbers.insert(0, greatest.view(-1, 1).expand(-1, len(weight)))
    t = 2 * torch.linalg.eigvalsh(s)[:, -1:].clamp_min(TINY)
    return torch.cat([t, *numbers], 1)


def _newton(matrix: SlopeMatrix, z: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Step from each of B points: z ``(B, 1 + n)``, decrement and whether it moved, ``(B,)``."""
    lower, _ = torch.linalg.cholesky_ex(matrix.matrix(z[:, 0], z[:, 1:]))
    gradient, hessian = matrix.derivatives(torch.cholesky_inverse(lower))
    gradient[:, 0] += 1 / weight
    step = _solved(hessian, gradient)
    slope = (step * gradient).sum(1)
    value = z[:, 0] / weight - _log_determinant(lower)
    new, moved = _line_search(matrix, z, step, slope, weight, value)
    return new, slope.neg().clamp_min(0).sqrt(), moved


def _solved(hessian: Tensor, gradient: Tensor) -> Tensor:
    """Return ``-hessian^-1 gradient``, scaled to a diagonal of ones first: ``(B, 1 + n)``."""
    scale = hessian.diagonal(dim1=1, dim2=2).rsqrt()
    scaled = hessian * scale.unsqueeze(1) * scale.unsqueeze(2)
    scaled.diagonal(dim1=1, dim2=2).add_(1e-12)
    lower, info = torch.linalg.cholesky_ex(scaled)
    rhs = (gradient * scale).unsqueeze(2)
    newton = torch.cholesky_solve(rhs, lower).squeeze(2)
    steepest = rhs.squeeze(2)  # where rounding has spoilt the Hessian
    good = (info == 0) & newton.isfinite().all(1)
    return -scale * torch.where(good.unsqueeze(1), newton, steepest)


def _line_search(
    matrix: SlopeMatrix, z: Tensor, step: Tensor, slope: Tensor, weight: Tensor, value: Tensor
) -> tuple[Tensor, Tensor]:
    """Halve the step until it is feasible and descends: the new points and which moved."""
    new, length = z.clone(), torch.ones_like(weight)
    left = torch.arange(len(z))
    while len(left):
        trial = z[left] + length[left].unsqueeze(1) * step[left]
        part = replace(matrix, output=matrix.output[left])
        lower, info = torch.linalg.cholesky_ex(part.matrix(trial[:, 0], trial[:, 1:]))
        found = trial[:, 0] / weight[left] - _log_determinant(lower)
        enough = found <= value[left] + 0.1 * length[left] * slope[left]
        good = (info == 0) & enough & (trial > 0).all(1)
        new[left[good]] = trial[good]
        length[left[~good]] /= 2
        left = left[~good & (length[left] >= SHORTEST)]
    return new, (new != z).any(1)


def _log_determinant(lower: Tensor) -> Tensor:
    return 2 * lower.diagonal(dim1=1, dim2=2).log().sum(1)
