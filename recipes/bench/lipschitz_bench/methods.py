"""What is set side by side: each gives a layer's norm, as the package does that it is from."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.functional import conv_transpose2d

from .layers import Problem

Bound = Callable[[Problem], float]
POWER_STEPS = 100
GRAM_STEPS = 4
GRAM_COST = 2e11
"""Multiplications up to which Gram iterations on a kernel go on; each costs 16 times the last."""


class NotApplicableError(Exception):
    """The method does not take such a layer; the message says why."""


@dataclass(frozen=True)
class Method:
    """A way to a layer's norm.

    Attributes:
        load: Returns it; raises `ImportError` where its package is not there.
        claim: What its authors call the number.
        package: What to install; empty for what is there.
    """

    load: Callable[[], Bound]
    claim: str
    package: str = ""


def ours() -> Bound:
    """Return the package's certified bound."""
    from lit_intriguing.lipschitz import operator_norm

    return lambda problem: operator_norm(problem.layer, problem.shape).value


def probable() -> Bound:
    """Return the package's bound that holds with probability 1 - 1e-9; of convolutions."""
    from lit_intriguing.lipschitz.layers.convolution import convolution_norm

    def bound(problem: Problem) -> float:
        if not isinstance(problem.layer, nn.Conv2d):
            raise NotApplicableError("it takes convolutions")
        return convolution_norm(problem.layer, problem.shape, method="probable").value

    return bound


def torchlip() -> Bound:
    """Return what deel-torchlip's SpectralConv2d and SpectralLinear divide a kernel by.

    The reshaped kernel's norm by power iteration, with its normaliser's own stopping rule, times
    the root of the number of windows that share a pixel (Serrurier et al. 2021).
    """
    normalizers = importlib.import_module("deel.torchlip.normalizers")
    lconv_norm = importlib.import_module("deel.torchlip.utils.lconv_norm")

    def bound(problem: Problem) -> float:
        layer = problem.layer
        sigma = normalizers.spectral_normalization(_weight(layer).flatten(1))[2]
        if not isinstance(layer, nn.Conv2d):
            return float(sigma)
        factor = lconv_norm.compute_lconv_coef(layer.kernel_size, None, layer.stride)
        return float(sigma / factor)

    return bound


def orthogonium() -> Bound:
    """Return orthogonium's `get_conv_sv`: Gram iteration on the kernel (Delattre et al. 2024)."""
    get_sv = importlib.import_module("orthogonium.layers.conv.singular_values.get_sv")

    def bound(problem: Problem) -> float:
        layer = problem.layer
        if not isinstance(layer, nn.Conv2d):
            raise NotApplicableError("it takes convolutions")
        steps = gram_steps(layer)
        found = get_sv.get_conv_sv(layer, steps, return_stab_rank=False, imsize=problem.shape[-1])
        return float(found)

    return bound


def gram_steps(layer: nn.Conv2d) -> int:
    """Return how many Gram iterations orthogonium can do at a bearable cost, at most `GRAM_STEPS`.

    It convolves the kernel with itself; the sides about double each time.
    """
    wide = max(layer.in_channels, layer.out_channels) // layer.groups
    side = layer.kernel_size[0]
    for steps in range(GRAM_STEPS):
        if wide**3 * side**2 * (2 * side - 1) ** 2 > GRAM_COST and steps:
            return steps
        side = 2 * side - 1
    return GRAM_STEPS


def power() -> Bound:
    """Return a power iteration on the layer itself, in float32, from a random start."""

    def bound(problem: Problem) -> float:
        layer = problem.layer
        weight = _weight(layer)
        with torch.no_grad():
            x = torch.randn(1, *problem.shape, generator=torch.Generator().manual_seed(0))
            for _ in range(POWER_STEPS):
                y = layer(x)
                x = _back(layer, weight, y, x)
                x /= x.norm()
            return float(layer(x).norm())

    return bound


def reshaped() -> Bound:
    """Return what torch's `spectral_norm` divides a kernel by, converged."""
    return lambda problem: float(torch.linalg.matrix_norm(_weight(problem.layer).flatten(1), 2))


METHODS = {
    "lit-intriguing": Method(ours, "upper bound"),
    "lit-intriguing, probable": Method(probable, "probable bound"),
    "torchlip": Method(torchlip, "upper bound", "deel-torchlip"),
    "orthogonium": Method(orthogonium, "upper bound", "orthogonium"),
    "power iteration": Method(power, "estimate"),
    "spectral_norm": Method(reshaped, "norm"),
}


def _weight(layer: nn.Module) -> torch.Tensor:
    return layer.get_parameter("weight").detach()


def _back(layer: nn.Module, weight: torch.Tensor, y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    if not isinstance(layer, nn.Conv2d):
        return y @ weight
    pad, stride = int(layer.padding[0]), layer.stride[0]
    left = (x.shape[-1] + 2 * pad - weight.shape[-1]) % stride
    return conv_transpose2d(y, weight, None, stride, pad, left, layer.groups)
