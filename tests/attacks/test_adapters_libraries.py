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
from lit_intriguing.attacks.adapters.autoattack import load_autoattack
from lit_intriguing.robustness import evaluate_tensors
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


def small_classes(count: int = 40) -> tuple[nn.Module, Tensor, Tensor]:
    """Images of ten classes and a network that reads some of them wrongly."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(36, 16), nn.ReLU(), nn.Linear(16, 10)).eval()
    x = torch.rand(count, 1, 6, 6, generator=torch.Generator().manual_seed(1)) * 0.6 + 0.2
    labels = net(x).argmax(1)
    labels[::9] = (labels[::9] + 1) % 10
    return net, x, labels


@pytest.mark.parametrize(("norm", "size"), [("L2", 0.05), ("L2", 0.1), ("Linf", 0.02)])
def test_autoattacks_own_script_leaves_the_same_images_at_each_size(norm: str, size: float) -> None:
    attack = autoattack(eps=9.0, norm=norm, version="custom", attacks=["apgd-ce", "fab-t"], seed=3,
                        batch_size=16)  # fmt: skip
    net, x, labels = small_classes()
    name = norm.lower()
    found = evaluate_tensors(
        net, x, labels, attacks={"theirs": attack}, sizes={name: [size]}, shared=False
    )
    own = load_autoattack()(
        net, norm=norm, eps=size, version="custom", attacks=["apgd-ce", "fab-t"], seed=3,
        device="cpu",
    )  # fmt: skip
    adversarial, *_ = own.run_standard_evaluation(x, labels, batch_size=16)
    wrong = net(adversarial).argmax(1) != labels
    assert torch.equal(found.nearest(name) <= size * (1 + 1e-5), wrong)
    assert 5 < int(wrong.sum()) < 40  # the size tells something


@pytest.mark.parametrize("name", ["L2PGD", "LinfPGD"])
def test_foolboxs_own_run_fools_the_same_images_at_each_size(name: str) -> None:
    needs("foolbox")
    import foolbox as theirs

    net, x, labels = small_classes()
    read = net(x).argmax(1) == labels
    norm, sizes = ("l2", [0.2, 0.3]) if name == "L2PGD" else ("linf", [0.04, 0.06])
    made = Foolbox(of(f"foolbox.attacks.{name}", steps=10), 9.0, seed=3)
    found = evaluate_tensors(
        net, x, labels, attacks={"theirs": made}, sizes={norm: sizes}, shared=False
    )
    for trial, size in zip(found.trials, sizes, strict=True):
        torch.manual_seed(3)
        model = theirs.PyTorchModel(net, bounds=(0, 1), device="cpu")
        own = getattr(theirs.attacks, name)(steps=10)
        _, _, fooled = own(model, x[read], theirs.criteria.Misclassification(labels[read]),
                           epsilons=size)  # fmt: skip
        assert torch.equal(trial.fooled[read], fooled)
        assert 0 < int(fooled.sum()) < len(fooled)


def test_foolboxs_attacks_that_minimise_answer_all_sizes_as_its_own_run_does() -> None:
    made = foolbox("DDNAttack", steps=30)
    import foolbox as theirs

    net, x, labels = small_classes()
    read = net(x).argmax(1) == labels
    sizes = [0.1, 0.2, 0.3]
    found = evaluate_tensors(net, x, labels, attacks={"ddn": made}, sizes={"l2": sizes})
    model = theirs.PyTorchModel(net, bounds=(0, 1), device="cpu")
    own = theirs.attacks.DDNAttack(steps=30)
    criterion = theirs.criteria.Misclassification(labels[read])
    _, clipped, _ = own(model, x[read], criterion, epsilons=None)
    far = (clipped - x[read]).flatten(1).norm(dim=1)
    expected = [(int((~read).sum()) + int((far <= s).sum())) / len(x) for s in sizes]
    assert found.error("l2", sizes).tolist() == pytest.approx(expected)
    assert expected[0] < expected[-1]


@pytest.mark.parametrize(
    ("make", "norm"),
    [
        (lambda: adv_lib("pgd_linf"), torch.inf),
        (lambda: adv_lib("apgd", norm=2), 2.0),
        (lambda: adv_lib("ddn", steps=5), None),
        (lambda: foolbox("LinfPGD", 0.1), torch.inf),
        (lambda: foolbox("DDNAttack", steps=5), None),
    ],
    ids=["pgd_linf", "apgd", "ddn", "LinfPGD", "DDNAttack"],
)
def test_the_ball_of_an_attack_is_known(make: Any, norm: float | None) -> None:
    attack = make()
    assert attack.ball_norm == norm
    if norm is not None:
        net, x, labels = small_classes(8)
        radius = 0.02
        found = attack.at(radius, Bounds())(net, x, Untargeted(labels))
        away = torch.linalg.vector_norm((found.adversarial - x).flatten(1), norm, dim=1)
        assert away.max() == pytest.approx(radius, rel=1e-3)


def test_a_ball_of_another_norm_is_told_apart_from_none() -> None:
    assert autoattack(eps=0.1, norm="L1", version="rand").ball_norm == 1.0
