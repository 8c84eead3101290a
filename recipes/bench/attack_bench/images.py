"""The images attacked and their targets, the same for every method."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn

from lit_intriguing.attacks import RandomTargets
from lit_intriguing.data import mnist_files
from lit_intriguing.errors import UserError

OSTRICH, SIDE = 9, 227


@dataclass(frozen=True)
class Problems:
    """What is attacked.

    Attributes:
        x: Images `(N, *S)` in [0, 1].
        labels: `(N,)`.
        targets: `(N,)`.
        targeted: Whether an example is to have its target's label; else any but its own.
    """

    x: Tensor
    labels: Tensor
    targets: Tensor
    targeted: bool = True

    def first(self, count: int) -> "Problems":
        """Return the first ones."""
        part = (t[:count] for t in (self.x, self.labels, self.targets))
        return Problems(*part, self.targeted)

    def met(self, predictions: Tensor) -> Tensor:
        """Return which predictions `(N,)` are what is wanted, bool `(N,)`."""
        targeted, untargeted = predictions == self.targets, predictions != self.labels
        return targeted if self.targeted else untargeted

    def split(self, batch: int) -> list["Problems"]:
        """Return them in parts of so many images."""
        parts = (t.split(batch) for t in (self.x, self.labels, self.targets))
        return [Problems(*part, self.targeted) for part in zip(*parts, strict=True)]

    def to(self, device: torch.device) -> "Problems":
        """Return them on a device."""
        moved = (t.to(device) for t in (self.x, self.labels, self.targets))
        return Problems(*moved, self.targeted)

    def __len__(self) -> int:
        return len(self.x)


@cache
def mnist(part: str) -> tuple[Tensor, Tensor]:
    """Return all images `(N, 1, 28, 28)` and labels of `train` or `t10k`."""
    paths = mnist_files.require(None)
    images, labels = (f"{part}-{kind}-ubyte" for kind in ("images-idx3", "labels-idx1"))
    x = mnist_files.read(images, paths[images]).unsqueeze(1).float().div_(255)
    return x, mnist_files.read(labels, paths[labels]).long()


def digits(network: nn.Module, count: int, seed: int) -> Problems:
    """Return training images that the network gets right, in random order, with random targets.

    Raises:
        UserError: If there are not as many.
    """
    generator = torch.Generator().manual_seed(seed)
    x, y = mnist("train")
    order = torch.randperm(len(x), generator=generator)
    found: list[Tensor] = []
    for part in order.split(1000):
        with torch.no_grad():
            correct = network(x[part]).argmax(1) == y[part]
        found.append(part[correct])
        if sum(map(len, found)) >= count:
            break
    chosen = torch.cat(found)[:count]
    if len(chosen) < count:
        raise UserError(f"only {len(chosen)} images are classified correctly: ask for fewer")
    targets = RandomTargets()(y[chosen], torch.empty(count, 10), generator).labels
    return Problems(x[chosen], y[chosen], targets)


def photographs(network: nn.Module, count: int, seed: int, folder: Path) -> Problems:
    """Return photographs that the network gets right, in random order, all toward "ostrich".

    Args:
        network: Takes images `(N, 3, 227, 227)` to 1,000 logits.
        count: How many at most.
        seed: Of their order.
        folder: One folder a class, the classes in alphabetical order those of the network.

    Raises:
        UserError: If the folder does not have 1,000 classes.
    """
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import CenterCrop, Compose, Resize, ToTensor

    if not folder.is_dir() or sum(path.is_dir() for path in folder.iterdir()) != 1000:
        raise UserError(f"{folder} has not a folder for each of ImageNet's 1,000 classes")
    data = ImageFolder(str(folder), Compose([Resize(256), CenterCrop(SIDE), ToTensor()]))
    images, labels = [], []
    for row in torch.randperm(len(data), generator=torch.Generator().manual_seed(seed)).tolist():
        image, label = data[row]
        with torch.no_grad():
            right = network(image.unsqueeze(0)).argmax() == label
        if right and label != OSTRICH:
            images.append(image)
            labels.append(label)
        if len(images) == count:
            break
    return Problems(torch.stack(images), torch.tensor(labels), torch.full((len(images),), OSTRICH))
