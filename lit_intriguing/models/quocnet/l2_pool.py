"""Pooling by the root of the sum of squares."""

from collections.abc import Sequence

from torch import Tensor, nn

from lit_intriguing.errors import UserError
from lit_intriguing.models.quocnet.positions import Positions, pair
from lit_intriguing.models.quocnet.window_sums import root_of_squares


class L2Pool(nn.Module):
    """The map `sqrt(eps + sum x^2)` over windows of each map, which may overlap (Le et al. 2012).

    Unlike `torch.nn.LPPool2d` it is smooth at zero, and its windows need not lie side by side.

    Args:
        kernel: Height and width of a window, one number or two.
        stride: Pixels from window to window.
        eps: More than zero, in the units of the input squared.

    Raises:
        UserError: For a number out of range; in `forward`, for maps smaller than a window.

    Example:
        >>> import torch
        >>> L2Pool(2, eps=1e-12)(torch.ones(1, 1, 2, 3))
        tensor([[[[2., 2.]]]])
    """

    def __init__(
        self, kernel: int | Sequence[int] = 5, stride: int | Sequence[int] = 1, eps: float = 1e-4
    ) -> None:
        super().__init__()
        self.kernel, self.stride, self.eps = pair(kernel), pair(stride), eps
        if min(*self.kernel, *self.stride) < 1 or not 0 < eps < float("inf"):
            raise UserError(
                f"L2Pool: kernel {kernel} and stride {stride} must be at least 1, and eps, {eps}, "
                "above 0"
            )

    def output_shape(self, input_shape: Sequence[int]) -> tuple[int, int, int]:
        """Return the shape of an example, `(maps, height, width)`.

        Raises:
            UserError: If the maps are smaller than a window.
        """
        maps, height, width = input_shape
        return (maps, *Positions((height, width), self.kernel, self.stride).sides)

    def forward(self, x: Tensor) -> Tensor:
        """Return `(N, maps, rows, columns)` of maps `(N, maps, H, W)`."""
        windows = Positions((x.shape[2], x.shape[3]), self.kernel, self.stride)
        return root_of_squares(x, windows, self.eps)

    def extra_repr(self) -> str:
        """Return the settings, for `print`."""
        return f"kernel={self.kernel}, stride={self.stride}, eps={self.eps}"
