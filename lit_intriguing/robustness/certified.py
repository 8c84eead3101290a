"""Distances within which a network's predictions provably stay, of its Lipschitz bounds."""

from dataclasses import dataclass

from torch import Tensor, nn

from lit_intriguing.lipschitz.certificate import certified_radius, float64_logits
from lit_intriguing.lipschitz.dense.layers import dense_layers
from lit_intriguing.lipschitz.dense.sharpest import sharpest_norms
from lit_intriguing.lipschitz.network import network_norm
from lit_intriguing.lipschitz.norm import Norm
from lit_intriguing.lipschitz.unwrapped import full_weight, unwrapped


@dataclass(frozen=True)
class Certificate:
    """What certifies predictions of a network as it is.

    Attributes:
        model: A copy of its structure, on its own weights.
        norms: What `certified_radius` takes.
    """

    model: nn.Module
    norms: Norm | Tensor

    def distances(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Return how far each prediction provably stays, by norm, float64 `(N,)`.

        Zero where it is wrong. A step of length e in Linf is at most `sqrt(n) e` long in L2, with n
        elements.

        Args:
            images: `(N, *S)`.
            labels: `(N,)`.
        """
        radii = certified_radius(float64_logits(self.model, images), self.norms, labels)
        radii = radii.to(images.device)
        return {"l2": radii, "linf": radii / images[0].numel() ** 0.5}


def certificate_of(
    model: nn.Module, shape: tuple[int, ...], *, every: bool, sharpest: bool
) -> Certificate | None:
    """Bound a network, as it is now.

    Args:
        model: From examples to logits.
        shape: Of one example.
        every: Whether to bound networks of all kinds, which may take minutes; else stacks of dense
            layers alone.
        sharpest: Whether to bound pairs of classes, where there are few hidden units: some seconds
            for better radii.

    Returns:
        None where the network has no finite bound, or is none to be bounded.
    """
    copy = unwrapped(model, full_weight)
    try:
        if not every and dense_layers(copy, shape) is None:
            return None
        found = network_norm(copy, shape)
    except ValueError:
        return None
    if not found.norm.finite or found.norm.kind not in ("exact", "upper"):
        return None
    return Certificate(copy, sharpest_norms(copy, found, shape) if sharpest else found.norm)
