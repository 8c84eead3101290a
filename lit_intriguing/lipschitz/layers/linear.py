"""Constants of layers that are one matrix."""

from torch import Tensor, nn

from lit_intriguing.lipschitz.norm import Kind, Norm
from lit_intriguing.lipschitz.registry import CannotBoundError, Shape, register_norm
from lit_intriguing.lipschitz.weights import finite_weight
from lit_intriguing.solvers.spectral import certified_norm
from lit_intriguing.solvers.spectral.dense import ALL


def _check_dense(module: nn.Linear, shape: Shape | None) -> Tensor:
    """Return the weight, in float64 or complex128."""
    if shape is not None and (not shape or shape[-1] != module.in_features):
        raise ValueError(
            f"Linear: wants an example of {module.in_features} features, not of shape {shape}."
        )
    return finite_weight(module)


@register_norm(nn.Linear, check=_check_dense)
def dense(module: nn.Linear, shape: Shape | None) -> Norm:
    """Return the largest singular value of the weight.

    Dimensions before that of the features do not matter.
    """
    return _of_weight(_check_dense(module, shape))


def _check_embedding(module: nn.Embedding, shape: Shape | None) -> Tensor:
    """Return the weight, in float64 or complex128."""
    if module.max_norm is not None:
        raise CannotBoundError("with max_norm its forward changes the weight")
    return finite_weight(module)


@register_norm(nn.Embedding, check=_check_embedding)
def embedding(module: nn.Embedding, shape: Shape | None) -> Norm:
    """Return the norm of the linear map from one-hot vectors: whole numbers have no metric."""
    return _of_weight(_check_embedding(module, shape))


@register_norm(nn.Bilinear)
def bilinear(module: nn.Bilinear, shape: Shape | None) -> Norm:
    """Refuse it."""
    raise CannotBoundError("a product of two inputs has no constant for all of them")


def _of_weight(weight: Tensor) -> Norm:
    kind: Kind = "exact" if min(weight.shape) <= ALL else "upper"
    return Norm(float(certified_norm(weight.cpu())), kind)
