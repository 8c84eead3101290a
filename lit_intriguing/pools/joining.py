"""Where the examples of the pools join a batch: at the input or at their layer."""

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from lit_intriguing.hosts.paths import Key
from lit_intriguing.hosts.whole_rows import join_rows
from lit_intriguing.pools.generation import Batch, Examples
from lit_intriguing.pools.perturbed_layer import PerturbedLayer
from lit_intriguing.pools.pool import PoolError
from lit_intriguing.pools.processes import Shares
from lit_intriguing.splice import INPUT, Edit, SpliceError, in_backward

PoolExamples = dict[str, Any]
"""What a pool stores of N examples, by name: tensors or lists of N entries.

`inputs`, `labels`, `born` (the step), `activation` or `perturbation`, and what else a row has, by
its path in the batch after `REST`.
"""

REST = "rest:"


def examples_to_store(
    layer: str, plan: PerturbedLayer, examples: Examples, batch: Batch, step: int
) -> PoolExamples:
    """Return what a layer's pool stores of new examples.

    Args:
        layer: The layer's name.
        plan: How its examples join.
        examples: What was made of the batch.
        batch: The clean examples that they were made of.
        step: The present step; the age of an example counts from it.

    Returns:
        What the examples need to join again.
    """
    born = torch.full((len(batch.x),), step, dtype=torch.int64, device=batch.x.device)
    always: PoolExamples = {"born": born}
    if batch.labels is not None:
        always["labels"] = batch.labels.long()  # torch cannot index all integers
    if plan.at_layer:
        return {"activation": examples.adversarial, **always}
    always |= {f"{REST}{path}": entry for path, entry in batch.rest.items()}
    if layer == INPUT:
        return {"inputs": examples.adversarial, **always}
    if plan.stale:
        return {"inputs": batch.x, "activation": examples.adversarial, **always}
    return {"inputs": batch.x, "perturbation": examples.adversarial - examples.clean, **always}


def some_rows(entries: Mapping[Any, Any], rows: Tensor) -> dict[Any, Any]:
    """Return some rows of entries: tensors, and sequences of as many.

    Args:
        entries: By name, or by path.
        rows: Which ones, bool `(N,)`.
    """
    chosen = rows.nonzero().flatten()
    listed = chosen.tolist()
    return {
        key: one[chosen] if isinstance(one, Tensor) else type(one)(one[k] for k in listed)
        for key, one in entries.items()
    }


@dataclass(frozen=True)
class Joined:
    """A batch with the examples of the pools behind the clean ones.

    Attributes:
        inputs: Clean inputs, then those of the examples that join at the input, `(M, *S)`.
        labels: Labels of all examples at the output, `(N,)`, N at least M; None if they have none.
        clean: Number of clean examples.
        groups: Where the examples of each layer are at the output.
        edits: What the output of each layer passes through.
        appended: The layers at which examples join.
        rest: What else the rows have, by its path in the batch: M entries each.
        shares: This process's, where several share the examples.
    """

    inputs: Tensor
    labels: Tensor | None
    clean: int
    groups: Mapping[str, slice]
    edits: Mapping[str, Edit]
    appended: Sequence[str] = ()
    rest: Mapping[Key, Any] = field(default_factory=dict)
    shares: Shares = field(default_factory=Shares)

    def __len__(self) -> int:
        """Return the number of examples at the output."""
        stops: list[int] = [group.stop for group in self.groups.values()]
        return max([len(self.inputs), *stops])

    def lengths(self, layer: str) -> set[int]:
        """Return how many examples a layer's output may have where its edit is for it."""
        if layer in self.appended:
            return {self.groups[layer].start}
        return {len(self.inputs), *(self.groups[name].stop for name in self.appended)}

    def example_weights(self, weights: Mapping[str, float]) -> Tensor | None:
        """Return the weight of each example, mean 1, shape `(N,)`; None if all are the same.

        With these, the mean over examples is the weighted mean of the groups' mean losses,
        `(clean + sum_l w_l loss_l) / (1 + sum_l w_l)`, and a sum over examples N times that.
        """
        count, total = len(self), 1 + sum(weights[name] for name in self.groups)
        of_groups = {(0, self.clean): self.shares.clean}
        for name, group in self.groups.items():
            of_groups[group.start, group.stop] = weights[name] * self.shares.of(name)
        each = [
            (stop - start, weight * count / ((stop - start) * total))
            for (start, stop), weight in of_groups.items()
        ]
        if all(abs(weight - 1) < 1e-9 for _, weight in each):
            return None
        dtype = self.inputs.dtype if self.inputs.is_floating_point() else torch.float32
        return _repeated(tuple(each), dtype, self.inputs.device)


@functools.lru_cache(maxsize=4)
def _repeated(
    each: Sequence[tuple[int, float]], dtype: torch.dtype, device: torch.device
) -> Tensor:
    """Return each of some numbers so many times; most steps want the same, which none changes."""
    like = torch.empty(0, dtype=dtype, device=device)
    return torch.cat([like.new_full((size,), number) for size, number in each])


def join(
    batch: Batch,
    drawn: Mapping[str, PoolExamples],
    layers: Mapping[str, PerturbedLayer],
    shares: Shares | None = None,
) -> Joined:
    """Put drawn examples behind a batch.

    Args:
        batch: Clean inputs and labels; may be empty.
        drawn: Examples of each layer, as `examples_to_store` made them. Layers whose examples join
            at the layer must be in the order of the forward pass.
        layers: How each layer's examples join.
        shares: This process's; None where it shares the examples with no other.
    """
    drawn = {name: one for name, one in drawn.items() if one}  # none has the batch's shape
    at_input = [name for name in drawn if not layers[name].at_layer]
    at_layer = [name for name in drawn if layers[name].at_layer]
    inputs = join_rows([batch.x, *(drawn[name]["inputs"] for name in at_input)])
    rest = {
        path: join_rows([entry, *(entry_of(drawn[name], f"{REST}{path}") for name in at_input)])
        for path, entry in batch.rest.items()
    }
    groups, start = {}, len(batch.x)
    for name in (*at_input, *at_layer):
        groups[name] = slice(start, start := start + count_of(drawn[name]))
    edits = {
        name: _append(name, groups[name], drawn[name]["activation"])
        if layers[name].at_layer
        else overwrite(name, groups[name], drawn[name], layers[name].shield)
        for name in drawn
        if name != INPUT
    }
    labels = _labels(batch.labels, [drawn[name] for name in groups])
    return Joined(inputs, labels, len(batch.x), groups, edits, at_layer, rest, shares or Shares())


def entry_of(drawn: PoolExamples, name: str) -> Any:
    """Return what a pool's examples have for an entry of the batch.

    Raises:
        PoolError: If they have none: the pool comes from a run whose batches were others.
    """
    if name not in drawn:
        raise PoolError(
            f"The batch has {name.removeprefix(REST)!r} for each example, and the pool's examples "
            "have none. A pool from a checkpoint of other data cannot be used: start without that "
            "checkpoint."
        )
    return drawn[name]


def count_of(drawn: PoolExamples) -> int:
    """Return the number of examples drawn."""
    count: int = len(next(iter(drawn.values())))
    return count


def _labels(clean: Tensor | None, drawn: Iterable[PoolExamples]) -> Tensor | None:
    if clean is None:
        return None
    return torch.cat([clean, *(entry_of(one, "labels").to(clean.dtype) for one in drawn)])


def overwrite(layer: str, group: slice, drawn: PoolExamples, shield: bool) -> Edit:
    """Return what puts examples in the place of some rows of a layer's output.

    Args:
        layer: The layer's name.
        group: The rows.
        drawn: What the pool stores of the examples.
        shield: Whether the layers below get no gradient.
    """

    def edit(output: Tensor) -> Tensor:
        if len(output) < group.stop:
            raise SpliceError(_length_message(layer, len(output), group.stop))
        if "activation" in drawn:
            new = drawn["activation"].to(output.dtype)
        else:
            below = output[group]
            new = (below.detach() if shield else below) + drawn["perturbation"].to(output.dtype)
        return torch.cat([output[: group.start], new, output[group.stop :]])

    return edit


def _append(layer: str, group: slice, activation: Tensor) -> Edit:
    def edit(output: Tensor) -> Tensor:
        if len(output) != group.start:
            raise SpliceError(_append_message(layer, len(output), group.start))
        return torch.cat([output, activation.to(output.dtype)])

    return edit


def refuse_recomputing(layers: Iterable[str]) -> dict[str, Edit]:
    """Return edits that change nothing and raise where a layer is called again in the backward."""

    def edit(output: Tensor) -> Tensor:
        if in_backward():
            raise SpliceError(
                "Activation checkpointing around an attacked layer calls it again in the backward "
                "pass, where clean and pool examples cannot be told apart: use keep_out=False."
            )
        return output

    return {layer: edit for layer in layers if layer != INPUT}


def wrong_length(layer: str, length: int, joined: Joined) -> str:
    """Return the message on a layer whose output has not as many rows as the joined batch."""
    expected = min(joined.lengths(layer))
    message = _append_message if layer in joined.appended else _length_message
    return message(layer, length, expected)


def _append_message(layer: str, length: int, expected: int) -> str:
    return (
        f"{_length_message(layer, length, expected)} Layers with at_layer=True must be listed in "
        "the order in which the forward pass meets them."
    )


def _length_message(layer: str, length: int, expected: int) -> str:
    found = (
        f"The output of layer {layer!r} has length {length} where {expected} examples were "
        "expected: its first dimension must be the batch."
    )
    elsewhere = "attack the input, or a layer whose rows are the batch's."
    if expected and length > expected and length % expected == 0:
        return f"{found} The rows are repeated before it: {elsewhere}"
    return (
        f"{found} If the training step cuts the batch or joins others to it, use keep_out=True; if "
        f"that is so already, {elsewhere}"
    )
