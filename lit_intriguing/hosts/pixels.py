"""Segmentation: the label map of a batch, and the prediction for each pixel inside a step."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from lightning.pytorch import LightningModule
from torch import Tensor, nn

from lit_intriguing.errors import UserError
from lit_intriguing.hosts.batch import Place
from lit_intriguing.hosts.host_rows import HostRows
from lit_intriguing.hosts.logits import Output, logits_in
from lit_intriguing.hosts.paths import follow, is_container, leaves, members
from lit_intriguing.splice import add_forward_hook, submodule

_FIRST = ("logits", "out")
"""What transformers and torchvision call the logits among other outputs."""


def label_map(rows: HostRows, place: Place | None = None) -> Tensor | None:
    """Return the labels of each pixel, `(N, H, W)`, or None if there are none.

    They are integers, or zeros and ones, of shape `(N, H, W)` or `(N, 1, H, W)`.

    Args:
        rows: The examples.
        place: Where they are; None to find them.
    """
    if not is_container(rows.batch):
        return None
    if place is not None:
        found = [place(rows.batch) if callable(place) else follow(rows.batch, place)]
    else:
        found = [leaf for path, leaf in leaves(rows.batch).items() if path != rows.inputs]
    maps = [one for one in map(_as_map, found) if one is not None and len(one) == rows.count]
    return maps[0] if maps else None


def _as_map(entry: Any) -> Tensor | None:
    if not isinstance(entry, Tensor) or entry.is_complex():
        return None
    one = entry[:, 0] if entry.ndim == 4 and entry.shape[1] == 1 else entry
    if one.ndim != 3 or one.numel() == 0:
        return None
    return one if not one.is_floating_point() or bool(((one == 0) | (one == 1)).all()) else None


@dataclass
class PixelWatch:
    """Looks at the outputs of a host's model while its step runs.

    Attributes:
        labels: The label map `(N, H, W)`.
        output: Where an output holds the logits; see `lit_intriguing.hosts.logits`.
    """

    labels: Tensor
    output: Output | None = None
    _seen: dict[nn.Module, object] = field(default_factory=dict)

    @contextmanager
    def entered(self, pl_module: LightningModule, model: str | None) -> Iterator[None]:
        """Watch the named submodule inside, or the module itself, whose `output` it may be.

        Where neither is given its children are watched too: a step need not call `forward`.
        """
        watched = [] if model is None else [submodule(pl_module, model)]
        children = pl_module.children() if self.output is None else ()
        with ExitStack() as stack:
            for one in watched or [*children, pl_module]:
                stack.callback(add_forward_hook(one, self._note))
            yield

    def begin(self) -> None:
        """Forget what was seen."""
        self._seen.clear()

    def predictions(self) -> Tensor | None:
        """Return the class of each pixel, int64 `(N, H, W)`, that the last step predicted.

        That is the largest of several logits `(N, C, H, W)`, or the sign of one, `(N, 1, H, W)` or
        `(N, H, W)`. None where no output holds logits for each pixel.

        Raises:
            UserError: If `output` is given and nothing there is such a map.
        """
        for output in reversed(self._seen.values()):
            for logits in self._candidates(output):
                if self._fits(logits):
                    return _classes(logits)
        if self.output is not None:
            raise UserError(
                f"Nothing at output={self.output!r} holds logits for each pixel of the labels, "
                f"{tuple(self.labels.shape)}: give the place of a tensor (N, C, H, W) of that "
                "height and width, or a function that makes one."
            )
        return None

    def _note(self, module: nn.Module, args: object, output: object) -> None:
        self._seen.setdefault(module, output)

    def _candidates(self, output: object) -> list[Any]:
        if self.output is not None:
            try:
                return [logits_in(output, self.output)]
            except UserError:  # of another module
                return []
        if isinstance(output, Tensor):
            return [output]
        there = members(output)
        return [*(there[name] for name in _FIRST if name in there), *there.values()]

    def _fits(self, logits: object) -> bool:
        if not isinstance(logits, Tensor) or not logits.is_floating_point():
            return False
        pixels = (len(self.labels), *self.labels.shape[-2:])
        if logits.ndim == 4:
            several = logits.shape[1] > 1 and self.labels.is_floating_point()
            return (len(logits), *logits.shape[-2:]) == pixels and not several
        return logits.shape == pixels


def _classes(logits: Tensor) -> Tensor:
    one = logits.squeeze(1) if logits.ndim == 4 else logits
    return one.argmax(1) if one.ndim == 4 else (one > 0).long()


def flipped(before: Tensor, after: Tensor) -> Tensor:
    """Return the share of pixels whose prediction differs, `(N,)`, of maps `(N, H, W)`.

    >>> import torch
    >>> flipped(torch.tensor([[[0, 1], [2, 3]]]), torch.tensor([[[0, 1], [2, 0]]]))
    tensor([0.2500])
    """
    return (before != after).flatten(1).float().mean(1)
