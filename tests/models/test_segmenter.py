import pytest
import torch
from lightning.pytorch import Trainer
from torch import nn

from lit_intriguing.data import TensorLoader
from lit_intriguing.models import Segmenter, SmallUNet

QUIET = {
    "accelerator": "cpu",
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}


class Threshold(nn.Module):
    """Class 1 where a pixel is above a half."""

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.ones(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([0.5 - x, x - 0.5], 1) * self.slope


def test_pixel_error_and_iou_are_those_of_all_pixels_of_the_split() -> None:
    images = torch.tensor([[0.9, 0.9, 0.1, 0.1], [0.9, 0.1, 0.1, 0.1]]).view(2, 1, 2, 2)
    masks = torch.tensor([[1, 0, 0, 0], [1, 1, 0, 0]]).view(2, 2, 2)
    trainer = Trainer(**QUIET)
    found = trainer.test(Segmenter(Threshold()), TensorLoader(images, masks, 1), verbose=False)
    assert found[0]["test/pixel_error"] == pytest.approx(2 / 8)
    # Of class 1 2 of 4 pixels in either, of class 0 4 of 6.
    assert found[0]["test/iou_error"] == pytest.approx(1 - (2 / 4 + 4 / 6) / 2)


def test_it_learns_where_bright_squares_are_and_predicts_them() -> None:
    torch.manual_seed(0)
    masks = torch.zeros(32, 8, 8, dtype=torch.int64)
    for i in range(32):
        masks[i, i % 4 : i % 4 + 3, i % 5 : i % 5 + 3] = 1
    images = torch.rand(32, 1, 8, 8) * 0.5 + 0.5 * masks.unsqueeze(1)
    network = SmallUNet((4, 8), image_channels=1)
    host = Segmenter(network, optimizer=lambda p: torch.optim.Adam(p, lr=0.02))
    trainer = Trainer(max_epochs=15, log_every_n_steps=1, **QUIET)
    loader = TensorLoader(images, masks, 16)
    trainer.fit(host, loader, loader)
    assert float(trainer.callback_metrics["val/iou_error"]) < 0.2
    assert float(trainer.callback_metrics["train/loss"]) < 0.4
    (first, _) = trainer.predict(host, loader)
    assert first.shape == (16, 8, 8)
    assert (first == masks[:16]).double().mean() > 0.9
