import pytest
import torch

from lit_intriguing.metrics import TransferRates, transfer_rates

SETS, MODELS, ROWS = 3, 2, 20


def answers_and_labels():
    generator = torch.Generator().manual_seed(0)
    answers = torch.randint(0, 4, (SETS, MODELS, ROWS), generator=generator)
    return answers, torch.randint(0, 4, (ROWS,), generator=generator)


def counted_rows(*shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(1)) < 0.6


@pytest.mark.parametrize("shape", [(SETS, 1, ROWS), (1, MODELS, ROWS), (SETS, MODELS, ROWS)])
def test_each_rate_is_the_share_of_wrong_answers_among_the_counted_rows(shape):
    answers, labels = answers_and_labels()
    counted = counted_rows(*shape)
    found = transfer_rates(answers, labels, counted)
    for s in range(SETS):
        for m in range(MODELS):
            rows = [
                r for r in range(ROWS) if counted[min(s, shape[0] - 1), min(m, shape[1] - 1), r]
            ]
            wrong = sum(int(answers[s, m, r] != labels[r]) for r in rows)
            assert float(found[s, m]) == pytest.approx(wrong / len(rows))


def test_a_set_without_counted_rows_has_no_rate():
    answers, labels = answers_and_labels()
    counted = torch.ones(SETS, 1, ROWS, dtype=torch.bool)
    counted[1] = False
    found = transfer_rates(answers, labels, counted)
    assert found[1].isnan().all()
    assert not found[[0, 2]].isnan().any()


def test_batches_of_any_size_give_what_one_batch_gives():
    answers, labels = answers_and_labels()
    counted = counted_rows(SETS, 1, ROWS)
    metric = TransferRates(SETS, MODELS)
    for rows in torch.arange(ROWS).split(7):
        metric.update(answers[..., rows], labels[rows], counted[..., rows])
    assert torch.equal(metric.compute(), transfer_rates(answers, labels, counted))


@pytest.mark.parametrize(
    ("answers", "labels", "counted", "message"),
    [
        ((2, 3), (3,), None, r"not \(2, 3\) and \(3,\)"),
        ((1, 2, 3), (4,), None, r"not \(1, 2, 3\) and \(4,\)"),
        ((1, 2, 3), (3,), torch.ones(1, 1, 3), "counted must be bool"),
        ((1, 2, 3), (3,), torch.ones(3).bool(), "counted must be bool of shape"),
    ],
)
def test_wrong_shapes_are_refused(answers, labels, counted, message):
    with pytest.raises(ValueError, match=message):
        transfer_rates(torch.zeros(answers).long(), torch.zeros(labels).long(), counted)


def test_the_metric_refuses_other_numbers_of_sets_and_models():
    with pytest.raises(ValueError, match="answers of 3 sets and 2 models, expected 2 and 2"):
        TransferRates(2, 2).update(*answers_and_labels())
    with pytest.raises(ValueError, match="at least 1, not 0 and 2"):
        TransferRates(0, 2)
