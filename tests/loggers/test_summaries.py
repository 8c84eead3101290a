"""Which value of a metric is the best."""

import pytest

from lit_intriguing.loggers.summaries import best_of


@pytest.mark.parametrize(
    ("key", "best"),
    [
        ("train/loss", "min"),
        ("train/batch_error", "min"),
        ("train/error_other", "min"),
        ("adversarial/hidden1/loss", "min"),
        ("examples/loss_clean", "min"),
        ("examples/success", "max"),
        ("transfer/distortion", "max"),
        ("val_acc", "max"),
        ("lipschitz/network", None),
        ("transfer/to/glossy", None),
        ("examples/seconds", None),
    ],
)
def test_the_last_part_of_a_key_tells(key: str, best: str | None) -> None:
    assert best_of(key) == best
