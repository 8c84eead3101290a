import pytest
import torch

from lit_intriguing.data import Diabetes
from lit_intriguing.data.tensor_module import Split
from lit_intriguing.errors import UserError


def parts(data: Diabetes) -> list[Split]:
    training, held_out = data.load_training()
    return [training, *([] if held_out is None else [held_out]), data.load_test()]


def test_the_parts_hold_the_442_patients_once() -> None:
    training, held_out, test = parts(Diabetes(validation=80))
    assert [len(one.labels) for one in (training, held_out, test)] == [252, 80, 110]
    assert training.inputs.shape == (252, 10)
    assert training.labels.shape == (252, 1)
    assert {one.dtype for part in (training, test) for one in (part.inputs, part.labels)} == {
        torch.float32
    }
    rows = torch.cat([torch.cat([one.inputs, one.labels], 1) for one in (training, held_out, test)])
    assert len(rows.unique(dim=0)) == 442


def test_the_training_part_alone_has_mean_0_and_deviation_1() -> None:
    training, test = parts(Diabetes())
    for columns in (training.inputs, training.labels):
        torch.testing.assert_close(columns.mean(0), torch.zeros(columns.shape[1]))
        torch.testing.assert_close(columns.std(0), torch.ones(columns.shape[1]))
    assert (test.inputs.mean(0).abs() > 0.01).any()


def test_the_test_part_depends_on_the_split_seed_alone() -> None:
    ranks = [parts(one)[-1].labels.argsort(0) for one in (Diabetes(), Diabetes(validation=80))]
    assert torch.equal(*ranks)
    assert torch.equal(parts(Diabetes())[0].inputs, parts(Diabetes(seed=3))[0].inputs)
    assert not torch.equal(parts(Diabetes())[1].labels, parts(Diabetes(split_seed=1))[1].labels)


@pytest.mark.parametrize(
    "sizes", [{"test": 1}, {"validation": 1}, {"validation": -2}, {"test": 300, "validation": 141}]
)
def test_parts_too_small_or_too_large_are_refused(sizes: dict[str, int]) -> None:
    with pytest.raises(UserError, match="at least two of the 442"):
        Diabetes(**sizes)
