"""The pools of all layers, step by step: which layer's turn it is, refreshing, joining."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import torch
from lightning.fabric.utilities import move_data_to_device
from torch import Tensor

from lit_intriguing.pools.first_rows import FirstRows
from lit_intriguing.pools.generation import Batch, Examples, Spliced, generate
from lit_intriguing.pools.joining import (
    REST,
    Joined,
    PoolExamples,
    examples_to_store,
    join,
    some_rows,
)
from lit_intriguing.pools.perturbed_layer import PerturbedLayer
from lit_intriguing.pools.pool import Pool, PoolError
from lit_intriguing.pools.processes import OneProcess, Shares, not_one_shape
from lit_intriguing.pools.ragged_pool import RaggedPool


class LayerPools:
    """A pool for each layer, which is refreshed and from which examples join batches.

    Args:
        layers: How each layer is attacked and joins; the empty name is the input.
        alternate: Whether the layers take turns, one a step, instead of joining all in each step.
        start_step: Steps before which nothing is generated or joined.
        seed: Seed of the generator that chooses targets, slots and examples.

    Attributes:
        processes: Those that share the pools.
        carried: What a scheme without pools takes from one step to the next.
        progress: Share of the run that is done, in [0, 1], for lengths that are annealed.

    Raises:
        ValueError: If there is no layer, or a layer's options make no sense for it.
    """

    def __init__(
        self,
        layers: Mapping[str, PerturbedLayer],
        *,
        alternate: bool = False,
        start_step: int = 0,
        seed: int = 0,
    ) -> None:
        if not layers:
            raise ValueError("AdversarialTraining needs at least one layer; '' means the input.")
        for name, plan in layers.items():
            plan.check(name)
        self.layers, self.alternate, self.start_step = dict(layers), alternate, start_step
        self._goals = {name: plan.goal for name, plan in layers.items()}
        self.weights = {name: plan.weight for name, plan in layers.items()}
        self.by_layer: dict[str, Pool | RaggedPool] = {
            name: Pool(plan.pool) for name, plan in layers.items()
        }
        self.spreads: dict[str, Tensor] = {}
        self.generator = torch.Generator().manual_seed(seed)
        self.processes = OneProcess()
        self.step = 0
        self.classes: int | None = None
        self._holds_batches = False
        self.carried: dict[str, Any] = {}
        self.progress = 0.0

    def __getstate__(self) -> dict[str, Any]:
        """Return the attributes with the generator's state: a generator cannot be sent on."""
        return {**vars(self), "generator": self.generator.get_state().tolist()}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        """Take attributes over, as `ddp_spawn` sends them to its processes."""
        vars(self).update(state)
        self.generator = torch.Generator()
        self.generator.set_state(torch.tensor(state["generator"], dtype=torch.uint8))

    def as_given(self) -> dict[str, PerturbedLayer]:
        """Return the layers with no other goals than those that they were given."""
        return {n: replace(plan, goal=self._goals[n]) for n, plan in self.layers.items()}

    @property
    def anneals(self) -> bool:
        """Whether the length of some layer's examples changes during the run."""
        return any(plan.anneal_to is not None for plan in self.layers.values())

    def now(self, name: str) -> PerturbedLayer:
        """Return how a layer is attacked at this moment of the run."""
        return self.layers[name].annealed(self.progress)

    @property
    def round(self) -> int:
        """Steps in which every layer generates at least once."""
        turns = max(plan.every_n_steps for plan in self.layers.values())
        return turns * (len(self.layers) if self.alternate else 1)

    def active(self) -> list[str]:
        """Return the layers whose turn it is in this step."""
        if self.step < self.start_step:
            return []
        names = list(self.layers)
        return [names[self.step % len(names)]] if self.alternate else names

    def due(self) -> list[str]:
        """Return the active layers that generate in this step; an empty pool always does."""
        turn = (self.step - self.start_step) // (len(self.layers) if self.alternate else 1)
        return [
            name
            for name in self.active()
            if turn % self.layers[name].every_n_steps == 0 or not len(self.by_layer[name])
        ]

    def refresh(self, spliced: Spliced, batch: Batch, names: Iterable[str]) -> dict[str, Examples]:
        """Make examples for the named layers from the first ones of a batch and store them.

        Layers that want the same number of examples share their clean forward pass.

        Returns:
            What was made.
        """
        made: dict[str, Examples] = {}
        each = {name: self.first(name, batch) for name in names}
        for rows in {one.total: one for one in each.values()}.values():
            part = batch.first(rows.here)
            plans = {n: self.now(n) for n, one in each.items() if one.total == rows.total}
            examples = generate(spliced, part, plans, self.spreads, self.generator, rows)
            for name, example in examples.items():
                self.store(name, part, example)
            made |= examples
        return made

    def begin(self, batch: Batch) -> None:
        """Begin a step with a batch. Every process that shares the pools must call it.

        Raises:
            UserError: If the pools are shared and cannot hold its rows.
        """
        self.processes.begin(_entries(batch))

    def first(self, name: str, batch: Batch) -> FirstRows:
        """Return where the rows are of which a layer's examples are made."""
        return self.processes.first(self.layers[name].refresh, len(batch.x))

    def join(self, batch: Batch) -> Joined:
        """Draw examples for the active layers and put them behind a batch."""
        drawn = self.draw(batch, copied=False)
        return join(batch, drawn, self.layers, self.shares(drawn))

    def shares(self, drawn: Iterable[str]) -> Shares:
        """Return the shares of this process in a step with examples of some layers."""
        drawn = list(drawn)
        counts = {n: min(self.layers[n].mix, len(self.by_layer[n])) for n in drawn}
        return self.processes.shares(counts)

    def draw(self, like: Batch | None = None, copied: bool = True) -> dict[str, PoolExamples]:
        """Draw examples for the active layers.

        Args:
            like: A batch that they are to join; None where their shapes do not matter.
            copied: Whether they are copies; else some may be views of the pools.

        Returns:
            Those of each layer whose pool holds some of the right shapes.
        """
        drawn = {name: self._draw(name, like, copied) for name in self.active()}
        return {name: one for name, one in drawn.items() if one}

    def _draw(self, name: str, like: Batch | None, copied: bool) -> PoolExamples:
        pool, mix = self.by_layer[name], self.layers[name].mix
        if len(pool) < self.processes.size:  # none for some process
            return {}
        wanted = {} if like is None else _entries(like)
        if isinstance(pool, Pool):
            if pool.fits(wanted):
                return pool.draw(mix, self.generator, self.processes.part, copied)
            pool = self._make_ragged(name, pool)
        return pool.draw(mix, self.generator, None if like is None else _tensors(wanted))

    def _make_ragged(self, name: str, pool: Pool) -> RaggedPool:
        self._refuse_ragged()
        new = self.by_layer[name] = RaggedPool.of(pool)
        return new

    def _refuse_ragged(self) -> None:
        if self.processes.size > 1:
            raise PoolError(not_one_shape())

    def age(self, name: str) -> Tensor:
        """Return the mean number of steps since the examples of a pool were made: `()`."""
        return self.step - self.by_layer[name].filled("born").double().mean()

    def hold_batches(self, count: int) -> None:
        """Hold whole batches in place of examples, as many as have the pools' number of these.

        Lengths are then those of each example of a batch. Pools that do already stay as they are.

        Args:
            count: Examples in a batch.
        """
        self._refuse_ragged()
        if not self._holds_batches:
            self._hold({name: max(1, plan.pool // count) for name, plan in self.layers.items()})

    def _hold(self, sizes: Mapping[str, int]) -> None:
        self._holds_batches = True
        for name, size in sizes.items():
            plan = self.layers[name]
            self.layers[name] = replace(plan, pool=size, mix=1, refresh=1, per_token=True)
            self.by_layer[name] = RaggedPool(size)

    def store(
        self, name: str, batch: Batch, examples: Examples, usable: Tensor | None = None
    ) -> None:
        """Put new examples of a layer into its pool, of all processes that share it.

        Args:
            name: The layer's.
            batch: The rows that they were made of.
            examples: What was made.
            usable: Which of them to store, bool `(N,)`; None for all.

        Raises:
            PoolError: If they do not fit in.
        """
        new = examples_to_store(name, self.layers[name], examples, batch, self.step)
        new = self._of_all(self.first(name, batch), new, usable)
        if not len(new["born"]):
            return
        pool = self.by_layer[name]
        if isinstance(pool, Pool) and not pool.fits(_row_entries(new)):
            pool = self._make_ragged(name, pool)
        try:
            pool.replace(new, self.generator)
        except PoolError as error:
            raise PoolError(f"Layer {name!r}: {error}") from error
        self.classes = examples.classes
        if examples.spread is not None:
            self.spreads[name] = examples.spread

    def _of_all(self, rows: FirstRows, new: PoolExamples, usable: Tensor | None) -> PoolExamples:
        if usable is None:
            return rows.gather(new)
        new = rows.gather({**new, _USABLE: usable})
        chosen = new.pop(_USABLE)
        return new if bool(chosen.all()) else some_rows(new, chosen)

    def state_dict(self) -> dict[str, Any]:
        """Return the state; the pools' tensors are not copied."""
        return {
            "step": self.step,
            "classes": self.classes,
            "generator": self.generator.get_state(),
            "spreads": dict(self.spreads),
            "batches": self._holds_batches and {n: one.size for n, one in self.by_layer.items()},
            "pools": {name: pool.state_dict() for name, pool in self.by_layer.items()},
            "carried": dict(self.carried),
        }

    def load_state_dict(self, state: Mapping[str, Any], device: torch.device) -> None:
        """Take over a state.

        Raises:
            PoolError: If it holds pools of other layers or sizes.
        """
        if state["pools"] is not None:
            self._load_pools(state["pools"], state.get("batches"), device)
        self.spreads = {name: spread.to(device) for name, spread in state["spreads"].items()}
        self.generator.set_state(state["generator"].cpu())
        self.carried = move_data_to_device(state.get("carried", {}), device)
        self.step, self.classes = state["step"], state["classes"]

    def _load_pools(
        self, saved: Mapping[str, Any], batches: Mapping[str, int] | None, device: torch.device
    ) -> None:
        if set(saved) != set(self.by_layer):
            raise PoolError(
                f"The checkpoint holds pools for the layers {sorted(saved)}, this run attacks "
                f"{sorted(self.by_layer)}: give the same layers, or start without it."
            )
        if batches:
            self._hold(batches)
        for name, plan in self.layers.items():
            ragged = "rows" in saved[name]
            pool = self.by_layer[name] = (RaggedPool if ragged else Pool)(plan.pool)
            pool.load_state_dict(saved[name], device)


def _row_entries(examples: PoolExamples) -> dict[str, Any]:
    """Return what examples have of the batch's rows; only these may differ in shape."""
    return {k: one for k, one in examples.items() if k == "inputs" or k.startswith(REST)}


def _entries(batch: Batch) -> dict[str, Any]:
    """Return what the rows of a batch have, but for the labels, which are stored as int64."""
    return {"inputs": batch.x, **{f"{REST}{path}": one for path, one in batch.rest.items()}}


_USABLE = "usable"


def _tensors(entries: Mapping[str, Any]) -> dict[str, Tensor]:
    return {name: one for name, one in entries.items() if isinstance(one, Tensor)}
