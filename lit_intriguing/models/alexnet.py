"""The AlexNet of 2012, whose layers table 5 of the paper bounds."""

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn.functional import relu


def response_normalisation() -> nn.Module:
    """Return the local response normalisation of Krizhevsky et al. 2012, section 3.3.

    Theirs is `x / (2 + 1e-4 * sum of 5 channels' squares)^0.75`; torch multiplies by their mean.
    """
    return nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)


class AlexNet(nn.Module):
    """AlexNet (Krizhevsky et al. 2012) on images `(N, 3, 227, 227)`; not torchvision's variant.

    Its layers are the submodules `conv1` to `conv5` and `fc1` to `fc3`, each with a ReLU but the
    last. `norm1` and `norm2` come after the first two; a max pool of 3x3 pixels with stride 2 comes
    after these and after `conv5`. The weights are drawn as theirs were: N(0, 0.01^2), biases 1 in
    `conv2`, `conv4`, `conv5`, `fc1` and `fc2`, else 0.

    Args:
        groups: 2 as on their two GPUs: in `conv2`, `conv4` and `conv5` each group takes half of the
            channels. 1 for the shapes in table 5, such as 96x5x5x256.
        classes: Number of logits.
        normalisation: Makes `norm1` and `norm2`; `response_normalisation` is theirs,
            `ContrastNormalisation` what section 4.3 of Szegedy et al. 2013 bounds.
        dropout: Probability of dropping an input of `fc1` and `fc2`.

    Raises:
        ValueError: For a number of groups that is not 1 or 2, or no class.

    Examples:
        >>> import torch
        >>> AlexNet(classes=5)(torch.zeros(2, 3, 227, 227)).shape
        torch.Size([2, 5])
    """

    def __init__(
        self,
        groups: int = 2,
        classes: int = 1000,
        normalisation: Callable[[], nn.Module] = response_normalisation,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.init_args = {
            "groups": groups,
            "classes": classes,
            "normalisation": normalisation,
            "dropout": dropout,
        }
        if groups not in (1, 2):
            raise ValueError(f"AlexNet has 2 groups, or 1 as table 5 writes it, not {groups}.")
        if classes < 1:
            raise ValueError(f"AlexNet needs at least one class, not {classes}.")
        self.conv1 = nn.Conv2d(3, 96, 11, stride=4)
        self.norm1 = normalisation()
        self.pool1 = nn.MaxPool2d(3, stride=2)
        self.conv2 = nn.Conv2d(96, 256, 5, padding=2, groups=groups)
        self.norm2 = normalisation()
        self.pool2 = nn.MaxPool2d(3, stride=2)
        self.conv3 = nn.Conv2d(256, 384, 3, padding=1)
        self.conv4 = nn.Conv2d(384, 384, 3, padding=1, groups=groups)
        self.conv5 = nn.Conv2d(384, 256, 3, padding=1, groups=groups)
        self.pool5 = nn.MaxPool2d(3, stride=2)
        self.dropout = nn.Dropout(dropout)
        self.fc1 = nn.Linear(256 * 6 * 6, 4096)
        self.fc2 = nn.Linear(4096, 4096)
        self.fc3 = nn.Linear(4096, classes)
        self._initialise()

    def forward(self, x: Tensor) -> Tensor:
        """Return logits `(N, classes)` of images `(N, 3, 227, 227)`."""
        x = self.pool1(self.norm1(relu(self.conv1(x))))
        x = self.pool2(self.norm2(relu(self.conv2(x))))
        x = relu(self.conv4(relu(self.conv3(x))))
        x = self.pool5(relu(self.conv5(x))).flatten(1)
        x = relu(self.fc1(self.dropout(x)))
        x = relu(self.fc2(self.dropout(x)))
        logits: Tensor = self.fc3(x)
        return logits

    def _initialise(self) -> None:
        """Initialise as Krizhevsky et al. 2012, section 5."""
        for name, layer in self.named_children():
            if isinstance(layer, nn.Conv2d | nn.Linear) and layer.bias is not None:
                nn.init.normal_(layer.weight, std=0.01)
                ones = name in ("conv2", "conv4", "conv5", "fc1", "fc2")
                nn.init.constant_(layer.bias, float(ones))
