"""The Trainer of the command line: each option's default stands in one place."""

import dataclasses
import inspect

import pytest

from lit_intriguing.commands.attack.job import AttackJob
from lit_intriguing.commands.lipschitz.job import BoundJob
from lit_intriguing.commands.units.job import UnitJob
from lit_intriguing.trainer import Trainer

JOBS = {Trainer.attack: AttackJob, Trainer.lipschitz: BoundJob, Trainer.units: UnitJob}
# Reading, k, rotations and seed are one field; so are the options of the pictures.
RENAMED = {"paper": "paper_values", "scan": "reading", "pictures": "png"}


@pytest.mark.parametrize("method", JOBS, ids=lambda method: method.__name__)
def test_what_is_asked_for_has_no_defaults_beside_those_of_the_method(method):
    options = inspect.signature(method).parameters
    for field in dataclasses.fields(JOBS[method]):
        assert field.default is field.default_factory is dataclasses.MISSING
        assert RENAMED.get(field.name, field.name) in options


def test_the_defaults_are_those_of_old():
    options = inspect.signature(Trainer.attack).parameters
    assert {name: options[name].default for name in ("only_correct", "split", "output")} == {
        "only_correct": True, "split": "test", "output": "attack",
    }  # fmt: skip
