"""What all our classifiers log when they are validated and tested."""

from torch import Tensor

from lit_intriguing.metrics import ErrorRate
from lit_intriguing.models.data_fit import check_data
from lit_intriguing.models.described import Described


class Evaluated(Described):
    """A classifier that logs `val/error` and `test/error`, fractions of wrong predictions."""

    val_error: ErrorRate
    test_error: ErrorRate

    def add_error_metrics(self) -> None:
        """Make the metrics; behind the layers, whose order stays what it is."""
        self.val_error = ErrorRate()
        self.test_error = ErrorRate()

    def setup(self, stage: str) -> None:
        """Refuse images of data that say what they are, if they do not fit the network.

        Raises:
            UserError: For images that it does not take, or another number of classes.
        """
        check_data(self)

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Count the wrong predictions of a batch."""
        self.count("val/error", self.val_error, batch)

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Count the wrong predictions of a batch."""
        self.count("test/error", self.test_error, batch)

    def predict_step(self, batch: Tensor | tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Return the predicted class `(N,)` of each example of a batch, with or without labels."""
        x = batch if isinstance(batch, Tensor) else batch[0]
        logits: Tensor = self(x)
        return logits.argmax(1)

    def count(self, name: str, metric: ErrorRate, batch: tuple[Tensor, Tensor]) -> None:
        """Count the wrong predictions of a batch in a metric, and log it by its name."""
        x, y = batch
        self.log_error(name, metric, self(x), y)

    def log_error(self, name: str, metric: ErrorRate, logits: Tensor, labels: Tensor) -> None:
        """Count wrong predictions, and have the metric logged at the end of the epoch."""
        metric.update(logits, labels)
        self.log(name, metric, on_step=False, on_epoch=True, prog_bar=True)
