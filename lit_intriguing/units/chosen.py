"""Which directions a figure shows: some units, and random directions beside them."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from lit_intriguing.errors import UserError
from lit_intriguing.units.analysis import LayerAnalysis

Choice = Literal["quantiles", "best"]
"""From the most coherent direction to the least in equal steps; or the most coherent ones."""


@dataclass(frozen=True)
class Chosen:
    """Some directions and their top images.

    Attributes:
        names: Of the directions.
        indices: `(R, k)` of their top images, largest activation first.
        coherence: `(R,)`, decreasing.
    """

    names: tuple[str, ...]
    indices: Tensor
    coherence: Tensor


def chosen(
    analysis: LayerAnalysis, rows: int = 4, choice: Choice = "quantiles"
) -> tuple[Chosen, Chosen]:
    """Choose directions of the analysed basis, and by the same rule random ones.

    The same quantiles of both are a fair comparison: neither side is picked by eye.

    Args:
        analysis: Of a layer.
        rows: Directions of each kind; all of them where there are fewer.
        choice: The rule.

    Returns:
        Those of the basis, and random ones, out of all random bases.

    Raises:
        UserError: The analysis has no active direction; or `rows` is not positive.
    """
    if rows < 1:
        raise UserError(f"rows must be at least 1, not {rows}.")
    if analysis.note:
        raise UserError(f"Layer {analysis.layer!r} has nothing to draw: {analysis.note}.")
    name = "unit" if analysis.basis == "units" else analysis.basis
    active = (~analysis.coherence.isnan()).nonzero().flatten()
    own = active[_choose(analysis.coherence[active], rows, choice)]
    random = _choose(analysis.random.flatten(), rows, choice)
    k = analysis.top.shape[1]
    return (
        Chosen(
            tuple(f"{name} {number}" for number in own.tolist()),
            analysis.top[own],
            analysis.coherence[own],
        ),
        Chosen(
            tuple(f"random {number}" for number in random.tolist()),
            analysis.random_top.reshape(-1, k)[random],
            analysis.random.flatten()[random],
        ),
    )


def _choose(coherence: Tensor, rows: int, choice: Choice) -> Tensor:
    # Stable, so that equally coherent directions come by their number.
    order = coherence.sort(descending=True, stable=True).indices
    rows = min(rows, len(order))
    if choice == "best":
        return order[:rows]
    # The middles of equal parts: neither the luckiest direction of all nor the unluckiest.
    places = (torch.arange(rows) + 0.5) / rows * len(order)
    return order[places.long()]
