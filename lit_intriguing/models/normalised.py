"""A network behind the normalisation of its pixels."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lit_intriguing.errors import UserError


class Normalised(nn.Module):
    """A network for pixels of mean 0 and deviation 1, on pixels in [0, 1].

    So that bounds, distortions and norms are those of pixels, normalisation is a part of the model
    and not of the data.

    Args:
        network: Any module on images `(N, C, H, W)`; it is the submodule `network`.
        mean: Subtracted from each channel's pixels; one number for all of them, or one each.
        std: What the difference is divided by, likewise.

    Raises:
        UserError: A std is not positive.

    Example:
        >>> Normalised(nn.Identity(), [0.5], [0.25])(torch.full((1, 1, 1, 2), 0.75))
        tensor([[[[1., 1.]]]])
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        if not all(one > 0 for one in std):
            raise UserError(f"Normalised: each std must be positive, not {list(std)}.")
        self.network = network
        # Not in the state dict: weights of the network load as they are.
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return what the network puts out for images `(N, C, H, W)` with pixels in [0, 1]."""
        found: Tensor = self.network((x - self.mean) / self.std)
        return found
