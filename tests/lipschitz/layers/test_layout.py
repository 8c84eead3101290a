import pytest
import torch
from torch import nn

from lit_intriguing.lipschitz import operator_norm
from lit_intriguing.lipschitz.norm import ONE
from tests.lipschitz import truth


@pytest.mark.parametrize(
    "layer",
    [
        nn.Flatten(),
        nn.Unflatten(1, (2, 2)),
        nn.PixelShuffle(2),
        nn.PixelUnshuffle(2),
        nn.ChannelShuffle(2),
    ],
)
def test_layers_that_move_numbers_keep_distances(layer: nn.Module) -> None:
    moves = truth.matrix(layer, (4, 2, 2))
    assert torch.equal(moves.mT @ moves, torch.eye(16, dtype=torch.float64))
    assert operator_norm(layer, (4, 2, 2)) == ONE
