import re

import pytest
import torch

from lit_intriguing.errors import UserError
from lit_intriguing.models import QuocNet

SMALL = {"input_shape": [1, 12, 12], "stages": 2, "maps": 2, "kernel": [4, 3], "pool": 2,
         "contrast": 3}  # fmt: skip


def filter_weights(size: int, channels: int, stages: int, maps: int, kernel: int, pool: int) -> int:
    """Weights by the formula `R^2 maps C k^2`, with `R = S - k + 1` and pools of stride 1."""
    total = 0
    for _ in range(stages):
        positions = size - kernel + 1
        total += positions**2 * maps * channels * kernel**2
        size, channels = positions - pool + 1, maps
    return total


def test_the_papers_size_has_over_a_billion_weights_and_needs_no_memory_to_be_made() -> None:
    with torch.device("meta"):
        network = QuocNet()
    count = sum(one.numel() for one in network.parameters())
    assert count == filter_weights(200, 3, 3, 8, 18, 5) == 1_216_858_464
    assert [stage.filters.weight.numel() for stage in network.stages] == [
        183**2 * 8 * 3 * 324,
        162**2 * 8 * 8 * 324,
        141**2 * 8 * 8 * 324,
    ]
    assert network.feature_shape == (8, 137, 137)
    assert all(one.is_meta for one in network.parameters())


def test_pools_of_stride_two_leave_a_third_of_the_weights() -> None:
    with torch.device("meta"):
        network = QuocNet(pool_stride=2)
    assert sum(one.numel() for one in network.parameters()) == 377_631_072


def test_stages_follow_each_other_with_options_of_their_own() -> None:
    torch.manual_seed(0)
    network = QuocNet(**SMALL, pixels=3)
    x = torch.rand(2, 1, 12, 12)
    by_hand = network.pixels(x)
    for stage in network.stages:
        by_hand = stage.contrast(stage.pool(stage.filters(by_hand)))
    assert torch.equal(network(x), by_hand)
    assert network(x).shape[1:] == network.feature_shape == (2, 5, 5)
    assert [stage.filters.positions.kernel for stage in network.stages] == [(4, 4), (3, 3)]
    again = QuocNet(**network.init_args)
    again.load_state_dict(network.state_dict())
    assert torch.equal(again(x), network(x))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"kernel": [4, 9]},
            "QuocNet, stage2, which gets 2 by 8 by 8: images of 8x8 pixels are smaller than a "
            "window of 9x9",
        ),
        ({"pool": [12, 2]}, "QuocNet, stage1, which gets 1 by 12 by 12: images of 9x9 pixels"),
        ({"kernel": [4, 3, 2]}, "kernel has 3 values for 2 stages: give one for each, or"),
        ({"stages": 0}, "at least one stage, not 0"),
        ({"contrast": [3, 4]}, "stage2"),
    ],
)
def test_sizes_that_do_not_fit_are_refused_with_their_stage(
    options: dict[str, object], message: str
) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        QuocNet(**{**SMALL, **options})


def test_no_images_give_no_features_and_gradients_of_zero() -> None:
    network = QuocNet(**SMALL, untied_decoder=True)
    x = torch.zeros(0, 1, 12, 12, requires_grad=True)
    y = network(x)
    assert y.shape == (0, *network.feature_shape)
    filters = network.stages[0].filters
    assert filters.decode(filters(x)).shape == x.shape
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.shape == x.shape
    assert not filters.weight.grad.any()
