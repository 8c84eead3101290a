"""Networks of a few inputs, with which a transfer study takes no time."""

import torch
from torch import Tensor, nn

CLASSES, INPUTS = 3, 6


class Counting(nn.Sequential):
    """Counts its forward passes without gradients."""

    passes = 0

    def forward(self, x: Tensor) -> Tensor:
        if not torch.is_grad_enabled():
            self.passes += 1
        return super().forward(x)


class Loud(nn.Module):
    """Fails."""

    def forward(self, x: Tensor) -> Tensor:
        raise RuntimeError("out of order")


class NeverCorrect(nn.Module):
    """Predicts the class after the correct one, with a gradient."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, [2, 0, 1]]


def network(seed: int, classes: int = CLASSES, inputs: int = INPUTS) -> Counting:
    torch.manual_seed(seed)
    return Counting(nn.Linear(inputs, 8), nn.Tanh(), nn.Linear(8, classes))


def examples(count: int = 30) -> tuple[Tensor, Tensor]:
    """Inputs in [0, 1]; the label is which of the first three is the largest."""
    images = torch.rand(count, INPUTS, generator=torch.Generator().manual_seed(5))
    return images, images[:, :CLASSES].argmax(1)


def trained(seed: int) -> Counting:
    model = network(seed)
    images, labels = examples(300)
    optimiser = torch.optim.Adam(model.parameters(), 0.05)
    for _ in range(60):
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(images), labels).backward()
        optimiser.step()
    return model.eval()
