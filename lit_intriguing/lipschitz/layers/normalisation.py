"""Constants of normalisations in evaluation mode."""

import math
from typing import cast

import torch
from torch import Tensor, nn

from lit_intriguing.lipschitz.layers.windows import spatial
from lit_intriguing.lipschitz.norm import ONE, Norm, greatest
from lit_intriguing.lipschitz.registry import CannotBoundError, Shape, register_norm
from lit_intriguing.lipschitz.weights import finite_weight
from lit_intriguing.solvers.spectral.rounding import raised

BatchNorm = nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d | nn.SyncBatchNorm
InstanceNorm = nn.InstanceNorm1d | nn.InstanceNorm2d | nn.InstanceNorm3d


@register_norm(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
def batch_norm(module: nn.Module, shape: Shape | None) -> Norm:
    """Return `max |gamma| / sqrt(var + eps)` of the running variance."""
    if not isinstance(module, nn.BatchNorm1d | nn.SyncBatchNorm):  # these take several ranks
        spatial(module, shape, _dims(module))
    elif isinstance(module, nn.BatchNorm1d) and shape is not None and len(shape) > 2:
        raise ValueError(f"BatchNorm1d: wants an example of shape (C,) or (C, W), not {shape}.")
    return _of_channels(cast(BatchNorm, module), shape)


def _of_channels(module: BatchNorm | InstanceNorm, shape: Shape | None) -> Norm:
    _refuse_channels(module, module.num_features, shape)
    return Norm(raised(float(channel_scale(module).abs().max())))


def channel_scale(module: BatchNorm | InstanceNorm) -> Tensor:
    """Return `gamma / sqrt(var + eps)` of each channel, `(C,)` float64, off by few roundings.

    Raises:
        CannotBoundError: Without running statistics, or if one of them is no finite number, or
            where the variance is not positive even with eps.
    """
    if module.running_var is None:
        raise CannotBoundError(
            "it has no running statistics, so that examples depend on each other"
        )
    variance = _finite("running variance", module.running_var) + module.eps
    if not bool((variance > 0).all()):
        raise CannotBoundError("a running variance is not positive, even with eps")
    return _gamma(module, variance) / variance.sqrt()


@register_norm(nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)
def instance_norm(module: nn.Module, shape: Shape | None) -> Norm:
    """Bound it as BatchNorm with running statistics, else as LayerNorm of each channel.

    A batch of examples with one dimension less is no batch to torch: it takes it for one example,
    the examples for its channels. Such shapes are refused.
    """
    module = cast(InstanceNorm, module)
    spatial(module, shape, _dims(module))
    if module.track_running_stats:
        return _of_channels(module, shape)
    if module.affine:
        _refuse_channels(module, module.num_features, shape)
    gamma = _gamma(module, torch.ones(1, dtype=torch.float64))
    pixels = None if shape is None else math.prod(shape[1:])
    value = 0.0 if pixels == 1 else float(gamma.abs().max())
    return _over_root(value, module.eps)


@register_norm(nn.LayerNorm)
def layer_norm(module: nn.Module, shape: Shape | None) -> Norm:
    """Return `|diag(gamma) (I - 1 1' / n)| / sqrt(eps)`, the slope where all values are equal.

    With `s^2 = var + eps`, `z = (x - mean) / s` and `P = I - 1 1' / n` the Jacobian is
    `diag(gamma) J`, `J = (P - z z' / n) / s`. As `z` is centred and `|z|^2 <= n`,
    `J^2 <= P / s^2 <= P / eps`, with equality where the variance is zero.
    """
    module = cast(nn.LayerNorm, module)
    wanted = tuple(module.normalized_shape)
    if shape is not None and shape[-len(wanted) :] != wanted:
        raise ValueError(f"LayerNorm: wants examples that end in {wanted}, not of shape {shape}.")
    gamma = _gamma(module, torch.ones(wanted, dtype=torch.float64))
    return _over_root(_centred_norm(gamma.flatten()), module.eps)


@register_norm(nn.GroupNorm)
def group_norm(module: nn.Module, shape: Shape | None) -> Norm:
    """Bound it as LayerNorm of each group of channels; each gamma occurs once a pixel."""
    module = cast(nn.GroupNorm, module)
    _refuse_channels(module, module.num_channels, shape)
    gamma = _gamma(module, torch.ones(module.num_channels, dtype=torch.float64))
    groups = gamma.view(module.num_groups, -1)
    if shape is None or math.prod(shape[1:]) > 1:  # the largest gamma occurs twice
        return _over_root(float(groups.abs().max()), module.eps)
    return greatest(_over_root(_centred_norm(group), module.eps) for group in groups)


@register_norm(nn.RMSNorm)
def rms_norm(module: nn.Module, shape: Shape | None) -> Norm:
    """Return `max |gamma| / sqrt(eps)`, the slope at zero; elsewhere `(I - z z' / n) / s` is less.

    Without an eps torch takes that of the input's type, which the layer does not determine: a
    float64 copy of a float32 layer is steeper by `2^14.5`. It is refused.
    """
    module = cast(nn.RMSNorm, module)
    wanted = tuple(module.normalized_shape)
    if shape is not None and shape[-len(wanted) :] != wanted:
        raise ValueError(f"RMSNorm: wants examples that end in {wanted}, not of shape {shape}.")
    gamma = _gamma(module, torch.ones(wanted, dtype=torch.float64))
    if module.eps is None:
        raise CannotBoundError("eps is not given and depends on the type of the input; give it")
    return _over_root(float(gamma.abs().max()), module.eps)


def _dims(module: nn.Module) -> int:
    return int(type(module).__name__[-2])


def _gamma(module: nn.Module, otherwise: Tensor) -> Tensor:
    """Return the weight, or ones of the other tensor's shape."""
    if module.weight is None:
        return torch.ones_like(otherwise)
    gamma = finite_weight(module)
    if gamma.is_complex():
        raise CannotBoundError("its weight is complex")
    return gamma.cpu()


def _finite(name: str, values: Tensor) -> Tensor:
    values = values.detach().cpu().to(torch.float64)
    if not values.isfinite().all():
        raise CannotBoundError(f"its {name} contains NaN or infinity")
    return values


def _refuse_channels(module: nn.Module, channels: int, shape: Shape | None) -> None:
    if shape is not None and (not shape or shape[0] != channels):
        raise ValueError(
            f"{type(module).__name__}: wants an example of {channels} channels, not of shape "
            f"{shape}."
        )


def _over_root(value: float, eps: float) -> Norm:
    if not eps > 0:
        raise CannotBoundError(f"with eps = {eps} its slope grows without limit")
    return Norm(raised(value / math.sqrt(eps)))


def _centred_norm(gamma: Tensor) -> float:
    """Return the norm of `diag(gamma) (I - 1 1' / n)`, not rounded down; gamma `(n,)` float64.

    Its square is the largest eigenvalue of `P D P`, `D = diag(gamma^2)`: with `d` descending,
    `d_1` if that occurs twice, else the root of `sum_i 1 / (d_i - t) = 0` between `d_2` and
    `d_1` (Golub 1973, eq. 5.3). Every `t` there with a sum of zero or more is not below it.
    """
    top = float(gamma.abs().max())
    if len(gamma) < 2 or top == 0:
        return 0.0
    squares = (gamma / top).square().sort(descending=True).values
    first, low, rest = float(squares[0]), float(squares[1]), squares[1:]
    high, slack = first, 1 + (len(gamma) + 8) * 2.0**-52  # n terms of one sign, each rounded
    while low < (middle := (low + high) / 2) < high:
        above = 1 / (first - middle) >= slack * float((1 / (middle - rest)).sum())
        low, high = (low, middle) if above else (middle, high)
    return raised(top * math.sqrt(high))


@register_norm(nn.LocalResponseNorm)
def local_response_norm(module: nn.Module, shape: Shape | None) -> Norm:
    """Return at least `k^-beta`, the slope at zero, which is exact where all windows are one.

    See `_of_windows` for a bound that holds for windows that overlap in part.
    """
    module = cast(nn.LocalResponseNorm, module)
    size, alpha, beta, k = module.size, module.alpha, module.beta, float(module.k)
    if not (k > 0 and 0 <= alpha < math.inf and 0 <= beta < math.inf):
        raise CannotBoundError(f"with k = {k}, alpha = {alpha} and beta = {beta} it is not bounded")
    if shape is not None and len(shape) < 2:
        raise ValueError(f"LocalResponseNorm: wants an example of shape (C, ...), not {shape}.")
    if beta == 0:
        return ONE
    at_zero = power_of_offset(k, beta)
    same = shape is not None and shape[0] <= (size - 1) // 2 + 1  # every window holds all channels
    if alpha == 0 or size == 1 or same:
        return Norm(at_zero)
    return Norm(raised(at_zero * _of_windows(beta, size % 2 == 1)), "upper")


def power_of_offset(offset: float, exponent: float) -> float:
    """Return `offset^-exponent`, not rounded downwards; the offset is positive.

    Of `x / (offset + a |x|^2)^exponent` it is the least constant, `a` and the exponent zero or
    more: the slopes are `D^-exponent` across x and `D^-exponent (1 - 2 exponent t)` along x,
    with `D = offset / (1 - t)` and `0 <= t < 1`, and `(1 - t)^e |1 - 2 e t| <= 1`.

    Raises:
        CannotBoundError: If it is beyond float64.
    """
    try:
        return raised(offset**-exponent)
    except OverflowError as error:
        raise CannotBoundError(f"{offset}^-{exponent} is beyond float64") from error


def _of_windows(beta: float, odd: bool) -> float:
    """Return a factor on `k^-beta` that holds for windows of any size.

    With `a x^2` for `x^2` in units of `k`, `D_i = 1 + |x_W(i)|^2` and `J = diag(D^-beta) -
    F`, `(F v)_i = 2 beta D_i^(-beta - 1) x_i <x, v>_W(i)`, Cauchy and Schwarz give
    `|F v|^2 <= sum_j v_j^2 Q_j`, `Q_j = 4 beta^2 sum x_i^2 (D_i - 1) D_i^(-2 beta - 2)` over
    the windows i that hold j. These fall into two runs within which each lies in the window of
    each other, so that `D_i >= 1 + S`, S the run's sum of squares, and `D_j >= 1 + S_1 + S_2`
    (of windows of even size: `1 + S_1`). For every `t > 0` then `|J|^2 <= max_j ((1 + t)
    D_j^(-2 beta) + (1 + 1 / t) Q_j)`, whose maximum over `S_1, S_2` is taken cell by cell.
    """
    sums = torch.cat([torch.zeros(1), torch.logspace(-4, 6, 500)]).to(torch.float64)
    runs = _runs(sums, beta)
    inner = 1 + sums[:, None] + (sums[None, :] if odd else 0.0)
    still, moved = inner ** (-2 * beta), runs[:, None] + runs[None, :]
    trials = torch.linspace(0.05, 1.5, 30).tolist()
    squares = [float(((1 + t) * still + (1 + 1 / t) * moved).max()) for t in trials]
    if not all(map(math.isfinite, squares)):
        raise CannotBoundError(f"beta = {beta} is beyond float64")
    return raised(math.sqrt(min(squares)))


def _runs(sums: Tensor, beta: float) -> Tensor:
    """Bound `4 beta^2 S max_{D >= 1 + S} (D - 1) D^(-2 beta - 2)` from each sum to the next.

    The maximum stands at `D = 1 + 1 / (2 beta + 1)` or, beyond that, at `1 + S`; the whole
    rises until `S = 1 / beta` and falls from there.
    """
    upto = torch.cat([sums[1:], torch.full((1,), math.inf, dtype=torch.float64)])
    worst = torch.full_like(sums, 1 / beta).clamp(min=sums, max=upto)
    spread = worst.clamp(min=1 / (2 * beta + 1))
    return 4 * beta * beta * worst * spread * (1 + spread) ** (-2 * beta - 2)
