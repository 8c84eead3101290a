"""Models of a study, by the names and hashes under which their results are stored."""

import functools

import torch
from torch import Tensor

from lit_intriguing.model_sets.sources import Function
from lit_intriguing.splits.fingerprint import of_model


def times(weight: float):
    return lambda x: weight * x


def by(weight: float, x: Tensor) -> Tensor:
    return weight * x


def test_functions_of_other_contents_have_other_fingerprints() -> None:
    given = [
        times(1.0),
        times(2.0),
        functools.partial(by, 1.0),
        functools.partial(by, 2.0),
        torch.nn.Linear(2, 2).forward,
        torch.nn.Linear(2, 2).forward,
    ]
    assert len({of_model(Function(one))["structure"] for one in given}) == len(given)
    assert of_model(Function(times(1.0))) == of_model(Function(given[0]))


def test_a_function_that_can_be_imported_is_its_name() -> None:
    assert repr(Function(by)) == f"Function({__name__}.by)"
