"""Runs killed with SIGKILL and resumed end as the uninterrupted ones; the long run is a script."""

from pathlib import Path

import pytest

from tests.faults.kill import LENGTHS, Plan, Settings

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(
    ("cadence", "length", "plans"),
    [
        # The second run begins at a checkpoint of an epoch's end, and is killed soon.
        ("default", LENGTHS[0], [Plan("step", 18), Plan("step", 4)]),
        ("5 steps", LENGTHS[1], [Plan("half file", 2), Plan("validation", 1)]),
    ],
    ids=["checkpoints by default, max_steps", "every 5 steps, max_epochs"],
)
def test_killed_and_resumed_it_ends_as_the_uninterrupted_run(
    cadence: str, length: dict[str, int], plans: list[Plan], tmp_path: Path
) -> None:
    settings = Settings(tmp_path, cadence, 1, length)
    chain = settings.chain("chain", iter(plans))
    assert chain.kinds == [plan.kind for plan in plans]
    assert chain.good, chain


def test_a_run_that_goes_on_without_its_random_states_is_told_apart(tmp_path: Path) -> None:
    settings = Settings(tmp_path, "5 steps", 1, LENGTHS[0])
    callbacks = settings.configuration["trainer"]["callbacks"]
    callbacks[:] = [one for one in callbacks if one["class_path"] != "ExactResume"]
    chain = settings.chain("chain", iter([Plan("step", 18)]))
    assert any("state_dict/hidden1" in name for name in chain.differing)
