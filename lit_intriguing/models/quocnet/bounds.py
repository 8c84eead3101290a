"""Lipschitz constants of the layers of QuocNet."""

import math

import torch
from torch import Tensor

from lit_intriguing.lipschitz import Norm, register_norm
from lit_intriguing.lipschitz.layers.windows import Window, root, spatial
from lit_intriguing.lipschitz.registry import CannotBoundError, Shape
from lit_intriguing.lipschitz.weights import finite_weight
from lit_intriguing.models.quocnet.l2_pool import L2Pool
from lit_intriguing.models.quocnet.local_contrast import LocalContrastNormalisation
from lit_intriguing.models.quocnet.local_filters import LocalFilters
from lit_intriguing.models.quocnet.untied import Part, filtered, spread
from lit_intriguing.solvers.spectral import certified_norm, probable_norm
from lit_intriguing.solvers.spectral.dense import ALL
from lit_intriguing.solvers.spectral.rounding import gamma, raised, rounded_up, scaled

WRITTEN_OUT = 2**24
"""Entries of the largest operator that is written out as a matrix."""

RISK = 1e-9
"""Of the method "probable"."""


def _check(module: LocalFilters, shape: Shape | None) -> Tensor:
    """Return the weight in float64; the images' shape is the layer's own."""
    if shape is not None and tuple(shape) != module.input_shape:
        raise ValueError(
            f"LocalFilters: wants an example of shape {module.input_shape}, not {shape}."
        )
    weight = finite_weight(module).cpu()
    if weight.is_complex():
        raise CannotBoundError("its weight is complex")
    return weight


@register_norm(LocalFilters, check=_check)
def local_filters(module: LocalFilters, shape: Shape | None) -> Norm:
    """Return the norm of all filters together, as one linear map of the whole image.

    Of a small layer it is that of its matrix. Of a large one it is bounded position by position:
    see `by_position`.
    """
    weight, scale = scaled(_check(module, shape))
    inputs, outputs = math.prod(module.input_shape), math.prod(module.output_shape)
    if inputs * outputs > WRITTEN_OUT:
        return Norm(rounded_up(by_position(module, weight) * scale), "upper")
    part = Part(module.positions)
    with torch.inference_mode(False), torch.no_grad():
        units = torch.eye(inputs, dtype=torch.float64).view(-1, *module.input_shape)
        matrix = filtered(units, weight, part).transpose(0, 1).flatten(1)
    exact = min(inputs, outputs) <= ALL
    return Norm(rounded_up(float(certified_norm(matrix)) * scale), "exact" if exact else "upper")


def by_position(module: LocalFilters, weight: Tensor) -> float:
    """Bound the norm of untied filters by the norms of the filter banks of each position.

    With `P_l x` the window at position l and any `d_l > 0` for each of its pixels,
    `|W_l P_l x| <= |W_l diag(1 / d_l)| |diag(d_l) P_l x|`; the squares add up to
    `|W|^2 <= max_i sum_l |W_l diag(1 / d_l)|^2 d_li^2`, over the windows l that hold pixel i.
    Norms of the banks are exact. Of two choices the smaller bound is taken: `d = 1`, and d the
    norms of the bank's columns, which suits filters that fill a small part of their window.

    Args:
        module: The layer, for its sizes.
        weight: `(L, maps, C * taps)` float64.
    """
    columns = weight.square().sum(1)  # of each bank, for each number of its window
    mean = columns.mean(1, keepdim=True).clamp(min=1e-300)
    choices = torch.ones_like(columns), columns + 1e-3 * mean
    return min(_weighted(module, weight, squares) for squares in choices)


def _weighted(module: LocalFilters, weight: Tensor, squares: Tensor) -> float:
    """Return the bound for `d_l^2 = squares`, `(L, C * taps)`."""
    banks = certified_norm(weight / squares.sqrt()[:, None])
    shares = banks.square()[:, None] * squares
    one = torch.ones(len(weight), 1, 1, dtype=torch.float64)
    sums = spread(one, shares[:, None], Part(module.positions))
    windows = math.prod(module.positions.kernel)
    return rounded_up(math.sqrt(float(sums.max()) * (1 + gamma(windows + 8))))


@register_norm(LocalFilters, method="probable")
def probable_local_filters(module: LocalFilters, shape: Shape | None) -> Norm:
    """Return the probable norm, by Lanczos steps with the whole layer."""
    weight, scale = scaled(_check(module, shape))
    part, positions, maps = Part(module.positions), len(module.positions), module.maps
    if not weight.any():
        return Norm(0.0)

    def forth(x: Tensor) -> Tensor:
        return filtered(x.view(1, *module.input_shape), weight, part).flatten()

    def back(y: Tensor) -> Tensor:
        return spread(y.view(positions, 1, maps), weight, part).flatten()

    sizes = math.prod(module.input_shape), positions * maps
    first, second = (forth, back) if sizes[0] <= sizes[1] else (back, forth)
    with torch.inference_mode(False), torch.no_grad():
        value = probable_norm(
            first, second, min(sizes), dtype=weight.dtype, device=weight.device, risk=RISK, seed=0
        )
    return Norm(rounded_up(value * scale), "probable", RISK)


@register_norm(L2Pool)
def l2_pool(module: L2Pool, shape: Shape | None) -> Norm:
    """Return the root of the largest number of pools that share a place.

    A pool moves at most as far as its window does, in L2; one place that is far larger than all
    others moves all pools that hold it as far as itself.
    """
    size = spatial(module, shape, 2)
    windows = [Window(*axis) for axis in zip(module.kernel, module.stride, strict=True)]
    if size is None or shape is None:
        return root([window.shared_anywhere() for window in windows])
    outputs = module.output_shape(shape)[1:]
    axes = zip(windows, size, outputs, strict=True)
    return root([window.shared(n, made) for window, n, made in axes])


@register_norm(LocalContrastNormalisation)
def local_contrast(module: LocalContrastNormalisation, shape: Shape | None) -> Norm:
    """Bound the subtraction of the mean, times the division by the root mean square.

    Division: with `s` the root mean square nearby and `G` its weights, rows of which add up to one,
    the change of `g / max(c, s)` is `dg / max(c, s)`, at most `|dg| / c`, less, where `s > c`,
    `g ds / s^2`. At place p Cauchy and Schwarz give `|ds_p|^2 <= sum_j G_pj |dg_j|^2 / C` for C
    maps, and `s_p^2 >= G_pp |g_p|^2 / C`, so that all places together are at most `|dg| / c` times
    the root of `max_j sum_p G_pj / G_pp`.

    Subtraction: `I - P x A`, P the mean over maps and A that nearby: at most the larger of 1 and
    `|I - A|`, which is at most `1 + |A|`, and A the Kronecker product of those along both axes.
    """
    size = spatial(module, shape, 2)
    if size is None or shape is None:
        raise CannotBoundError(
            "its weights at the edges depend on the shape of an example; give it"
        )
    weights = [module.weights(n) for n in size]
    spreads = [float((one / one.diagonal()[:, None]).sum(0).max()) for one in weights]
    division = (1 + math.sqrt(math.prod(spreads))) / module.floor
    alone = shape[0] == 1
    return Norm(raised(raised(raised(division)) * _centring(weights, alone)), "upper")


def _centring(weights: list[Tensor], alone: bool) -> float:
    """Return the norm of the subtraction; `alone`: of one map, where nothing stays as it is."""
    if math.prod(len(one) for one in weights) ** 2 > 2**20:
        return raised(1 + math.prod(raised(float(certified_norm(one))) for one in weights))
    blur = torch.kron(*weights)
    norm = float(certified_norm(torch.eye(len(blur), dtype=torch.float64) - blur))
    # Entries are off by a rounding or two: by no more than that in Frobenius norm.
    norm += 2.0**-50 * math.sqrt(blur.numel())
    return norm if alone else max(norm, 1.0)
