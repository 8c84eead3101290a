"""Whether a network fits the images of a data module that says what they are."""

from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from lit_intriguing.autograd import preserved
from lit_intriguing.errors import UserError
from lit_intriguing.private.of_lightning import trainer_or_none


def check_data(module: LightningModule) -> None:
    """Pass one black image through the network, where the data names its shape and its classes.

    Data do so by `image_shape`, `(channels, height, width)`, and `class_names`, as `ImageFolder`
    does. Nothing of the module changes. A network whose weights are not there yet is not checked.

    Args:
        module: Gives logits `(N, C)`.

    Raises:
        UserError: If it does not take such images, or has another number of classes.
    """
    data = getattr(trainer_or_none(module), "datamodule", None)
    data = getattr(data, "source", data)  # a split of the data, which a command works on
    shape, names = getattr(data, "image_shape", None), getattr(data, "class_names", None)
    weight = next(module.parameters(), None)
    if shape is None or names is None or weight is None or weight.is_meta:
        return
    logits = _logits(module, torch.zeros(1, *shape, dtype=weight.dtype, device=weight.device))
    if logits.ndim != 2:
        raise UserError(
            f"the network gives {tuple(logits.shape)} for an image, not logits of examples and "
            "classes"
        )
    if logits.shape[1] != len(names):
        raise UserError(
            f"the network has {logits.shape[1]} classes, the data {len(names)} ({_few(names)}): "
            "give the data the network's list of classes (its `classes`), or the network the "
            "data's number of them (`classes` of ImageClassifier)"
        )


def _logits(module: LightningModule, image: Tensor) -> Tensor:
    try:
        with preserved(module), torch.no_grad(), torch.compiler.set_stance("force_eager"):
            logits: Any = module(image)
    except (RuntimeError, ValueError, UserError) as error:
        channels, height, width = image.shape[1:]
        text = " ".join(str(error).split())[:300]
        raise UserError(
            f"the network does not take the data's images of {channels} channels and "
            f"{height}x{width} pixels: {text}. The data's `size` and `channels` set what it gets"
        ) from error
    if not isinstance(logits, Tensor):
        raise UserError(f"the network gives a {type(logits).__name__}, not a tensor of logits")
    return logits


def _few(names: tuple[str, ...]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
