"""Random convolution layers and the truth about them, for tests and the benchmark."""

import math
import random
import warnings
from dataclasses import dataclass

import torch
from torch import nn

CONVOLUTIONS = [nn.Conv1d, nn.Conv2d, nn.Conv3d]
TRANSPOSED = [nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d]
LARGEST = 600
"""Of both sides of an operator's matrix."""


@dataclass(frozen=True)
class Case:
    layer: nn.Module
    shape: tuple[int, ...]
    norm: float


def draw(rng: random.Random) -> Case:
    """Draw settings until a layer takes the image and its matrix is small enough."""
    while True:
        made = _layer(rng)
        if made is None:
            continue
        layer, shape = made
        try:
            norm = true_norm(layer, shape)
        except RuntimeError:  # torch refuses the shape
            continue
        if norm is not None:
            return Case(layer, shape, norm)


def true_norm(layer: nn.Module, shape: tuple[int, ...]) -> float | None:
    """The largest singular value of the matrix of the layer's own forward; None of a large one."""
    size = math.prod(shape)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # padding="same" copies
        outputs = layer(torch.zeros(1, *shape, dtype=torch.float64)).numel()
        if max(size, outputs) > LARGEST:
            return None
        basis = torch.eye(size, dtype=torch.float64).reshape(size, *shape)
        return float(torch.linalg.matrix_norm(layer(basis).flatten(1), 2))


def _layer(rng: random.Random) -> tuple[nn.Module, tuple[int, ...]] | None:
    dims = rng.choice([1, 1, 2, 2, 2, 3])
    kernel = tuple(rng.randint(1, (9, 5, 3)[dims - 1]) for _ in range(dims))
    stride = tuple(rng.choice([1, 1, 2, 3, 4]) for _ in range(dims))
    dilation = tuple(rng.choice([1, 1, 1, 2, 3, 4]) for _ in range(dims))
    groups = rng.choice([1, 1, 1, 2, 3])
    channels = groups * rng.randint(1, 3), groups * rng.randint(1, 3)
    image = tuple(rng.randint(1, (40, 12, 5)[dims - 1]) for _ in range(dims))
    common = {"groups": groups, "bias": False, "dtype": torch.float64, "dilation": dilation}
    if rng.random() < 0.3:
        extra = tuple(rng.randrange(max(pair)) for pair in zip(stride, dilation, strict=True))
        padding = tuple(rng.randint(0, k) for k in kernel)
        layer = TRANSPOSED[dims - 1](
            *channels, kernel, stride, padding=padding, output_padding=extra, **common
        )
    else:
        mode = rng.choice(["zeros", "zeros", "zeros", "circular", "reflect", "replicate"])
        padding = rng.choice(["valid", "same", *[tuple(rng.randint(0, k + 1) for k in kernel)] * 3])
        if padding == "same":
            stride = (1,) * dims
        layer = CONVOLUTIONS[dims - 1](
            *channels, kernel, stride, padding, padding_mode=mode, **common
        )
    _fill(layer, rng)
    return layer, (channels[0], *image)


def _fill(layer: nn.Module, rng: random.Random) -> None:
    """Normal weights, low-pass ones, ones of few taps, ones of one sign that alternates."""
    generator = torch.Generator().manual_seed(rng.randrange(2**31))
    noise = torch.randn(layer.weight.shape, generator=generator, dtype=torch.float64)
    kind = rng.randrange(4)
    if kind == 1:
        noise = 1 + 0.1 * noise
    elif kind == 2:
        noise = noise * (noise.abs() > 1)
    elif kind == 3:
        taps = torch.arange(noise[0, 0].numel()).reshape(noise.shape[2:])
        noise = (1 + 0.1 * noise) * (-1.0) ** taps
    layer.weight.data = noise * 10.0 ** rng.randint(-3, 3)
