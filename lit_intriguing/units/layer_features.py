"""Features of images that a layer of a network gives."""

from torch import Tensor, nn

from lit_intriguing.units.layers import matching_layers
from lit_intriguing.units.network_scan import activations
from lit_intriguing.units.readings import Mean, Reading


class LayerFeatures(nn.Module):
    """What a layer of a trained network puts out, as features to compare images by.

    Args:
        network: Any module on images, with its weights.
        layer: Name of a submodule.
        reading: From its output to features `(N, F)`; by default the mean over positions.
        name: What figures and tables call them; by default the network's class and the layer.

    Raises:
        UserError: There is no such layer.

    Examples:
        >>> import torch
        >>> network = nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(), nn.Conv2d(5, 2, 3))
        >>> LayerFeatures(network, "1")(torch.rand(4, 3, 8, 8)).shape
        torch.Size([4, 5])
    """

    def __init__(
        self,
        network: nn.Module,
        layer: str,
        reading: Reading | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__()
        (self.layer,) = matching_layers(network, [layer])
        self.network = network.eval()
        self.reading = reading or Mean()
        self.name = name or f"{type(network).__name__}, layer {layer}"

    def forward(self, images: Tensor) -> Tensor:
        """Return features `(N, F)` of images `(N, *S)`."""
        return activations(self.network, images, [self.layer], self.reading)[self.layer]

    def extra_repr(self) -> str:
        """Return what tells these features from another layer's, by which results are stored."""
        return f"{self.layer!r}, {self.reading!r}"
