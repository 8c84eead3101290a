"""Weights from a checkpoint, for models that are measured beside the one that is trained."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import nn

from lit_intriguing.errors import UserError


def read_checkpoint(path: Path, weights_only: bool = True) -> dict[str, Any]:
    """Reads a checkpoint, or a file of weights alone, onto the CPU.

    Args:
        path: The file.
        weights_only: Whether it may hold tensors and plain values only; False runs what code is in
            it.

    Raises:
        UserError: There is no such file, or it holds something else.
    """
    if not path.is_file():
        raise UserError(f"no checkpoint {path}.")
    try:
        content = torch.load(path, map_location="cpu", weights_only=weights_only)
    except Exception as error:
        text = " ".join(str(error).split())[:200]
        raise UserError(f"{path} cannot be read as a checkpoint: {text}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} holds no weights, but a {type(content).__name__}.")
    return content


def load_weights(model: nn.Module, content: Mapping[str, Any], path: Path) -> None:
    """Gives a model the weights of a checkpoint.

    Args:
        model: The model.
        content: See `read_checkpoint`.
        path: Where it comes from, for the message.

    Raises:
        UserError: The weights are not those of such a model.
    """
    if "state_dict" in content and isinstance(model, LightningModule):
        model.on_load_checkpoint(dict(content))
    try:
        model.load_state_dict(content.get("state_dict", content))
    except (RuntimeError, AttributeError, TypeError) as error:
        text = " ".join(str(error).split())[:300]
        raise UserError(f"the checkpoint {path} is not of this model: {text}") from error
