"""The weight that a layer's forward would use in evaluation mode."""

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.utils.parametrize import is_parametrized
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from lit_intriguing.autograd import preserved
from lit_intriguing.lipschitz.registry import CannotBoundError
from lit_intriguing.private import of_torch
from lit_intriguing.solvers.spectral.rounding import greatest_entry


def forward_weight(module: nn.Module) -> Tensor:
    """Return the `weight` that the layer's forward would use in evaluation mode.

    Parametrisations are computed, also those of the older kind that a hook computes before each
    forward (`weight_norm`, `spectral_norm`, pruning). Nothing in the layer changes. Shards of
    a distributed weight are gathered, for which all processes have to call.

    Args:
        module: A layer with an attribute `weight`.

    Returns:
        The weight, differentiable in the layer's parameters, in its own type and on its device.

    Raises:
        CannotBoundError: If it is not known which weight the forward would use.
    """
    with preserved(module), of_torch.no_parametrization_cache():
        weight = _computed(module)
    return weight.full_tensor() if hasattr(weight, "full_tensor") else weight


def finite_weight(module: nn.Module) -> Tensor:
    """Return `forward_weight`, detached, in float64 or complex128, on its device.

    Parametrisations are computed in that type, from the parameters as they are: those of half
    precision would be off in the third digit.

    Raises:
        CannotBoundError: As there, and if it contains a number that is not finite.
    """
    with torch.inference_mode(False), torch.no_grad():
        found = forward_weight(module) if _is_parameter(module) else _double_weight(module)
        weight = _double(found.detach())
    if not (weight.is_floating_point() or weight.is_complex()):
        raise CannotBoundError(f"its weight is of type {weight.dtype}")
    if not math.isfinite(greatest_entry(weight)):
        raise CannotBoundError("its weight contains NaN or infinity")
    return weight


class _Weight(nn.Module):
    """Gives the weight of a layer, so that it can be asked for with other parameters."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self) -> Tensor:
        return forward_weight(self.layer)


def _is_parameter(module: nn.Module) -> bool:
    return "weight" in dict(module.named_parameters(recurse=False))


def _double_weight(module: nn.Module) -> Tensor:
    holder = _Weight(module)
    tensors = {**dict(holder.named_parameters()), **dict(holder.named_buffers())}
    doubles = {name: _double(tensor.detach()) for name, tensor in tensors.items()}
    return cast(Tensor, functional_call(holder, doubles, ()))


def _double(tensor: Tensor) -> Tensor:
    """Convert to float64 or complex128; leave what is neither real nor complex."""
    if tensor.device.type == "mps":  # has no float64
        tensor = tensor.cpu()
    if tensor.is_complex():
        return tensor.to(torch.complex128)
    return tensor.to(torch.float64) if tensor.is_floating_point() else tensor


def _computed(module: nn.Module) -> Tensor:
    hooks = [hook for hook in of_torch.forward_pre_hooks(module) if _computes_weight(hook)]
    if len(hooks) > 1:
        raise CannotBoundError("several hooks compute its weight")
    if hooks:
        return _computed_by(hooks[0], module)
    if _is_parameter(module) or is_parametrized(module, "weight"):
        return module.weight  # type: ignore[return-value]
    raise CannotBoundError("its weight is no parameter, so the forward may use another")


def _computes_weight(hook: object) -> bool:
    kinds = (WeightNorm, SpectralNorm)
    name = hook.name if isinstance(hook, kinds) else getattr(hook, "_tensor_name", None)
    return isinstance(hook, (*kinds, BasePruningMethod)) and name == "weight"


def _computed_by(hook: object, module: nn.Module) -> Tensor:
    if isinstance(hook, SpectralNorm):
        return hook.compute_weight(module, do_power_iteration=False)
    if isinstance(hook, WeightNorm):
        return hook.compute_weight(module)  # type: ignore[no-any-return]
    if isinstance(hook, BasePruningMethod):
        return hook.apply_mask(module)  # type: ignore[no-any-return, no-untyped-call]
    raise TypeError(f"{type(hook).__name__} computes no weight.")
