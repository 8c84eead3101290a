import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm
from torchmetrics import CatMetric

from lit_intriguing.errors import UserError
from lit_intriguing.units.control import untrained_copy


def test_all_weights_and_statistics_are_fresh_and_the_model_stays() -> None:
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.LazyLinear(3))
    model(torch.randn(8, 1, 6, 6) + 3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(7.0)
    before = copy.deepcopy(model.state_dict())
    state = torch.get_rng_state()
    first, again, other = untrained_copy(model), untrained_copy(model), untrained_copy(model, 1)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(not bool((parameter == 7.0).any()) for parameter in first.parameters())
    assert first[1].running_mean.tolist() == [0] * 4
    assert torch.equal(first[3].weight, again[3].weight)
    assert not torch.equal(first[3].weight, other[3].weight)


class Embedded(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.arange(30.0))
        self.fc = weight_norm(nn.Linear(30, 30))

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x + self.token)


def test_parameters_that_nothing_resets_are_shuffled_and_named() -> None:
    model = Embedded()
    with pytest.warns(UserWarning, match=r"no reset_parameters for token, .*original0.*shuffled"):
        fresh = untrained_copy(model)
    assert not torch.equal(fresh.token, model.token)
    assert torch.equal(fresh.token.sort().values, model.token)
    # A parametrised weight is computed anew at each look: resetting it alone would do nothing.
    assert not torch.equal(fresh.fc.weight, model.fc.weight)


def test_attention_resets_itself() -> None:
    model = nn.MultiheadAttention(8, 2)
    fresh = untrained_copy(model)
    assert not torch.equal(fresh.in_proj_weight, model.in_proj_weight)


def test_a_model_without_parameters_has_no_control() -> None:
    with pytest.raises(UserError, match="no parameters"):
        untrained_copy(nn.ReLU())


def test_attributes_that_cannot_be_copied_are_shared() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.Linear(4, 4)), nn.Linear(4, 4))
    model[2].weight = model[0].weight
    model.factory = (number for number in range(3))
    fresh = untrained_copy(model)
    assert fresh.factory is model.factory
    assert fresh[0].weight is fresh[2].weight
    assert not torch.equal(fresh[1][0].weight, model[1][0].weight)
    assert fresh(torch.ones(1, 4)).shape == (1, 4)


def test_metrics_that_hold_tensors_of_a_graph_are_shared() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.ModuleDict({"seen": CatMetric()}))
    model[1]["seen"].update(model[0](torch.ones(1, 2)))
    fresh = untrained_copy(model)
    assert not torch.equal(fresh[0].weight, model[0].weight)
    assert fresh[1]["seen"] is model[1]["seen"]
