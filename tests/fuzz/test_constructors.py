"""A constructor refuses a wrong argument by its name, or takes it."""

import inspect
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lit_intriguing import attacks, callbacks, data, metrics, schemes
from lit_intriguing.attacks import GradientAttack
from lit_intriguing.types import Bounds
from tests.fuzz.values import ODD, check_refusal, fuzzed

ATTACK = GradientAttack(0.3)
WITH: dict[Callable[..., Any], dict[str, Any]] = {
    GradientAttack: {"eps": 0.3},
    attacks.BoxLBFGS: {},
    attacks.GaussianNoise: {"stddev": 0.1},
    attacks.TargetClass: {},
    attacks.VirtualAdversarial: {"eps": 0.3},
    callbacks.AdversarialExamples: {},
    callbacks.AdversarialTraining: {"layers": {"": callbacks.PerturbedLayer(ATTACK)}},
    callbacks.AdversarialWeightPerturbation: {},
    callbacks.Convergence: {},
    callbacks.ExactResume: {},
    callbacks.LipschitzMonitor: {},
    callbacks.LipschitzPenalty: {"weight": 0.1},
    callbacks.LogisticFromTanh: {},
    callbacks.MovingAverage: {},
    callbacks.PerturbedLayer: {"attack": ATTACK},
    callbacks.RobustnessEvaluation: {},
    callbacks.RunProgress: {},
    callbacks.SparseFilters: {"activation": 0.1, "local": 0.4},
    callbacks.TrainingError: {},
    callbacks.TransferEvaluation: {},
    callbacks.UnitAnalysis: {"layers": ["a"]},
    data.Digits: {},
    data.TensorLoader: {
        "inputs": torch.zeros(6, 2), "labels": torch.zeros(6).long(), "batch_size": 2,
    },
    metrics.CertifiedAccuracy: {"norms": 1.0, "at": [0.5]},
    metrics.ClassRobustError: {"classes": 3, "at": [0.5]},
    metrics.DistanceQuantiles: {"shares": [0.5]},
    metrics.ErrorRate: {},
    schemes.MART: {},
    schemes.TRADES: {},
    schemes.VAT: {},
    metrics.RobustError: {"at": [0.5]},
    metrics.TransferRates: {"sets": 2, "models": 2},
    Bounds: {},
}  # fmt: skip
"""What each needs at least."""


@pytest.mark.parametrize("kind", WITH, ids=lambda kind: kind.__name__)
@fuzzed(60)
@given(draws=st.data())
def test_a_wrong_argument_is_refused_by_its_name(kind: type, draws: st.DataObject) -> None:
    names = [name for name in inspect.signature(kind).parameters if name not in ("args", "kwargs")]
    if not names:
        return
    name, value = draws.draw(st.sampled_from(names)), draws.draw(ODD)
    try:
        kind(**{**WITH[kind], name: value})
    except Exception as error:
        check_refusal(error, {name: value}, name)
