"""Checks of what is asked for of a run over a split."""

from pathlib import Path

from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.model_helpers import is_overridden

from lit_intriguing.errors import UserError

_MAY_BE_ZERO = ("seed", "watch")


def check_asked(model: LightningModule, output: Path, **numbers: int | None) -> None:
    """Refuse what is known to be wrong before anything starts.

    Args:
        model: Is to be attacked.
        output: Folder for the results.
        numbers: Options by name, at least 1 each, or 0 for `seed` and `watch`; None passes.

    Raises:
        UserError: A number out of range, a file in the folder's place, a model without `forward`.
    """
    for name, value in numbers.items():
        if value is not None and value < 0 and name in _MAY_BE_ZERO:
            raise UserError(f"{name} must not be negative: {value}.")
        if value is not None and value < 1 and name not in _MAY_BE_ZERO:
            raise UserError(f"{name} must be at least 1, not {value}.")
    if output.exists() and not output.is_dir():
        raise UserError(f"the output {output} is a file: name a folder.")
    if not is_overridden("forward", model):
        raise UserError(
            f"{type(model).__name__} has no forward: an attack needs logits (N, C) from "
            "model(images)."
        )
