"""Features of images, from another network than the one that is tested."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from lit_intriguing.autograd import preserved
from lit_intriguing.errors import UserError
from lit_intriguing.splice import kind

Features = Callable[[Tensor], Tensor]
"""Maps images `(n, *S)` to features `(n, F)`; a module runs in evaluation mode."""


def features_of(features: Features, batches: Iterable[Tensor]) -> Tensor:
    """Return the features of images that come in batches.

    Args:
        features: Of which network.
        batches: Images `(n, *S)`.

    Returns:
        `(N, F)`, float32, on the CPU.

    Raises:
        UserError: The features are not one vector of the same length for each image.
    """
    found: list[Tensor] = []
    for images in batches:
        values = _features(features, images)
        if found and values.shape[1] != found[0].shape[1]:
            raise UserError(
                f"The features have length {found[0].shape[1]} for some images and "
                f"{values.shape[1]} for others."
            )
        found.append(values)
    return torch.cat(found)


def device_of(model: nn.Module) -> torch.device:
    """Return the device of a module's parameters; the CPU where it has none."""
    return next((p.device for p in model.parameters()), torch.device("cpu"))


def _features(features: Features, images: Tensor) -> Tensor:
    with torch.no_grad():
        if isinstance(features, nn.Module):
            with preserved(features):
                values = features(images.to(device_of(features)))
        else:
            values = features(images)
    if not isinstance(values, Tensor) or values.ndim != 2 or len(values) != len(images):
        raise UserError(
            f"Features must be a tensor ({len(images)}, F) for {len(images)} images, not "
            f"{kind(values)}."
        )
    return values.detach().cpu().float()
