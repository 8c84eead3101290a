"""What is added to an image, magnified so that it shows."""

from torch import Tensor

_FACTORS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


def shown_difference(
    clean: Tensor, adversarial: Tensor, magnify: float | None = None
) -> tuple[Tensor, float]:
    """Return the difference as Szegedy et al. 2013, figure 5, shows it.

    Args:
        clean: Pixels in [0, 1], any shape.
        adversarial: As `clean`.
        magnify: Factor on the difference (the paper: 10); None to choose it.

    Returns:
        The difference, magnified and shifted by half the grey scale, so that grey means
        unchanged; and the factor.

    Raises:
        ValueError: `magnify` is not positive.
    """
    difference = adversarial - clean
    factor = chosen_factor(difference, magnify)
    return difference * factor + 0.5, factor


def chosen_factor(difference: Tensor, magnify: float | None) -> float:
    """Return `magnify`, or where it is None the factor that shows most; see `factor_for`."""
    if magnify is None:
        return factor_for(difference)
    if not magnify > 0:
        raise ValueError(f"magnify must be positive, not {magnify}")
    return magnify


def factor_for(difference: Tensor) -> float:
    """Return the largest round factor that leaves 99% of the changed elements within half a range.

    Args:
        difference: Any shape, in units of the range that is drawn.

    >>> import torch
    >>> factor_for(torch.tensor([0.04, -0.04, 0.0]))
    10.0
    """
    changes = difference.abs().flatten().double()
    changes = changes[changes > 1e-4 * changes.max()] if changes.numel() else changes
    if not changes.numel():
        return 1.0
    # `torch.quantile` refuses more than 16 million elements.
    large = float(changes.kthvalue(max(1, round(0.99 * changes.numel()))).values)
    return float(max([f for f in _FACTORS if f * large < 0.501], default=1))
