import itertools

import pytest
import torch
from torch import Tensor

from lit_intriguing.data import Digits, DigitsOnPhotographs
from lit_intriguing.data.digits_on_photographs import SHARES, Part, _photographs
from lit_intriguing.data.tensor_module import Split
from lit_intriguing.errors import UserError


def data(**options: int) -> DigitsOnPhotographs:
    return DigitsOnPhotographs(**{"digits": Digits(), "examples": 40, "test": 30, **options})


def parts(one: DigitsOnPhotographs) -> list[Split]:
    training, held_out = one.load_training()
    return [training, *([] if held_out is None else [held_out]), one.load_test()]


def test_images_are_of_colours_in_0_to_1_and_masks_mark_a_digit_in_each() -> None:
    for part, count in zip(parts(data(validation=20)), (40, 20, 30), strict=True):
        assert part.inputs.shape == (count, 3, 24, 24)
        assert part.inputs.dtype == torch.float32
        assert 0 <= part.inputs.min() < part.inputs.max() <= 1
        assert part.labels.shape == (count, 24, 24)
        assert part.labels.dtype == torch.int64
        assert set(part.labels.unique().tolist()) == {0, 1}
        ink = part.labels.flatten(1).double().mean(1)
        assert 0.02 < ink.min() < ink.max() < 0.4


def test_which_digit_a_pixel_is_of_can_be_asked() -> None:
    digits = Digits().load_test().labels[:30]
    masks = data(which=True).load_test().labels
    assert torch.equal(masks.flatten(1).amax(1), 1 + digits)
    assert torch.equal(masks > 0, data().load_test().labels > 0)


def test_outside_the_digit_stands_the_part_s_own_part_of_a_photograph() -> None:
    names: list[Part] = ["train", "validation", "test"]
    for name, part in zip(names, parts(data(validation=20)), strict=True):
        # The corner pixel is ink of no digit as long as the digit leaves it free.
        corners = part.inputs[:, :, 0, 0]
        free = part.labels[:, :2, :2].flatten(1).sum(1) == 0
        found = torch.tensor([_columns_of(one, name) for one in corners[free]])
        assert found.double().mean() > 0.9


def _columns_of(pixel: Tensor, name: Part) -> bool:
    """Whether one of the part's columns holds a pixel of exactly this colour."""
    held = []
    for photograph in _photographs():
        first, end = (int(share * photograph.shape[2]) for share in SHARES[name])
        held.append((photograph[:, :, first:end] == pixel[:, None, None]).all(0).any())
    return any(held)


def test_no_two_parts_share_a_column_of_a_photograph() -> None:
    ends = sorted(SHARES.values())
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(ends))


def test_images_depend_on_the_split_seed_alone() -> None:
    for one, other in zip(parts(data()), parts(data(seed=5)), strict=True):
        assert torch.equal(one.inputs, other.inputs)
        assert torch.equal(one.labels, other.labels)
    assert not torch.equal(data().load_test().inputs, data(split_seed=1).load_test().inputs)
    longer = data(validation=20).load_training()[0]
    assert torch.equal(longer.inputs, data().load_training()[0].inputs)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 17}, "size must be from the digits' 18 to 60"),
        ({"size": 61}, "size must be from the digits' 18 to 60"),
        ({"validation": -1}, "must not be negative"),
        ({"test": 0}, "test must be at least 1"),
    ],
)
def test_sizes_out_of_range_are_refused(options: dict[str, int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        data(**options)


def test_more_images_than_digits_are_refused_with_what_to_ask_for() -> None:
    message = r"1438 images for training .* Digits has 1437: ask for fewer"
    with pytest.raises(UserError, match=message):
        data(examples=1400, validation=38).load_training()
    assert len(data(examples=1400, validation=37).load_training()[0].labels) == 1400
