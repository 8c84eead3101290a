"""Optimiser, schedule and logged loss of our classifiers."""

from torch import Tensor

from lit_intriguing.models.evaluated import Evaluated
from lit_intriguing.models.optimised import Optimised


class Trained(Optimised, Evaluated):
    """A classifier that is trained with an optimiser and a schedule given from outside."""

    def log_loss(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Log `train/loss` and `train/batch_error`, in the steps in which the Trainer writes.

        Args:
            loss: Of the batch.
            logits: `(N, C)`.
            labels: `(N,)`.
        """
        # A call of `log` costs about 0.4 ms, a sixth of a step, whether written or not.
        if self.writes_now():
            wrong = (logits.detach().argmax(1) != labels).float().mean()
            self.log_dict({"train/loss": loss.detach(), "train/batch_error": wrong}, prog_bar=True)
