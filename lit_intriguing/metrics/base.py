"""What all metrics here share: torchmetrics' keywords, and a plot that names what it shows."""

import hashlib
import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torchmetrics import Metric

from lit_intriguing.spelling import did_you_mean

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

KEYWORDS = (
    "compute_on_cpu",
    "compute_with_cache",
    "dist_sync_fn",
    "dist_sync_on_step",
    "distributed_available_fn",
    "process_group",
    "sync_on_compute",
)
"""What torchmetrics 1.4 and later take, for messages; which of them count, it knows itself."""


class NamedMetric(Metric):
    """A metric whose value is one number, or a tensor with a name for each element.

    Subclasses change their states by assignment and not in place: a state that was made in
    `torch.inference_mode` could not be changed outside of it. They call `add_settings` where what
    they count depends on how they were made.

    Args:
        keywords: Of `torchmetrics.Metric`, such as `sync_on_compute` and `compute_on_cpu`.

    Raises:
        ValueError: For a keyword that torchmetrics does not know, or a value that does not suit.
    """

    full_state_update = False
    is_differentiable = False
    plot_lower_bound: float | None = 0.0
    plot_upper_bound: float | None = 1.0
    _setting = ""

    def __init__(self, **keywords: Any) -> None:
        try:
            super().__init__(**keywords)
        except ValueError as error:
            raise ValueError(_refusal(type(self), str(error), keywords)) from error

    def add_settings(self, *settings: object) -> None:
        """Keep metrics that count a batch differently apart in a `MetricCollection`.

        One state does for several metrics there if their states are alike after the first batch, as
        those of two sizes may be by chance. But never if the states' names differ: the settings go
        into the name of a state, always empty, so that it is neither gathered nor saved.

        Args:
            settings: Of the constructor; tensors, or of a `repr` that tells them apart.
        """
        told = b"|".join([type(self).__qualname__.encode(), *map(_in_bytes, settings)])
        self._setting = f"setting_{hashlib.sha256(told).hexdigest()}"
        self.add_state(self._setting, [])

    @property
    def metric_state(self) -> dict[str, list[Tensor] | Tensor]:
        """The states by name, as torchmetrics has it; that of the settings says nothing."""
        states = super().metric_state
        return {name: state for name, state in states.items() if name != self._setting}

    def persistent(self, mode: bool = False) -> None:
        """Have the states saved in the state dict, or not, as torchmetrics does."""
        super().persistent(mode)
        if self._setting:
            self.add_state(self._setting, [])  # anew, and not to be saved

    def merge_state(self, incoming_state: dict[str, Any] | Metric) -> None:
        """Add what another metric of this class has counted, as torchmetrics does.

        Args:
            incoming_state: The other metric, or its `metric_state`.

        Raises:
            ValueError: For a metric of another class or of other settings; states that lack one.
        """
        if isinstance(incoming_state, type(self)):
            if incoming_state._setting != self._setting:
                raise ValueError(
                    f"{type(self).__name__}: the other metric was made with other settings; what "
                    "it counted cannot be added to this one."
                )
            incoming_state = incoming_state.metric_state
        if isinstance(incoming_state, dict):
            incoming_state = {**incoming_state, self._setting: []}
        super().merge_state(incoming_state)

    def set_dtype(self, dst_type: str | torch.dtype) -> "NamedMetric":
        """Convert states that are no counts: in half precision 2048 + 1 would stay 2048."""
        return self.to(torch.empty(0).type(dst_type).dtype)

    def element_names(self) -> list[str]:
        """Return a name for each element of the value, row by row; none where it is one number."""
        return []

    def plot(
        self, val: Tensor | Sequence[Tensor] | None = None, ax: "Axes | None" = None
    ) -> "tuple[Figure | None, Axes]":
        """Draw a value, or values one after another, as torchmetrics' own metrics do.

        What is not finite is left out, as matplotlib does.

        Args:
            val: Of `compute` or `forward`, or several of them in the order of time; what `compute`
                returns, where None.
            ax: Where to draw; a new figure, where None.

        Returns:
            The figure, None where `ax` was given, and its axes.

        Raises:
            ValueError: Values of another number of elements.
        """
        val = self.compute() if val is None else val
        names = self.element_names()
        if not names:
            return self._plot(val, ax)  # type: ignore[return-value]
        if isinstance(val, Tensor):
            return self._plot(_by_name(val, names), ax)  # type: ignore[return-value]
        return self._plot([_by_name(one, names) for one in val], ax)  # type: ignore[return-value]


def _in_bytes(setting: object) -> bytes:
    if isinstance(setting, Tensor):
        return setting.detach().cpu().flatten().contiguous().view(torch.uint8).numpy().tobytes()
    return repr(setting).encode()


def _by_name(value: Tensor, names: list[str]) -> dict[str, Tensor]:
    if value.numel() != len(names):
        raise ValueError(f"val must hold {len(names)} elements, not {value.numel()}: {names}")
    return dict(zip(names, value.flatten(), strict=True))


def _refusal(kind: type[Metric], message: str, keywords: dict[str, Any]) -> str:
    own = [name for name in inspect.signature(kind).parameters if name != "keywords"]
    known = [*own, *KEYWORDS]
    unknown = next((name for name in keywords if name not in known), None)
    meant = "" if unknown is None else did_you_mean(unknown, known)
    return f"{kind.__name__}: {message}.{meant} It takes {', '.join(known)}."
