"""A penalty on the norms of layers, for any LightningModule."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, nn
from typing_extensions import override

from lit_intriguing.argument_types import checked_arguments
from lit_intriguing.errors import UserError
from lit_intriguing.hosts.monitored import tell_monitors, validates_within_fit
from lit_intriguing.hosts.training_step import AroundTrainingStep, Step, logs_now
from lit_intriguing.lipschitz.layers.geometry import Convolution
from lit_intriguing.lipschitz.linear_map import linear_map
from lit_intriguing.lipschitz.power import PowerIteration
from lit_intriguing.lipschitz.registry import CannotBoundError
from lit_intriguing.lipschitz.unwrapped import unwrapped
from lit_intriguing.private.of_torch import is_fully_sharded, uncompiled_name
from lit_intriguing.splice import add_forward_hook, submodule

FIRST_STEPS = 20
"""Power steps on a direction that is still random."""


@checked_arguments
class LipschitzPenalty(AroundTrainingStep):
    """A penalty on the norms of chosen layers, added to the training loss.

    Szegedy et al. 2013, section 4.3: bounding each layer's Lipschitz constant bounds the network's,
    "which suggests that a simple regularization of the parameters, consisting in penalizing each
    upper Lipschitz bound, might help". A step follows the host's loss plus
    `weight * sum_l max(0, norm_l - target)^power`.

    `norm_l` is the L2 operator norm of the layer as it acts on its input, with stride, padding,
    dilation and groups as they are, not that of the reshaped kernel. It is tracked by power
    iteration from the direction found before (`PowerIteration`), `steps` steps in each batch, and
    its gradient is that at this direction, which stays the same while an optimiser such as L-BFGS
    evaluates the batch again. Biases are not penalised, nor is what comes after a layer: a
    BatchNorm there undoes the scale of the layer's weights, and the penalty then acts like a decay
    that does not change the function.

    A convolution's norm is that for images of the size that it first gets in the run.

    Under gradient accumulation each batch's loss has the penalty, and under several processes each
    process's loss, so that the mean has it once. With a gradient scaler the penalty is scaled along
    with the loss. The host's own logged loss is without it.

    Logs `lipschitz_penalty` (what is added to the loss) and `lipschitz_penalty_norm/<layer>` (the
    estimate of the norm) about once in `trainer.log_every_n_steps` steps. A resumed run continues
    with the directions found, bit for bit.

    Args:
        weight: Factor on the penalty.
        layers: Names of Linear, Conv and ConvTranspose layers; None for all of these types. A
            weight that several layers share then counts once, for the first. A layer whose weight
            gets no gradient does not count for that time.
        power: Exponent, at least 1.
        target: Norm up to which nothing is added.
        function: In place of power and target: of the norms `(L,)`, in the layers' order, to the
            sum `()`.
        steps: Power steps in each batch, each about the cost of the layer on two examples.
        seed: Seed of the first directions, drawn by generators of their own.

    Raises:
        ValueError: For a number out of range.
        UserError: When training starts, for an unknown layer, one of another type, no layer at all,
            or manual optimisation; at the first step, for a convolution that the step did not call.
    """

    def __init__(
        self,
        weight: float,
        layers: Sequence[str] | None = None,
        power: float = 2.0,
        target: float = 0.0,
        function: Callable[[Tensor], Tensor] | None = None,
        steps: int = 1,
        seed: int = 0,
    ) -> None:
        super().__init__()
        for option, value, least in (
            ("weight", weight, 0),
            ("power", power, 1),
            ("target", target, 0),
        ):
            if not least <= value < math.inf:
                raise ValueError(f"LipschitzPenalty: {option} is at least {least}, not {value}.")
        if steps < 1:
            raise ValueError(f"LipschitzPenalty: steps is at least 1, not {steps}.")
        if isinstance(layers, str) or (layers is not None and not layers):
            raise ValueError("LipschitzPenalty: layers is a list of names, or None for all.")
        if function is not None and (power, target) != (2.0, 0.0):
            raise ValueError("LipschitzPenalty: function stands in place of power and target.")
        self.weight, self.power, self.target = weight, power, target
        self.layers = None if layers is None else list(layers)
        self.function, self.steps, self.seed = function, steps, seed
        self._layers: dict[str, nn.Module] = {}
        self._powers: dict[str, PowerIteration] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._removers: list[Callable[[], None]] = []
        self._norms: dict[str, Tensor] = {}
        self._value: Tensor | None = None
        self._in_step = False

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Find the layers and wrap the strategy's training step.

        Raises:
            UnknownLayerError: For an unknown layer.
            UserError: For layers that cannot be penalised, or manual optimisation.
        """
        if not pl_module.automatic_optimization:
            raise UserError(
                "LipschitzPenalty adds to the loss that training_step returns, which manual "
                "optimisation does not use: add lit_intriguing.lipschitz.PowerIteration's "
                "norm to the loss in the module itself, or use automatic optimisation"
            )
        if self.is_new_run(trainer):
            self._powers, self._shapes = {}, {}
        self._layers = _named(pl_module, self.layers) if self.layers else _all(pl_module)
        for name, layer in self._layers.items():
            if not isinstance(layer, nn.Linear) and name not in self._shapes:
                self._removers.append(add_forward_hook(layer, self._shape_hook(name)))
        self.wrap(trainer, pl_module)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Load the directions of a checkpoint."""
        state, self._restored = self._restored, None
        if state is not None:
            for name, vector in state["vectors"].items():
                self._powers[name] = PowerIteration(seed=self.seed)
                self._powers[name].vector = vector

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Log, and let the next batch improve the directions."""
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
        self._in_step = False
        if self._value is not None and logs_now(trainer):
            pl_module.log("lipschitz_penalty", self._value)
            pl_module.log_dict({f"lipschitz_penalty_norm/{k}": v for k, v in self._norms.items()})

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Tell callbacks that monitor a value at the validation's end."""
        if validates_within_fit(trainer):
            self._tell_monitors(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Tell callbacks that monitor a value at the epoch's end, however short the epoch is."""
        self._tell_monitors(trainer)

    def _tell_monitors(self, trainer: Trainer) -> None:
        if self._value is not None:
            norms = {f"lipschitz_penalty_norm/{k}": float(v) for k, v in self._norms.items()}
            tell_monitors(trainer, {"lipschitz_penalty": float(self._value), **norms})

    def state_dict(self) -> dict[str, Any]:
        """Return the directions, the same on all processes."""
        return {"vectors": {n: p.vector for n, p in self._powers.items() if p.vector is not None}}

    @override
    def around_step(
        self, trainer: Trainer, pl_module: LightningModule, inner: Step, *args: Any, **kwargs: Any
    ) -> Any:
        output = inner(*args, **kwargs)
        if output is None:
            return None
        self._remove_shape_hooks()
        penalty = self._penalty(pl_module)
        if isinstance(output, Mapping):
            return {**output, "loss": output["loss"] + penalty.to(output["loss"].device)}
        return output + penalty.to(output.device)

    def _penalty(self, pl_module: LightningModule) -> Tensor:
        _reshard(pl_module)
        layers = {name: unwrapped(x) for name, x in self._layers.items() if _trains(x)}
        if not self._in_step:
            self._improve(self._called(layers))
        layers = {name: layer for name, layer in layers.items() if name in self._powers}
        self._in_step = True
        norms = {name: self._powers[name].norm(layer) for name, layer in layers.items()}
        total = self._sum(list(norms.values()), pl_module.device)
        self._norms = {uncompiled_name(name): norm.detach() for name, norm in norms.items()}
        self._value = total.detach()
        return total

    def _called(self, layers: Mapping[str, nn.Module]) -> dict[str, nn.Module]:
        """Return the layers whose sizes are known; leave out those that the step does not call.

        Raises:
            UserError: If one of these was named.
        """
        missing = [
            name
            for name, layer in layers.items()
            if not isinstance(layer, nn.Linear) and name not in self._shapes
        ]
        if missing and self.layers is not None:
            raise UserError(
                "LipschitzPenalty: the training step did not call the layer "
                f"{uncompiled_name(missing[0])!r}, so the size of its input is not known: name the "
                "layers that it calls in layers"
            )
        if missing:
            for name in missing:
                del self._layers[name]
            left_out = ", ".join(map(uncompiled_name, missing))
            rank_zero_warn(f"LipschitzPenalty leaves out {left_out}: the step does not call them.")
        return {name: layer for name, layer in layers.items() if name not in missing}

    def _improve(self, layers: Mapping[str, nn.Module]) -> None:
        for name, layer in layers.items():
            if name not in self._powers:
                self._powers[name] = PowerIteration(seed=self.seed)
            power = self._powers[name]
            if not isinstance(layer, nn.Linear):
                power.input_shape = self._shapes[name]
            power.step(layer, self.steps if power.vector is not None else FIRST_STEPS)

    def _sum(self, norms: Sequence[Tensor], device: torch.device) -> Tensor:
        if not norms:
            return torch.zeros((), device=device)
        all_norms = torch.stack([norm.to(device) for norm in norms])
        if self.function is not None:
            return self.weight * self.function(all_norms)
        return self.weight * (all_norms - self.target).clamp(min=0).pow(self.power).sum()

    def _shape_hook(self, name: str) -> Callable[[nn.Module, object, object], None]:
        def hook(module: nn.Module, args: object, output: object) -> None:
            if isinstance(args, tuple) and args and isinstance(args[0], Tensor):
                spatial = args[0].ndim - len(module.kernel_size)  # type: ignore[arg-type]
                self._shapes.setdefault(name, tuple(args[0].shape[spatial - 1 :]))

        return hook

    @override
    def remove_hooks(self) -> None:
        self._remove_shape_hooks()
        self._in_step = False

    def _remove_shape_hooks(self) -> None:
        for remove in self._removers:
            remove()
        self._removers = []


def _named(pl_module: LightningModule, names: Sequence[str]) -> dict[str, nn.Module]:
    layers = {name: submodule(pl_module, name) for name in names}
    for name, layer in layers.items():
        problem = _problem(layer)
        if problem:
            raise UserError(
                f"LipschitzPenalty cannot penalise the layer {name!r}: {problem}. Name Linear, "
                "Conv and ConvTranspose layers"
            )
    return layers


def _all(pl_module: LightningModule) -> dict[str, nn.Module]:
    """Return every linear layer; of those that share a weight, the first."""
    layers: dict[str, nn.Module] = {}
    seen: set[int] = set()
    left_out = []
    for name, layer in pl_module.named_modules():
        if not isinstance(layer, nn.Linear | Convolution):
            continue
        problem = _problem(layer)
        weights = {id(weight) for weight in _weights(layer)}
        if problem:
            left_out.append(f"{uncompiled_name(name)} ({problem})")
        elif not weights & seen:
            layers[name] = layer
        seen |= weights
    if not layers:
        raise UserError(
            f"LipschitzPenalty: {type(pl_module).__name__} has no Linear, Conv or ConvTranspose "
            "layer to penalise. Add the norm of lit_intriguing.lipschitz.PowerIteration of your "
            f"layers' linear maps to the loss in the module itself. {'; '.join(left_out)}".rstrip()
        )
    if left_out:
        rank_zero_warn(f"LipschitzPenalty leaves out {'; '.join(left_out)}.")
    return layers


def _problem(layer: nn.Module) -> str:
    """Return why the layer is not a linear map; empty if it is one."""
    try:
        with torch.no_grad():
            linear_map(unwrapped(layer), None)
    except CannotBoundError as error:
        return str(error)
    except ValueError:  # a convolution wants a shape
        return ""
    return ""


def _weights(layer: nn.Module) -> list[nn.Parameter]:
    return [weight for name, weight in layer.named_parameters() if name != "bias"]


def _trains(layer: nn.Module) -> bool:
    return any(weight.requires_grad for weight in _weights(layer))


def _reshard(pl_module: LightningModule) -> None:
    """Reshard gathered weights: the gradient of the penalty belongs to the shards."""
    for module in pl_module.modules():
        if is_fully_sharded(module):
            module.reshard()  # type: ignore[operator]
