"""The lines that end a run: its error on the test set, beside the paper's, or other figures."""

from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.utilities.model_helpers import is_overridden

METRIC = "test/error"


def has_test(model: LightningModule, datamodule: LightningDataModule | None) -> bool:
    """Say whether there is a test step and a test set for it.

    A data module may know that it has no test set, and say so by a method `has_test`.
    """
    if lacks_test_set(datamodule):
        return False
    source = is_overridden("test_dataloader", model) or (
        datamodule is not None and is_overridden("test_dataloader", datamodule)
    )
    return source and is_overridden("test_step", model)


def lacks_test_set(datamodule: LightningDataModule | None) -> bool:
    """Say whether a data module says by its method `has_test` that it has no test set."""
    has = getattr(datamodule, "has_test", None)
    return callable(has) and not has()


def sentence(error: float, paper: str | None) -> str:
    """Return the line.

    Args:
        error: The share of wrong predictions, in [0, 1].
        paper: What the paper reports, as text.

    >>> sentence(0.0108, "below 1.2%")
    'test error 1.08% (paper: below 1.2%)'
    >>> sentence(0.5, None)
    'test error 50.00%'
    """
    return f"test error {error:.2%}" + (f" (paper: {paper})" if paper else "")


def report(trainer: Trainer, paper: str | None) -> None:
    """Print the error once, on rank 0; where the model logs none, all that its test has logged."""
    error = trainer.callback_metrics.get(METRIC)
    if not trainer.is_global_zero:
        return
    if error is not None:
        print(sentence(float(error), paper), flush=True)
        return
    for name, value in trainer.callback_metrics.items():
        if name.startswith(_OF_TEST):
            print(f"test {name.removeprefix(_OF_TEST)} {float(value):.4g}", flush=True)


_OF_TEST = "test/"
