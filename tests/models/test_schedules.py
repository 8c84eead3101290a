import math

import pytest
import torch

from lit_intriguing.errors import UserError
from lit_intriguing.models import CosineOverRun


def optimizer() -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=2.0)


def rates(steps: int, **options: float) -> list[float]:
    sgd = optimizer()
    schedule = CosineOverRun(sgd, **options)
    schedule.set_run_length(steps)
    seen = []
    for _ in range(steps):
        seen.append(sgd.param_groups[0]["lr"])
        sgd.step()
        schedule.step()
    return [*seen, sgd.param_groups[0]["lr"]]


def test_the_rate_follows_half_a_cosine_from_the_optimiser_s_to_zero() -> None:
    expected = [1 + math.cos(math.pi * step / 10) for step in range(11)]
    assert rates(10) == pytest.approx(expected)


def test_it_rises_first_and_ends_at_the_floor() -> None:
    seen = rates(10, warmup=0.4, floor=0.25)
    assert seen[:5] == pytest.approx([0.5, 1.0, 1.5, 2.0, 2.0])
    assert seen[-1] == pytest.approx(0.5)
    assert seen[4:] == sorted(seen[4:], reverse=True)


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_in_a_short_run_of_nearly_all_warmup_the_last_step_falls_to_the_floor(steps: int) -> None:
    seen = rates(steps, warmup=0.9, floor=0.25)
    assert max(seen) == pytest.approx(2.0)
    assert seen[-1] == pytest.approx(0.5)


def test_past_the_end_the_rate_stays() -> None:
    sgd = optimizer()
    schedule = CosineOverRun(sgd, floor=0.5)
    schedule.set_run_length(1)
    for _ in range(3):
        sgd.step()
        schedule.step()
    assert sgd.param_groups[0]["lr"] == pytest.approx(1.0)


def test_a_restored_schedule_keeps_the_length_of_the_new_run() -> None:
    old = CosineOverRun(optimizer())
    old.set_run_length(5)
    new = CosineOverRun(optimizer())
    new.set_run_length(50)
    new.load_state_dict(old.state_dict())
    assert new.run_length == 50


@pytest.mark.parametrize("options", [{"warmup": 1.0}, {"warmup": -0.1}, {"floor": 1.5}])
def test_shares_out_of_range_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(UserError, match=rf"{next(iter(options))} is a share .*not"):
        CosineOverRun(optimizer(), **options)


def test_a_run_without_steps_is_refused() -> None:
    with pytest.raises(UserError, match="at least one step, not 0"):
        CosineOverRun(optimizer()).set_run_length(0)


def test_a_step_without_knowing_the_length_is_refused() -> None:
    sgd = optimizer()
    schedule = CosineOverRun(sgd)
    sgd.step()
    with pytest.raises(UserError, match="does not know the run's length"):
        schedule.step()
