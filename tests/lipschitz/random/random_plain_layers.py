"""Random layers that are neither convolutions nor dense, against their constants.

    python -m tests.lipschitz.random.random_plain_layers 5000

prints, for each family, how many layers it tried, the greatest ratio of the truth to the constant,
which must not exceed 1, and the least. The truth is the dense singular value of layers that are
affine, else the greatest slope found at a few points, so that the least ratio says little of those.
"""

import sys
from collections.abc import Callable
from random import Random

import torch
from torch import nn

from lit_intriguing.lipschitz import operator_norm
from lit_intriguing.lipschitz.layers.folding import folded
from tests.lipschitz import truth

Case = tuple[nn.Module, tuple[int, ...]]
ROUNDING = 1e-12
"""Of the truth, which is computed in float64."""


def _kind(name: str, dims: int) -> type[nn.Module]:
    return getattr(nn, f"{name}{dims}d")  # type: ignore[no-any-return]


def _image(random: Random, dims: int, least: int = 1) -> tuple[int, ...]:
    return _each(random, dims, least, {1: 30, 2: 9, 3: 5}[dims])


def _each(random: Random, dims: int, low: int, high: int) -> tuple[int, ...]:
    return tuple(random.randint(low, high) for _ in range(dims))


def _dims(random: Random) -> int:
    return random.choice([1, 1, 2, 2, 3])


def max_pool(random: Random) -> Case:
    dims = _dims(random)
    taps = _each(random, dims, 1, 4)
    padding = tuple(random.randint(0, k // 2) for k in taps)
    steps = _each(random, dims, 1, 4), padding, _each(random, dims, 1, 3)
    layer = _kind("MaxPool", dims)(taps, *steps, ceil_mode=random.random() < 0.5)
    return layer, (1, *_image(random, dims, 4))


def avg_pool(random: Random) -> Case:
    dims = _dims(random)
    taps = _each(random, dims, 1, 4)
    settings = {"count_include_pad": random.random() < 0.5, "ceil_mode": random.random() < 0.5}
    if dims > 1 and random.random() < 0.3:
        settings["divisor_override"] = random.choice([-3, 1, 2, 7])
    steps = _each(random, dims, 1, 4), tuple(random.randint(0, k // 2) for k in taps)
    return _kind("AvgPool", dims)(taps, *steps, **settings), (1, *_image(random, dims, 2))


def _power_pool(random: Random, power: int) -> Case:
    dims, stride = _dims(random), random.choice([None, 1, 2, 3])
    layer = _kind("LPPool", dims)(power, random.randint(1, 4), stride, random.random() < 0.5)
    return layer, (1, *_image(random, dims, 4))


def lp_sum(random: Random) -> Case:
    return _power_pool(random, 1)


def lp_pool(random: Random) -> Case:
    return _power_pool(random, random.choice([2, 4, 6]))


def adaptive_max(random: Random) -> Case:
    dims = _dims(random)
    return _kind("AdaptiveMaxPool", dims)(_each(random, dims, 1, 5)), (1, *_image(random, dims))


def adaptive_avg(random: Random) -> Case:
    dims = _dims(random)
    return _kind("AdaptiveAvgPool", dims)(_each(random, dims, 1, 7)), (1, *_image(random, dims))


def upsample(random: Random) -> Case:
    dims = _dims(random)
    image = _image(random, dims)
    modes = [["linear"], ["bilinear", "bicubic"], ["trilinear"]][dims - 1]
    mode = random.choice(["nearest", "nearest-exact", "area", *modes])
    corners = random.choice([True, False]) if mode in modes else None
    if random.random() < 0.5:
        return nn.Upsample(_each(random, dims, 1, 9), None, mode, corners), (1, *image)
    scale = tuple(random.choice([1.0, 1.3, 2.0, 2.5]) for _ in range(dims))
    return nn.Upsample(None, scale, mode, corners, random.choice([None, True])), (1, *image)


def pad(random: Random) -> Case:
    dims = _dims(random)
    image = _image(random, dims, 2)
    sides = tuple(random.randint(0, n - 1) for n in reversed(image) for _ in range(2))
    name = random.choice(["ReflectionPad", "ReplicationPad", "CircularPad"])
    return _kind(name, dims)(sides), (1, *image)


def unfold(random: Random) -> Case:
    ends = ((1, 3), (1, 2), (0, 2), (1, 3))
    return nn.Unfold(*(_each(random, 2, *each) for each in ends)), (2, *_image(random, 2, 5))


def fold(random: Random) -> Case:
    layer, (_, *image) = unfold(random)
    blocks = layer(torch.zeros(1, 1, *image)).shape[1:]
    extents = (layer.kernel_size, layer.dilation, layer.padding, layer.stride)
    return nn.Fold(tuple(image), *extents), tuple(blocks)


def _filled(layer: nn.Module, random: Random) -> nn.Module:
    generator = torch.Generator().manual_seed(random.getrandbits(32))
    for name, values in [*layer.named_parameters(), *layer.named_buffers()]:
        if values.is_floating_point():
            fresh = torch.randn(values.shape, generator=generator)
            values.data = fresh.square() if name == "running_var" else fresh
    return layer


def batch_norm(random: Random) -> Case:
    dims, channels = _dims(random), random.randint(1, 5)
    settings = {"affine": random.random() < 0.7, "eps": random.choice([1e-5, 1e-3, 0.3])}
    kind = _kind(random.choice(["BatchNorm", "InstanceNorm"]), dims)
    layer = kind(channels, track_running_stats=True, **settings)
    return _filled(layer, random), (channels, *_each(random, dims, 1, 3))


def folded_batch_norm(random: Random) -> Case:
    dims, groups = _dims(random), random.choice([1, 2])
    inputs, outputs = groups * random.randint(1, 2), groups * random.randint(1, 2)
    kind = _kind(random.choice(["Conv", "ConvTranspose"]), dims)
    layer = _filled(kind(inputs, outputs, 2, random.choice([1, 2]), groups=groups), random)
    both = nn.Sequential(layer, _filled(_kind("BatchNorm", dims)(outputs), random))
    return both.to(random.choice([torch.float32, torch.float64])), (
        inputs,
        *_each(random, dims, 2, 4),
    )


def layer_norm(random: Random) -> Case:
    shape = _each(random, random.choice([1, 2]), 1, 6)
    layer = nn.LayerNorm(shape, random.choice([1e-5, 1e-2, 1.0]), random.random() < 0.8)
    return _filled(layer, random), shape


def group_norm(random: Random) -> Case:
    groups, eps = random.randint(1, 3), random.choice([1e-5, 1e-2, 1.0])
    channels = groups * random.randint(1, 4)
    layer = nn.GroupNorm(groups, channels, eps, random.random() < 0.8)
    return _filled(layer, random), (channels, random.randint(1 if channels > groups else 2, 3))


def instance_norm(random: Random) -> Case:
    dims, channels = random.choice([1, 2]), random.randint(1, 4)
    layer = _kind("InstanceNorm", dims)(channels, random.choice([1e-5, 0.1]), affine=True)
    return _filled(layer, random), (channels, *_each(random, dims, 2, 3))


def rms_norm(random: Random) -> Case:
    shape = _each(random, random.choice([1, 2]), 1, 6)
    layer = nn.RMSNorm(shape, random.choice([1e-6, 1e-2, 1.0]), random.random() < 0.8)
    return _filled(layer, random), shape


def local_response_norm(random: Random) -> Case:
    alpha, k = 10 ** random.uniform(-4, 2), 10 ** random.uniform(-1, 1)
    layer = nn.LocalResponseNorm(random.randint(1, 7), alpha, random.uniform(0, 3), k)
    return layer, (random.randint(1, 12), 1)


def softmax(random: Random) -> Case:
    kind = random.choice([nn.Softmax, nn.Softmin, nn.LogSoftmax])
    return kind(random.choice([1, 2, -1])), _each(random, 2, 1, 6)


def activation(random: Random) -> Case:
    kinds = [
        lambda: nn.LeakyReLU(random.uniform(-3, 3)),
        lambda: _filled(nn.PReLU(4), random),
        lambda: nn.RReLU(random.uniform(0, 1), random.uniform(1, 3)),
        lambda: nn.ELU(random.uniform(-3, 3)),
        lambda: nn.CELU(random.uniform(0.1, 3)),
        lambda: nn.Softplus(random.choice([-2.0, 0.5, 1.0, 7.0])),
        lambda: nn.Softshrink(random.uniform(0, 2)),
        *(nn.SELU, nn.GELU, lambda: nn.GELU("tanh"), nn.SiLU, nn.Mish, nn.Sigmoid, nn.LogSigmoid),
        *(nn.Tanh, nn.Tanhshrink, nn.Hardtanh, nn.Hardsigmoid, nn.Hardswish, nn.Softsign),
    ]
    return random.choice(kinds)(), (4, 2)


AFFINE = [avg_pool, lp_sum, adaptive_avg, upsample, pad, unfold, fold, batch_norm]
CURVED = [layer_norm, group_norm, instance_norm, rms_norm, local_response_norm, softmax]
RAISING = [max_pool, lp_pool, adaptive_max]
FAMILIES: list[Callable[[Random], Case]] = [
    *AFFINE,
    *CURVED,
    *RAISING,
    activation,
    folded_batch_norm,
]


def case(family: Callable[[Random], Case], random: Random) -> Case:
    """The family's next layer, in evaluation mode, that takes its example."""
    while True:
        layer, shape = family(random)
        layer.eval()
        if _takes(layer, shape):
            return layer, shape


def _takes(layer: nn.Module, shape: tuple[int, ...]) -> bool:
    """Torch refuses some combinations."""
    dtype = next((p.dtype for p in layer.parameters()), torch.float32)
    try:
        return layer(torch.zeros(1, *shape, dtype=dtype)).numel() > 0
    except (RuntimeError, ValueError):
        return False


def ratio(family: Callable[[Random], Case], random: Random) -> float:
    """The truth, or what was found of it, over the constant; of a random layer."""
    layer, shape = case(family, random)
    if isinstance(layer, nn.Sequential):
        bound = truth.norm(truth.matrix(folded(*layer), shape))
        return truth.norm(truth.matrix(layer.double(), shape)) / bound
    constant, anywhere = (operator_norm(layer, each).value for each in (shape, None))
    if anywhere < constant * (1 - ROUNDING):
        raise AssertionError(f"{layer} at {shape}: {constant}, but {anywhere} for all shapes")
    found = _found(family, layer.double(), shape, random)
    return found / constant if constant else 1.0 + found


def _found(
    family: Callable[[Random], Case], layer: nn.Module, shape: tuple[int, ...], random: Random
) -> float:
    if family in AFFINE:
        return truth.norm(truth.matrix(layer, shape))
    if family in RAISING:
        return truth.stretch(layer, shape)
    if family is activation:
        return max(map(abs, truth.secants(layer, shape[0])))
    return truth.steepest(layer, shape, torch.Generator().manual_seed(random.getrandbits(32)))


def main(count: int) -> None:
    """Print a row a family."""
    torch.set_num_threads(1)
    print(f"{'family':22}{'layers':>8}{'worst':>22}{'least':>12}")
    for family in FAMILIES:
        random = Random(family.__name__)
        ratios = [ratio(family, random) for _ in range(count // len(FAMILIES))]
        print(f"{family.__name__:22}{len(ratios):8}{max(ratios):22.16f}{min(ratios):12.6f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
