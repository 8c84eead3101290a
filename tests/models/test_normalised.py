import pytest
import torch
from torch import nn

from lit_intriguing.errors import UserError
from lit_intriguing.models import Normalised


def test_each_channel_has_its_own_mean_and_std() -> None:
    model = Normalised(nn.Identity(), [0.1, 0.2, 0.3], [0.5, 1.0, 2.0])
    x = torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    expected = torch.stack([(x[:, 0] - 0.1) / 0.5, x[:, 1] - 0.2, (x[:, 2] - 0.3) / 2.0], 1)
    torch.testing.assert_close(model(x), expected)


def test_its_weights_are_those_of_the_network_alone() -> None:
    model = Normalised(nn.Linear(2, 3), [0.5], [0.5])
    assert list(model.state_dict()) == ["network.weight", "network.bias"]
    assert model.double().mean.dtype == torch.float64


def test_a_std_of_zero_is_refused() -> None:
    with pytest.raises(UserError, match="std must be positive"):
        Normalised(nn.Identity(), [0.5, 0.5], [0.5, 0.0])
