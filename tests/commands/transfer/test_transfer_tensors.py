"""The matrix on tensors, against a slow and obvious count; what fails is marked."""

import re

import pytest
import torch

from lit_intriguing.attacks import Attack, BoxLBFGS, Found, GradientAttack
from lit_intriguing.commands.attack import attack_tensors
from lit_intriguing.commands.transfer import TransferJob, transfer_tensors
from lit_intriguing.commands.transfer.transfer_tensors import evaluate
from lit_intriguing.errors import UsageError
from lit_intriguing.model_sets.examples import made_for
from lit_intriguing.model_sets.predictions import ChunkInputs
from tests.commands.transfer.small import Loud, NeverCorrect, examples, network, trained

JOB = TransferJob(noise=(0.2,), amplify=(0.3,), chunk=16)


@pytest.fixture(scope="module")
def models():
    return {"a": trained(0), "b": trained(1)}


@pytest.fixture(scope="module")
def table(models):
    return transfer_tensors(models, *examples(), JOB)


def marks(table, title):
    return [cell.mark for cell in table.row(title).cells]


def test_each_cell_is_the_share_of_the_successes_that_the_column_gets_wrong(models, table):
    images, labels = examples()
    for maker, model in models.items():
        made = attack_tensors(model, BoxLBFGS(), images, labels, only_correct=False, chunk=16)
        reached = made.success.nonzero().squeeze(1).tolist()
        row = table.row(f"for {maker}")
        assert row.counted == len(reached) > 20
        for cell, other in zip(row.cells, models.values(), strict=True):
            predictions = other(made.adversarial).argmax(1)
            assert cell.wrong == sum(int(predictions[r] != labels[r]) for r in reached)
            assert cell.images == len(reached)
        assert row.distortions.mean == pytest.approx(
            float(made.distortion[made.success & (made.distortion > 0)].double().mean())
        )


def test_a_model_is_always_wrong_on_its_own_examples_and_targets_are_the_same_for_all(
    models, table
):
    for column, name in enumerate(models):
        assert table.row(f"for {name}").cells[column].error == 100.0
    images, labels = examples()
    found = [made_for(model, images, labels, JOB, 0).targets for model in models.values()]
    assert torch.equal(*found)


def test_rows_are_clean_adversarial_noise_amplified(table):
    assert [row.title for row in table.rows] == [
        "clean", "for a", "for b", "noise 0.2", "for a, amplified to 0.3",
        "for b, amplified to 0.3",
    ]  # fmt: skip
    assert not table.marks
    assert not table.errors.isnan().any()
    assert table.row("noise 0.2").distortions.mean == pytest.approx(0.2, rel=0.1)
    assert table.row("for a, amplified to 0.3").distortions.deviation < 1e-6


def test_the_matrix_costs_one_forward_pass_for_each_pair(models):
    images, labels = examples(10)
    made = {name: made_for(model, images, labels, JOB, 0) for name, model in models.items()}
    before = {name: model.passes for name, model in models.items()}
    evaluate(ChunkInputs(models, list(models), images, labels, 0, lambda name, _: made[name]), JOB)
    sets = len(JOB.sets(models))
    for name, model in models.items():
        assert model.passes - before[name] == sets - 1  # its own examples: known since they exist


def test_only_correct_leaves_out_rows_that_the_attacked_model_gets_wrong(models):
    images, labels = examples()
    wrong = labels.clone()
    wrong[:5] = (wrong[:5] + 1) % 3
    every = transfer_tensors(models, images, wrong, TransferJob(chunk=16))
    right = transfer_tensors(models, images, wrong, TransferJob(chunk=16, only_correct=True))
    assert every.row("for a").counted - right.row("for a").counted >= 4
    assert right.row("for a").cells[0].error == 100.0


class Hopeless(Attack):
    def search(self, model, x, criterion, *, bounds, generator):
        return Found(x, torch.zeros(len(x), dtype=torch.int64))


def test_an_attack_without_any_success_leaves_marked_cells(models):
    images, labels = examples()
    right = torch.stack([model(images).argmax(1) == labels for model in models.values()]).all(0)
    job = TransferJob(Hopeless(), amplify=(0.3,))
    table = transfer_tensors(models, images[right], labels[right], job)
    for title in ("for a", "for b", "for a, amplified to 0.3"):
        assert marks(table, title) == ["empty set", "empty set"]
        assert [cell.error for cell in table.row(title).cells] == [None, None]
    assert marks(table, "clean") == ["", ""]
    assert table.marks == ["empty set"]


def test_a_model_that_is_never_right_is_marked_in_its_whole_column(models):
    job = TransferJob(GradientAttack(eps=3.0, steps=3), noise=(0.1,))
    table = transfer_tensors({**models, "never": NeverCorrect()}, *examples(), job)
    assert marks(table, "clean") == ["", "", "never right"]
    assert marks(table, "noise 0.1")[2] == "never right"
    assert table.row("clean").cells[2].error == 100.0


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Loud(), r"does not take images of shape \(6,\): RuntimeError: out of order"),
        (network(0, inputs=5), r"does not take images of shape \(6,\)"),
        (network(0, classes=4), "it has 4 classes, 'a' has 3"),
        (lambda x: x.sum(1), "does not take images"),
        (lambda x: x[:, :3] / 0, "its logits are not finite"),
    ],
    ids=["fails", "other inputs", "other classes", "no logits", "not finite"],
)
def test_a_model_that_does_not_fit_is_marked_and_the_others_keep_their_numbers(
    model, message, models, table
):
    found = transfer_tensors({**models, "odd": model}, *examples(), JOB)
    assert list(found.failures) == ["odd"]
    assert re.search(message, found.failures["odd"])
    assert marks(found, "for odd") == ["failed"] * 3
    for row in table.rows:
        cells = found.row(row.title).cells
        assert cells[:2] == row.cells
        assert cells[2].mark == "failed"


def test_a_function_that_cannot_be_attacked_is_still_evaluated(models):
    def stiff(x):
        return models["a"](x).detach().round(decimals=2)

    table = transfer_tensors({**models, "stiff": stiff}, *examples(), TransferJob(chunk=16))
    assert table.row("for a").cells[2].error > 50
    assert marks(table, "for a") == ["", "", ""]


def test_models_are_left_as_they_were(models):
    model = models["a"].train()
    before = [value.clone() for value in model.state_dict().values()]
    state = torch.get_rng_state()
    transfer_tensors(models, *examples(), JOB)
    assert model.training
    assert all(torch.equal(*pair) for pair in zip(before, model.state_dict().values(), strict=True))
    assert torch.equal(state, torch.get_rng_state())
    model.eval()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"noise": (0.0,)}, "noise: a stddev is positive and finite, not 0.0"),
        ({"amplify": (0.1, 0.1)}, "amplify holds a stddev twice"),
        ({"chunk": 0}, "chunk must be at least 1"),
        ({"seed": -1}, "seed must not be negative"),
    ],
)
def test_numbers_out_of_range_are_refused(options, message, models):
    with pytest.raises(UsageError, match=message):
        transfer_tensors(models, *examples(), TransferJob(**options))


def test_no_images_are_refused(models):
    with pytest.raises(ValueError, match="no images"):
        transfer_tensors(models, torch.zeros(0, 6), torch.zeros(0).long())
