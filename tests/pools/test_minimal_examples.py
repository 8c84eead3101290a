"""Searches for minimal examples, BoxLBFGS, for the input and hidden layers of a network."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lit_intriguing.attacks import BoxLBFGS, Goal, Targeted
from lit_intriguing.pools import PerturbedLayer
from lit_intriguing.pools.generation import (
    Batch,
    Examples,
    GenerationError,
    Spliced,
    check_examples,
    generate,
)
from lit_intriguing.splice import Splice
from lit_intriguing.types import Bounds

FEATURES, CLASSES = 6, 4
BOXES = {nn.Sigmoid: Bounds(), nn.ReLU: Bounds(0.0, torch.inf)}


class Network(nn.Module):
    """Two hidden layers; each class has its part of every layer's box."""

    def __init__(self, activation: type[nn.Module] = nn.Sigmoid) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.lower = nn.Sequential(nn.Linear(FEATURES, 8), activation())
        self.middle = nn.Sequential(nn.Linear(8, 8), activation())
        self.upper = nn.Linear(8, CLASSES)
        for linear in (self.lower[0], self.middle[0], self.upper):
            nn.init.orthogonal_(linear.weight, 6.0)
            with torch.no_grad():
                linear.bias.copy_(-0.5 * linear.weight.sum(1))

    def forward(self, x: Tensor) -> Tensor:
        return self.upper(self.middle(self.lower(x)))


def spliced(net: nn.Module) -> Spliced:
    return Spliced(net, Splice(net, ["lower", "middle"]))


def batch(rows: int = 40) -> Batch:
    source = torch.Generator().manual_seed(1)
    x = torch.rand(rows, FEATURES, generator=source)
    return Batch(x, torch.randint(CLASSES, (rows,), generator=source))


def plan(mode: str = "fast", **options: Any) -> PerturbedLayer:
    # Fewer at a time than there are examples, so that they queue.
    return PerturbedLayer(BoxLBFGS(mode, batch_size=16), **{"bounds": Bounds(), **options})


def make(
    net: nn.Module, layers: dict[str, PerturbedLayer], rows: Batch | None = None
) -> dict[str, Examples]:
    return generate(spliced(net), rows or batch(), layers, {}, torch.Generator().manual_seed(0))


@pytest.mark.integration
@pytest.mark.parametrize("mode", ["fast", "paper"])
@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize("activation", [nn.Sigmoid, nn.ReLU])
def test_minimal_examples_of_every_layer_reach_random_targets_inside_their_box(
    mode: str, relative: bool, activation: type[nn.Module]
) -> None:
    net, rows = Network(activation), batch()
    box = BOXES[activation]
    layers = {
        "": plan(mode, relative=relative),
        "lower": plan(mode, relative=relative, bounds=box),
        "middle": plan(mode, relative=relative, bounds=box),
    }
    made = make(net, layers)
    for name, examples in made.items():
        assert isinstance(examples.criterion, Targeted)
        assert (examples.criterion.labels != rows.labels).all()
        assert (layers[name].bounds or box).contains(examples.adversarial).all()
        success = examples.success(spliced(net), name, rows.x)
        assert success.float().mean() > 0.9
        assert 0 < examples.distortion()[success].mean() < 1
        moved = ~examples.unmoved()
        assert torch.equal(moved, success & ~examples.spared)
        shorter = examples.clean + 0.95 * (examples.adversarial - examples.clean)
        near = Examples(examples.clean, shorter, examples.criterion, None)
        # Few are left: a class's region need not be convex.
        assert near.success(spliced(net), name, rows.x)[moved].float().mean() < 0.2


def test_length_in_units_of_the_spread_changes_nothing_of_a_minimal_example() -> None:
    net = Network()
    absolute, relative = (make(net, {"middle": plan(relative=r)})["middle"] for r in (False, True))
    torch.testing.assert_close(relative.distortion(), absolute.distortion(), rtol=0.02, atol=1e-5)


class First(Goal):
    """Toward the label that the first row has already, and some others."""

    def __call__(self, labels: Tensor, logits: Tensor, generator: torch.Generator) -> Targeted:
        return Targeted(torch.full_like(labels, int(logits[0].argmax())))


@pytest.mark.parametrize("relative", [False, True])
def test_examples_that_reach_the_goal_unperturbed_give_no_warning(relative: bool) -> None:
    layer = plan(goal=First(), relative=relative)
    examples = make(Network(), {"middle": layer})["middle"]
    assert 0 < examples.unmoved().sum() < len(examples.clean)
    assert not examples.stuck().any()
    assert check_examples("middle", layer, examples) is None
    one = Batch(batch().x[:1], batch().labels[:1])
    alone = make(Network(), {"": plan(goal=First())}, one)[""]
    assert alone.unmoved().all()
    assert check_examples("", plan(), alone) is None


def without_class(net: Network, label: int) -> Network:
    """No hidden activation between 0 and 1 is read as the label."""
    with torch.no_grad():
        net.upper.bias[label] -= 100
    return net


def test_examples_without_an_example_inside_the_bounds_are_reported_and_stay_unchanged() -> None:
    net, layer = without_class(Network(), 3), plan()
    examples = make(net, {"middle": layer})["middle"]
    assert isinstance(examples.criterion, Targeted)
    wanted = examples.criterion.labels == 3
    assert torch.equal(examples.stuck(), wanted)
    assert torch.equal(examples.adversarial[wanted], examples.clean[wanted])
    message = check_examples("middle", layer, examples)
    assert message is not None
    assert f"'middle': {int(wanted.sum())} of 40 examples have a zero" in message
    assert "or no point within the bounds, and stay unperturbed" in message
    assert "a model that has learnt little may need a later start_step" in message


def test_network_without_any_example_inside_the_bounds_is_refused() -> None:
    net = Network()
    for label in range(1, CLASSES):
        net = without_class(net, label)
    layer = plan()
    rows = Batch(batch().x, torch.zeros_like(batch().labels))
    examples = make(net, {"middle": layer}, rows)["middle"]
    with pytest.raises(GenerationError, match=r"'middle'.*no point lies .* later start_step"):
        check_examples("middle", layer, examples)
