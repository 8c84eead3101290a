import pytest
import torch

from lit_intriguing.errors import UserError
from lit_intriguing.units.readings import Centre, Maximum, Mean, Reading, Token


@pytest.mark.parametrize("reading", [Mean(), Maximum(), Centre()])
def test_units_without_positions_stay_as_they_are(reading: Reading) -> None:
    output = torch.randn(3, 5)
    assert torch.equal(reading(output), output)


def test_positions_of_any_number_of_dimensions() -> None:
    output = torch.randn(3, 5, 4, 7)
    torch.testing.assert_close(Mean()(output), output.mean((2, 3)))
    assert torch.equal(Maximum()(output), output.amax((2, 3)))
    assert torch.equal(Centre()(output), output[:, :, 2, 3])
    assert torch.equal(Centre()(output[:, :, 0]), output[:, :, 0, 3])


def test_units_in_the_last_dimension() -> None:
    output = torch.randn(3, 6, 5)
    torch.testing.assert_close(Mean(units=-1)(output), output.mean(1))
    assert torch.equal(Token(-1)(output), output[:, -1])


def test_half_precision_is_summed_in_single() -> None:
    output = torch.full((1, 1, 300, 300), 1.001, dtype=torch.bfloat16)
    assert Mean()(output).dtype == torch.float32
    torch.testing.assert_close(Mean()(output)[0, 0], output[0, 0, 0, 0].float())


@pytest.mark.parametrize(
    ("reading", "shape"),
    [
        (Mean(), (3,)),
        (Mean(2), (3, 4)),
        (Mean(0), (3, 4)),
        (Token(), (3, 4)),
        (Token(5), (3, 5, 2)),
    ],
)
def test_outputs_that_do_not_fit(reading: Reading, shape: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match=r"shape|token 5 of 5"):
        reading(torch.zeros(shape))
