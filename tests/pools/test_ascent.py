"""One step along the gradient of a host's loss, and the rows of which it makes examples."""

import pytest
import torch

from lit_intriguing.attacks import GradientAttack, HostLoss
from lit_intriguing.pools import PerturbedLayer
from lit_intriguing.pools.ascent import from_gradient
from lit_intriguing.pools.first_rows import FirstRows


@pytest.mark.parametrize("per_token", [False, True])
def test_only_rows_that_move_are_usable_where_lengths_are_in_units_of_the_norm(
    per_token: bool,
) -> None:
    x, gradient = torch.zeros(4, 3, 2), torch.ones(4, 3, 2)
    x[1, 1] = 1.0  # moves
    x[2, 0], gradient[2, 0] = 1.0, 0.0  # its only token with a norm has no gradient
    x[3], gradient[3] = 1.0, 0.0
    plan = PerturbedLayer(
        GradientAttack(0.1), goal=HostLoss(), relative="example", per_token=per_token
    )
    made, usable = from_gradient(plan, x, gradient, None, None, FirstRows(4))
    assert usable.tolist() == (~made.unmoved()).tolist()
    assert usable.tolist() == [False, True, not per_token, False]
