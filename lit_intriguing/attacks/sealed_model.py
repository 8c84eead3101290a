"""The model as an attack sees it: inputs that may be edited, logits that were checked."""

import warnings
from collections.abc import Callable

from torch import Tensor, nn

from lit_intriguing.attacks.criterion import Criterion
from lit_intriguing.attacks.model_rows import call_with_rows, takes_rows
from lit_intriguing.attacks.watch import Watch

Model = Callable[[Tensor], Tensor]
"""Maps examples to logits; `lit_intriguing.attacks.model_rows` says which take `rows` as well."""

_DEPEND_ON_MODE = (
    nn.Dropout,
    nn.Dropout1d,
    nn.Dropout2d,
    nn.Dropout3d,
    nn.AlphaDropout,
    nn.FeatureAlphaDropout,
    nn.RReLU,
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.BatchNorm3d,
    nn.SyncBatchNorm,
)


class TrainingModeWarning(UserWarning):
    """A model is attacked whose layers behave as in training."""


class SealedModel:
    """A model that gets copies of its inputs, and whose first logits the criterion checks.

    A model whose first operation works in place would edit the examples themselves.

    Args:
        model: The model.
        criterion: Of the whole batch.
        watch: Looks on; None for nobody.

    Attributes:
        model: The model itself.
        takes_rows: Whether it, or who looks on, wants to know which examples it is given.
    """

    def __init__(self, model: Model, criterion: Criterion, watch: Watch | None = None) -> None:
        self.model, self.takes_rows = model, watch is not None or takes_rows(model)
        self._criterion: Criterion | None = criterion
        self._watch = watch

    def __call__(self, x: Tensor, rows: Tensor | None = None) -> Tensor:
        """Return the logits of `x`, `(n, *S)`; `rows` are those of its examples in the batch."""
        copy = x.clone()
        output = self.model(copy) if rows is None else call_with_rows(self.model, copy, rows)
        logits = as_logits(output, len(x))
        if self._criterion is not None:
            self._criterion.check(logits)
            self._criterion = None
        if self._watch is not None:
            self._watch.saw(x, logits, rows)
        return logits


def unsealed(model: Model) -> Model:
    """Return the model itself."""
    return model.model if isinstance(model, SealedModel) else model


def logits_of(model: Model, x: Tensor, rows: Tensor) -> Tensor:
    """Return the logits of some examples of the attacked batch, `(n, C)`.

    Args:
        model: The attacked model.
        x: Tensors for these examples, `(n, *S)`.
        rows: Which of the N examples of the batch they are, an index `(n,)`; only for a model that
            takes rows: see `lit_intriguing.attacks.model_rows`.
    """
    return as_logits(call_with_rows(model, x, rows), len(x))


def as_logits(output: object, count: int) -> Tensor:
    """Return a model's output if it holds the logits of `count` examples.

    Raises:
        ValueError: If it is not a floating-point tensor of shape `(count, C)`.
    """
    if not isinstance(output, Tensor):
        raise ValueError(
            f"The model returned a {type(output).__name__}, not a tensor of logits (N, C): wrap it "
            "in a function that picks the logits out."
        )
    if output.ndim != 2 or len(output) != count or not output.is_floating_point():
        raise ValueError(
            f"The model returned {output.dtype} of shape {tuple(output.shape)} for {count} "
            f"examples: it must return logits of shape ({count}, C)."
        )
    return output


def warn_of_training_mode(model: Model) -> None:
    """Warn if a module is attacked in which dropout or BatchNorm act as in training."""
    if not isinstance(model, nn.Module):
        return
    for name, module in model.named_modules():
        if module.training and isinstance(module, _DEPEND_ON_MODE):
            warnings.warn(
                f"The model is attacked in training mode: {name or 'it'} "
                f"({type(module).__name__}) draws random numbers or takes statistics of the batch, "
                "and success says nothing about the trained network. Call model.eval() first.",
                TrainingModeWarning,
                stacklevel=3,
            )
            return
