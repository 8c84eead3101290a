"""What a host's training step does with its batch, found by calling it aside."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from lit_intriguing.attacks.gradient import no_gradient
from lit_intriguing.errors import UserError
from lit_intriguing.hosts.logits import class_logits, columns
from lit_intriguing.hosts.paths import Key
from lit_intriguing.hosts.step_loss import StepLoss, gradients_of
from lit_intriguing.hosts.whole_rows import RowPlaces, join_rows
from lit_intriguing.pools.generation import Batch, GenerationError
from lit_intriguing.pools.labels import is_class
from lit_intriguing.pools.weighting import LogitsError, WeightedLogits
from lit_intriguing.splice import INPUT, Edit, Splice

_SEED = 0
"""Of the random numbers in all calls of a trial: they differ by what is changed alone."""

_UNKNOWN = "no submodule is known that maps the inputs to logits"

_ROUNDING = {torch.float16: 3e-2, torch.bfloat16: 1e-1}
"""What counts as equal, relative to the largest value; `_SINGLE` in single precision."""

_SINGLE = 1e-3

_MEAN = 1e-5
"""How near the mean of two losses must be to that of both batches, which few operations part."""


@dataclass(frozen=True)
class Findings:
    """What a trial showed.

    Attributes:
        no_classes: Why there are no class labels and logits to attack; None where there are: the
            loss is computed from the logits and the labels beside them, and the model gives the
            same logits for the inputs alone.
        no_joining: Why rows cannot join the batch; None where they can: each row of the output and
            of the attacked layers comes from its own row of the batch, and the loss of two batches
            together is the mean, or the sum, of theirs.
        mixed: Whether rows get mixed on the way, so that joining would be wrong.
    """

    no_classes: str | None
    no_joining: str | None
    mixed: bool = False


@dataclass(frozen=True)
class _Seen:
    """What one call showed: loss, output and the gradient there, and outputs of layers."""

    loss: Tensor
    output: Tensor | None
    gradient: Tensor | None
    layers: Mapping[str, list[Tensor]]


class Trial:
    """Calls of a host's step on one batch, with one thing changed at a time.

    The step runs aside: `lit_intriguing.hosts.aside`. Dropout and BatchNorm run as in evaluation
    mode, so that each row is computed alone, unless the step fails then.

    Args:
        step: Calls the step.
        model: The host's model as a function of the inputs alone to class logits; None if there is
            none.
        weighted: Finds the logits, or any output, of a step.
        splice: The host's hooks on the attacked layers.
        layers: The attacked layers.
        width: How many logits each example has, if known.
    """

    def __init__(
        self,
        step: StepLoss,
        model: nn.Module | None,
        weighted: WeightedLogits,
        splice: Splice,
        layers: Sequence[str],
        width: int | None = None,
    ) -> None:
        self.step, self.model, self.weighted, self.splice = step, model, weighted, splice
        self.layers, self.width = [name for name in layers if name != INPUT], width

    def __call__(
        self, host_batch: Any, others: Sequence[Any], places: RowPlaces, batch: Batch
    ) -> Findings | None:
        """Try a batch.

        Args:
            host_batch: The batch as the host gets it.
            others: What else the step takes.
            places: Where its rows are.
            batch: The rows.

        Returns:
            What was found; None where the step skips the batch.
        """
        count = len(batch.x)
        alone = self._logits_alone(batch)

        def call(changed: Mapping[Key, Any]) -> _Seen | None:
            seen = self._call(places.replace(host_batch, changed), others, count, alone)
            self.weighted.stop()
            return seen

        try:
            first = self._call(host_batch, others, count, alone)
        except Exception:  # a step may ask for the modes of its layers, say
            self.step.can_be_steadied = False
            alone = self._logits_alone(batch)
            first = self._call(host_batch, others, count, alone)
        if first is None:
            return None
        if self.model is None:
            alone = self._unnamed(batch, first.loss)
        try:
            self.weighted.finish()
            found = _joining(first, call, places, batch, self.layers)
        except LogitsError as error:
            found = str(error), False
        return Findings(_no_classes(first, alone, call, places, batch), *found)

    def _unnamed(self, batch: Batch, loss: Tensor) -> str:
        """Return that no model is known, with the submodule whose cross-entropy the loss is."""
        if batch.labels is None:
            return _UNKNOWN
        for name, child in self.step.pl_module.named_children():
            try:
                with torch.no_grad(), self.step.entered(_SEED, steady=True):
                    found = cross_entropy(child(batch.x), batch.labels)
            except Exception:  # it takes other inputs, or gives no logits
                continue
            if found.shape == loss.shape and torch.allclose(found, loss.to(found), rtol=_SINGLE):
                return f"{_UNKNOWN}: model={name!r} names it, for class labels"
        return _UNKNOWN

    def _logits_alone(self, batch: Batch) -> Tensor | str:
        """Return the logits that the model gives for the inputs alone, or why it gives none."""
        if self.model is None:
            return _UNKNOWN
        try:
            with torch.no_grad(), self.step.entered(_SEED, steady=True):
                logits: Tensor = self.model(batch.x)
        except UserError as error:
            return str(error)
        except Exception as error:  # the host's code is called in a way that it may not know
            return f"the model cannot be called with the inputs alone ({type(error).__name__})"
        return logits

    def _call(
        self, host_batch: Any, others: Sequence[Any], count: int, alone: Tensor | str
    ) -> _Seen | None:
        outputs: dict[str, list[Tensor]] = {name: [] for name in self.layers}

        def noting(name: str) -> Edit:
            def edit(output: Tensor) -> Tensor:
                outputs[name].append(output.detach().clone())
                return output

            return edit

        width = getattr(self.model, "columns", None) if isinstance(alone, Tensor) else None
        self.weighted.start(count, None, width or self.width)
        edits = {name: noting(name) for name in self.layers}
        with torch.enable_grad(), self.splice.edited(edits, repeated=True):
            loss = self.step(host_batch, others, seed=_SEED, steady=True)
        if loss is None:
            return None
        if not loss.requires_grad:
            raise GenerationError(no_gradient("the weights"))
        if isinstance(alone, Tensor):
            self.weighted.prefer(alone)
        gradients = gradients_of(loss, self.weighted.outputs)
        chosen = self.weighted.chosen_output
        found = dict(zip(map(id, self.weighted.outputs), gradients, strict=True))
        gradient = None if chosen is None else found[id(chosen)]
        output = None if chosen is None else chosen.detach()
        return _Seen(loss.detach(), output, gradient, outputs)


def _no_classes(
    first: _Seen, alone: Tensor | str, call: "_Call", places: RowPlaces, batch: Batch
) -> str | None:
    """Return why there are no logits and labels to attack; None if there are."""
    if batch.labels is None or places.labels is None:
        return "the batch holds no labels, one integer for each example"
    if isinstance(alone, str):
        return alone
    if first.output is None or first.gradient is None:
        return "no output of the step has logits (N, C) that the loss is computed from"
    logits = class_logits(first.output)
    if logits.ndim != 2 or alone.shape != logits.shape or not _same(alone, logits):
        return (
            "the training step computes other logits than the model does for the inputs alone, as "
            "where it normalises or changes the inputs before"
        )
    most = int(batch.labels.long().max())
    if columns(first.output) == 1 and most > 1:
        return f"one logit for each example tells label 1 from label 0, and labels go up to {most}"
    return _other_labels(first, call, places.labels, batch.labels, logits)


_Call = Callable[[Mapping[Key, Any]], _Seen | None]


def _other_labels(
    first: _Seen, call: _Call, place: Key, labels: Tensor, logits: Tensor
) -> str | None:
    """Return why the labels are not those that the loss compares with; None if they are."""
    known = is_class(labels.long(), logits).nonzero().flatten().tolist()
    if not known:
        return None
    changed = labels.clone()
    row = known[0]
    changed[row] = (labels[row].long() + 1) % logits.shape[1]
    seen = call({place: changed})
    if seen is None or seen.gradient is None or first.gradient is None:
        return None
    moved = _turned(first.gradient, seen.gradient)
    if row not in moved:
        return "the loss does not depend on the labels"
    return "the step mixes its labels" if moved != [row] else None


def _joining(
    first: _Seen, call: _Call, places: RowPlaces, batch: Batch, layers: Sequence[str]
) -> tuple[str | None, bool]:
    """Return why rows cannot join the batch, if so, and whether they would be mixed."""
    count = len(batch.x)
    if first.output is None or first.gradient is None:
        return "no output of the step has a row for each example that the loss depends on", False
    if count < 2:
        return None, False
    inputs = {places.inputs: batch.x, **batch.rest}
    seen = call({key: _with_row_of_another(one) for key, one in inputs.items()})
    if seen is not None and not _only_first_changed(first, seen, layers, count):
        return "the step mixes the rows of its batch", True
    dtypes = (first.output.dtype, first.loss.dtype)
    nearness = max(_ROUNDING.get(one, _nearness(first.loss)) for one in dtypes)
    try:
        additive = _is_additive(first.loss, call, places, batch, nearness)
    except Exception as error:  # the host's code gets what it may not know
        return f"the step cannot take a part of its batch ({type(error).__name__})", False
    if not additive:
        return "the loss of two batches together is not the mean of theirs", False
    return None, False


def _with_row_of_another(entry: Any) -> Any:
    """Return an entry whose first row is its last one."""
    return join_rows([entry[-1:], entry[1:]])


def _only_first_changed(first: _Seen, seen: _Seen, layers: Sequence[str], count: int) -> bool:
    pairs = [(first.output, seen.output)]
    for name in layers:
        pairs += [
            (a, b)
            for a, b in zip(first.layers[name], seen.layers[name], strict=False)
            if len(a) == count
        ]
    return all(
        a is None or b is None or a.shape != b.shape or _same(a[1:], b[1:]) for a, b in pairs
    )


def _nearness(loss: Tensor) -> float:
    return _MEAN if loss.device.type == "cpu" else 10 * _MEAN


def _is_additive(
    loss: Tensor, call: _Call, places: RowPlaces, batch: Batch, nearness: float
) -> bool:
    """Return whether a batch's loss is the mean, or the sum, of those of its parts.

    Of two halves, and of the first row and the others: where one row counts for less, halves can
    be alike.
    """
    count = len(batch.x)
    for cut in {count // 2, 1}:
        parts = _losses(call, places, batch, cut)
        mean = (cut * parts[0] + (count - cut) * parts[1]) / count
        allowed = nearness * max(map(abs, (*parts, float(loss))))
        if not any(abs(float(loss) - one) <= allowed for one in (mean, sum(parts))):
            return False
    return True


def _losses(call: _Call, places: RowPlaces, batch: Batch, cut: int) -> tuple[float, float]:
    """Return the losses of two parts of a batch."""
    losses = []
    for part in (slice(0, cut), slice(cut, len(batch.x))):
        entries = {places.inputs: batch.x[part], **{k: v[part] for k, v in batch.rest.items()}}
        if places.labels is not None and batch.labels is not None:
            entries[places.labels] = batch.labels[part]
        seen = call(entries)
        losses.append(torch.nan if seen is None else float(seen.loss))
    return losses[0], losses[1]


def _same(a: Tensor, b: Tensor) -> bool:
    if not b.numel():
        return True
    allowed = _ROUNDING.get(b.dtype, _SINGLE) * b.abs().amax().clamp(min=1e-12)
    return bool(((a - b).abs() <= allowed).all())


def _turned(a: Tensor, b: Tensor) -> list[int]:
    """Return the rows whose gradients have different directions."""
    turned = (_directions(a) - _directions(b)).abs().amax(1) > 1e-2
    return [int(row) for row in turned.nonzero().flatten()]


def _directions(gradient: Tensor) -> Tensor:
    rows = gradient.float().flatten(1) if gradient.ndim > 1 else gradient.float().unsqueeze(1)
    return rows / rows.abs().amax(1, keepdim=True).clamp(min=torch.finfo(torch.float32).tiny)
