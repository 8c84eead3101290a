"""The contrast normalisation of the paper, and its constant."""

from torch import Tensor, nn

from lit_intriguing.lipschitz import CannotBoundError, Norm, register_norm
from lit_intriguing.lipschitz.layers.normalisation import power_of_offset
from lit_intriguing.lipschitz.norm import ONE


class ContrastNormalisation(nn.Module):
    """The normalisation `x / (eps + |x|^2)^gamma` (Szegedy et al. 2013, section 4.3).

    Its Lipschitz constant is `eps^-gamma` as the paper has it, for every gamma >= 0 and not in
    [0.5, 1] alone, and it is reached at zero. The norm is one of all channels at a place, or of a
    whole example: for windows of neighbouring channels, which share some (`nn.LocalResponseNorm`),
    the paper's argument does not hold, as each number then has a divisor of its own.

    Args:
        eps: More than zero; the square of the length at which the output stops to grow in
            proportion, in the units of the input squared.
        gamma: Zero or more.
        dim: The dimension of a batch along which the norm is taken; None: of all but the first.

    Raises:
        ValueError: If eps or gamma is out of range, or dim is that of the batch.

    Examples:
        >>> import torch
        >>> ContrastNormalisation(eps=1.0, gamma=0.5)(torch.tensor([[1.0, 1.0, 1.0]]))
        tensor([[0.5000, 0.5000, 0.5000]])
    """

    def __init__(self, eps: float = 1.0, gamma: float = 0.75, dim: int | None = 1) -> None:
        super().__init__()
        if not 0 < eps < float("inf"):
            raise ValueError(f"ContrastNormalisation: eps must be more than zero, not {eps}.")
        if not 0 <= gamma < float("inf"):
            raise ValueError(f"ContrastNormalisation: gamma must be zero or more, not {gamma}.")
        if dim == 0:
            raise ValueError("ContrastNormalisation: dim = 0 is that of the batch.")
        self.eps, self.gamma, self.dim = eps, gamma, dim

    def forward(self, x: Tensor) -> Tensor:
        """Normalise a batch.

        Args:
            x: `(N, *S)`.

        Returns:
            Tensor of the same shape.
        """
        dims = tuple(range(1, x.dim())) if self.dim is None else self.dim
        return x / (self.eps + x.square().sum(dims, keepdim=True)) ** self.gamma

    def extra_repr(self) -> str:
        """Return the settings, for `print`."""
        return f"eps={self.eps}, gamma={self.gamma}, dim={self.dim}"


@register_norm(ContrastNormalisation)
def contrast_normalisation(module: ContrastNormalisation, shape: tuple[int, ...] | None) -> Norm:
    """Return `eps^-gamma`, the slope at zero."""
    if not (module.eps > 0 and module.gamma >= 0):
        raise CannotBoundError(f"with eps = {module.eps} and gamma = {module.gamma}")
    return ONE if module.gamma == 0 else Norm(power_of_offset(module.eps, module.gamma))
