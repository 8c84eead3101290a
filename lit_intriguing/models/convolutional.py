"""A small convolutional network, for digits and other small images."""

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from lit_intriguing.errors import UserError


class ConvolutionalNetwork(nn.Module):
    """Stages of convolution, activation and max pooling, a hidden layer, and logits.

    Stage i is the submodules `conv<i>`, `active<i>` and `pool<i>`; behind them come `hidden`,
    `active` and `output`. Pooling halves height and width. Weights are drawn as He et al. 2015
    draw them, biases are zero.

    Args:
        input_shape: Channels, height and width of the images.
        channels: Of each stage.
        kernel: Odd size of the convolutions, which keep height and width.
        hidden: Units of the hidden layer.
        classes: Number of logits.
        activation: Makes each activation, such as the class `torch.nn.Sigmoid`.

    Raises:
        UserError: For a size out of range, or images too small for so many stages.

    Examples:
        >>> import torch
        >>> ConvolutionalNetwork()(torch.zeros(2, 1, 28, 28)).shape
        torch.Size([2, 10])
    """

    def __init__(
        self,
        input_shape: Sequence[int] = (1, 28, 28),
        channels: Sequence[int] = (32, 64),
        kernel: int = 5,
        hidden: int = 128,
        classes: int = 10,
        activation: Callable[[], nn.Module] = nn.ReLU,
    ) -> None:
        _check(input_shape, channels, kernel, hidden, classes)
        super().__init__()
        before, height, width = input_shape
        for i, after in enumerate(channels, 1):
            self.add_module(f"conv{i}", nn.Conv2d(before, after, kernel, padding=kernel // 2))
            self.add_module(f"active{i}", activation())
            self.add_module(f"pool{i}", nn.MaxPool2d(2))
            before, height, width = after, height // 2, width // 2
        self.add_module("flatten", nn.Flatten())
        self.add_module("hidden", nn.Linear(before * height * width, hidden))
        self.add_module("active", activation())
        self.add_module("output", nn.Linear(hidden, classes))
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight)
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """Return logits `(N, classes)` of images `(N, *input_shape)`."""
        for layer in self.children():
            x = layer(x)
        return x


def _check(
    input_shape: Sequence[int], channels: Sequence[int], kernel: int, hidden: int, classes: int
) -> None:
    if len(input_shape) != 3 or not channels or min(*input_shape, *channels, hidden, classes) < 1:
        raise UserError(
            f"ConvolutionalNetwork: input_shape {list(input_shape)} must be channels, height and "
            f"width; these, channels {list(channels)}, hidden {hidden} and classes {classes} must "
            "be at least 1"
        )
    if kernel < 1 or kernel % 2 == 0:
        raise UserError(f"ConvolutionalNetwork: kernel must be odd and at least 1, not {kernel}")
    least = 2 ** len(channels)
    if min(input_shape[1:]) < least:
        raise UserError(
            f"ConvolutionalNetwork: {len(channels)} stages need images of at least {least} pixels "
            f"a side, not {input_shape[1]} by {input_shape[2]}: name fewer channels"
        )
