"""Examples that raise the host's own loss."""

from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lit_intriguing.attacks import Criterion
from lit_intriguing.attacks.gradient import has_direction, input_gradient, row_lengths
from lit_intriguing.autograd import grad_island
from lit_intriguing.hosts.arrays import ArraysWithoutGradient, asks_for_arrays
from lit_intriguing.hosts.loss_column import LossColumn, as_mask
from lit_intriguing.hosts.paths import Key
from lit_intriguing.hosts.step_loss import StepLoss
from lit_intriguing.hosts.whole_rows import RowPlaces
from lit_intriguing.pools.first_rows import FirstRows
from lit_intriguing.pools.forwards import LayerCalls
from lit_intriguing.pools.generation import (
    Batch,
    Examples,
    norms_of,
    one_step,
    spread_of,
)
from lit_intriguing.pools.joining import Joined
from lit_intriguing.pools.perturbed_layer import PerturbedLayer
from lit_intriguing.splice import INPUT, Edit, Splice, SpliceError
from lit_intriguing.types import UNBOUNDED


@dataclass(frozen=True)
class HostStep:
    """A host's step on the rows of one batch, as a function of the input or a layer's output.

    Attributes:
        step: Calls it.
        splice: The hooks on the attacked layers.
        host_batch: The batch as the host gets it.
        others: What else the step takes.
        places: Where the batch's rows are.
        arrays: Whether the step makes arrays of its inputs.
        traced: Whether torch's functions can be observed; see `LayerCalls`.
        calls: Which calls of each layer are those of the rows; learnt.
    """

    step: StepLoss
    splice: Splice
    host_batch: Any
    others: tuple[Any, ...]
    places: RowPlaces
    arrays: bool
    traced: bool
    calls: dict[str, LayerCalls]

    def loss(
        self, batch: Batch, layer: str, x: Tensor | None, seed: int, steady: bool = False
    ) -> Tensor | None:
        """Return the loss `()` of some rows.

        Args:
            batch: The rows.
            layer: The attacked layer.
            x: What takes the place of its tensor, `(N, *S)`; None for its own.
            seed: Of the random numbers inside.
            steady: Whether dropout and BatchNorm run as in evaluation mode.
        """
        inputs = batch.x if x is None or layer != INPUT else x.clone()
        if x is None or layer == INPUT:
            return self._run(batch, inputs, {}, seed, steady)
        return self._run(batch, inputs, {layer: lambda _: x.clone()}, seed, steady)

    def _run(
        self, batch: Batch, inputs: Tensor, edits: dict[str, Edit], seed: int, steady: bool
    ) -> Tensor | None:
        entries: dict[Key, Any] = {self.places.inputs: inputs, **batch.rest}
        if self.places.labels is not None and batch.labels is not None:
            entries[self.places.labels] = batch.labels
        rows = self.places.replace(self.host_batch, entries)
        joined = Joined(inputs, batch.labels, len(inputs), {}, edits)
        calls = self.calls.setdefault("".join(edits), LayerCalls(self.traced))
        arrays = ArraysWithoutGradient() if self.arrays else nullcontext()
        with (
            arrays,
            self.splice.edited(self.places.of_rows(calls.edits(joined)), repeated=True),
            calls.forward(joined),
        ):
            return self.step(rows, self.others, seed=seed, steady=steady)

    def makes_arrays(self, batch: Batch) -> bool:
        """Return whether the step makes arrays of its inputs, which must have no gradient then."""
        try:
            self.loss(batch, INPUT, batch.x.detach().requires_grad_(), seed=0)
        except RuntimeError as error:
            return asks_for_arrays(error)
        return False

    def clean(self, batch: Batch, layer: str, seed: int) -> Tensor:
        """Return a layer's tensor for some rows, `(N, *S)`."""
        if layer == INPUT:
            return batch.x
        found: list[Tensor] = []

        def note(output: Tensor) -> Tensor:
            found.append(output.detach().clone())
            return output

        with torch.no_grad():
            self._run(batch, batch.x, {layer: note}, seed, steady=False)
        if not found:
            raise SpliceError(f"Layer {layer!r} was not called in the training step.")
        return found[0]


def mask_of(plan: PerturbedLayer, batch: Batch, x: Tensor) -> Tensor | None:
    """Return what may be perturbed of activations `(N, T, ...)`, in a shape that multiplies them.

    Raises:
        UserError: If the rows have no such entry.
    """
    if plan.mask is None:
        return None
    return as_mask(batch.rest.get(plan.mask), x, plan.mask, list(batch.rest))


def from_gradient(
    plan: PerturbedLayer,
    x: Tensor,
    gradient: Tensor,
    mask: Tensor | None,
    last_spread: Tensor | None,
    rows: FirstRows,
) -> tuple[Examples, Tensor]:
    """Return one step's examples along the gradient of the host's loss, and which of them are any.

    Args:
        plan: How the layer is attacked.
        x: The clean tensor, `(N, *S)`.
        gradient: Of the host's loss, likewise.
        mask: What may be perturbed; None for everything.
        last_spread: The last spread of the layer.
        rows: Where the rows are among those of all processes.

    Returns:
        The examples, and which have a finite gradient that is not zero, and a norm where lengths
        are in units of it, bool `(N,)`.
    """
    gradient = gradient.to(x.dtype) if mask is None else gradient.to(x.dtype) * mask
    lengths = row_lengths(gradient)
    usable = _usable(gradient, lengths)
    tokens, along, known = (
        (x, gradient, lengths)
        if not plan.per_token
        else (x.flatten(0, 1), gradient.flatten(0, 1), None)
    )
    norms = None
    if plan.relative == "example":
        norms = norms_of(x, mask, plan.per_token)
        if plan.per_token:
            moves = (norms.flatten(1) > 0) & (gradient.flatten(2) != 0).any(2)
            usable = usable & moves.any(1)
            norms = norms.flatten(0, 1)
        else:
            usable = usable & (norms.flatten() > 0)
    moved, spread = one_step(
        plan, tokens, along, last_spread, rows, ascend=True, lengths=known, norms=norms
    )
    return Examples(x, moved.view_as(x), None, spread), usable


def _usable(gradient: Tensor, lengths: Tensor) -> Tensor:
    """Return which rows of a gradient `(N, *S)` are finite and not zero: bool `(N,)`."""
    usable = (lengths > _CLEARLY_NOT_ZERO) & (lengths < torch.inf)
    if bool(usable.all()):
        return usable
    # A square can overflow, or vanish, where the gradient does neither.
    odd = (~usable).nonzero().squeeze(1)
    usable[odd] = has_direction(gradient[odd])
    return usable


_CLEARLY_NOT_ZERO = 1e-15


def by_search(
    host: HostStep,
    batch: Batch,
    layer: str,
    plan: PerturbedLayer,
    last_spread: Tensor | None,
    generator: torch.Generator,
    rows: FirstRows,
) -> tuple[Examples, Tensor]:
    """Return examples of an attack that calls the step again; see `from_gradient`."""
    seed = int(torch.randint(2**31, (), generator=generator))
    with grad_island():
        x = host.clean(batch, layer, seed).detach()
        mask, spread = mask_of(plan, batch, x), spread_of(x, plan, last_spread, rows)
        unit = x.new_ones(()) if spread is None else spread
        bounds = plan.bounds or UNBOUNDED
        column = LossColumn(
            lambda new: host.loss(batch, layer, new, seed), x, mask, unit, plan.per_token
        )
        labels = torch.zeros(len(column.start), dtype=torch.int64, device=x.device)
        criterion: Criterion = plan.aim(labels, labels.new_zeros(0), generator)
        if plan.relative == "example":  # one step along the gradient
            against = input_gradient(column, column.start, criterion).view_as(x)
            return from_gradient(plan, x, -against, mask, last_spread, rows)
        found = plan.attack(
            column,
            column.start,
            criterion,
            bounds=bounds.in_units_of(unit),
            generator=rows.generator(generator),
        )
        adversarial = bounds.clamp(column.back(found.adversarial)).detach()
    usable = adversarial.isfinite().flatten(1).all(1) & (adversarial != x).flatten(1).any(1)
    return Examples(x, adversarial, None, spread), usable
