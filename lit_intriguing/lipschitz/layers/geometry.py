"""Sizes and padding of a convolution, the same for one, two and three dimensions."""

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.utils.parametrize import type_before_parametrizations

from lit_intriguing.lipschitz.registry import CannotBoundError, Shape
from lit_intriguing.private.of_torch import padding_sides

Convolution = (
    nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d
)
"""All of these and their subclasses, for `isinstance` and annotations."""

CONVOLUTIONS: dict[type[nn.Module], int] = {nn.Conv1d: 1, nn.Conv2d: 2, nn.Conv3d: 3}
TRANSPOSED: dict[type[nn.Module], int] = {
    nn.ConvTranspose1d: 1,
    nn.ConvTranspose2d: 2,
    nn.ConvTranspose3d: 3,
}


@dataclass(frozen=True)
class Axis:
    """One dimension of a convolution `y[i] = sum_j w[j] x[i * stride + j * dilation - before]`.

    Attributes:
        kernel: Number of taps.
        stride: Steps of the input from output to output.
        dilation: Steps of the input from tap to tap.
        before: Padding before the first pixel.
        after: Padding behind the last pixel.
        extra: `output_padding` of a transposed convolution.
    """

    kernel: int
    stride: int
    dilation: int
    before: int
    after: int
    extra: int = 0

    @property
    def extent(self) -> int:
        """Pixels from the first tap to the last, both counted."""
        return self.dilation * (self.kernel - 1) + 1

    def outputs(self, size: int) -> int:
        """Return the number of outputs for `size` pixels; zero or less: they do not fit."""
        return (size + self.before + self.after - self.extent) // self.stride + 1

    def image(self, size: int) -> int:
        """Return the number of pixels that a transposed convolution makes of `size`."""
        return (size - 1) * self.stride - self.before - self.after + self.extent + self.extra


def is_transposed(module: nn.Module) -> bool:
    """Return whether the layer is a transposed convolution."""
    return type_before_parametrizations(module) in TRANSPOSED


def axes(module: Convolution) -> tuple[Axis, ...]:
    """Return the dimensions of a convolution layer; of a transposed one: of its adjoint.

    Raises:
        CannotBoundError: If attributes were set to what the layer's constructor would not leave.
    """
    _refuse_settings(module)
    sizes = zip(module.kernel_size, module.stride, module.dilation, strict=True)
    extra = module.output_padding
    found = tuple(
        Axis(kernel, stride, dilation, *_padding(module, index), extra[index])
        for index, (kernel, stride, dilation) in enumerate(sizes)
    )
    sides = [side for axis in reversed(found) for side in (axis.before, axis.after)]
    # What torch pads with in other modes than zeros, computed once, by the constructor.
    if module.padding_mode != "zeros" and sides != padding_sides(module):
        raise CannotBoundError("its padding was set after construction, without effect in torch")
    return found


def _refuse_settings(module: Convolution) -> None:
    kinds = TRANSPOSED if is_transposed(module) else CONVOLUTIONS
    dims = kinds[type_before_parametrizations(module)]
    for name in ("kernel_size", "stride", "dilation", "padding", "output_padding"):
        value = getattr(module, name)
        if name == "padding" and value in ("valid", "same"):
            continue
        if not isinstance(value, tuple | list) or len(value) != dims:
            raise CannotBoundError(
                f"its {name} is {value!r}; set one number for each of {dims} dimensions"
            )


def refuse_weight(module: Convolution, weight: Tensor) -> None:
    """Refuse a weight of another shape than the layer's attributes say.

    Raises:
        CannotBoundError: In that case; torch computes with the weight's own shape.
    """
    pair = module.out_channels, module.in_channels
    first, second = reversed(pair) if is_transposed(module) else pair
    wanted = (first, second // module.groups, *module.kernel_size)
    if tuple(weight.shape) != wanted:
        raise CannotBoundError(
            f"its weight has the shape {tuple(weight.shape)}, not {wanted} as its attributes say"
        )


def _padding(module: Convolution, index: int) -> tuple[int, int]:
    if module.padding == "valid":
        return 0, 0
    if module.padding == "same":
        whole = module.dilation[index] * (module.kernel_size[index] - 1)
        return whole // 2, whole - whole // 2
    padding = int(module.padding[index])
    return padding, padding


def sizes(module: Convolution, input_shape: Shape) -> tuple[Shape, Shape]:
    """Return the shapes of the image and of the outputs, without channels.

    Args:
        module: A convolution layer.
        input_shape: Of one example, `(C, ...)`.

    Returns:
        Of a convolution: the input's and the output's; of a transposed one: the output's and the
        input's.

    Raises:
        ValueError: If the layer does not take that shape.
    """
    given, dimensions = tuple(input_shape[1:]), axes(module)
    if len(given) != len(dimensions) or input_shape[0] != module.in_channels or min(given) < 1:
        wanted = ", ".join([str(module.in_channels), *"DHW"[-len(dimensions) :]])
        raise ValueError(
            f"{_name(module)}: wants an example of shape ({wanted}), not {input_shape}."
        )
    if is_transposed(module):
        made = tuple(axis.image(size) for axis, size in zip(dimensions, given, strict=True))
        pair = made, given
    else:
        made = tuple(axis.outputs(size) for axis, size in zip(dimensions, given, strict=True))
        pair = given, made
        _refuse_padding(module, input_shape)
    if min(made) < 1:
        raise ValueError(f"{_name(module)}: an example of shape {input_shape} gives no output.")
    return pair


def _refuse_padding(module: Convolution, input_shape: Shape) -> None:
    spare = {"circular": 0, "reflect": 1}.get(module.padding_mode)
    for axis, size in zip(axes(module), input_shape[1:], strict=True):
        if spare is not None and max(axis.before, axis.after) > size - spare:
            raise ValueError(
                f"{_name(module)}: an example of shape {input_shape} is too small for its "
                f"{module.padding_mode} padding."
            )


def _name(module: nn.Module) -> str:
    return type_before_parametrizations(module).__name__


def padded_positions(axis: Axis, size: int, mode: str) -> list[int]:
    """Return which pixel stands at each padded place of a dimension, in modes other than zeros."""
    places = range(-axis.before, size + axis.after)
    if mode == "circular":
        return [place % size for place in places]
    if mode == "replicate":
        return [min(max(place, 0), size - 1) for place in places]
    last = max(size - 1, 1)
    return [abs((place + last) % (2 * last) - last) if size > 1 else 0 for place in places]
