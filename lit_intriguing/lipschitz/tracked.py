"""A network's bound between two certifications, tracked by estimates of its linear layers."""

import math
from collections.abc import Iterable, Mapping
from typing import cast

import torch
from torch import Tensor, nn

from lit_intriguing.lipschitz.layer_bounds import NetworkNorm
from lit_intriguing.lipschitz.layers.normalisation import BatchNorm, channel_scale
from lit_intriguing.lipschitz.linear_map import linear_map
from lit_intriguing.lipschitz.norm import Norm
from lit_intriguing.lipschitz.power import PowerIteration
from lit_intriguing.lipschitz.registry import CannotBoundError, Shape, operator_norm
from lit_intriguing.lipschitz.unwrapped import full_weight, sharded, unwrapped
from lit_intriguing.private.of_torch import uncompiled_name

FIRST_STEPS = 20
"""Power steps on a direction that is still random, or that changes are to count from."""

STEPS = 2
"""Power steps on a direction found before."""


class TrackedNorm:
    """The norm of a network while it trains: its last bound times what estimates changed by since.

    Each linear layer's norm is estimated by power steps from the direction found before.

    Args:
        seed: Of the first directions.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self._powers: dict[str, PowerIteration] = {}
        self._folded: dict[str, str] = {}
        self._reference: dict[str, float] = {}
        self._bound: float | None = None

    @property
    def started(self) -> bool:
        """Whether there is a bound to start from."""
        return self._bound is not None

    def start(self, model: nn.Module, found: NetworkNorm) -> None:
        """Take a bound of the network as it is now for the point that changes count from.

        Args:
            model: The network. Under sharding all processes must call.
            found: Its bound or, by `estimated_norm`, an estimate, with the shapes of the layers'
                inputs.
        """
        modules = _modules(model)
        self._folded = {one.folded_into: one.name for one in found.layers if one.folded_into}
        for layer in found.layers:
            if layer.name in modules and layer.name not in self._powers:
                try:
                    linear_map(_untouched(modules[layer.name]), layer.input_shape)
                except ValueError:  # no linear layer, or of an unknown shape
                    continue
                self._powers[layer.name] = PowerIteration(layer.input_shape, self.seed)
        self._bound = found.product.value
        # A direction that improved later would be taken for a change of the weights.
        self._reference = self.step(model, FIRST_STEPS)

    def step(self, model: nn.Module, steps: int = STEPS) -> dict[str, float]:
        """Estimate each linear layer's norm, by power steps from the direction found before.

        As in the bound that was started from, a BatchNorm that is folded into a layer counts.

        Args:
            model: The network as it is now. Under sharding all processes must call.
            steps: How many.

        Returns:
            The estimates by the layers' names, without what `torch.compile` put into these.
        """
        modules = _modules(model)
        estimates = {
            name: power.step(_untouched(modules[name]), steps, self._scale(modules, name))
            for name, power in self._powers.items()
        }
        return {name: estimate.item() for name, estimate in estimates.items()}

    def _scale(self, modules: Mapping[str, nn.Module], name: str) -> Tensor | None:
        """Return the factors of a BatchNorm folded into a layer, if any; NaN if unknown."""
        if name not in self._folded:
            return None
        try:
            return channel_scale(cast(BatchNorm, _untouched(modules[self._folded[name]])))
        except CannotBoundError:
            return torch.tensor(math.nan)

    def network(self, estimates: dict[str, float]) -> float:
        """Return the network's last bound times what the estimates have changed by since.

        Exact for layers in a chain, as far as the estimates are. Where branches are added it
        overstates a change.
        """
        assert self._bound is not None
        changes: Iterable[float] = (
            new / self._reference[name] for name, new in estimates.items() if self._reference[name]
        )
        return self._bound if math.isinf(self._bound) else math.prod([self._bound, *changes])


def estimated_norm(module: nn.Module, shape: Shape | None, seed: int = 0) -> Norm:
    """Estimate a linear layer's norm by power steps alone; of another layer, ask its rule.

    Args:
        module: The layer.
        shape: Of one example of its input, without the batch dimension; None if it is not known.
        seed: Of the first direction.

    Returns:
        The estimate, or what `operator_norm` knows. It stands in for `operator_norm` in
        `network_norm` where seconds count: AlexNet takes a fifth of the time.
    """
    try:
        value = PowerIteration(shape, seed).step(module, FIRST_STEPS).item()
    except ValueError:  # no linear layer, or of an unknown shape
        return operator_norm(module, shape)
    return Norm(value, "estimate") if math.isfinite(value) else operator_norm(module, shape)


def _modules(model: nn.Module) -> dict[str, nn.Module]:
    return {uncompiled_name(name): module for name, module in model.named_modules()}


def _untouched(module: nn.Module) -> nn.Module:
    if sharded(module):
        return unwrapped(module, full_weight)
    # A copy would cost as much as a power step of a small layer.
    untouched = type(module).__module__.startswith("torch.nn.") and "forward" not in vars(module)
    return module if untouched else unwrapped(module)
