"""The layers that are bounded: shapes of known networks, and kernels that make it hard."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Problem:
    """A layer and the shape of one example."""

    name: str
    layer: nn.Module
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Convolution:
    """A 2-D convolution of square images by a square kernel, zeros around."""

    inputs: int
    side: int
    outputs: int
    kernel: int
    stride: int = 1
    padding: int = 0
    groups: int = 1


Dense = tuple[int, int]
"""Inputs and outputs."""

NETWORKS: dict[str, dict[str, Convolution | Dense]] = {
    "small": {
        "3x3": Convolution(4, 9, 6, 3, 1, 1),
        "3x3 stride 2": Convolution(6, 10, 8, 3, 2, 1),
        "5x5 stride 2, no padding": Convolution(3, 13, 6, 5, 2),
        "3x3, 2 groups": Convolution(8, 8, 6, 3, 1, 1, 2),
        "dense": (60, 40),
    },
    "alexnet": {
        "conv1": Convolution(3, 227, 96, 11, 4),
        "conv2": Convolution(96, 27, 256, 5, 1, 2),
        "conv2, 2 groups": Convolution(96, 27, 256, 5, 1, 2, 2),
        "conv3": Convolution(256, 13, 384, 3, 1, 1),
        "conv4": Convolution(384, 13, 384, 3, 1, 1),
        "conv5": Convolution(384, 13, 256, 3, 1, 1),
        "fc1": (9216, 4096),
        "fc2": (4096, 4096),
        "fc3": (4096, 1000),
    },
    "vgg16": {
        "conv1_1": Convolution(3, 224, 64, 3, 1, 1),
        "conv1_2": Convolution(64, 224, 64, 3, 1, 1),
        "conv2_2": Convolution(128, 112, 128, 3, 1, 1),
        "conv3_3": Convolution(256, 56, 256, 3, 1, 1),
        "conv4_3": Convolution(512, 28, 512, 3, 1, 1),
        "conv5_3": Convolution(512, 14, 512, 3, 1, 1),
    },
    "resnet50": {
        "conv1": Convolution(3, 224, 64, 7, 2, 3),
        "layer1 3x3": Convolution(64, 56, 64, 3, 1, 1),
        "layer1 1x1": Convolution(64, 56, 256, 1),
        "layer2 3x3 stride 2": Convolution(128, 56, 128, 3, 2, 1),
        "layer2 shortcut stride 2": Convolution(256, 56, 512, 1, 2),
        "layer3 3x3 stride 2": Convolution(256, 28, 256, 3, 2, 1),
        "layer4 3x3 stride 2": Convolution(512, 14, 512, 3, 2, 1),
        "layer4 3x3": Convolution(512, 7, 512, 3, 1, 1),
        "fc": (2048, 1000),
    },
    "sides": {
        f"{channels} channels, side {side}": Convolution(channels, side, channels, 3, 1, 1)
        for channels in (64, 128, 256)
        for side in (8, 32, 64)
    },
}
"""Shapes that occur several times stand once; the dense layers of VGG-16 are left out."""

KERNELS = ("random", "peaked")


def problems(networks: list[str], kernels: list[str], seed: int) -> Iterator[Problem]:
    """Yield the layers, one at a time: each its own random numbers, whatever else is asked for."""
    for network in networks:
        for name, shape in NETWORKS[network].items():
            for kernel in kernels:
                generator = torch.Generator().manual_seed(seed)
                yield made(f"{network} {name}, {kernel}", shape, kernel, generator)


def made(name: str, shape: Convolution | Dense, kernel: str, generator: torch.Generator) -> Problem:
    """Return a layer in float32, without a bias."""
    if isinstance(shape, tuple):
        dense = nn.Linear(*shape, bias=False)
        weight = _random(tuple(dense.weight.shape), generator)
        if kernel == "peaked":
            weight += weight.norm() * _rank_one(tuple(weight.shape), generator)
        return Problem(name, _filled(dense, weight), (shape[0],))
    layer = nn.Conv2d(
        shape.inputs, shape.outputs, shape.kernel, shape.stride, shape.padding,
        groups=shape.groups, bias=False,
    )  # fmt: skip
    weight = _random(tuple(layer.weight.shape), generator)
    if kernel == "peaked":
        channels = _rank_one(tuple(weight.shape[:2]), generator)[..., None, None]
        weight += weight.norm() * channels * _low_pass(shape.kernel)
    return Problem(name, _filled(layer, weight), (shape.inputs, shape.side, shape.side))


def _filled(layer: nn.Module, weight: Tensor) -> nn.Module:
    with torch.no_grad():
        layer.get_parameter("weight").copy_(weight)
    return layer.eval()


def _random(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Return normal numbers of the variance that keeps a rectified signal's size (He et al.)."""
    fan_in = torch.Size(shape[1:]).numel()
    return torch.randn(shape, generator=generator) * (2 / fan_in) ** 0.5


def _rank_one(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Return positive numbers `(m, n)` of rank one and norm one."""
    left, right = (torch.rand(size, generator=generator) for size in shape)
    return torch.outer(left / left.norm(), right / right.norm())


def _low_pass(side: int) -> Tensor:
    """Return a bump of norm one: what passes it lies in a narrow peak around frequency zero."""
    bump = torch.exp(-0.5 * (torch.linspace(-1.5, 1.5, side) if side > 1 else torch.zeros(1)) ** 2)
    return torch.outer(bump, bump) / bump.norm() ** 2
