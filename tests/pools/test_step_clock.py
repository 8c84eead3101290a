"""The share of a step's time, by a clock that the test winds."""

from collections.abc import Callable

import pytest
import torch

from lit_intriguing.pools import step_clock as clock
from lit_intriguing.pools.step_clock import StepClock

CPU = torch.device("cpu")
ACCELERATOR = torch.device("meta")


@pytest.fixture
def wind(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Advances the time; synchronising with the accelerator takes ten seconds."""
    now = [100.0]

    def advance(seconds: float) -> None:
        now[0] += seconds

    monkeypatch.setattr(clock.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(torch.accelerator, "synchronize", lambda device: advance(10))
    return advance


def step(one: StepClock, wind: Callable[[float], None], device: torch.device) -> None:
    one.start(device)
    wind(3)
    with one.making(device):
        wind(1)
    wind(4)
    one.stop(device)
    wind(50)


def test_share_is_making_over_step_summed_over_steps(wind: Callable[[float], None]) -> None:
    one = StepClock()
    step(one, wind, CPU)
    one.start(CPU)
    wind(2)
    one.stop(CPU)
    assert one.share() == 1 / 10


def test_share_begins_anew_and_is_none_without_a_step(wind: Callable[[float], None]) -> None:
    one = StepClock()
    assert one.share() is None
    step(one, wind, CPU)
    assert one.share() == 1 / 8
    assert one.share() is None


def test_an_accelerator_is_waited_for_only_in_the_first_steps(
    wind: Callable[[float], None],
) -> None:
    one = StepClock(window=2)
    for _ in range(5):
        step(one, wind, ACCELERATOR)
    # The waiting: ten seconds at both ends of the making and at the end of the step.
    assert one.share() == 2 * (1 + 10) / (2 * (8 + 30))
    step(one, wind, ACCELERATOR)
    assert one.share() == (1 + 10) / (8 + 30)


def test_time_outside_a_step_does_not_count(wind: Callable[[float], None]) -> None:
    one = StepClock()
    with one.making(CPU):
        wind(5)
    one.stop(CPU)
    step(one, wind, CPU)
    assert one.share() == 1 / 8
