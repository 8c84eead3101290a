"""The fully connected networks of the paper."""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn

from lit_intriguing.errors import UserError
from lit_intriguing.models.autoencoder import FrozenLayer
from lit_intriguing.models.centring import Centring
from lit_intriguing.models.decay import paper_decay
from lit_intriguing.models.described import KEY, way_out
from lit_intriguing.models.trained import Trained
from lit_intriguing.private.of_torch import own_parts

_KIND = "lit_intriguing.activation"

# Not the weights of an activation, `hidden1.1.weight`; a wrapper may have put its name between.
_LINEAR_WEIGHT = re.compile(r"(hidden\d+\.([A-Za-z_]\w*\.)*0|output(\.[A-Za-z_]\w*)*)\.weight")


class Classifier(Trained):
    """A fully connected network, such as the paper's 784-100-100-10.

    Its layers are the submodules `hidden1`, `hidden2`, ... (linear map, activation, dropout) and
    `output` (logits). Logs `train/loss` and `train/batch_error` every `log_every_n_steps` steps of
    the Trainer: of all examples of the batch, including those that a callback such as
    `AdversarialTraining` has added; each example counts alike, whatever weight its gradient has.
    Logs `val/error` and `test/error`, fractions of wrong predictions, once an epoch.

    A checkpoint holds these parameters: `Classifier.load_from_checkpoint(FILE)` makes the network
    again.

    Args:
        widths: Units from the input to the classes.
        activation: Makes the activation of a hidden layer, such as the class `torch.nn.Sigmoid`.
        optimizer: Makes the optimiser of the parameters. Its `weight_decay` acts on the weights of
            the linear maps alone, not on biases or an activation's parameters.
        scheduler: Makes the schedule of the learning rate; one with `set_run_length`, such as
            `CosineOverRun`, gets the number of steps, or of epochs, of the run.
        scheduler_interval: "step" or "epoch": when the schedule moves on.
        decay: Lambda of the paper's decay `lambda * sum w^2 / k` on the weights, added to the
            training loss: one number for all layers or one a layer. Beside or in place of the
            optimiser's.
        dropout: Probabilities of dropping a unit: of the input, then of each hidden layer.
        init: Fills a weight in place. He-normal by default; `torch.nn.init.xavier_normal_` suits
            sigmoids. Biases start at zero.
        decay_form: How the decay counts the weights: `paper_decay`, or `half_square_decay` for the
            other way in which the paper can be read, both of `lit_intriguing.models.decay`.
        bias: Whether the linear maps have biases.
        encoder: Checkpoint of a `SparseAutoencoder` of the same input and first hidden layer. When
            training starts `hidden1` takes the weights of its encoder, which then stay fixed.
        subtract_mean: Whether the network's first layer, `centring`, subtracts the mean of the
            training inputs, which it takes from the data module's `mean_input()` when training
            starts. Inputs stay what they are, so that perturbations and bounds are in pixels.

    Raises:
        UserError: For widths, decay or dropout that do not fit; in `forward`, for inputs of another
            number of features; in loading, for a checkpoint of another architecture; when training
            starts, for a schedule that needs the run's length if the run has no end, an encoder
            that is missing or does not fit, or data that do not say their mean.
    """

    only_at_start = ("init",)

    def __init__(
        self,
        widths: Sequence[int] = (784, 100, 100, 10),
        activation: Callable[[], nn.Module] = nn.ReLU,
        optimizer: OptimizerCallable = torch.optim.Adam,
        scheduler: LRSchedulerCallable | None = None,
        scheduler_interval: str = "step",
        decay: float | list[float] | None = None,
        dropout: list[float] | None = None,
        init: Callable[[Tensor], Any] = nn.init.kaiming_normal_,
        decay_form: Callable[[Sequence[Tensor], Sequence[float]], Tensor] = paper_decay,
        bias: bool = True,
        encoder: str | None = None,
        subtract_mean: bool = False,
    ) -> None:
        super().__init__(optimizer, scheduler, scheduler_interval)
        self.remember()
        self.widths = _checked_widths(widths)
        self.decay = _checked_decay(decay, len(self.widths) - 1)
        self.decay_form = decay_form
        self.encoder = _checked_encoder(encoder, self.widths, subtract_mean)
        if subtract_mean:
            self.centring = Centring(self.widths[0])
        self._build(activation, _checked_dropout(dropout, len(self.widths) - 1), bias)
        for linear in self._linears():
            init(linear.weight)
            if bias:
                nn.init.zeros_(linear.bias)
        self.add_error_metrics()

    def forward(self, x: Tensor) -> Tensor:
        """Return logits `(N, classes)` of inputs `(N, *S)`, flattened to `(N, features)`.

        Raises:
            UserError: If the number of features is not the first width.
        """
        x = x.flatten(1)
        if x.shape[1] != self.widths[0]:
            raise UserError(
                f"the inputs have {x.shape[1]} features, the network takes {self.widths[0]}: "
                "set the first of the model's widths to the size of the data"
            )
        for layer in self._layers():
            x = layer(x)
        return x

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Return the mean cross-entropy of a batch plus the decay."""
        x, y = batch
        logits = self(x)
        loss = nn.functional.cross_entropy(logits, y)
        if self.decay is not None:
            loss = loss + self.decay_form(list(self.decayed()), self.decay)
        self.log_loss(loss, logits, y)
        return loss

    def setup(self, stage: str) -> None:
        """Load encoder or mean before training, and before a checkpoint of this module is restored.

        Raises:
            UserError: For an encoder that is missing or does not fit, or data that do not fit or
                do not say their mean.
        """
        super().setup(stage)
        if stage == "fit" and hasattr(self, "centring"):
            self.centring.learn(self)
        if stage == "fit" and self.encoder is not None:
            hidden = self.get_submodule("hidden1")
            self.add_module("hidden1", FrozenLayer.of(hidden, self.encoder))

    def decayed(self) -> Iterable[Tensor]:
        """Return the weights of the linear maps."""
        return [linear.weight for linear in self._linears()]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save how the network was made, and the activation, which the weights do not show."""
        super().on_save_checkpoint(checkpoint)
        checkpoint[_KIND] = self._activation_name()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse the checkpoint of another architecture.

        Raises:
            UserError: For other widths or another activation, or a later format.
        """
        super().on_load_checkpoint(checkpoint)
        # A strategy that shards has loaded the weights by now, and taken them out.
        weights = checkpoint.get("state_dict", self.state_dict())
        saved = _saved_widths(weights)
        if saved and saved[0] != self.widths[0] and KEY in checkpoint:
            raise UserError(
                f"the checkpoint is of data with {saved[0]} features, this network is for "
                f"{self.widths[0]}: use the recipe or configuration that it was trained with"
            )
        if saved != self.widths:
            raise UserError(
                f"the checkpoint holds a network of {_dashes(saved)}, this one is "
                f"{_dashes(self.widths)}: "
                + way_out(checkpoint, "give the model the checkpoint's widths")
            )
        centred = any(name.startswith("centring.") for name in weights)
        if centred != hasattr(self, "centring"):
            raise UserError(
                f"the checkpoint's network {'subtracts' if centred else 'does not subtract'} the "
                "mean input: " + way_out(checkpoint, f"give the model subtract_mean={centred}")
            )
        activation = checkpoint.get(_KIND, self._activation_name())
        if activation != self._activation_name():
            raise UserError(
                f"the checkpoint's network has the activation {activation}, this one "
                f"{self._activation_name()}: "
                + way_out(checkpoint, "give the model the checkpoint's activation")
            )

    def _build(self, activation: Callable[[], nn.Module], dropout: list[float], bias: bool) -> None:
        if dropout[0]:
            self.dropped_input = nn.Dropout(dropout[0])
        for i in range(1, len(self.widths) - 1):
            linear = nn.Linear(self.widths[i - 1], self.widths[i], bias)
            parts: list[nn.Module] = [linear, activation()]
            if dropout[i]:
                parts.append(nn.Dropout(dropout[i]))
            self.add_module(f"hidden{i}", nn.Sequential(*parts))
        self.output = nn.Linear(self.widths[-2], self.widths[-1], bias)

    def _layers(self) -> Iterable[nn.Module]:
        """Return the layers from the input on; other code may have replaced or wrapped some."""
        # Not `hasattr`, which costs as much as a layer where there is none of the name.
        there = own_parts(self, "_modules")
        hidden = [f"hidden{i}" for i in range(1, len(self.widths) - 1)]
        names = ["centring", "dropped_input", *hidden, "output"]
        return [there[name] for name in names if name in there]

    def _linears(self) -> list[nn.Linear]:
        return [module for module in self.modules() if isinstance(module, nn.Linear)]

    def _activation_name(self) -> str:
        hidden = getattr(self, "hidden1", None)
        return str(hidden[1]) if isinstance(hidden, nn.Sequential) else "none"


def _checked_widths(widths: Sequence[int]) -> tuple[int, ...]:
    if len(widths) < 2 or min(widths) < 1:
        raise UserError(
            "widths must name at least the inputs and the classes, each 1 or more, "
            f"not {list(widths)}"
        )
    return tuple(widths)


def _checked_decay(decay: float | list[float] | None, layers: int) -> list[float] | None:
    if decay is None:
        return None
    strengths = [decay] * layers if isinstance(decay, int | float) else list(decay)
    if len(strengths) != layers:
        raise UserError(
            f"decay has {len(strengths)} values for {layers} layers: give one for each layer, "
            "the output included, or a single number"
        )
    if min(strengths) < 0:
        raise UserError(f"decay must not be negative: {strengths}")
    return strengths


def _checked_encoder(
    encoder: str | None, widths: tuple[int, ...], subtract_mean: bool
) -> str | None:
    if encoder is not None and subtract_mean:
        raise UserError("an encoder has learnt from inputs as they are: leave subtract_mean out")
    if encoder is not None and len(widths) < 3:
        raise UserError("an encoder needs a hidden layer to fill: name its units in widths")
    return encoder


def _checked_dropout(dropout: list[float] | None, places: int) -> list[float]:
    if dropout is None:
        return [0.0] * places
    if len(dropout) != places:
        raise UserError(
            f"dropout has {len(dropout)} values for {places} places: give one for the input and "
            "one for each hidden layer"
        )
    if not all(0 <= probability < 1 for probability in dropout):
        raise UserError(f"dropout probabilities lie from 0 to below 1, not {dropout}")
    return list(dropout)


def _saved_widths(state: dict[str, Tensor]) -> tuple[int, ...]:
    shapes = [value.shape for name, value in state.items() if _LINEAR_WEIGHT.fullmatch(name)]
    return (*(shape[1] for shape in shapes), shapes[-1][0]) if shapes else ()


def _dashes(widths: tuple[int, ...]) -> str:
    return "-".join(map(str, widths)) or "no layers"
