"""Errors at all sizes against closed forms, and how attacks share their work."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lit_intriguing.attacks import Attack, BoxLBFGS, Found, GradientAttack
from lit_intriguing.robustness import Evaluation, evaluate_tensors
from lit_intriguing.robustness.certified import certificate_of
from lit_intriguing.robustness.plan import plan
from lit_intriguing.robustness.sizes import checked_sizes
from lit_intriguing.types import Bounds

SIZES = {"l2": [0.1, 0.2, 0.4], "linf": [0.02, 0.05]}
WIDE = Bounds(-10.0, 10.0)


class Halves(nn.Module):
    """Two classes on both sides of a plane; the nearest other side is known."""

    def __init__(self) -> None:
        super().__init__()
        self.map = nn.Linear(16, 2)
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            self.map.weight.copy_(torch.randn(2, 16, generator=generator))
            self.map.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        return self.map(x.flatten(1))

    def distances(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """From the plane, in L2 and in Linf."""
        normal = (self.map.weight[0] - self.map.weight[1]).double()
        away = (x.flatten(1).double() @ normal).abs()
        return (away / normal.norm()).detach(), (away / normal.abs().sum()).detach()


def problem(count: int = 40) -> tuple[Halves, Tensor, Tensor]:
    model = Halves()
    x = 0.2 * torch.randn(count, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    labels = model(x).argmax(1)
    labels[:3] = 1 - labels[:3]  # read wrongly
    return model, x, labels


class Counting(Attack):
    """An attack in a ball that notes how many examples it is given, and moves each by `eps`."""

    seen: list[tuple[float, int]]

    def __init__(self, eps: float, seen: list[tuple[float, int]]) -> None:
        self.eps, self.seen = eps, seen

    @property
    def ball_norm(self) -> float:
        return 2.0

    def at(self, radius: float, bounds: Bounds) -> "Counting":
        return Counting(radius, self.seen)

    def search(self, model: Any, x: Tensor, criterion: Any, **options: Any) -> Found:
        self.seen.append((self.eps, len(x)))
        found = GradientAttack(self.eps)(model, x, criterion, bounds=options["bounds"])
        return Found(found.adversarial, found.queries)


def test_the_nearest_examples_answer_all_sizes_as_the_closed_form_does() -> None:
    model, x, labels = problem()
    found = evaluate_tensors(
        model, x, labels, attacks={"near": BoxLBFGS()}, sizes=SIZES, bounds=WIDE
    )
    exact, _ = model.distances(x)
    exact[:3] = 0.0
    torch.testing.assert_close(found.nearest("l2"), exact, rtol=5e-3, atol=1e-6)
    for size, error in zip(SIZES["l2"], found.error("l2", SIZES["l2"]).tolist(), strict=True):
        sure = (exact < 0.99 * size).double().mean(), (exact < 1.01 * size).double().mean()
        assert sure[0] <= error <= sure[1]
    assert found.wrong.sum() == 3
    assert len(found.trials) == 1
    assert not found.trials[0].tried[:3].any()
    assert not found.queries[:3].any()


def test_an_attack_in_a_ball_of_linf_answers_at_its_sizes_as_the_closed_form_does() -> None:
    model, x, labels = problem()
    fgsm = {"fgsm": GradientAttack(1.0, "inf")}
    sizes = {"linf": SIZES["linf"]}
    found = evaluate_tensors(model, x, labels, attacks=fgsm, sizes=sizes, bounds=WIDE)
    _, exact = model.distances(x)
    exact[:3] = 0.0
    expected = [(exact < size).double().mean() for size in sizes["linf"]]
    assert found.error("linf", sizes["linf"]).tolist() == expected
    assert 3 / 40 < expected[0] < expected[1] < 1  # the sizes tell something


def test_examples_that_are_fooled_already_are_left_out_unless_attacks_are_to_stand_alone() -> None:
    model, x, labels = problem()
    exact, _ = model.distances(x)
    exact[:3] = 0.0
    left = [int((exact > size).sum()) for size in (0.0, 0.1, 0.2)]
    for shared, counts in ((True, left), (False, [37, 37, 37])):
        seen: list[tuple[float, int]] = []
        attacks: dict[str, Attack] = {"ball": Counting(1.0, seen)}
        found = evaluate_tensors(
            model, x, labels, attacks=attacks, sizes={"l2": SIZES["l2"]}, bounds=WIDE, shared=shared
        )
        assert seen == list(zip(SIZES["l2"], counts, strict=True))
        expected = [float((exact < size).double().mean()) for size in SIZES["l2"]]
        assert found.error("l2", SIZES["l2"]).tolist() == expected


def test_a_later_attack_leaves_out_what_an_earlier_one_fooled_and_has_no_work_left() -> None:
    model, x, labels = problem()
    seen: list[tuple[float, int]] = []
    attacks: dict[str, Attack] = {"near": BoxLBFGS(), "ball": Counting(1.0, seen)}
    found = evaluate_tensors(model, x, labels, attacks=attacks, sizes={"l2": [5.0]}, bounds=WIDE)
    assert seen == []
    assert not found.trials[1].tried.any()
    assert found.trials[1].distances["l2"].isnan().all()
    assert found.error("l2", [5.0]).item() == 1.0
    assert found.error("l2", [5.0], ["ball"]).item() == 3 / 40


def test_what_an_attack_finds_depends_neither_on_others_nor_on_what_is_asked_beside() -> None:
    model, x, labels = problem()
    sizes = {"l2": [0.2]}
    restarts = GradientAttack(1.0, steps=3, random_start=True)
    alone = evaluate_tensors(model, x, labels, attacks={"pgd": restarts}, sizes=sizes, bounds=WIDE)
    beside = evaluate_tensors(
        model, x, labels, attacks={"near": BoxLBFGS(), "pgd": restarts}, sizes=sizes, bounds=WIDE,
        shared=False,
    )  # fmt: skip
    assert torch.equal(alone.nearest("l2"), beside.nearest("l2", ["pgd"]))


def test_chunks_are_put_together_and_columns_give_the_evaluation_back() -> None:
    model, x, labels = problem()
    attacks: dict[str, Attack] = {"near": BoxLBFGS(), "pgd": GradientAttack(1.0, "inf")}
    certificate = certificate_of(model, (1, 4, 4), every=False, sharpest=True)
    options: dict[str, Any] = {"attacks": attacks, "sizes": SIZES, "certificate": certificate}
    whole = evaluate_tensors(model, x, labels, bounds=WIDE, **options)
    parts = evaluate_tensors(model, x, labels, bounds=WIDE, chunk=7, **options)
    assert torch.equal(whole.wrong, parts.wrong)
    torch.testing.assert_close(whole.nearest("l2"), parts.nearest("l2"), rtol=1e-3, atol=0)
    runs = plan(attacks, checked_sizes(SIZES), WIDE)
    again = Evaluation.of(whole.columns(), runs)
    for norm in SIZES:
        assert torch.equal(again.nearest(norm), whole.nearest(norm))
        assert torch.equal(again.certified[norm], whole.certified[norm])
    assert [(one.attack, one.norm, one.size) for one in again.trials] == [
        (run.name, run.norm, run.size) for run in runs
    ]
    assert torch.equal(again.queries, whole.queries)


def test_nothing_is_found_inside_the_certified_distances() -> None:
    model, x, labels = problem()
    certificate = certificate_of(model, (1, 4, 4), every=False, sharpest=True)
    found = evaluate_tensors(
        model, x, labels, attacks={"near": BoxLBFGS()}, sizes=SIZES, bounds=WIDE,
        certificate=certificate,
    )  # fmt: skip
    exact, _ = model.distances(x)
    read = ~found.wrong
    assert (found.nearest("l2")[read] >= found.certified["l2"][read]).all()
    near = found.certified["l2"][read] / exact[read]
    assert (near > 0.5).all()
    assert (near <= 1).all()
    assert not found.certified["l2"][~read].any()
    torch.testing.assert_close(found.certified["linf"] * 4, found.certified["l2"])
    proved = found.uncertified("l2", [0.1, 0.2])
    assert proved is not None
    assert (proved >= found.error("l2", [0.1, 0.2])).all()


def test_a_network_without_a_bound_has_no_certificate() -> None:
    class Odd(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.flatten(1).exp()

    assert certificate_of(Odd(), (1, 4, 4), every=True, sharpest=True) is None
    convolution = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten())
    assert certificate_of(convolution, (1, 4, 4), every=False, sharpest=False) is None
    assert certificate_of(convolution, (1, 4, 4), every=True, sharpest=False) is not None


def test_no_examples_and_wrong_numbers_are_refused() -> None:
    model, x, labels = problem()
    with pytest.raises(ValueError, match="0 examples"):
        evaluate_tensors(model, x[:0], labels[:0])
    with pytest.raises(ValueError, match="chunk must be at least 1"):
        evaluate_tensors(model, x, labels, chunk=0)
