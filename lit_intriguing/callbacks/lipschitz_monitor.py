"""Bounds of the Lipschitz constants of a network and its layers, as it trains."""

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_warn
from torch import nn

from lit_intriguing.argument_types import checked_arguments
from lit_intriguing.callbacks.intervals import epoch_is_due, turn
from lit_intriguing.callbacks.measuring import Measuring, is_trial
from lit_intriguing.checks import check_whole
from lit_intriguing.errors import UserError
from lit_intriguing.figures.bars import bar_chart, norm_bar
from lit_intriguing.hosts.batch import Place, example_shape
from lit_intriguing.hosts.logits import logits_model
from lit_intriguing.hosts.muted import muted
from lit_intriguing.isolation import own_randomness
from lit_intriguing.lipschitz.layer_bounds import LayerBound, NetworkNorm
from lit_intriguing.lipschitz.network import network_norm
from lit_intriguing.lipschitz.norm import Norm, unknown
from lit_intriguing.lipschitz.registry import Rule, operator_norm
from lit_intriguing.lipschitz.tracked import TrackedNorm, estimated_norm
from lit_intriguing.lipschitz.unwrapped import full_weight, sharded, unwrapped
from lit_intriguing.loggers.destinations import destinations
from lit_intriguing.loggers.table import Table
from lit_intriguing.loggers.when import When
from lit_intriguing.private.of_lightning import optimizer_steps
from lit_intriguing.private.of_torch import uncompiled_name
from lit_intriguing.splice import submodule

LONG = 60.0
"""Seconds for which other processes wait without a warning."""

NETWORK = "network"
"""The whole, among the layers' names."""


@checked_arguments
class LipschitzMonitor(Measuring):
    """Upper bounds of every layer's and of the network's Lipschitz constant, for L2 norms.

    Szegedy et al. 2013, section 4.3, of any LightningModule while it trains. Two kinds of numbers:

    At the end of epochs **certified** bounds: `<name>/<layer>` for every layer and function of
    the network whose constant is not trivially 1, `<name>/network` (along the graph: products,
    sums at additions) and, for a stack of dense layers, `<name>/network_joint`, a tighter
    bound. They are those of `network_norm`, for the network in evaluation mode, rounded upwards to
    float32, which is what loggers store. A table (which says of each number whether it is exact, an
    upper bound, probable or an estimate) and a bar chart go to W&B, TensorBoard and CSV loggers and
    to `<name>/step-<step>.csv` and `.png` in the run's folder.

    Every `every_n_steps` steps **estimates**: `<name>/<layer>_estimate` for linear layers, by
    power steps from the direction found before, and `<name>/network_estimate`, the last certified
    bound of the network times the factor by which the layers' estimates have changed since; until
    there is one, they start from a first estimate of the network along its graph. That product is
    exact for layers in a chain; where branches are added it overstates a change. An estimate is not
    a bound: mostly it is a little too small. A bound that holds in between, a layer's last norm
    plus a bound of the change of its weights, is too loose to log (recipes/lipschitz_mnist.md).

    What cannot be bounded is logged as infinity, with one warning that says why; training
    continues. That includes a layer with a forward hook that may change its output
    (see `HARMLESS_HOOKS`).

    It only measures: weights, gradients, modes and random states are bit for bit as without it, and
    it saves nothing in checkpoints. Under several processes the first one works; weights that are
    sharded over processes are gathered at each measurement, which needs the memory of the whole
    network on the host.

    The time of an estimate is about that of a few passes of one example through the linear layers.
    That of certified bounds does not depend on the data: tenths of a second for small networks,
    most of it for the joint bound and the figure, ten seconds for AlexNet. It is logged as
    `<name>/seconds`, that of an estimate as `<name>/estimate_seconds`. If epochs are short, raise
    `certify_every_n_epochs`.

    Args:
        every_n_steps: Optimiser steps from one estimate to the next.
        layers: Names of the layers to log; None for all. The network's bound is of all layers
            in any case.
        certify_every_n_epochs: Epochs from one certified bound to the next. None for each epoch of
            a run of up to 40; of a longer one the first, the last, and at most 40 in all.
        joint: Whether to look for the tighter bound of a stack of dense layers.
        name: Name of the scalars, figures and files, different for each callback of the run.
        dirpath: Folder in place of the run's own.
        model: Name of the submodule to bound; the default is the LightningModule if it defines
            `forward`.
        input_shape: Shape of one example, without the batch dimension; by default that of the first
            batch's examples.
        inputs: Key, field or position of the inputs in a batch; by default the first floating-point
            tensor.
        seed: Seed of the first directions.
        draw_every: Certified bounds from one table and chart to the next. None for at most 20 in a
            run, or each tenth in a run without an end. The first and the last ones are always
            drawn.

    Raises:
        ValueError: For a number out of range.
        UserError: When training starts, for an unknown layer, a module without `forward`, or
            another callback that measures under this name; at the first batch, if its inputs
            cannot be found.
    """

    def __init__(
        self,
        every_n_steps: int = 50,
        layers: Sequence[str] | None = None,
        certify_every_n_epochs: int | None = None,
        joint: bool = True,
        name: str = "lipschitz",
        dirpath: str | Path | None = None,
        model: str | None = None,
        input_shape: Sequence[int] | None = None,
        inputs: Place | None = None,
        seed: int = 0,
        draw_every: int | None = None,
    ) -> None:
        super().__init__(name, dirpath, seed, draw_every)
        self.check_at_least_one(
            every_n_steps=every_n_steps, certify_every_n_epochs=certify_every_n_epochs
        )
        for size in input_shape or ():
            check_whole("LipschitzMonitor", 1, **{"each size of input_shape": size})
        if isinstance(layers, str):
            raise ValueError("LipschitzMonitor: layers is a list of names, or None for all.")
        self.every_n_steps, self.certify_every_n_epochs = every_n_steps, certify_every_n_epochs
        self.layers = None if layers is None else list(layers)
        self.joint, self.model, self.inputs = joint, model, inputs
        self.input_shape = None if input_shape is None else tuple(input_shape)
        self.certified: NetworkNorm | None = None
        self._wanted = None if layers is None else [uncompiled_name(layer) for layer in layers]
        self._shape: tuple[int, ...] | None = None
        self._sharded: bool | None = None
        self._tracked = TrackedNorm(seed)
        self._estimated_step = self._certified_step = -1

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check that what is to be bounded is there.

        Raises:
            UnknownLayerError: For an unknown layer.
            UserError: For a layer outside the model, or if the model is not known.
        """
        self._warned, self._tracked = set(), TrackedNorm(self.seed)
        self.drawing.clear()
        self._shape = self._sharded = None
        self._estimated_step = self._certified_step = -1
        logits_model(pl_module, self.model)
        for layer in self.layers or []:
            submodule(pl_module, layer)
            if not layer.startswith(self._prefix):
                raise UserError(
                    f"LipschitzMonitor: the layer {layer!r} is not inside {self.model!r}, the "
                    "model that is bounded"
                )

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Estimate if it is time: the weights after the last step."""
        if self._shape is None:
            self._shape = self.input_shape or self._shape_in(batch)
        self._estimate_if_due(trainer, pl_module)

    def _estimate_if_due(self, trainer: Trainer, pl_module: LightningModule) -> None:
        step = optimizer_steps(trainer)
        if step and step % self.every_n_steps == 0 and step != self._estimated_step:
            self._estimated_step = step
            self._attempt(self._estimate, "estimate_seconds", trainer, pl_module, When.now(trainer))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Estimate and certify if it is time."""
        self._estimate_if_due(trainer, pl_module)
        due = epoch_is_due(trainer, self.certify_every_n_epochs)
        if (due or is_trial(trainer)) and not self.was_in_validation(trainer):
            self._certify_now(trainer, pl_module)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Certify if a callback is going to look at it."""
        if self.is_due_in_validation(trainer):
            self._certify_now(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Certify the last weights if that has not been done."""
        if self._certified_step != optimizer_steps(trainer):
            self._certify_now(trainer, pl_module, When.at_end(trainer))
        self.draw_last()

    def _certify_now(
        self, trainer: Trainer, pl_module: LightningModule, when: When | None = None
    ) -> None:
        self._certified_step = optimizer_steps(trainer)
        self._attempt(self._certify, "seconds", trainer, pl_module, when or When.now(trainer))

    def _shape_in(self, batch: Any) -> tuple[int, ...]:
        shape = example_shape(batch, self.inputs)
        if shape is None:
            where = "" if self.inputs is None else f" at {self.inputs!r}"
            raise UserError(
                f"LipschitzMonitor finds no inputs in the batch{where}: it looks for a "
                "floating-point tensor whose first dimension is the batch. Say where they are by "
                "inputs=<key or position>, or give input_shape."
            )
        return shape

    @property
    def _prefix(self) -> str:
        return f"{self.model}." if self.model else ""

    def _works(self, trainer: Trainer, pl_module: LightningModule) -> bool:
        """Return whether this process has work to do: all of them gather shards."""
        return self._shape is not None and (trainer.is_global_zero or self._is_sharded(pl_module))

    def _is_sharded(self, pl_module: LightningModule) -> bool:
        if self._sharded is None:
            self._sharded = sharded(pl_module)
        return self._sharded

    def _attempt(
        self,
        measure: Callable[[Trainer, LightningModule, When], None],
        seconds: str,
        trainer: Trainer,
        pl_module: LightningModule,
        when: When,
    ) -> None:
        def work() -> None:
            if not self._works(trainer, pl_module):
                return
            with muted(pl_module), self.measured(trainer, when, seconds):
                measure(trainer, pl_module, when)

        start = time.perf_counter()
        self.or_warn(work, f"measured nothing after {optimizer_steps(trainer)} steps")
        if trainer.world_size > 1 and not self._is_sharded(pl_module):
            self._warn_of_waiting(time.perf_counter() - start)
        self.tell(trainer)

    def _warn_of_waiting(self, seconds: float) -> None:
        if seconds > LONG:
            self.warn_once(
                "waiting",
                f"LipschitzMonitor: the other processes waited {seconds:.0f} seconds for the first "
                "one's bounds. Bounds that are certified less often (certify_every_n_epochs), or "
                "without the tighter one of a stack (joint=False), cost less.",
            )

    def _estimate(self, trainer: Trainer, pl_module: LightningModule, when: When) -> None:
        model = logits_model(pl_module, self.model)
        if not self._tracked.started:
            self._tracked.start(model, self._bound(model, False, estimated_norm))
        found = self._tracked.step(model)
        if trainer.is_global_zero:
            values = {self._prefix + name: value for name, value in found.items()}
            scalars = {f"{_key(n)}_estimate": v for n, v in values.items() if self._asked(n)}
            scalars[f"{NETWORK}_estimate"] = self._tracked.network(found)
            self.note(scalars)

    def _certify(self, trainer: Trainer, pl_module: LightningModule, when: When) -> None:
        model = logits_model(pl_module, self.model)
        self.certified = found = self._bound(model, self.joint)
        self._tracked.start(model, found)
        if trainer.is_global_zero:
            self._report(trainer, found, when)

    def _bound(
        self, model: nn.Module, joint: bool, layer_norm: Rule = operator_norm
    ) -> NetworkNorm:
        """Bound the network in its present state, and the chosen layers that this leaves out."""
        assert self._shape is not None
        with torch.no_grad(), own_randomness(self.seed % 2**32):
            copy = unwrapped(model, full_weight)
            try:
                found = network_norm(copy, self._shape, joint=joint, layer_norm=layer_norm)
            except ValueError as error:
                found = NetworkNorm((), unknown(str(error)))
            listed = {layer.name for layer in found.layers}
            names = [name.removeprefix(self._prefix) for name in self._wanted or ()]
            others = [_layer(copy, name, layer_norm) for name in names if name not in listed]
        return replace(found, layers=(*found.layers, *others))

    def _report(self, trainer: Trainer, found: NetworkNorm, when: When) -> None:
        alone = [layer for layer in found.layers if layer.folded_into is None]
        layers = {self._prefix + layer.name: layer.norm for layer in alone}
        values = {_key(name): norm for name, norm in layers.items() if self._asked(name)}
        self._explain({**values, NETWORK: found.product})
        values[NETWORK] = found.product
        if found.joint is not None:
            values[f"{NETWORK}_joint"] = found.joint
        scalars = {name: upwards(norm.value) for name, norm in values.items()}
        self.note(scalars)
        if not is_trial(trainer):
            draw = functools.partial(self._draw, trainer, found, values, when)
            self.drawing.offer(*turn(trainer, self.certify_every_n_epochs, None), draw)

    def _explain(self, values: Mapping[str, Norm]) -> None:
        """Warn once of each infinite bound; the network's reasons are mostly its layers'."""
        new = {k: v.reason for k, v in values.items() if not v.finite and k not in self._warned}
        if len(new) > 1:
            new.pop(NETWORK, None)
        if new and (NETWORK not in new or not self._warned):
            self._warned |= new.keys()
            rank_zero_warn(
                f"LipschitzMonitor knows no bound of {', '.join(new)} and logs infinity. "
                f"{'; '.join(dict.fromkeys(new.values()))}."
            )

    def _asked(self, name: str) -> bool:
        return self._wanted is None or name in self._wanted

    def _draw(
        self, trainer: Trainer, found: NetworkNorm, values: Mapping[str, Norm], when: When
    ) -> None:
        table = Table(*found.table())
        layers = {_key(self._prefix + layer.name) for layer in found.layers}
        bars = [norm_bar(name, norm) for name, norm in values.items() if name in layers]
        whole = [norm_bar(name, norm) for name, norm in values.items() if name not in layers]
        label = "upper bound of the Lipschitz constant, L2"
        figure = bar_chart(bars, label=label, title=str(when), apart=whole)
        for destination in destinations(trainer.loggers, self.folder(trainer)):
            destination.table(self.name, table, when)
            destination.figure(self.name, figure, when)


def upwards(value: float) -> float:
    """Return the least normal float32 that is not below a value.

    >>> upwards(0.1) >= 0.1, upwards(2.0)
    (True, 2.0)
    """
    # Smaller ones may be flushed to zero wherever they are read.
    least = float(np.finfo(np.float32).tiny)
    if 0 < value < least:
        return least
    with np.errstate(over="ignore"):
        rounded = np.float32(value)
    if float(rounded) < value:
        rounded = np.nextafter(rounded, np.float32(np.inf))
    return float(rounded)


def _layer(model: nn.Module, name: str, layer_norm: Rule) -> LayerBound:
    """Bound a layer by itself, whatever the shape of its input."""
    module = model.get_submodule(name)
    return LayerBound(name, type(module).__name__, None, layer_norm(module, None))


def _key(name: str) -> str:
    """Return the name of a layer's series, different from that of the network."""
    return f"{name}_layer" if name == NETWORK else name
