"""Weights from a checkpoint, for models that are measured beside the one that is trained."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from lit_intriguing.data_folder import found_file
from lit_intriguing.errors import UserError
from lit_intriguing.misfit import misfit
from lit_intriguing.private.of_lightning import is_lightning_module
from lit_intriguing.sharded_files import read_rest, read_sharded
from lit_intriguing.sharded_folder import is_sharded
from lit_intriguing.tensor_files import read_tensors, why_refused

WAY_OUT = "take another copy of it"
"""What to do about a damaged checkpoint."""


def read_checkpoint(path: Path, weights_only: bool = True) -> dict[str, Any]:
    """Read a checkpoint, or a file of weights alone, onto the CPU.

    Args:
        path: The file; or the folder of a sharded checkpoint, which is put together in memory.
        weights_only: Whether it may hold only tensors and plain values; False runs code that is in
            it.

    Raises:
        UserError: If there is no such file, or it holds something else.
    """
    return _read(path, weights_only, read_sharded)


def read_options(path: Path, weights_only: bool = True) -> dict[str, Any]:
    """Read a checkpoint for all but its tensors: of a sharded one these are left out.

    Args:
        path: See `read_checkpoint`.
        weights_only: See `read_checkpoint`.

    Raises:
        UserError: See `read_checkpoint`.
    """
    return _read(path, weights_only, read_rest)


def _read(path: Path, weights_only: bool, of_folder: Callable[..., Any]) -> dict[str, Any]:
    sharded = is_sharded(path)
    if not sharded and not path.is_file():
        raise UserError(f"no checkpoint {path}.")
    read = of_folder if sharded else read_tensors
    try:
        content = read(path, WAY_OUT, weights_only=weights_only)
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{path} cannot be read as a checkpoint: {why_refused(error)}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} holds no weights, but a {type(content).__name__}.")
    return content


def load_file(model: nn.Module, file: str | None) -> None:
    """Load the weights of a file into a model; nothing without a file.

    Args:
        model: The model, changed in place.
        file: Its path, or its path within `$LIT_INTRIGUING_DATA`.

    Raises:
        UserError: If there is no such file, or its weights are of another module.
    """
    if file is not None:
        path = found_file(file)
        load_weights(model, read_checkpoint(path), path)


def load_weights(model: nn.Module, content: Mapping[str, Any], path: Path) -> None:
    """Load the weights of a checkpoint into a model.

    Args:
        model: The model, changed in place.
        content: See `read_checkpoint`.
        path: The file, for the message.

    Raises:
        UserError: If the weights are not those of such a model.
    """
    if "state_dict" in content and is_lightning_module(model):
        model.on_load_checkpoint(dict(content))  # type: ignore[operator]
    state = content.get("state_dict", content)
    try:
        model.load_state_dict(state)
    except (RuntimeError, AttributeError, TypeError) as error:
        text = misfit(model, state) or " ".join(str(error).split())[:300]
        raise UserError(f"the checkpoint {path} is not of this model: {text}") from error
