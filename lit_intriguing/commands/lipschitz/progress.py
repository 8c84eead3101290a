"""A bar over the layers with weights, where bounding them takes long."""

import sys
from typing import Any

from torch import nn
from tqdm import tqdm

from lit_intriguing.lipschitz.layers.folding import BATCH_NORMS
from lit_intriguing.lipschitz.norm import Norm
from lit_intriguing.lipschitz.registry import Method, operator_norm

DELAY = 3.0
"""Seconds after which it shows itself."""


class LayerProgress:
    """Bounds layers as `operator_norm` does, and counts those with weights on standard error.

    Args:
        model: What the layers are of.
        method: As of `operator_norm`.
        delay: Seconds without a bar.
    """

    def __init__(
        self, model: nn.Module, method: Method = "certified", delay: float = DELAY
    ) -> None:
        self._method = method
        self._bar: tqdm[Any] = tqdm(
            total=sum(_counts(module) for module in model.modules()),
            desc="Bound",
            unit="layer",
            file=sys.stderr,
            dynamic_ncols=True,
            mininterval=0.5,
            smoothing=0,
            delay=delay,
            leave=False,
        )

    def __enter__(self) -> "LayerProgress":
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.close()

    def norm(self, module: nn.Module, shape: tuple[int, ...] | None) -> Norm:
        """See `operator_norm`."""
        found = operator_norm(module, shape, method=self._method)
        if _counts(module):
            self._bar.set_postfix_str(type(module).__name__, refresh=False)
            self._bar.update()
        return found


def _counts(module: nn.Module) -> bool:
    """Return whether it takes time: most batch normalisations belong to the layer before."""
    return bool(list(module.parameters(recurse=False))) and not isinstance(
        module, tuple(BATCH_NORMS)
    )
