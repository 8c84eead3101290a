"""A digits network that was trained adversarially, and faults planted around it."""

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from lit_intriguing.attacks import GradientAttack, Untargeted
from lit_intriguing.data import Digits

EPS = 0.15


@cache
def digits() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return training images and labels, and 100 test images and labels."""
    data = Digits()
    train, _ = data.load_training()
    test = data.load_test()
    return train.inputs, train.labels, test.inputs[:100], test.labels[:100]


@cache
def trained(steps: int, seed: int = 0) -> nn.Sequential:
    """Return a network trained on PGD examples of so many steps in Linf; 0 for clean ones."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
        images, labels, _, _ = digits()
        optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
        for _ in range(40):
            for rows in torch.randperm(len(images)).split(128):
                x, y = images[rows], labels[rows]
                if steps:
                    attack = GradientAttack(EPS, "inf", steps, random_start=True)
                    x = attack(model, x, Untargeted(y)).adversarial
                optimizer.zero_grad()
                cross_entropy(model(x), y).backward()
                optimizer.step()
    return model.eval()


class Around(nn.Module):
    """A network with a function before it and one behind it."""

    def __init__(
        self,
        network: nn.Module,
        before: Callable[[Tensor], Tensor] = lambda x: x,
        behind: Callable[[Tensor], Tensor] = lambda z: z,
    ) -> None:
        super().__init__()
        self.network, self.before, self.behind = network, before, behind

    def forward(self, x: Tensor) -> Tensor:
        return self.behind(self.network(self.before(x)))


class Rounded(Around):
    """A network that rounds its inputs, and needs no arguments."""

    def __init__(self) -> None:
        super().__init__(trained(5), before=quantised)


class Detached(nn.Module):
    """Half of the logits come by a way that has no gradient."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.branch = trained(0, seed=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x) + self.branch(x.detach())


def quantised(x: Tensor) -> Tensor:
    """Round pixels to four levels."""
    return (x * 3).round() / 3


def noisy(x: Tensor) -> Tensor:
    """Add random numbers to pixels."""
    return x + 0.1 * torch.randn_like(x)


def saturated(logits: Tensor) -> Tensor:
    """Apply a softmax that is 0 or 1."""
    return (100 * logits).softmax(1)
