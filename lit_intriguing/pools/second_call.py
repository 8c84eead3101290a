"""Losses of the pools' examples alone, where they do not join the host's batch."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lit_intriguing.hosts.paths import Key
from lit_intriguing.hosts.step_loss import StepLoss, loss_of, with_loss
from lit_intriguing.hosts.whole_rows import RowPlaces
from lit_intriguing.pools.forwards import LayerCalls
from lit_intriguing.pools.generation import Spliced
from lit_intriguing.pools.joining import REST, Joined, PoolExamples, count_of, entry_of, overwrite
from lit_intriguing.pools.perturbed_layer import PerturbedLayer
from lit_intriguing.pools.processes import Shares
from lit_intriguing.splice import INPUT, Splice, check_met


class SecondCall:
    """The host's own `training_step`, called aside on the examples of one layer after the other.

    Args:
        step: Calls it.
        splice: The hooks on the attacked layers.
        traced: Whether torch's functions can be observed; see `LayerCalls`.
    """

    def __init__(self, step: StepLoss, splice: Splice, traced: bool) -> None:
        self.step, self.splice, self.traced = step, splice, traced
        self._calls: dict[str, LayerCalls] = {}

    def loss(
        self,
        layer: str,
        plan: PerturbedLayer,
        drawn: PoolExamples,
        host_batch: Any,
        others: tuple[Any, ...],
        places: RowPlaces,
        seed: int,
    ) -> Tensor | None:
        """Return the host's loss `()` on a layer's examples, with its graph.

        Args:
            layer: The layer's name.
            plan: How its examples join.
            drawn: The examples.
            host_batch: The present batch, for what all rows share.
            others: What else the step takes.
            places: Where the batch's rows are.
            seed: Of the random numbers inside.

        Returns:
            The loss; None where the step skips this batch.

        Raises:
            SpliceError: If the layer is not called, or on other rows alone.
        """
        joined = _alone(layer, plan, drawn)
        rows = places.replace(host_batch, _entries(drawn, host_batch, places))
        calls = self._calls.setdefault(layer, LayerCalls(self.traced))
        edits = places.of_rows(calls.edits(joined))
        with self.splice.edited(edits, repeated=True) as met, calls.forward(joined):
            loss = self.step(rows, others, seed=seed)
        if loss is not None:
            check_met([layer], met)
        return loss

    def stand_in(self, host_batch: Any, others: tuple[Any, ...], seed: int) -> Tensor | None:
        """Return zero with the graph of a call on the clean batch.

        A process that has no examples makes it where others have some: networks that synchronise
        in their forward wait for all.
        """
        loss = self.step(host_batch, others, seed=seed)
        return None if loss is None else torch.where(loss.isfinite(), loss, 0) * 0


class OwnForward:
    """A forward pass of the model and a loss given by the user, on all examples together.

    Args:
        spliced: The model and its hooks.
        loss: Of logits `(N, C)` and labels int64 `(N,)`.
    """

    def __init__(self, spliced: Spliced, loss: nn.Module) -> None:
        self.spliced, self.loss = spliced, loss

    def losses(self, joined: Joined) -> tuple[dict[str, Tensor], Tensor]:
        """Return each layer's loss `()`, and the logits `(N, C)`.

        Args:
            joined: Examples without a clean batch before them.
        """
        assert joined.labels is not None
        with self.spliced.splice.edited(joined.edits) as met:
            logits = self.spliced.model(joined.inputs)
        check_met(joined.groups, met)
        labels, loss = joined.labels.long(), self.loss.to(logits.device)
        losses = {name: loss(logits[group], labels[group]) for name, group in joined.groups.items()}
        return losses, logits.detach()


def weighted_mean(
    output: Any,
    losses: Mapping[str, Tensor],
    weights: Mapping[str, float],
    shares: Shares,
    zeros: Sequence[Tensor] = (),
) -> Any:
    """Return a step's output with the loss `(host + sum_l w_l loss_l) / (1 + sum_l w_l)`.

    Each loss is multiplied by this process's share of its rows. Zeros are added for the sake of
    their graphs.
    """
    host = loss_of(output)
    if host is None or not (losses or zeros):
        return output
    total = host * shares.clean
    for name, loss in losses.items():
        total = total + weights[name] * shares.of(name) * loss.to(host.device)
    total = total + sum(zero.to(host.device) for zero in zeros)
    return with_loss(output, total / (1 + sum(weights[name] for name in losses)))


def _alone(layer: str, plan: PerturbedLayer, drawn: PoolExamples) -> Joined:
    group = slice(0, count_of(drawn))
    edits = {} if layer == INPUT else {layer: overwrite(layer, group, drawn, plan.shield)}
    return Joined(drawn["inputs"], drawn.get("labels"), 0, {layer: group}, edits)


def _entries(drawn: PoolExamples, host_batch: Any, places: RowPlaces) -> dict[Key, Any]:
    entries: dict[Key, Any] = {places.inputs: drawn["inputs"]}
    for path in places.read_rest(host_batch):
        entries[path] = entry_of(drawn, f"{REST}{path}")
    if places.labels is not None:
        like = places.at(host_batch, places.labels)
        entries[places.labels] = entry_of(drawn, "labels").to(like.dtype)
    return entries


def patched_step(module: nn.Module, step: Any) -> "_Patched":
    """Return what has a module's `training_step` be another function while entered."""
    return _Patched(module, step)


class _Patched:
    def __init__(self, module: nn.Module, step: Any) -> None:
        self.attributes, self.step = vars(module), step

    def __enter__(self) -> None:
        self.before = self.attributes.get("training_step")
        self.attributes["training_step"] = self.step

    def __exit__(self, *error: object) -> None:
        del self.attributes["training_step"]
        if self.before is not None:
            self.attributes["training_step"] = self.before


def drawn_seed(generator: torch.Generator) -> int:
    """Return a seed for one call, drawn from a generator."""
    return int(torch.randint(2**31, (), generator=generator))
