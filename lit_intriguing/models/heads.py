"""The last layer of a network made anew, for another number of classes."""

from torch import nn

from lit_intriguing.errors import UserError


def fit_head(network: nn.Module, classes: int) -> None:
    """Give a network a fresh last layer, unless it has that many classes already.

    The last layer is the last of its modules that is linear or a two-dimensional convolution, as in
    torchvision's networks; those of timm have a method `reset_classifier`, which is used.

    Args:
        network: Changed in place.
        classes: Number of logits.

    Raises:
        UserError: If there is no such layer, or no class.
    """
    if classes < 1:
        raise UserError(f"classes must be at least 1, not {classes}")
    layers = [
        (name, one)
        for name, one in network.named_modules()
        if isinstance(one, nn.Linear | nn.Conv2d)
    ]
    if not layers:
        raise UserError(
            f"{type(network).__name__} has no linear or convolutional layer to fit to {classes} "
            "classes: make it with so many, and leave the model's `classes` out"
        )
    name, last = layers[-1]
    if (last.out_features if isinstance(last, nn.Linear) else last.out_channels) == classes:
        return
    reset = getattr(network, "reset_classifier", None)
    if callable(reset):
        reset(classes)
    else:
        parent, _, own = name.rpartition(".")
        setattr(network.get_submodule(parent), own, _with_outputs(last, classes))


def _with_outputs(layer: nn.Linear | nn.Conv2d, outputs: int) -> nn.Module:
    bias = layer.bias is not None
    if isinstance(layer, nn.Linear):
        return nn.Linear(layer.in_features, outputs, bias)
    return nn.Conv2d(
        layer.in_channels,
        outputs,
        layer.kernel_size,  # type: ignore[arg-type]
        layer.stride,  # type: ignore[arg-type]
        layer.padding,  # type: ignore[arg-type]
        layer.dilation,  # type: ignore[arg-type]
        bias=bias,
    )
