"""Examples that stay adversarial in a file of a few bits."""

import math

import pytest
import torch
from torch import Tensor, nn

from lit_intriguing.attacks import BoxLBFGS, GaussianNoise, Survives, Targeted, Untargeted
from lit_intriguing.attacks.base import Attack, Found
from lit_intriguing.types import UNBOUNDED, Bounds


def network() -> nn.Module:
    """So steep that the nearest examples are less than a grey level away."""
    with torch.random.fork_rng([]):
        torch.manual_seed(6)
        return nn.Sequential(
            nn.Flatten(), nn.Linear(300, 40), nn.ReLU(), nn.Linear(40, 4)
        ).eval()  # fmt: skip


def images(rows: int = 16) -> Tensor:
    """Images as a file of 8 bits holds them."""
    generator = torch.Generator().manual_seed(2)
    return torch.randint(60, 200, (rows, 3, 10, 10), generator=generator).float() / 255


def stored(x: Tensor) -> Tensor:
    """What is read back from a file of 8 bits."""
    return (x * 255).round().byte().float() / 255


def targets(x: Tensor) -> Targeted:
    return Targeted((network()(x).argmax(1) + 1) % 4)


def test_what_is_read_back_from_a_file_has_the_target() -> None:
    x = images()
    criterion = targets(x)
    plain = BoxLBFGS()(network(), x, criterion)
    assert plain.success.all()
    assert not criterion.met(network()(stored(plain.adversarial))).all()
    found = Survives(BoxLBFGS())(network(), x, criterion)
    assert found.success.all()
    assert torch.equal(stored(found.adversarial), found.adversarial)
    assert criterion.met(network()(stored(found.adversarial))).all()
    assert found.distortion.mean() < 2 * plain.distortion.mean()
    assert torch.equal(found.queries, plain.queries)


def test_the_factor_is_the_least_power_that_is_enough() -> None:
    x = images()
    criterion = targets(x)
    plain = BoxLBFGS()(network(), x, criterion)
    found = Survives(BoxLBFGS())(network(), x, criterion)
    for row, factor in enumerate(found.info["factor"].tolist()):
        one = criterion.select(torch.tensor([row]))
        power = round(math.log(factor) / math.log(1.05))
        assert factor == pytest.approx(1.05**power)
        for smaller in range(power + 1):
            r = plain.adversarial[row] - x[row]
            met = one.met(network()(stored((x[row] + 1.05**smaller * r).clamp(0, 1)[None])))
            assert bool(met) == (smaller == power)


def test_bits_are_counted_between_the_limits_of_each_channel() -> None:
    mean, std = torch.tensor([0.4, 0.5, 0.6]), torch.tensor([0.2, 0.3, 0.25])
    bounds = Bounds((0 - mean) / std, (1 - mean) / std)

    def normalised(x: Tensor) -> Tensor:
        return (x - mean.view(3, 1, 1)) / std.view(3, 1, 1)

    def model(x: Tensor) -> Tensor:
        return network()(x * std.view(3, 1, 1) + mean.view(3, 1, 1))

    x = images()
    found = Survives(BoxLBFGS(), bits=4)(model, normalised(x), targets(x), bounds=bounds)
    assert found.success.any()
    pixels = (found.adversarial * std.view(3, 1, 1) + mean.view(3, 1, 1))[found.success]
    torch.testing.assert_close(15 * pixels, (15 * pixels).round(), atol=1e-3, rtol=0)


def test_where_nothing_survives_the_clean_example_comes_back() -> None:
    x, labels = images(), network()(images()).argmax(1)
    found = Survives(GaussianNoise(1e-6))(network(), x, Untargeted(labels))
    assert not found.success.any()
    assert found.info["factor"].isnan().all()
    assert torch.equal(found.adversarial, x)


def test_rows_go_to_the_model_and_blocks_are_kept() -> None:
    x = images()
    shift = torch.randn(16, 3, 10, 10, generator=torch.Generator().manual_seed(3)) * 0.01
    sizes = []

    def model(x: Tensor, rows: Tensor | None = None) -> Tensor:
        sizes.append(len(x))
        return network()(x + (shift if rows is None else shift[rows]))

    criterion = Untargeted(model(x).argmax(1))
    sizes.clear()
    found = Survives(BoxLBFGS(batch_size=5))(model, x, criterion)
    assert found.success.all()
    assert max(sizes) <= 5
    assert criterion.met(network()(stored(found.adversarial) + shift)).all()


def test_what_cannot_be_rounded_is_refused() -> None:
    x = images(2)
    with pytest.raises(ValueError, match="between infinite limits have no bits"):
        Survives(BoxLBFGS())(network(), x, targets(x), bounds=UNBOUNDED)
    for bits in (0, 17):
        with pytest.raises(ValueError, match=f"bits must lie between 1 and 16, not {bits}"):
            Survives(BoxLBFGS(), bits)
    assert Survives(BoxLBFGS())(network(), x[:0], Untargeted([])).info["factor"].shape == (0,)


class Wedge(nn.Module):
    """Three classes of which the line from the clean image crosses the second for a moment."""

    def forward(self, x: Tensor) -> Tensor:
        """A sum of 150 pixels leads across the second class into the third, 150 others into it."""
        u, v = (255 * (part - 0.4).sum(1) / 60 for part in x.flatten(1).split(150, 1))
        return torch.stack([torch.zeros_like(u), 1.01 * u - 1 + v, 2 * u - 1.995], 1)


class Given(Attack):
    """Moves the first half of the pixels by two fifths of a grey level."""

    def search(self, model, x, criterion, *, bounds, generator):
        moved = x.clone()
        moved.view(len(x), -1)[:, :150] += 0.4 / 255
        return Found(moved, torch.ones(len(x), dtype=torch.int64), {})


def test_gradient_steps_lead_inside_where_the_line_leads_into_another_class() -> None:
    x = torch.full((2, 3, 10, 10), 0.4)
    criterion = Targeted([1, 1])
    plain = Given()(Wedge(), x, criterion)
    assert plain.success.all()
    for power in range(44):  # no multiple survives
        line = x + 1.05**power * (plain.adversarial - x)
        assert not criterion.met(Wedge()(stored(line))).any()
    found = Survives(Given())(Wedge(), x, criterion)
    assert found.success.all()
    assert torch.equal(stored(found.adversarial), found.adversarial)
    lengths = [(one.adversarial - x).flatten(1).norm(dim=1) for one in (found, plain)]
    torch.testing.assert_close(found.info["factor"], lengths[0] / lengths[1])
    assert (found.queries > plain.queries).all()
