"""VirtualAdversarial against the eigenvector of the divergence's Hessian."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lit_intriguing.attacks import VirtualAdversarial
from lit_intriguing.attacks.divergence import Diverged, divergence
from lit_intriguing.types import UNBOUNDED, Bounds

N, FEATURES, CLASSES, EPS = 4, 7, 3, 0.3


def network(dtype: torch.dtype = torch.float64) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(FEATURES, 9), nn.Tanh(), nn.Linear(9, CLASSES)).to(dtype)


def inputs(dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.rand(N, FEATURES, generator=torch.Generator().manual_seed(1)).to(dtype)


def directions(net: nn.Module, x: Tensor, **options: Any) -> Tensor:
    attack = VirtualAdversarial(EPS, **options)
    found = attack(net, x, Diverged(net(x)), bounds=UNBOUNDED)
    return (found.adversarial - found.clean) / EPS


@pytest.mark.parametrize(("dtype", "xi"), [(torch.float64, 1e-5), (torch.float32, 1e-3)])
def test_many_iterations_find_the_leading_eigenvector_of_the_hessian(
    dtype: torch.dtype, xi: float
) -> None:
    found = directions(network(dtype), inputs(dtype), xi=xi, iterations=60).double()
    net = network()
    for x, direction in zip(inputs(), found, strict=True):
        clean = net(x.unsqueeze(0)).detach()

        def diverged(moved: Tensor, clean: Tensor = clean) -> Tensor:
            return divergence(clean, net(moved.unsqueeze(0))).sum()

        hessian = torch.autograd.functional.hessian(diverged, x)
        leading = torch.linalg.eigh(hessian).eigenvectors[:, -1]
        assert abs(leading @ direction) > 0.999


def test_one_iteration_is_the_hessian_times_a_random_direction() -> None:
    net, x = network(), inputs()
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0)).to(x)
    for row, direction, start in zip(x, directions(net, x, xi=1e-5), noise, strict=True):
        clean = net(row.unsqueeze(0)).detach()

        def diverged(moved: Tensor, clean: Tensor = clean) -> Tensor:
            return divergence(clean, net(moved.unsqueeze(0))).sum()

        wanted = torch.autograd.functional.hessian(diverged, row) @ start
        torch.testing.assert_close(direction, wanted / wanted.norm(), rtol=1e-3, atol=1e-4)


def test_the_perturbation_has_the_length_asked_for_and_stays_in_bounds() -> None:
    net, x = network(torch.float32), inputs(torch.float32)
    assert directions(net, x).norm(dim=1).tolist() == pytest.approx([1.0] * N)
    found = VirtualAdversarial(5.0)(net, x, Diverged(net(x)), bounds=Bounds())
    assert found.adversarial.min() >= 0
    assert found.adversarial.max() <= 1


def test_a_flat_model_leaves_the_random_direction() -> None:
    def flat(x: Tensor) -> Tensor:
        return x[:, :CLASSES] * 0

    assert directions(flat, inputs()).norm(dim=1).tolist() == pytest.approx([1.0] * N)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"eps": 0.0}, "eps must be positive and finite: 0.0"),
        ({"eps": 1.0, "xi": -1e-3}, "xi must be positive"),
        ({"eps": 1.0, "iterations": 0}, "iterations must be at least 1"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        VirtualAdversarial(**options)
