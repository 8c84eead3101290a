"""Contrast normalised place by place, by what is near it."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from lit_intriguing.errors import UserError
from lit_intriguing.models.quocnet.window_sums import wide


class LocalContrastNormalisation(nn.Module):
    """Subtraction of the mean nearby, then division by the root mean square nearby.

    `g = x - mean(x)`, `y = g / max(floor, sqrt(mean(g^2)))`, the means over all maps and a window
    around each place, weighted by a Gaussian (Jarrett et al. 2009; Le et al. 2012, equation 2). At
    the edges the weights of what lies within the map add up to one, too. `ContrastNormalisation`
    has neither windows nor a mean.

    Args:
        window: Odd height and width.
        floor: Root mean square below which differences are not raised to one.
        sigma: Of the Gaussian, in pixels (None: a quarter of the window).

    Raises:
        UserError: For a number out of range.
    """

    def __init__(self, window: int = 5, floor: float = 0.01, sigma: float | None = None) -> None:
        super().__init__()
        if window < 1 or window % 2 == 0:
            raise UserError(
                f"LocalContrastNormalisation: window must be odd and at least 1, not {window}"
            )
        self.window, self.floor = window, floor
        self.sigma = window / 4 if sigma is None else sigma
        if not (0 < floor < float("inf") and self.sigma > 0):
            raise UserError(
                f"LocalContrastNormalisation: floor {floor} and sigma {sigma} must be above 0"
            )

    def forward(self, x: Tensor) -> Tensor:
        """Normalise maps `(N, C, H, W)`; the result has the same shape.

        Half precision, also that of autocast, is computed in float32: squares of small differences
        would be zero in it.
        """
        with _without_autocast(x.device.type):
            return self._normalised(wide(x)).to(x.dtype)

    def _normalised(self, x: Tensor) -> Tensor:
        down, across = (self.weights(size).to(x) for size in x.shape[2:])
        centred = x - _blurred(x.mean(1, keepdim=True), down, across)
        energy = _blurred(centred.square().mean(1, keepdim=True), down, across)
        # The root comes last: its slope at zero is infinite.
        return centred / energy.clamp(min=self.floor**2).sqrt()

    def weights(self, size: int) -> Tensor:
        """Return the weights along one dimension, `(size, size)` float64; rows add up to one."""
        places = torch.arange(size, dtype=torch.float64)
        away = places - places[:, None]
        weights = (-(away / self.sigma).square() / 2).exp()
        weights = weights.masked_fill(away.abs() > self.window // 2, 0.0)
        return weights / weights.sum(1, keepdim=True)

    def extra_repr(self) -> str:
        """Return the settings, for `print`."""
        return f"window={self.window}, floor={self.floor}, sigma={self.sigma}"


def _without_autocast(device: str) -> AbstractContextManager[Any]:
    if torch.amp.is_autocast_available(device):
        return torch.autocast(device, enabled=False)
    return nullcontext()  # such as the device meta


def _blurred(x: Tensor, down: Tensor, across: Tensor) -> Tensor:
    return down @ x @ across.mT
