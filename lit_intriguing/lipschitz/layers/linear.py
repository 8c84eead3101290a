"""Constants of layers that are one matrix."""

from torch import nn

from lit_intriguing.lipschitz.norm import Kind, Norm
from lit_intriguing.lipschitz.registry import CannotBoundError, Shape, register_norm
from lit_intriguing.lipschitz.weights import finite_weight
from lit_intriguing.solvers.spectral import certified_norm
from lit_intriguing.solvers.spectral.dense import ALL


@register_norm(nn.Linear)
def dense(module: nn.Linear, shape: Shape | None) -> Norm:
    """The largest singular value of the weight, whatever dimensions stand before the features."""
    if shape is not None and (not shape or shape[-1] != module.in_features):
        raise ValueError(
            f"Linear: wants an example of {module.in_features} features, not of shape {shape}."
        )
    return _of_weight(module)


@register_norm(nn.Embedding)
def embedding(module: nn.Embedding, shape: Shape | None) -> Norm:
    """The norm of the linear map from one-hot rows to vectors: the whole numbers have no metric."""
    if module.max_norm is not None:
        raise CannotBoundError("with max_norm its forward changes the weight")
    return _of_weight(module)


@register_norm(nn.Bilinear)
def bilinear(module: nn.Bilinear, shape: Shape | None) -> Norm:
    """Refused."""
    raise CannotBoundError("a product of two inputs has no constant for all of them")


def _of_weight(module: nn.Module) -> Norm:
    weight = finite_weight(module)
    kind: Kind = "exact" if min(weight.shape) <= ALL else "upper"
    return Norm(float(certified_norm(weight.cpu())), kind)
