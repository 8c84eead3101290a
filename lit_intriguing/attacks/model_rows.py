"""Whether a model wants to know which examples of the batch it is given: its `rows`."""

import inspect
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn


def takes_rows(model: Callable[..., Any]) -> bool:
    """Return whether a model takes the indices of its examples besides the examples.

    A model that stores something about each example of the batch, as a network above a hidden
    layer does, must know which ones it is given when it is not given all of them. It is then called
    as `model(x, rows)`, `rows` an int64 tensor `(n,)`; on the whole batch as `model(x)`.

    The rule, which is the same everywhere:

    1. An attribute `takes_rows` decides, True or False.
    2. Else a module does not: its parameters are its own matter.
    3. Else a function, method, partial or callable object does if it has a parameter `rows`, not
       its first, with the default None or without a default. Another default means something else,
       such as a number of rows, or was set by `functools.partial`.

    Examples:
        >>> takes_rows(lambda x, rows=None: x), takes_rows(lambda x: x)
        (True, False)
    """
    declared = _declared(model)
    return _row_parameter(model) is not None if declared is None else declared


def call_with_rows(model: Callable[..., Any], x: Tensor, rows: Tensor) -> Any:
    """Return a model's output for some examples of the batch.

    Args:
        model: The model; it gets `rows` by the rule of `takes_rows`.
        x: Tensors for these examples, `(n, *S)`.
        rows: Which of the N examples of the batch they are, an index `(n,)`.
    """
    declared = _declared(model)
    if declared:
        return model(x, rows)
    parameter = _row_parameter(model) if declared is None else None
    if parameter is None:
        return model(x)
    # After `functools.partial` a parameter may take keywords alone.
    if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
        return model(x, rows=rows)
    return model(x, rows)


def _declared(model: Callable[..., Any]) -> bool | None:
    """Return what the model itself says, None where its signature decides."""
    declared = getattr(model, "takes_rows", None)
    return None if declared is None and not isinstance(model, nn.Module) else bool(declared)


def _row_parameter(model: Callable[..., Any]) -> inspect.Parameter | None:
    try:
        parameters = inspect.signature(model).parameters
    except (TypeError, ValueError):  # compiled, or no signature
        return None
    found = parameters.get("rows")
    if found is None or next(iter(parameters)) == "rows":
        return None
    named = found.kind not in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return found if named and found.default in (None, inspect.Parameter.empty) else None
