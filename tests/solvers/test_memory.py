"""History and work space: at most 2 m + 12 times the batch, autograd aside."""

import pytest
import torch
from torch import Tensor

from lit_intriguing.solvers import Stage, largest_penalty, minimise_box, nearest_point
from tests.peak import Peak

SLOTS, DIMENSIONS, PROBLEMS = 64, 512, 160
STAGES = [Stage(1.0, 1e-2, 1e-2, 20), Stage(0.1, 1e-3, 1e-3, 20)]


def bend(x: Tensor, rows: Tensor) -> Tensor:
    centre = 0.2 + 0.6 * torch.sin(rows + 1.0).abs().unsqueeze(1)
    return ((x - centre) * torch.linspace(0.2, 3.0, DIMENSIONS)).square().sum(1)


def margin(x: Tensor, rows: Tensor) -> Tensor:
    return 1.0 + 0.02 * rows / PROBLEMS - 0.1 * x.sum(1) - 0.01 * x.square().sum(1)


def run(solver: str, memory: int) -> None:
    x0 = torch.zeros(PROBLEMS, DIMENSIONS)
    if solver == "minimise_box":
        minimise_box(bend, x0, 0.0, 0.9, history=memory, slots=SLOTS)
        return
    if solver == "nearest_point":
        nearest_point(
            lambda x, rows, smoothing: (margin(x, rows), margin(x, rows).detach()),
            x0,
            0.0,
            1.0,
            unit=torch.ones(PROBLEMS),
            stages=STAGES,
            memory=memory,
            slots=SLOTS,
        )
        return
    largest_penalty(
        lambda x, rows: (margin(x, rows).exp(), margin(x, rows).detach()),
        x0,
        0.0,
        1.0,
        memory=memory,
        slots=SLOTS,
    )


@pytest.mark.parametrize("memory", [3, 5, 10])
@pytest.mark.parametrize("solver", ["minimise_box", "nearest_point", "largest_penalty"])
def test_work_space_is_at_most_twice_the_memory_and_twelve_times_the_batch(
    solver: str, memory: int
) -> None:
    batch = SLOTS * DIMENSIONS * 4
    with Peak() as peak:
        run(solver, memory)
    given = PROBLEMS * DIMENSIONS * 4
    results = 2 * given if solver == "minimise_box" else given  # x, and x0 moved into the box
    # The function's own: its point's gradient and what it keeps for the backward, three batches.
    function = 3 * batch
    work = peak.peak - given - results - function
    assert work <= (2 * memory + 12) * batch, f"{work / batch:.1f} batches"
