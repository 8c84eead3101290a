"""An evaluation as the panels of a figure."""

from lit_intriguing.figures.robustness import ErrorPanel
from lit_intriguing.robustness.evaluation import Evaluation
from lit_intriguing.robustness.sizes import Sizes
from lit_intriguing.robustness.summary import by_attack

_LABELS = {"l2": "length of the perturbation, L2", "linf": "length of the perturbation, Linf"}


def error_panels(found: Evaluation, sizes: Sizes, shared: bool) -> list[ErrorPanel]:
    """Return a panel for each norm.

    Args:
        found: The evaluation.
        sizes: Of each norm.
        shared: See `evaluate_tensors`.
    """
    # The last of those that share their work has the curve of the worst case.
    counted = {
        name: own for name, own in by_attack(found.attacks, shared).items() if own != found.attacks
    }
    word = "up to" if shared else "by"
    names = found.attacks
    worst = f"found by {names[0]}" if len(names) == 1 else "found by any attack"
    return [
        ErrorPanel(
            _LABELS[norm],
            some,
            {
                worst: found.nearest(norm),
                **{f"{word} {name}": found.nearest(norm, own) for name, own in counted.items()},
            },
            found.certified.get(norm),
        )
        for norm, some in sizes.items()
    ]
