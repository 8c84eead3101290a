"""Principal components of several layers' activations, from one pass over the images."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lit_intriguing.errors import UserError
from lit_intriguing.units.directions import RunningCovariance, principal_components
from lit_intriguing.units.network_scan import Forward, Named, activations
from lit_intriguing.units.readings import Reading

PRINCIPAL = "principal components"
"""Name of that basis."""


class RunningComponents:
    """The covariances of layers' units over images that come in batches.

    Args:
        layers: Names of submodules.
        reading: From a layer's output to activations.
    """

    def __init__(self, layers: Sequence[str], reading: Reading) -> None:
        self.layers, self.reading = list(layers), reading
        self.covariances: dict[str, RunningCovariance] = {}

    def add(self, model: nn.Module, images: Tensor, forward: Forward | None = None) -> None:
        """Count further images `(n, *S)`, with one forward pass; see `activations`."""
        found = activations(model, images, self.layers, self.reading, forward)
        for layer, values in found.items():
            self._of(layer, values.shape[1]).add(values)

    def result(self) -> dict[str, Tensor]:
        """Return the components `(2 D, D)` of each layer; see `principal_components`."""
        return {layer: _components(one.result()) for layer, one in self.covariances.items()}

    def state_dict(self) -> dict[str, Any]:
        """Return what is needed to merge."""
        return {layer: one.state_dict() for layer, one in self.covariances.items()}

    def merge_state(self, state: Mapping[str, Any]) -> None:
        """Count the images of another one, given by its state."""
        for layer, inner in state.items():
            other = RunningCovariance(len(inner["mean"]))
            other.load_state_dict(inner)
            self._of(layer, len(inner["mean"])).merge(other)

    def _of(self, layer: str, units: int) -> RunningCovariance:
        return self.covariances.setdefault(layer, RunningCovariance(units))


def beside(own: Named, components: Mapping[str, Tensor]) -> Named:
    """Return own directions, and principal components `(2 D, D)` of each layer beside them.

    Raises:
        UserError: An own basis has the name of the principal components.
    """
    for layer, bases in own.items():
        if PRINCIPAL in bases:
            raise UserError(
                f"The basis name {PRINCIPAL!r} of layer {layer!r} is taken by the principal "
                "components that are asked for: give your own another name."
            )
    found = {layer: {PRINCIPAL: one} for layer, one in components.items()}
    # Own layers that are none of the network's stay, so that they are refused.
    return {layer: {**own.get(layer, {}), **found.get(layer, {})} for layer in {**own, **found}}


def _components(covariance: Tensor) -> Tensor:
    """Return principal components; the units where activations are not finite, as is told later."""
    finite = bool(covariance.isfinite().all())
    return principal_components(covariance if finite else torch.eye(len(covariance)))
