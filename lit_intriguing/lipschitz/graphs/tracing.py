"""Follows a model's forward pass and writes it down as a graph."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from lit_intriguing.autograd import evaluating
from lit_intriguing.errors import UserError
from lit_intriguing.lipschitz.graphs.graph import Graph, leaves, mapped
from lit_intriguing.lipschitz.graphs.recorder import (
    Recorder,
    UnknownForwardError,
    UntraceableError,
    first_line,
)
from lit_intriguing.lipschitz.registry import Shape
from lit_intriguing.lipschitz.unwrapped import originals
from lit_intriguing.private import of_torch

_NOT_TAKEN = (RuntimeError, ValueError, IndexError, AssertionError, UserError)

_NO_TENSORS_INSIDE = (Tensor, str, bytes, bool, int, float, complex, torch.dtype, torch.device)


def traced(model: nn.Module, input_shape: Shape) -> Graph:
    """Return the graph of a model.

    Nothing is computed and the model is not touched: its code runs once on a copy that holds
    tensors without values. The example is of the type of the model's first parameter of
    floating-point numbers, else of float32. Meanwhile the modules that were copied are in
    evaluation mode, too, for functions that hold on to them.

    Args:
        model: Any module that takes one tensor, as `unwrapped` gives it.
        input_shape: Shape of one example, without the batch dimension.

    Returns:
        The graph; if it has a failure, as far as the forward pass could be followed.

    Raises:
        ValueError: If the model's weights are not there yet, the shape is no shape, the model does
            not take an example of this shape, or returns no tensor.
    """
    _check(model, input_shape)
    with evaluating(originals(model)), of_torch.no_parametrization_cache():
        return _followed(model, input_shape)


def _followed(model: nn.Module, input_shape: Shape) -> Graph:
    with ExitStack() as stack:
        for context in (_silence(), torch.inference_mode(False), torch.no_grad()):
            stack.enter_context(context)
        mode = stack.enter_context(of_torch.without_values())
        recorder = Recorder(model, mode)
        output, failure = _run(recorder, model, input_shape)
        outputs = tuple(mapped(leaves(output, Tensor), Tensor, recorder.node))
    if not failure and not outputs:
        raise ValueError(
            f"{type(model).__name__} returns no tensor but a {type(output).__name__}: give the "
            "part of it that does"
        )
    failure = failure or _unseen_part(output)
    return Graph(tuple(recorder.nodes), recorder.input, outputs, failure)


def _unseen_part(output: Any) -> str:
    """Return what of a model's output may hold tensors that are not found; empty if nothing."""
    if isinstance(output, dict):
        output = list(output.values())
    if isinstance(output, tuple | list):
        return next(filter(None, map(_unseen_part, output)), "")
    known = output is None or isinstance(output, _NO_TENSORS_INSIDE)
    return "" if known else f"returns a {type(output).__name__}, which is not looked into"


def _run(recorder: Recorder, model: nn.Module, input_shape: Shape) -> tuple[Any, str]:
    """Return what the model returns, or why that is not known."""
    try:
        return recorder.run(input_shape), recorder.failure
    except (Exception, UntraceableError, UnknownForwardError) as error:
        recorder.note(error)
        if recorder.error is not error or not _is_not_taken(error):
            return None, recorder.failure
        raise ValueError(
            f"{type(model).__name__} does not take an example of shape {tuple(input_shape)}: "
            f"in {recorder.place}: {first_line(error)}"
        ) from error


def _check(model: nn.Module, input_shape: Shape) -> None:
    if not input_shape or any(not isinstance(n, int) or n < 1 for n in input_shape):
        raise ValueError(
            f"input_shape is the shape of one example, such as (3, 224, 224), not {input_shape!r}"
        )
    for name, one in (*model.named_parameters(), *model.named_buffers()):
        if is_lazy(one):
            raise ValueError(f"{name} has no shape yet: call the model once before it is bounded")
        if one.is_meta:
            raise ValueError(f"{name} is on the meta device: load the weights first")


def _is_not_taken(error: BaseException) -> bool:
    """Return whether the fault is the example's, as far as is known."""
    return isinstance(error, _NOT_TAKEN) and not isinstance(error, of_torch.values_needed())


@contextmanager
def _silence() -> Iterator[None]:
    """Prevent torch from logging an error that is going to be reported."""
    logger = logging.getLogger(of_torch.LOGGER_WITHOUT_VALUES)
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before
