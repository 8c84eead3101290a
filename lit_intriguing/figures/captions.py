"""What stands above or below an example: its label, and what the network makes of it."""

from collections.abc import Mapping, Sequence

from torch import Tensor


def class_captions(
    columns: Mapping[str, Tensor], names: Sequence[str] | None = None
) -> tuple[list[str], list[str]]:
    """Return a caption for each clean example, and for each adversarial one.

    Args:
        columns: `labels`, `targets` (-1: any wrong label), `predictions`,
            `adversarial_predictions` and `success`, each (N,); see `Examples`.
        names: Of the classes; None for their numbers.

    Returns:
        The label of each clean example, with the prediction where it is another; and the
        prediction of each adversarial one, with the target where it is missed.

    Raises:
        IndexError: There are fewer names than classes.

    >>> import torch
    >>> one = {name: torch.tensor([value]) for name, value in {"labels": 7, "targets": 3,
    ...        "predictions": 2, "adversarial_predictions": 7, "success": 0}.items()}
    >>> class_captions(one)
    (['7, predicted 2'], ['7, not 3'])
    """
    keys = ("labels", "targets", "predictions", "adversarial_predictions", "success")
    rows = list(zip(*(columns[key].tolist() for key in keys), strict=True))

    def named(label: int) -> str:
        return str(label) if names is None else names[label]

    clean = [
        named(label) if label == before else f"{named(label)}, predicted {named(before)}"
        for label, _, before, _, _ in rows
    ]
    adversarial = [
        named(after) + ("" if reached else ", failed" if target < 0 else f", not {named(target)}")
        for _, target, _, after, reached in rows
    ]
    return clean, adversarial
