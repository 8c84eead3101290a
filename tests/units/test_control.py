import copy
import warnings
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import spectral_norm
from torch.nn.utils import weight_norm as weight_norm_by_hook
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


def test_the_network_of_a_shared_metric_stays_as_it_is() -> None:
    metric = CatMetric()
    metric.network = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    model = nn.Sequential(nn.Linear(2, 2), nn.ModuleDict({"seen": metric}))
    metric.update(model[0](torch.ones(1, 2)))  # cannot be copied
    before = {name: value.clone() for name, value in metric.network.state_dict().items()}
    fresh = untrained_copy(model)
    assert fresh[1]["seen"] is metric
    assert all(torch.equal(before[name], one) for name, one in metric.network.state_dict().items())
    assert not torch.equal(fresh[0].weight, model[0].weight)


class Tempered(nn.Linear):
    """A linear layer with a parameter that its `reset_parameters` knows nothing of."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs)
        self.temperature = nn.Parameter(torch.arange(1.0, 1.0 + outputs))

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) / self.temperature


@pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm` is deprecated")
@pytest.mark.parametrize(
    ("layer", "left"),
    [
        (lambda: weight_norm_by_hook(nn.Linear(6, 6)), "0.weight_g, 0.weight_v"),
        (lambda: spectral_norm(nn.Linear(6, 6)), "0.weight_orig"),
        (lambda: Tempered(6, 6), "0.temperature"),
    ],
    ids=["weight norm", "spectral norm", "one more parameter"],
)
def test_what_a_reset_leaves_out_is_shuffled_and_named(
    layer: Callable[[], nn.Module], left: str
) -> None:
    torch.manual_seed(0)  # the copy's seed: its weights may be the model's own
    model = nn.Sequential(layer(), nn.BatchNorm1d(6))
    with pytest.warns(UserWarning, match=f"no reset_parameters for {left}; their values"):
        fresh = untrained_copy(model)
    before = dict(model.named_parameters())
    for name in left.split(", "):
        parameter = fresh.get_parameter(name)
        assert torch.equal(parameter.flatten().sort().values, before[name].flatten().sort().values)
        assert not torch.equal(parameter, before[name])
    assert fresh[1].weight.tolist() == [1] * 6


def test_what_a_reset_gives_is_not_named_where_it_was_there_before() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.BatchNorm2d(2), nn.PReLU())
    nn.init.zeros_(model[2].weight)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fresh = untrained_copy(model)
    assert torch.equal(fresh[0].weight, model[0].weight)
    assert fresh[2].weight.tolist() == [1, 1]


class Half(nn.Linear):
    """Resets the first row of its weight alone."""

    def reset_parameters(self) -> None:
        nn.init.ones_(self.weight[:1])
        nn.init.zeros_(self.bias)


def test_the_part_of_a_parameter_that_a_reset_leaves_out_is_shuffled() -> None:
    model = Half(4, 3)
    with torch.no_grad():
        model.weight.copy_(torch.arange(12.0).view(3, 4))
    with pytest.warns(UserWarning, match="no reset_parameters for weight; their"):
        fresh = untrained_copy(model)
    assert fresh.weight[0].tolist() == [1] * 4
    assert fresh.weight[1:].flatten().sort().values.tolist() == [*range(4, 12)]
    assert not torch.equal(fresh.weight[1:], model.weight[1:])


class Added(nn.Module):
    def __init__(self, w: nn.Parameter) -> None:
        super().__init__()
        self.w = w

    def forward(self, x: Tensor) -> Tensor:
        return x + self.w


def test_a_parameter_of_two_modules_is_shuffled_once() -> None:
    shared = nn.Parameter(torch.arange(30.0))
    model = nn.Sequential(Added(shared), Added(shared))
    with pytest.warns(UserWarning, match=r"no reset_parameters for 0\.w; their"):
        fresh = untrained_copy(model)
    assert fresh[0].w is fresh[1].w
    assert not torch.equal(fresh[0].w, shared)


def test_the_model_stays_where_parts_of_it_cannot_be_copied_as_they_are() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(spectral_norm(nn.Linear(4, 4)), *(nn.BatchNorm1d(4) for _ in range(30)))
    model(torch.randn(8, 4))  # the weight is part of a graph now, which no copy has
    before = copy.deepcopy(model.state_dict())
    weight = model[0].weight.detach().clone()
    for _ in range(5):
        with pytest.warns(UserWarning, match="weight_orig"):
            fresh = untrained_copy(model)
        ours = {id(one) for one in (*model.parameters(), *model.buffers())}
        assert not any(id(one) in ours for one in (*fresh.parameters(), *fresh.buffers()))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(model[0].weight, weight)
