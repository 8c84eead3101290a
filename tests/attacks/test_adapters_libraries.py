"""The adapters against the libraries themselves, each skipped where it is not installed."""

import random
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lit_intriguing.attacks import (
    AdversarialLibrary,
    Attack,
    AutoAttack,
    Foolbox,
    Targeted,
    Torchattacks,
    Untargeted,
)
from lit_intriguing.types import Bounds
from tests.oracles import Linear

# Of the libraries, not of this package.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def needs(*packages: str) -> None:
    """Skips unless one of the packages is there."""
    for package in packages[:-1]:
        try:
            __import__(package)
        except ImportError:
            continue
        return
    pytest.importorskip(
        packages[-1], reason=f"{packages[-1]} is not installed", exc_type=ImportError
    )


def of(path: str, **options: Any) -> dict[str, Any]:
    return {"class_path": path, "init_args": options}


def foolbox(name: str, epsilon: float | None = None, **options: Any) -> Attack:
    needs("foolbox")
    return Foolbox(of(f"foolbox.attacks.{name}", **options), epsilon)


def adv_lib(name: str, **options: Any) -> Attack:
    needs("adv_lib")
    return AdversarialLibrary(of(f"adv_lib.attacks.{name}", **options))


def torchattacks(name: str, **options: Any) -> Attack:
    needs("torchattacks")
    return Torchattacks(of(f"torchattacks.{name}", **options))


def autoattack(**options: Any) -> Attack:
    needs("autoattack", "pyautoattack")
    return AutoAttack(**options)


ATTACKS = {
    "foolbox DDN": lambda: foolbox("DDNAttack", steps=100),
    "foolbox PGD": lambda: foolbox("L2PGD", 1.5, steps=20),
    "adv_lib ddn": lambda: adv_lib("ddn", steps=100, levels=None),
    "adv_lib pdgd": lambda: adv_lib("pdgd", num_steps=100),
    "torchattacks PGDL2": lambda: torchattacks("PGDL2", eps=1.5, alpha=0.3),
    "torchattacks OnePixel": lambda: torchattacks("OnePixel", steps=2),
    "AutoAttack": lambda: autoattack(eps=0.3, version="custom", attacks=["apgd-ce"]),
}
UNTARGETED_ONLY = {"AutoAttack"}
MINIMAL = ["foolbox DDN", "adv_lib ddn"]


def problem(rows: int = 6) -> tuple[nn.Module, Tensor, Tensor]:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Tanh(), nn.Flatten(), nn.Linear(64, 5)
    ).eval()
    x = torch.rand(rows, 1, 6, 6, generator=torch.Generator().manual_seed(1)) * 0.6 + 0.2
    return net, x, net(x).argmax(1)


@pytest.mark.parametrize("name", ATTACKS)
def test_no_trace_inside_the_bounds_and_the_same_again(name: str) -> None:
    attack = ATTACKS[name]()
    net, x, labels = problem()
    net[0].weight.grad = torch.ones_like(net[0].weight)
    kept = {key: value.clone() for key, value in net.state_dict().items()}
    states = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    found = attack(net, x, Untargeted(labels))
    assert torch.equal(torch.get_rng_state(), states[0])
    assert np.random.get_state()[1].tolist() == states[1]
    assert random.getstate() == states[2]
    assert torch.equal(net[0].weight.grad, torch.ones_like(net[0].weight))
    assert net[4].weight.grad is None
    assert not any(m.training for m in net.modules())
    assert all(torch.equal(value, kept[key]) for key, value in net.state_dict().items())
    assert bool(Bounds().contains(found.adversarial).all())
    assert torch.equal(found.success, net(found.adversarial).argmax(1) != labels)
    again = attack(net, x, Untargeted(labels))
    assert torch.equal(found.adversarial, again.adversarial)
    if name != "torchattacks OnePixel":
        assert found.success.any()
        assert bool((found.queries > 0).all())
    else:
        assert not found.queries.any()
        assert bool((found.info["forwards"] > 0).all())
        assert (found.adversarial != x).flatten(1).sum(1).max() == 1


@pytest.mark.parametrize("name", sorted(ATTACKS.keys() - UNTARGETED_ONLY))
def test_targets_are_the_libraries_targets(name: str) -> None:
    attack = ATTACKS[name]()
    net, x, labels = problem()
    towards = (labels + 1) % 5
    found = attack(net, x, Targeted(towards))
    score = nn.functional.cross_entropy(net(found.adversarial), towards)
    assert score < nn.functional.cross_entropy(net(x), towards)


@pytest.mark.parametrize("name", MINIMAL)
def test_minimal_attacks_come_near_a_linear_models_closed_form(name: str) -> None:
    attack = ATTACKS[name]()
    net = Linear(16, 2, scale=0.5)
    x = torch.full((4, 1, 4, 4), 0.5) + 0.1 * torch.randn(
        4, 1, 4, 4, generator=torch.Generator().manual_seed(3)
    )
    logits = net.float()(x)
    labels = logits.argmax(1)
    normal = net.weight[0] - net.weight[1]
    nearest = (logits[:, 0] - logits[:, 1]).abs() / normal.norm()
    found = attack(net, x, Untargeted(labels))
    assert found.success.all()
    length = (found.adversarial - x).flatten(1).norm(dim=1)
    assert bool((length >= nearest * 0.9999).all())
    assert bool((length <= nearest * 1.1).all())


@pytest.mark.parametrize("name", MINIMAL)
def test_normalised_images_are_attacked_in_pixels(name: str) -> None:
    attack = ATTACKS[name]()
    net, x, labels = problem()
    mean, std = 0.3, 0.25
    normalised = (x - mean) / std
    bounds = Bounds([(0 - mean) / std], [(1 - mean) / std])
    plain = attack(net, x, Untargeted(labels))
    found = attack(lambda z: net(z * std + mean), normalised, Untargeted(labels), bounds=bounds)
    torch.testing.assert_close(found.distortion * std, plain.distortion, rtol=1e-2, atol=0)
    assert bool(bounds.contains(found.adversarial).all())


@pytest.mark.parametrize("name", ["foolbox DDN", "adv_lib pdgd", "torchattacks PGDL2"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_precisions_keep_their_dtype(name: str, dtype: torch.dtype) -> None:
    attack = ATTACKS[name]()
    net, x, labels = problem()
    found = attack(net.to(dtype), x.to(dtype), Untargeted(labels))
    assert found.adversarial.dtype == dtype
    assert found.success.any()


def test_foolbox_rows_without_a_starting_point_fail_alone() -> None:
    needs("foolbox")
    attack = Foolbox(of("foolbox.attacks.BoundaryAttack", steps=2), one_by_one=True)

    def settled(x: Tensor) -> Tensor:
        return torch.tensor([[1.0, 0.0]]).expand(len(x), 2) + 0 * x.flatten(1)[:, :2]

    x = problem()[1][:2]
    with pytest.warns(UserWarning, match="failed to draw sufficient random inputs"):
        found = attack(settled, x, Untargeted(torch.tensor([0, 0])))
    assert torch.equal(found.adversarial, x)
    assert not found.success.any()


def test_foolbox_attacks_of_fixed_size_ask_for_one() -> None:
    needs("foolbox")
    with pytest.raises(ValueError, match="foolbox's L2ProjectedGradientDescentAttack needs"):
        Foolbox("foolbox.attacks.L2PGD")
    with pytest.raises(ValueError, match=r"DDNAttack has no option 'step'\. Did you mean 'steps'"):
        Foolbox(of("foolbox.attacks.DDNAttack", step=3))
