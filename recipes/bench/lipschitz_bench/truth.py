"""The true norm of a layer, in float64, apart from the package."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d

from lit_intriguing.solvers.spectral import symbol
from lit_intriguing.solvers.spectral.peak import find_peak

from .layers import Problem

DENSE = 1000
"""Rows or columns up to which the layer's matrix is written out and decomposed."""
CONVERGED = 1e-9
"""Growth of the norm, relative, over `WINDOW` steps of Lanczos at which it counts as found."""
WINDOW = 20
MAX_STEPS = 3000
MUCH = 1e9
"""Multiplications of the layer from which Lanczos to convergence takes minutes."""
FEW_STEPS = 150
Operation = Callable[[Tensor], Tensor]


def norm(problem: Problem) -> float:
    """Return the largest singular value: of the matrix if it is small, else by Lanczos.

    Lanczos gives a value that is not above the truth, so that what lies below it lies below the
    truth. Where `is_least` it is not run to convergence: the value is a lower bound, that of
    a wave at the frequency where the symbol is greatest, after some steps.
    """
    apply, adjoint = operations(problem)
    if is_least(problem):
        return lanczos(apply, adjoint, problem.shape, wave(problem), FEW_STEPS)
    size = math.prod(problem.shape)
    if size <= DENSE:
        basis = torch.eye(size, dtype=torch.float64).view(size, *problem.shape)
        return float(torch.linalg.matrix_norm(apply(basis).flatten(1), 2))
    return lanczos(apply, adjoint, problem.shape)


def is_least(problem: Problem) -> bool:
    """Whether `norm` gives only a lower bound."""
    layer = problem.layer
    if not isinstance(layer, nn.Conv2d) or layer.stride != (1, 1) or layer.groups > 1:
        return False
    return layer.weight.numel() * math.prod(problem.shape[1:]) > MUCH


def wave(problem: Problem) -> Tensor:
    """Return a start `(1, *shape)` next to the top singular vector of a large image.

    Any start gives a lower bound, so that it may come from the package.
    """
    weight = problem.layer.get_parameter("weight").detach().double()
    found = symbol(weight, 1, (1, 1), (1, 1))
    peak = find_peak(found)
    matrix = found.at(peak.angles[None], torch.tensor([0]))[0]
    channels = torch.linalg.svd(matrix)[2][0].conj()
    line = torch.arange(problem.shape[-1], dtype=torch.float64)
    window = torch.sin(math.pi * (line + 1) / (len(line) + 1))
    down, along = (torch.polar(window, line * angle) for angle in peak.angles)
    return (channels[:, None, None] * torch.outer(down, along)).real[None]


def operations(problem: Problem) -> tuple[Operation, Operation]:
    """Return the layer and its adjoint on batches."""
    layer = problem.layer
    weight = layer.get_parameter("weight").detach().double()
    if not isinstance(layer, nn.Conv2d):
        return (lambda x: x @ weight.T), (lambda y: y @ weight)
    stride, pad, groups = layer.stride[0], int(layer.padding[0]), layer.groups
    side = problem.shape[-1]
    left = (side + 2 * pad - weight.shape[-1]) % stride  # pixels that no window reaches
    return (
        lambda x: conv2d(x, weight, None, stride, pad, 1, groups),
        lambda y: conv_transpose2d(y, weight, None, stride, pad, left, groups),
    )


def lanczos(
    apply: Operation,
    adjoint: Operation,
    shape: tuple[int, ...],
    start: Tensor | None = None,
    steps: int = MAX_STEPS,
) -> float:
    """Return the largest singular value by Lanczos on `T* T`, from a random start or another."""
    generator = torch.Generator().manual_seed(1)
    q = torch.randn(1, *shape, generator=generator, dtype=torch.float64)
    q = q if start is None else start.clone()
    q /= q.norm()
    before, beta = torch.zeros_like(q), 0.0
    diagonal: list[float] = []
    beside: list[float] = []
    found: list[float] = []
    for step in range(steps):
        r = adjoint(apply(q)) - beta * before
        diagonal.append(float((q * r).sum()))
        r -= diagonal[-1] * q
        beta = float(r.norm())
        if step % WINDOW == 0:
            found.append(_greatest(diagonal, beside))
            if len(found) > 1 and found[-1] <= found[-2] * (1 + CONVERGED):
                break
        if beta <= 1e-14 * abs(diagonal[0]):
            found.append(_greatest(diagonal, beside))
            break
        before, q = q, r / beta
        beside.append(beta)
    else:
        found.append(_greatest(diagonal, beside))
    return max(found) ** 0.5


def _greatest(diagonal: list[float], beside: list[float]) -> float:
    matrix = torch.diag(torch.tensor(diagonal, dtype=torch.float64))
    if len(diagonal) > 1:
        off = torch.tensor(beside[: len(diagonal) - 1], dtype=torch.float64)
        matrix += torch.diag(off, 1) + torch.diag(off, -1)
    return float(torch.linalg.eigvalsh(matrix)[-1])
