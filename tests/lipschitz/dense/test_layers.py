"""Which networks are stacks of dense layers, where folding would not be certified."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from lit_intriguing.lipschitz.dense.layers import dense_layers
from lit_intriguing.lipschitz.dense.stack import pair_norms, stack_norm

WIDER = 1 - 2.0**-25


def normalised(width: int) -> nn.BatchNorm1d:
    layer = nn.BatchNorm1d(width)
    nn.init.normal_(layer.weight)
    nn.init.uniform_(layer.running_var, 0.1, 2.0)
    return layer


def slopes_of(*modules: nn.Module) -> list[tuple[float, float]] | None:
    stack = dense_layers(nn.Sequential(*modules).eval(), (4,))
    return None if stack is None else [slopes for _, _, slopes in stack]


@pytest.mark.parametrize(
    ("activation", "slopes"),
    [
        (nn.ReLU(), (0.0, 1.0)),
        (nn.LeakyReLU(0.5), (0.5 * WIDER, 1.0)),
        (nn.LeakyReLU(-1.0), (-1.0, 1.0)),
        (nn.Identity(), (WIDER, 1.0)),
    ],
)
def test_the_error_of_folding_is_taken_into_the_slopes(
    activation: nn.Module, slopes: tuple[float, float]
) -> None:
    found = slopes_of(nn.Linear(4, 5), normalised(5), activation, nn.Linear(5, 2))
    assert found == [slopes, (1.0, 1.0)]


def test_each_channel_lies_within_the_widened_slopes() -> None:
    torch.manual_seed(0)
    linear, norm = nn.Linear(4, 50), normalised(50)
    stack = dense_layers(nn.Sequential(linear, norm, nn.Linear(50, 2)).eval(), (4,))
    assert stack is not None
    scale = norm.weight.detach().double() / (norm.running_var.double() + norm.eps).sqrt()
    share = linear.weight.detach().double() * scale.unsqueeze(1) / stack[0][1]
    assert WIDER <= float(share.min()) <= float(share.max()) <= 1 + 1e-15


def test_folding_weights_of_float64_or_twice_is_refused() -> None:
    wide = nn.Linear(4, 5).double(), normalised(5).double()
    assert slopes_of(*wide, nn.ReLU(), nn.Linear(5, 2).double()) is None
    assert slopes_of(nn.Linear(4, 5), normalised(5), normalised(5), nn.Linear(5, 2)) is None


def test_without_a_batch_norm_float64_is_no_hindrance() -> None:
    assert slopes_of(nn.Linear(4, 5).double(), nn.ReLU(), nn.Linear(5, 2).double()) is not None


def test_pairs_of_outputs_behind_an_activation_are_bounded() -> None:
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(4, 3), normalised(3), nn.LeakyReLU(0.2)).eval()
    stack = dense_layers(model, (4,))
    assert stack is not None
    weights, slopes = [weight for _, weight, _ in stack], [one for _, _, one in stack[:-1]]
    assert torch.equal(weights[1], torch.eye(3, dtype=torch.float64))
    pairs, whole = pair_norms(weights, slopes), stack_norm(weights, slopes).value
    for x in torch.randn(50, 4):
        jacobian = torch.autograd.functional.jacobian(lambda z: model(z[None])[0], x).double()
        different = (jacobian.unsqueeze(0) - jacobian.unsqueeze(1)).norm(dim=2)
        assert bool((different <= pairs * (1 + 1e-5)).all())
        assert float(torch.linalg.matrix_norm(jacobian, 2)) <= whole * (1 + 1e-5)


class Shifted(nn.Module):
    """Two dense layers with a constant between two parts."""

    def __init__(self, shift: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.second, self.shift = nn.Linear(4, 6), nn.Linear(6, 3), shift

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.shift(self.first(self.shift(x)))
        return self.second(torch.relu(hidden))


@pytest.mark.parametrize(
    "shift",
    [lambda x: x - 0.5, lambda x: x + torch.tensor(0.5), lambda x: 0.5 + x, lambda x: x.sub_(0.3),
     lambda x: torch.sub(x, torch.tensor(0.5), alpha=3)],
    ids=["x - c", "x + c", "c + x", "sub_", "alpha"],
)  # fmt: skip
def test_an_added_constant_is_nothing(shift: Callable[[Tensor], Tensor]) -> None:
    torch.manual_seed(2)
    model = Shifted(shift)
    stack = dense_layers(model, (4,))
    assert stack is not None
    assert [name for name, _, _ in stack] == ["first", "second"]
    assert [slopes for _, _, slopes in stack] == [(0.0, 1.0), (1.0, 1.0)]
    assert torch.equal(stack[0][1], model.first.weight.double())


@pytest.mark.parametrize(
    "change",
    [lambda x: 0.5 - x, lambda x: torch.rsub(x, 0.5), lambda x: x - x.flip(1), lambda x: x + x,
     lambda x: torch.add(torch.tensor(0.5), x, alpha=3)],
    ids=["c - x", "rsub", "two sources", "doubled", "alpha"],
)  # fmt: skip
def test_what_also_scales_or_turns_is_no_constant(change: Callable[[Tensor], Tensor]) -> None:
    assert dense_layers(Shifted(change), (4,)) is None
