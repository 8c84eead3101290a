import pytest
import torch

from lit_intriguing.errors import UserError
from lit_intriguing.models import SmallUNet


@pytest.mark.parametrize("channels", [(4,), (4, 8), (4, 8, 16)])
def test_each_pixel_gets_logits_and_a_gradient(channels: tuple[int, ...]) -> None:
    network = SmallUNet(channels, classes=5, image_channels=1)
    images = torch.rand(2, 1, 8, 12, requires_grad=True)
    logits = network(images)
    assert logits.shape == (2, 5, 8, 12)
    logits.square().sum().backward()
    assert (images.grad != 0).any()
    assert all((one.grad != 0).any() for one in network.parameters() if one.ndim > 1)


def test_a_change_far_away_reaches_a_pixel_by_the_smaller_sizes_alone() -> None:
    def reach(channels: tuple[int, ...]) -> int:
        network = SmallUNet(channels).eval()
        images = torch.rand(1, 3, 32, 32, requires_grad=True)
        network(images)[0, 0, 16, 16].backward()
        return int((images.grad.abs().sum((0, 1)) > 0).any(0).sum())

    torch.manual_seed(0)
    assert reach((8,)) == 3
    assert reach((8, 8)) > 3
    assert reach((8, 8, 8)) > reach((8, 8))


def test_sizes_that_cannot_be_halved_are_refused_with_what_fits() -> None:
    with pytest.raises(UserError, match="multiples of 4"):
        SmallUNet()(torch.zeros(1, 3, 24, 26))
    assert SmallUNet()(torch.zeros(1, 3, 24, 28)).shape == (1, 2, 24, 28)


@pytest.mark.parametrize(
    "options", [{"channels": []}, {"channels": [8, 0]}, {"classes": 0}], ids=str
)
def test_no_channel_or_class_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(UserError, match="at least one channel and class"):
        SmallUNet(**options)
