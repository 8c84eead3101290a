from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch

from lit_intriguing.attacks import BoxLBFGS, GradientAttack, Restarts
from lit_intriguing.callbacks import (
    AdversarialExamples,
    AdversarialTraining,
    LipschitzMonitor,
    MovingAverage,
    PerturbedLayer,
)
from lit_intriguing.checks import check_flags, check_whole
from lit_intriguing.errors import UserError
from lit_intriguing.pools.pool import Pool
from lit_intriguing.types import Bounds

LAYER = partial(PerturbedLayer, GradientAttack(1.0))


@pytest.mark.parametrize("value", [1, 7, np.int64(3), None])
def test_whole_numbers_pass(value: object) -> None:
    check_whole("Owner", 1, steps=value)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (0, "Owner: steps must be at least 1, not 0"),
        (-3, "at least 1, not -3"),
        (2.0, "must be a whole number, not 2.0"),
        (True, "must be a whole number, not True"),
        ("2", "must be a whole number, not '2'"),
        (float("nan"), "must be a whole number, not nan"),
    ],
)
def test_other_values_are_refused_by_name(value: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_whole("Owner", 1, steps=value)


def test_only_true_and_false_are_flags() -> None:
    check_flags("Owner", alternate=True, other=False)
    with pytest.raises(ValueError, match="Owner: alternate must be true or false, not 'no'"):
        check_flags("Owner", alternate="no")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GradientAttack(1.0, steps=1.5), "GradientAttack: steps must be a whole"),
        (lambda: GradientAttack(1.0, random_start="no"), "random_start must be true or false"),
        (lambda: BoxLBFGS(memory=2.5), "BoxLBFGS: memory must be a whole number"),
        (lambda: Restarts(GradientAttack(1.0), 0), "Restarts: times must be at least 1"),
        (lambda: MovingAverage(every_n_steps=0), "MovingAverage: every_n_steps must be at least"),
        (lambda: LAYER(every_n_steps=1.5), "PerturbedLayer: every_n_steps must be a whole"),
        (lambda: LAYER(stale="yes"), "PerturbedLayer: stale must be true or false"),
        (lambda: LAYER(goal="x"), "goal must be a Goal such as RandomTargets"),
        (lambda: LAYER(bounds=3), "bounds must be Bounds"),
        (lambda: PerturbedLayer(None), "attack must be an Attack, not None"),
        (
            lambda: AdversarialTraining({"": LAYER()}, start_step=-1),
            "start_step must be at least 0",
        ),
        (lambda: AdversarialTraining({"": LAYER()}, alternate="no"), "alternate must be true or"),
        (lambda: LipschitzMonitor(input_shape=(-1,)), "input_shape must be at least 1, not -1"),
        (lambda: AdversarialExamples(GradientAttack(1.0), every_n_epochs=0.5), "every_n_epochs"),
        (lambda: Pool(2).draw(-1, torch.Generator()), "Pool.draw: count must be at least 0"),
        (lambda: Pool(1.5), "room for at least one example, not 1.5"),
    ],
)
def test_constructors_refuse_at_once_by_name(make: Callable[[], object], message: str) -> None:
    with pytest.raises((ValueError, UserError), match=message):
        make()


def test_bounds_of_a_layer_may_be_a_pair() -> None:
    assert LAYER(bounds=(0, 1)).bounds == Bounds(0, 1)


def test_a_damaged_pool_is_refused() -> None:
    state = {"count": 5, "tensors": {"x": torch.zeros(2, 3)}}
    with pytest.raises(UserError, match="5 of 2 examples are stored: it is damaged"):
        Pool(2).load_state_dict(state, torch.device("cpu"))
