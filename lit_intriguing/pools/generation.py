"""Adversarial examples for several layers of one batch."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from lit_intriguing.attacks import Criterion, GradientAttack
from lit_intriguing.attacks.arguments import check_inside
from lit_intriguing.attacks.gradient import no_gradient, project
from lit_intriguing.autograd import grad_island, preserved
from lit_intriguing.errors import UserError
from lit_intriguing.hosts.paths import Key
from lit_intriguing.pools.first_rows import FirstRows
from lit_intriguing.pools.labels import classes_of
from lit_intriguing.pools.perturbed_layer import PerturbedLayer
from lit_intriguing.splice import INPUT, Splice, SpliceError, Tail, activations, eager, kind, tail
from lit_intriguing.types import UNBOUNDED, distortion


class GenerationError(UserError, ValueError):
    """Examples cannot be made for this model and batch."""


@dataclass(frozen=True)
class Spliced:
    """A model that maps inputs to logits `(N, C)`, and its hooks on the attacked layers."""

    model: nn.Module
    splice: Splice

    def columns(self, logits: Tensor) -> int:
        """Return how many logits the host's own model gives, of which `(N, C)` are made."""
        columns: int | None = getattr(self.model, "columns", None)
        return columns or logits.shape[1]


@dataclass(frozen=True)
class Examples:
    """What was made for one layer from N examples of a batch; all detached.

    Attributes:
        clean: The layer's activation, `(N, *S)`.
        adversarial: The same, perturbed.
        criterion: What was wanted; None for a larger loss of the host.
        spread: The activation's spread, `()`; None where lengths are not in units of it.
        classes: Logits of each example as the host's model gives them, if known.
        spared: Which examples reached the goal unperturbed, so that the attack did not search, bool
            `(N,)`; None if that was not tested.
    """

    clean: Tensor
    adversarial: Tensor
    criterion: Criterion | None
    spread: Tensor | None
    classes: int | None = None
    spared: Tensor | None = None

    def success(self, spliced: Spliced, layer: str, x: Tensor) -> Tensor:
        """Return which examples reach the goal, verified by a forward pass: bool `(N,)`."""
        assert self.criterion is not None
        with torch.no_grad(), preserved(spliced.model):
            logits = tail(spliced.model, layer, x, spliced.splice)(self.adversarial)
            return self.criterion.met(logits)

    def unmoved(self) -> Tensor:
        """Return which examples are unchanged: bool `(N,)`."""
        same = self.adversarial == self.clean
        if self.spread is not None:  # there and back between the units
            same |= self.adversarial == self.clean / self.spread * self.spread
        return same.flatten(1).all(1)

    def stuck(self) -> Tensor:
        """Return which examples are unchanged without reaching the goal: bool `(N,)`."""
        unmoved = self.unmoved()
        return unmoved if self.spared is None else unmoved & ~self.spared

    def distortion(self) -> Tensor:
        """Return each example's root mean square change, `(N,)`."""
        return distortion(self.clean, self.adversarial)


@dataclass(frozen=True)
class Batch:
    """Clean examples: whole rows of a host's batch.

    Attributes:
        x: Inputs, `(N, *S)`.
        labels: True labels, integers `(N,)`; None where there are none.
        rest: What else a row has, by its path in the batch: N entries each.
    """

    x: Tensor
    labels: Tensor | None
    rest: Mapping[Key, Any] = field(default_factory=dict)

    def first(self, count: int) -> "Batch":
        """Return the first rows."""
        if count >= len(self.x):
            return self
        labels = None if self.labels is None else self.labels[:count]
        return Batch(self.x[:count], labels, {key: one[:count] for key, one in self.rest.items()})

    @property
    def true_labels(self) -> Tensor:
        """The labels, where there must be some."""
        assert self.labels is not None
        return self.labels


def generate(
    spliced: Spliced,
    batch: Batch,
    layers: Mapping[str, PerturbedLayer],
    spreads: Mapping[str, Tensor],
    generator: torch.Generator,
    rows: FirstRows | None = None,
) -> dict[str, Examples]:
    """Make examples for each layer, the model in evaluation mode and left as it was.

    Attacks that need no more than the clean gradient share one clean forward, and those with the
    same goal one backward; the others run one by one.

    Args:
        spliced: The model and its hooks.
        batch: The clean examples.
        layers: How each layer is attacked.
        spreads: The last spread of each layer, for batches of one example.
        generator: Source of randomness, on the CPU.
        rows: Where the clean examples are among those of all processes; None for one process.

    Returns:
        The examples of each layer.

    Raises:
        GenerationError: If the model does not give logits with a gradient.
        SpliceError: If a layer is not called once or does not return a tensor.
    """
    rows = rows or FirstRows(len(batch.x))
    with grad_island(), preserved(spliced.model), eager(spliced.model):
        logits, clean = activations(spliced.model, spliced.splice, list(layers), batch.x)
        _check_logits(logits, len(batch.x))
        made: dict[str, Examples] = {}
        for goal in dict.fromkeys(plan.aim for plan in layers.values()):
            labels = classes_of(batch.true_labels, logits.detach())
            criterion = rows.criterion(goal, labels, logits.detach(), generator)
            same = {name: plan for name, plan in layers.items() if plan.aim == goal}
            made |= _shared(logits, clean, criterion, same, spreads, rows)
            made |= _separate(spliced, batch, clean, criterion, same, spreads, generator, rows)
    return {name: replace(made[name], classes=spliced.columns(logits)) for name in layers}


def _shared(
    logits: Tensor,
    clean: Mapping[str, Tensor],
    criterion: Criterion,
    layers: Mapping[str, PerturbedLayer],
    spreads: Mapping[str, Tensor],
    rows: FirstRows,
) -> dict[str, Examples]:
    names = [name for name, plan in layers.items() if plan.shares_clean_gradient]
    if not names:
        return {}
    gradients = torch.autograd.grad(
        criterion.loss(logits).sum(),
        [clean[name] for name in names],
        retain_graph=True,
        allow_unused=True,
    )
    made = {}
    for name, gradient in zip(names, gradients, strict=True):
        if gradient is None:
            raise GenerationError(no_gradient(called(name)))
        x, spread = clean[name].detach(), spreads.get(name)
        adversarial, spread = one_step(layers[name], x, gradient, spread, rows)
        made[name] = Examples(x, adversarial, criterion, spread)
    return made


def one_step(
    plan: PerturbedLayer,
    x: Tensor,
    gradient: Tensor,
    last_spread: Tensor | None,
    rows: FirstRows,
    ascend: bool = False,
    lengths: Tensor | None = None,
    norms: Tensor | None = None,
) -> tuple[Tensor, Tensor | None]:
    """Return activations after one step against a gradient, all `(N, *S)`, and their spread.

    Args:
        plan: How the layer is attacked, by one gradient step.
        x: The clean activations.
        gradient: Of the loss to decrease.
        last_spread: The last spread, for batches of one example.
        rows: Where the examples are among those of all processes.
        ascend: Whether the loss is to increase instead.
        lengths: L2 lengths of the gradient's rows, `(N,)`, if they are known.
        norms: What lengths are in units of where `plan.relative` is "example", `(N, 1, ...)`; by
            default the norms of the clean activations.
    """
    assert isinstance(plan.attack, GradientAttack)
    spread = spread_of(x, plan, last_spread, rows)
    start = x if spread is None else x / spread
    if plan.relative == "example":
        start = torch.zeros_like(x)  # the step alone: added to x it would lose digits
    moved = plan.attack.one_step(start, gradient, UNBOUNDED, ascend=ascend, lengths=lengths)
    moved = moved if spread is None else moved * spread
    if plan.relative == "example":
        norms = norms_of(x) if norms is None else norms
        wide = norms.dtype
        moved = torch.addcmul(x.to(wide), moved.to(wide), norms).to(x.dtype)
    return (plan.bounds or UNBOUNDED).clamp(moved), spread


def norms_of(x: Tensor, mask: Tensor | None = None, per_token: bool = False) -> Tensor:
    """Return the L2 norms of examples `(N, *S)`, `(N, 1, ...)`, or of tokens, `(N, T, 1, ...)`.

    Of half precision they are in float32, which they do not overflow.

    Args:
        x: The examples; `(N, T, ...)` for tokens.
        mask: What counts, in a shape that multiplies `x`; None for everything.
        per_token: Whether they are those of tokens.
    """
    counted, rows = x if mask is None else x * mask, 2 if per_token else 1
    flat = counted.reshape(*x.shape[:rows], -1)
    wide = torch.promote_types(x.dtype, torch.float32)
    norms: Tensor = torch.linalg.vector_norm(flat, dim=rows, dtype=wide)
    return norms.view(*x.shape[:rows], *(1,) * (x.ndim - rows))


def _separate(
    spliced: Spliced,
    batch: Batch,
    clean: Mapping[str, Tensor],
    criterion: Criterion,
    layers: Mapping[str, PerturbedLayer],
    spreads: Mapping[str, Tensor],
    generator: torch.Generator,
    rows: FirstRows,
) -> dict[str, Examples]:
    made = {}
    for name, plan in layers.items():
        if plan.shares_clean_gradient:
            continue
        x = clean[name].detach()
        _check_inside(name, plan, x)
        top = tail(spliced.model, name, batch.x, spliced.splice)
        spread = spread_of(x, plan, spreads.get(name), rows)
        unit = x.new_ones(()) if spread is None else spread
        bounds = plan.bounds or UNBOUNDED
        result = plan.attack(
            _FromUnits(top, unit),
            x / unit,
            criterion,
            bounds=bounds.in_units_of(unit),
            generator=rows.generator(generator),
        )
        moved = _no_longer(x / unit, result.adversarial, plan.max_length)
        adversarial = bounds.clamp(moved * unit)
        spared = result.success & (result.queries == 0)
        made[name] = Examples(x, adversarial, criterion, spread, spared=spared)
    return made


def _no_longer(x: Tensor, moved: Tensor, length: float | None) -> Tensor:
    """Return points `(N, *S)` on the way from `x` to `moved`, at most `length` away in L2."""
    return moved if length is None else x + project(moved - x, length, 2)


@dataclass(frozen=True)
class _FromUnits:
    """The top of a model as a function of the activation divided by `unit`, `()`."""

    top: Tail
    unit: Tensor
    takes_rows: ClassVar[bool] = True

    def __call__(self, x: Tensor, rows: Tensor | None = None) -> Tensor:
        return self.top(x * self.unit, rows)


def check_examples(layer: str, plan: PerturbedLayer, examples: Examples) -> str | None:
    """Return a warning on examples that teach nothing, or None; it waits for the device.

    Raises:
        GenerationError: If no example could be changed, though one should have been, if an
            activation is not finite, or if the clean tensor leaves the bounds.
    """
    _check_inside(layer, plan, examples.clean)
    if not bool(examples.clean.isfinite().all()):
        raise GenerationError(f"Layer {layer!r}: {called(layer)} holds NaN or infinity.")
    stuck = int(examples.stuck().sum())
    if not stuck:
        return None
    if bool(examples.unmoved().all()):
        raise GenerationError(
            f"Layer {layer!r}: the gradient by {called(layer)} is zero or not finite for all "
            f"{stuck} examples, {_no_norm(plan)}or no point lies within the bounds, so none can be "
            "made. A model "
            "that saturates, rounds or ends in a step function has no gradient; one that has "
            "learnt nothing yet may need a later start_step."
        )
    gave_up = (
        " The search may also have given them up: a model that has learnt little may need a later"
        " start_step."
    )
    return (
        f"Layer {layer!r}: {stuck} of {len(examples.clean)} examples have a zero or non-finite "
        f"gradient, {_no_norm(plan)}or no point within the bounds, and stay unperturbed."
        f"{'' if plan.shares_clean_gradient else gave_up}"
    )


def _no_norm(plan: PerturbedLayer) -> str:
    return "or a norm of zero, " if plan.relative == "example" else ""


def _check_inside(layer: str, plan: PerturbedLayer, clean: Tensor) -> None:
    try:
        check_inside(clean, plan.bounds or UNBOUNDED)
    except ValueError as error:
        raise GenerationError(f"Layer {layer!r}: {error}") from error


def spread_of(
    x: Tensor, plan: PerturbedLayer, last: Tensor | None, rows: FirstRows
) -> Tensor | None:
    """Return the spread of activations `(N, *S)`, `()`; None where lengths are in other units.

    Raises:
        GenerationError: For one example, if no batch before had more.
    """
    if plan.relative is not True:
        return None
    spread = rows.spread(x)
    if spread is not None:
        # Less than any real spread, and activations divided by it do not overflow.
        return spread.clamp(min=torch.finfo(x.dtype).tiny ** 0.5)
    if last is None:
        raise GenerationError(
            "relative=True measures the activation's spread over a batch, and the first batch has "
            "one example: use larger batches, or absolute lengths."
        )
    return last


def _check_logits(logits: object, count: int) -> None:
    if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != count:
        raise SpliceError(
            f"The model must return logits of shape ({count}, C) for {count} inputs; it returned "
            f"{kind(logits)}. Name the submodule that does by model=<name>, or the part of the "
            "output that holds them by output=<key, index or function>."
        )
    if not logits.requires_grad:
        raise GenerationError(no_gradient("the attacked layers"))


def called(layer: str) -> str:
    """Return what a layer's tensor is called in messages."""
    return "the input" if layer == INPUT else f"the output of layer {layer!r}"
