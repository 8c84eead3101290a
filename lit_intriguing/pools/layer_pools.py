"""The pools of all layers, step by step: which layer's turn it is, refreshing, joining."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from lit_intriguing.pools.generation import Batch, Examples, Spliced, generate
from lit_intriguing.pools.joining import Joined, PoolExamples, examples_to_store, join
from lit_intriguing.pools.perturbed_layer import PerturbedLayer
from lit_intriguing.pools.pool import Pool, PoolError


class LayerPools:
    """A pool for each layer, which is refreshed and from which examples join batches.

    Args:
        layers: How each layer is attacked and joins; the empty name is the input.
        alternate: Whether the layers take turns, one a step, instead of joining all in each step.
        start_step: Steps before which nothing is generated or joined.
        seed: Seed of the generator that chooses targets, slots and examples.

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
        self.weights = {name: plan.weight for name, plan in layers.items()}
        self.by_layer = {name: Pool(plan.pool) for name, plan in layers.items()}
        self.spreads: dict[str, Tensor] = {}
        self.generator = torch.Generator().manual_seed(seed)
        self.step = 0
        self.classes: int | None = None

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
        counts = {name: min(self.layers[name].refresh, len(batch.x)) for name in names}
        for count in dict.fromkeys(counts.values()):
            part = Batch(batch.x[:count], batch.labels[:count])
            plans = {name: self.layers[name] for name in counts if counts[name] == count}
            examples = generate(spliced, part, plans, self.spreads, self.generator)
            for name, example in examples.items():
                self._store(name, part, example)
            made |= examples
        return made

    def join(self, batch: Batch) -> Joined | None:
        """Draw examples for the active layers and put them behind a batch; None if no layer is."""
        drawn: dict[str, PoolExamples] = {
            name: self.by_layer[name].draw(self.layers[name].mix, self.generator)
            for name in self.active()
        }
        return join(batch, drawn, self.layers) if drawn else None

    def age(self, name: str) -> Tensor:
        """Return the mean number of steps since the examples of a pool were made: `()`."""
        return self.step - self.by_layer[name].filled("born").double().mean()

    def _store(self, name: str, batch: Batch, examples: Examples) -> None:
        new = examples_to_store(name, self.layers[name], examples, batch, self.step)
        try:
            self.by_layer[name].replace(new, self.generator)
        except PoolError as error:
            raise PoolError(f"Layer {name!r}: {error}") from error
        self.classes = examples.classes
        if examples.spread is not None:
            self.spreads[name] = examples.spread

    def state_dict(self) -> dict[str, Any]:
        """Return the state; the pools' tensors are not copied."""
        return {
            "step": self.step,
            "classes": self.classes,
            "generator": self.generator.get_state(),
            "spreads": dict(self.spreads),
            "pools": {name: pool.state_dict() for name, pool in self.by_layer.items()},
        }

    def load_state_dict(self, state: Mapping[str, Any], device: torch.device) -> None:
        """Take over a state.

        Raises:
            PoolError: If it holds pools of other layers or sizes.
        """
        if set(state["pools"]) != set(self.by_layer):
            raise PoolError(
                f"The checkpoint holds pools for the layers {sorted(state['pools'])}, this run "
                f"attacks {sorted(self.by_layer)}: give the same layers, or start without it."
            )
        for name, pool in self.by_layer.items():
            pool.load_state_dict(state["pools"][name], device)
        self.spreads = {name: spread.to(device) for name, spread in state["spreads"].items()}
        self.generator.set_state(state["generator"].cpu())
        self.step, self.classes = state["step"], state["classes"]
