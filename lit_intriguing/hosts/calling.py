"""How a host's model is called with inputs alone."""

import inspect

import torch
from torch import Tensor, nn

from lit_intriguing.errors import UserError

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def call_with_inputs(model: nn.Module, x: Tensor, keyword: str | None, who: str) -> object:
    """Return a model's output for inputs `(N, *S)`.

    Args:
        model: The host's model.
        x: The inputs.
        keyword: By which the model takes them; see `keyword_of`.
        who: The callback, for messages.

    Raises:
        UserError: If it fails.
    """
    try:
        return model(x) if keyword is None else model(**{keyword: x})
    except (UserError, torch.OutOfMemoryError):
        raise
    except (TypeError, RuntimeError, ValueError, AttributeError, LookupError) as error:
        called = type(model).__name__
        raise UserError(
            f"{who} called {called} with the inputs alone, of shape {tuple(x.shape)}, and it "
            f"failed: {type(error).__name__}: {error}. Name the submodule that maps these inputs "
            "to logits by model=<name>, or give what the module's forward needs besides a default."
        ) from error


def keyword_of(model: nn.Module, name: str | None) -> str | None:
    """Return the keyword by which a model takes its inputs; None where they come first.

    Args:
        model: The model.
        name: The inputs' name in the batch, if they have one.
    """
    if name is None or not name.isidentifier():
        return None
    try:
        parameters = list(inspect.signature(model.forward).parameters.values())
    except (TypeError, ValueError):  # compiled or scripted
        return None
    first = next((one for one in parameters if one.kind in _POSITIONAL), None)
    if first is None:
        takes_any = any(one.kind is inspect.Parameter.VAR_POSITIONAL for one in parameters)
        return None if takes_any else name
    optional = first.default is not inspect.Parameter.empty
    named = first.name != name and any(one.name == name for one in parameters)
    return name if named and optional else None
