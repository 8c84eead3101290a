"""What an attack leaves of each image, as columns of equal length."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields

import torch
from torch import Tensor


@dataclass(frozen=True)
class Examples:
    """The images of a split after an attack, in the split's own order; every tensor has N rows.

    An image that was not attacked is itself in `adversarial`, has distortion and queries 0, and
    NaN, -1 or False in `info`.

    Attributes:
        clean: `(N, *S)`, images or a hidden layer's activation.
        adversarial: `(N, *S)`, inside the bounds.
        labels: True labels, int64.
        targets: What the prediction was to become, int64; -1 where any wrong label would do.
        predictions: The model's prediction of `clean`, int64.
        adversarial_predictions: Its prediction of `adversarial`, int64.
        attacked: Whether the image was attacked, bool.
        success: Whether the criterion is met by `adversarial`, bool; False where not attacked.
        distortion: Root mean square change, in the units of `clean`.
        queries: Gradient evaluations spent, int64.
        info: What else the attack reports: `c`, `status`, ...
    """

    clean: Tensor
    adversarial: Tensor
    labels: Tensor
    targets: Tensor
    predictions: Tensor
    adversarial_predictions: Tensor
    attacked: Tensor
    success: Tensor
    distortion: Tensor
    queries: Tensor
    info: Mapping[str, Tensor] = field(default_factory=dict)

    def columns(self) -> dict[str, Tensor]:
        """Return all tensors by name, on the CPU; those of `info` beside the others."""
        own = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "info"}
        return {name: value.detach().cpu() for name, value in {**self.info, **own}.items()}

    @classmethod
    def of(cls, columns: Mapping[str, Tensor]) -> "Examples":
        """Return the examples of these columns, the opposite of `columns`."""
        own = {one.name for one in fields(cls)} - {"info"}
        info = {name: value for name, value in columns.items() if name not in own}
        return cls(**{name: columns[name] for name in own}, info=info)


def joined(parts: Iterable[Mapping[str, Tensor]], count: int) -> dict[str, Tensor]:
    """Put the columns of consecutive parts together, holding one part at a time beside them.

    Args:
        parts: Columns; one may lack a column of `info`, as where none of its images was attacked.
        count: Images of all parts together.

    Returns:
        The columns, `count` long.
    """
    whole: dict[str, Tensor] = {}
    start = 0
    for part in parts:
        stop = start + len(part["labels"])
        for name, value in part.items():
            if name not in whole:
                whole[name] = blank(count, value)
            whole[name][start:stop] = value
        start = stop
    return whole


def blank(count: int, like: Tensor) -> Tensor:
    """Return a column in which nothing is known: NaN, -1 or False, by its type.

    >>> blank(2, torch.zeros(1, dtype=torch.int8))
    tensor([-1, -1], dtype=torch.int8)
    """
    unknown: float = float("nan") if like.is_floating_point() else -1
    if like.dtype in (torch.bool, torch.uint8):
        unknown = 0
    return torch.full((count, *like.shape[1:]), unknown, dtype=like.dtype, device=like.device)
