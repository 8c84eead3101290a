"""Segmentations: label maps of batches, predictions inside a step."""

from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from lit_intriguing.errors import UserError
from lit_intriguing.hosts.host_rows import HostRows
from lit_intriguing.hosts.pixels import PixelWatch, label_map

N, SIDE = 2, 4
IMAGES = torch.rand(N, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
MAP = torch.arange(N * SIDE * SIDE).view(N, SIDE, SIDE) % 3


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        (MAP, MAP),
        (MAP.unsqueeze(1), MAP),
        ((MAP > 0).float(), (MAP > 0).float()),
        (MAP > 0, MAP > 0),
        (MAP / 2, None),
        (MAP[:1], None),
        (MAP[:, 0, 0], None),
        (torch.rand(N, 3, SIDE, SIDE), None),
    ],
)
def test_labels_of_pixels_are_integers_or_zeros_and_ones(labels: Tensor, found: Any) -> None:
    rows = HostRows.of((IMAGES, labels), None)
    got = label_map(rows)
    assert (got is None) == (found is None)
    assert got is None or torch.equal(got, found)


def test_the_place_of_the_labels_can_be_given() -> None:
    batch = {"image": IMAGES, "first": MAP, "second": MAP + 1}
    rows = HostRows.of(batch, None)
    for place in ("second", lambda batch: batch["second"]):
        found = label_map(rows, place)
        assert found is not None
        assert torch.equal(found, MAP + 1)


class Host(LightningModule):
    def __init__(self, output: Any) -> None:
        super().__init__()
        self.net = nn.Conv2d(3, 3, 1)
        self.output = output

    def forward(self, x: Tensor) -> Any:
        return self.output(self.net(x))


OUTPUTS: dict[str, Any] = {
    "classes": lambda z: z,
    "named out": lambda z: {"aux": z.flip(1), "out": z},
    "named logits": lambda z: {"aux": z.flip(1), "logits": z},
    "first of several": lambda z: (z, z.flip(1)),
    "one map": lambda z: z[:, :1],
    "without channels": lambda z: z[:, 0],
}


@pytest.mark.parametrize("name", OUTPUTS)
def test_predictions_are_those_of_the_modules_output(name: str) -> None:
    host = Host(OUTPUTS[name])
    watch = PixelWatch(MAP)
    with watch.entered(host, None):
        host(IMAGES)
        watch.begin()
        host(IMAGES)
        host(-IMAGES)  # only the first call counts
        found = watch.predictions()
    logits = host.net(IMAGES)
    one = name in ("one map", "without channels")
    assert found is not None
    assert torch.equal(found, (logits[:, 0] > 0).long() if one else logits.argmax(1))
    watch.begin()
    host(IMAGES)
    assert watch.predictions() is None


def test_a_child_is_watched_where_the_step_calls_no_forward() -> None:
    host = Host(OUTPUTS["classes"])
    watch = PixelWatch(MAP)
    with watch.entered(host, None):
        logits = host.net(IMAGES)
        found = watch.predictions()
    assert found is not None
    assert torch.equal(found, logits.argmax(1))


def test_the_place_of_the_logits_can_be_given() -> None:
    host = Host(lambda z: {"a": z, "b": z.flip(1), "coarse": z[..., :2, :2]})
    for output, channel in (("b", 1), (lambda out: out["b"], 1), ("a", -1)):
        watch = PixelWatch(MAP, output)
        with watch.entered(host, None):
            host(IMAGES)
            found = watch.predictions()
        logits = host.net(IMAGES)
        assert found is not None
        assert torch.equal(found, (logits.flip(1) if channel == 1 else logits).argmax(1))
    coarse = PixelWatch(MAP, "coarse")
    with coarse.entered(host, None):
        host(IMAGES)
        with pytest.raises(UserError, match=r"Nothing at output='coarse' holds logits .* function"):
            coarse.predictions()


def test_zeros_and_ones_beside_several_channels_are_no_segmentation() -> None:
    host = Host(OUTPUTS["classes"])
    watch = PixelWatch((MAP > 0).float())
    with watch.entered(host, None):
        host(IMAGES)
        assert watch.predictions() is None
