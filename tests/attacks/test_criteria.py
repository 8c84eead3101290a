"""What counts as adversarial, and how goals choose it."""

import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from lit_intriguing.attacks import (
    Goal,
    RandomTargets,
    SecondLikeliest,
    TargetClass,
    Targeted,
    TrueLabels,
    Untargeted,
)
from tests.oracles import chi_square, second_likeliest

LOGITS = torch.tensor([[0.0, 2.0, 1.0], [3.0, 0.0, 1.0], [0.0, 1.0, 5.0]])
LABELS = torch.tensor([1, 1, 2])


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_targeted_is_met_by_the_label_and_untargeted_by_any_other() -> None:
    assert Targeted(LABELS).met(LOGITS).tolist() == [True, False, True]
    assert Untargeted(LABELS).met(LOGITS).tolist() == [False, True, False]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("criterion", [Targeted, Untargeted])
@pytest.mark.parametrize("column", [0, 1, 2])
def test_row_with_a_logit_that_is_not_finite_never_counts(
    bad: float, criterion: type, column: int
) -> None:
    for label in range(3):
        logits = LOGITS.clone()
        logits[0, column] = bad
        assert not criterion(torch.tensor([label, 1, 2])).met(logits)[0]


def test_losses_are_each_rows_cross_entropy_with_the_sign_to_decrease() -> None:
    each = torch.stack(
        [F.cross_entropy(z[None], y[None]) for z, y in zip(LOGITS, LABELS, strict=True)]
    )
    torch.testing.assert_close(Targeted(LABELS).loss(LOGITS), each)
    torch.testing.assert_close(Untargeted(LABELS).loss(LOGITS), -each)


@pytest.mark.parametrize("criterion", [Targeted, Untargeted])
@pytest.mark.parametrize("rows", [torch.tensor([2, 0]), torch.tensor([True, False, True])])
def test_select_keeps_the_kind_and_the_labels_of_the_rows(
    criterion: type, rows: torch.Tensor
) -> None:
    some = criterion(LABELS).select(rows)
    assert type(some) is criterion
    assert torch.equal(some.labels, LABELS[rows])
    assert len(some) == 2


def test_labels_of_any_integer_type_will_do() -> None:
    for dtype in (torch.uint8, torch.int32, torch.int64):
        criterion = Targeted(LABELS.to(dtype))
        assert criterion.labels.dtype == torch.int64
        assert criterion.loss(LOGITS).shape == (3,)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (torch.tensor([1.0, 2.0]), r"torch.float32 of shape \(2,\)"),
        (torch.tensor([[1], [2]]), r"torch.int64 of shape \(2, 1\)"),
        (torch.tensor(1), r"torch.int64 of shape \(\)"),
        (torch.tensor([1j]), r"torch.complex64 of shape \(1,\)"),
    ],
)
def test_other_labels_are_refused_with_their_kind(labels: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=f"integer labels of shape .* not {message}"):
        Targeted(labels)


def test_random_targets_are_never_true_and_uniform_over_the_rest() -> None:
    rows, classes = 9000, 10
    labels = torch.arange(rows) % classes
    criterion = RandomTargets()(labels, torch.zeros(rows, classes), source())
    assert isinstance(criterion, Targeted)
    assert not (criterion.labels == labels).any()
    for label in range(classes):
        counts = criterion.labels[labels == label].bincount(minlength=classes).tolist()
        del counts[label]
        # 8 degrees of freedom; ten tests at one in ten thousand each.
        assert chi_square(counts, rows / classes / (classes - 1)) < 31.8


def test_random_targets_follow_their_generator_alone() -> None:
    labels, logits = torch.arange(50) % 10, torch.zeros(50, 10)
    before = torch.get_rng_state()
    first, second, other = (RandomTargets()(labels, logits, source(s)).labels for s in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)


def test_second_likeliest_is_the_largest_wrong_logit() -> None:
    logits = torch.randn(40, 6, generator=source())
    labels = torch.randint(6, (40,), generator=source(1))
    kept = logits.clone()
    criterion = SecondLikeliest()(labels, logits, source())
    assert isinstance(criterion, Targeted)
    assert torch.equal(criterion.labels, second_likeliest(logits, labels))
    assert torch.equal(logits, kept)


def test_true_labels_are_to_be_left() -> None:
    criterion = TrueLabels()(LABELS, LOGITS, source())
    assert isinstance(criterion, Untargeted)
    assert torch.equal(criterion.labels, LABELS)


@pytest.mark.parametrize("goal", [RandomTargets(), SecondLikeliest()])
def test_goal_that_needs_a_wrong_label_refuses_a_single_class(goal: Goal) -> None:
    with pytest.raises(ValueError, match="at least two classes"):
        goal(torch.zeros(3).long(), torch.zeros(3, 1), source())


def test_one_class_is_the_target_of_all_but_those_of_it_or_taken_for_it() -> None:
    goal = TargetClass(2)
    labels = torch.tensor([0, 1, 2, 0])
    criterion = goal(labels, torch.zeros(4, 3), source())
    assert criterion.labels.tolist() == [2, 2, 2, 2]
    left_out = goal.left_out(labels, torch.tensor([0, 2, 1, 1]))
    assert left_out.tolist() == [False, True, True, False]
    assert not RandomTargets().left_out(labels, labels).any()


def test_a_class_that_the_model_does_not_have_is_refused_and_the_advice_works() -> None:
    labels, logits = torch.zeros(2).long(), torch.zeros(2, 3)
    with pytest.raises(ValueError, match="the model has 3 classes, 0 to 2; label is 3"):
        TargetClass(3)(labels, logits, source())
    assert TargetClass(2)(labels, logits, source()).labels.tolist() == [2, 2]
    with pytest.raises(ValueError, match="counted from 0; label is -1"):
        TargetClass(-1)


class Fixed(Goal):
    """A goal of a project's own, with an option."""

    def __init__(self, target: int) -> None:
        self.target = target

    def __call__(
        self, labels: torch.Tensor, logits: torch.Tensor, generator: torch.Generator
    ) -> Targeted:
        return Targeted(torch.full_like(labels, self.target))


def test_goals_are_equal_by_kind_and_options() -> None:
    assert RandomTargets() == RandomTargets()
    assert hash(RandomTargets()) == hash(RandomTargets())
    assert RandomTargets() != SecondLikeliest()
    assert Fixed(1) == Fixed(1)
    assert Fixed(1) != Fixed(2)
