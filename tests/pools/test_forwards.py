"""Examples of a layer replace activations of the forward they belong to."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lit_intriguing.attacks import GradientAttack
from lit_intriguing.pools.forwards import Descent, LayerCalls
from lit_intriguing.pools.generation import Batch
from lit_intriguing.pools.joining import Joined, join
from lit_intriguing.pools.perturbed_layer import PerturbedLayer
from lit_intriguing.splice import Splice, SpliceError

N, M = 4, 3


class _Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return 2 * x


X, OTHER = torch.rand(N, 2), torch.rand(N + M, 2)
ACTIVATION = torch.full((M, 5), 9.0)


class Host(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2, 5), nn.Linear(5, 3))

    def hit(self, x: Tensor) -> bool:
        """Whether the layer's output of these rows was replaced."""
        return bool((self.net[0](x) == 9).any())


def joined() -> Joined:
    drawn = {
        "inputs": torch.rand(M, 2),
        "labels": torch.zeros(M, dtype=torch.int64),
        "activation": ACTIVATION,
    }
    layers = {"net.0": PerturbedLayer(GradientAttack(0.1))}
    return join(Batch(X, torch.zeros(N, dtype=torch.int64)), {"net.0": drawn}, layers)


def run(step: Callable[[Host, Tensor], list[bool]], traced: bool = True) -> list[list[bool]]:
    """The rows replaced in each call of three steps."""
    host, calls, found = Host(), LayerCalls(traced), []
    splice = Splice(host, ["net.0"])
    for _ in range(3):
        one = joined()
        with splice.edited(calls.edits(one), repeated=True), calls.forward(one):
            found.append(step(host, one.inputs))
    return found


STEPS: dict[str, tuple[Callable[[Host, Tensor], list[bool]], list[bool]]] = {
    "one forward": (lambda host, x: [host.hit(x)], [True]),
    "normalised": (lambda host, x: [host.hit((x - x.mean(0)) / x.std(0))], [True]),
    "others behind, as many": (lambda host, x: [host.hit(x), host.hit(OTHER)], [True, False]),
    "others before, as many": (lambda host, x: [host.hit(OTHER), host.hit(x)], [False, True]),
    "made of noise": (lambda host, x: [host.hit(torch.rand_like(x)), host.hit(x)], [False, True]),
    "more others": (lambda host, x: [host.hit(OTHER.repeat(2, 1)), host.hit(x)], [False, True]),
    "fewer others": (lambda host, x: [host.hit(OTHER[:2]), host.hit(x)], [False, True]),
    "twice the batch": (lambda host, x: [host.hit(x), host.hit(x * 2)], [True, True]),
}


@pytest.mark.parametrize(("step", "wanted"), STEPS.values(), ids=STEPS)
def test_only_the_forward_of_the_joined_batch_is_edited(
    step: Callable[[Host, Tensor], list[bool]], wanted: list[bool]
) -> None:
    assert run(step) == [wanted] * 3


def test_a_forward_that_comes_later_in_training_is_left_alone() -> None:
    seen = []

    def step(host: Host, x: Tensor) -> list[bool]:
        seen.append(x)
        return [host.hit(x), *([host.hit(OTHER)] if len(seen) > 1 else [])]

    assert run(step) == [[True], [True, False], [True, False]]


def test_one_call_counts_where_the_inputs_cannot_be_followed() -> None:
    found = run(lambda host, x: [host.hit(torch.from_numpy(x.numpy() + 0))])
    assert found == [[True]] * 3


def test_several_calls_that_cannot_be_followed_are_refused() -> None:
    def step(host: Host, x: Tensor) -> list[bool]:
        return [host.hit(torch.from_numpy(x.numpy() + 0)), host.hit(OTHER)]

    with pytest.raises(SpliceError, match=r"several times on as many rows.* keep_out=True"):
        run(step)
    with pytest.raises(SpliceError, match=r"several times on as many rows.* keep_out=True"):
        run(step, traced=False)


@pytest.mark.parametrize("rows", [N, 2 * (N + M)])
def test_a_layer_that_never_has_the_joined_batch_is_refused(rows: int) -> None:
    with pytest.raises(SpliceError, match=f"length {rows} where {N + M} examples were expected"):
        run(lambda host, x: [host.hit(torch.rand(rows, 2))])


def test_descent_is_followed_through_writes_and_lists() -> None:
    source = torch.rand(3, 2)
    with Descent(source) as descent:
        buffer = torch.zeros(3, 2)
        buffer[1:] = source[1:]
        assert buffer in descent
        assert torch.cat([torch.zeros(1, 2), source]) in descent
        assert source.split(1)[0] in descent
        assert _Doubled.apply(source) in descent
        assert torch.zeros_like(source) + source.new_ones(()) not in descent
        assert not descent.lost
        source.numpy()
        assert descent.lost
