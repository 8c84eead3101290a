"""A sparse autoencoder of one layer, and its encoder as the frozen layer of a classifier."""

from pathlib import Path
from typing import Any, Self

import torch
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor, nn
from torch.optim import Optimizer

from lit_intriguing.errors import UserError
from lit_intriguing.models.described import Described, shapes_that_differ, way_out
from lit_intriguing.models.weights import read_checkpoint
from lit_intriguing.private.of_torch import version

_NEAREST = 1e-6  # to 0 and 1, for a unit that is never or always on


class SparseAutoencoder(Described):
    """One layer of sigmoid units that learns, without labels, to reconstruct its input.

    The loss of a batch is that of Ng 2011 (*Sparse autoencoder*, CS294A lecture notes):
    half the squared error of the reconstruction, summed over pixels, mean over examples;
    `decay / 2 * sum w^2` over the weights of both maps; and `sparsity` times the
    Kullback-Leibler divergence of each unit's mean activation over the batch from `target`.

    Its layers are the submodules `hidden1` (linear map, sigmoid), as in `Classifier`, and `decoder`
    (linear map). Logs, once an epoch, `train/loss`, `train/activation` (mean over units and
    examples, in [0, 1]) and `val/reconstruction` or `test/reconstruction` (root mean square error a
    pixel).

    Args:
        inputs: Features of an example.
        units: Units of the hidden layer.
        target: Mean activation that each unit is drawn to, between 0 and 1.
        sparsity: Weight of that penalty (Ng: beta).
        decay: Strength of the weight decay (Ng: lambda).
        optimizer: Makes the optimiser of the parameters.

    Raises:
        UserError: For an argument out of range; in `forward`, for inputs of another number of
            features.
    """

    def __init__(
        self,
        inputs: int = 784,
        units: int = 400,
        target: float = 0.1,
        sparsity: float = 3.0,
        decay: float = 3e-3,
        optimizer: OptimizerCallable = torch.optim.Adam,
    ) -> None:
        super().__init__()
        self.remember()
        if inputs < 1 or units < 1:
            raise UserError(f"inputs and units are at least 1, not {inputs} and {units}")
        if not 0 < target < 1:
            raise UserError(f"target is a mean activation between 0 and 1, not {target}")
        if sparsity < 0 or decay < 0:
            raise UserError(f"sparsity and decay must not be negative: {sparsity}, {decay}")
        self.target, self.sparsity, self.decay = target, sparsity, decay
        self.optimizer = optimizer
        encoder = nn.Linear(inputs, units)
        self.hidden1 = nn.Sequential(encoder, nn.Sigmoid())
        self.decoder = nn.Linear(units, inputs)
        for linear in (encoder, self.decoder):
            nn.init.xavier_uniform_(linear.weight)
            nn.init.zeros_(linear.bias)

    @property
    def filters(self) -> Tensor:
        """The weights of the encoder, `(units, inputs)`, one filter in each row."""
        weight = self.hidden1[0].weight
        assert isinstance(weight, Tensor)
        return weight

    def encode(self, x: Tensor) -> Tensor:
        """Return activations `(N, units)` in [0, 1] of inputs `(N, *S)`.

        Raises:
            UserError: If the number of features is not `inputs`.
        """
        x = x.flatten(1)
        if x.shape[1] != self.filters.shape[1]:
            raise UserError(
                f"the inputs have {x.shape[1]} features, the autoencoder takes "
                f"{self.filters.shape[1]}: set the model's `inputs` to the size of the data"
            )
        activations: Tensor = self.hidden1(x)
        return activations

    def forward(self, x: Tensor) -> Tensor:
        """Return reconstructions `(N, inputs)` in [0, 1] of inputs `(N, *S)`."""
        return torch.sigmoid(self.decoder(self.encode(x)))

    def objective(self, x: Tensor, hidden: Tensor) -> Tensor:
        """Return the loss of inputs `(N, *S)` with their activations `(N, units)`."""
        x = x.flatten(1)
        error = (torch.sigmoid(self.decoder(hidden)) - x).square().sum() / (2 * len(x))
        weights = self.filters.square().sum() + self.decoder.weight.square().sum()
        penalty = kl_sparsity(hidden.mean(0), self.target)
        return error + self.decay / 2 * weights + self.sparsity * penalty

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Return the loss of a batch; its labels are not used."""
        x, _ = batch
        hidden = self.encode(x)
        loss = self.objective(x, hidden)
        means = {"train/loss": loss.detach(), "train/activation": hidden.detach().mean()}
        self.log_dict(
            means, on_step=False, on_epoch=True, prog_bar=True, batch_size=len(x), sync_dist=True
        )
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Measure the reconstruction of a batch."""
        self._measure("val/reconstruction", batch)

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Measure the reconstruction of a batch."""
        self._measure("test/reconstruction", batch)

    def configure_optimizers(self) -> Optimizer:
        """Return the injected optimiser."""
        return self.optimizer(self.parameters())

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse the checkpoint of an autoencoder of other sizes.

        Raises:
            UserError: It is one, or in a later format.
        """
        super().on_load_checkpoint(checkpoint)
        found = shapes_that_differ(self, checkpoint.get("state_dict", {}), ["hidden1.0.weight"])
        if found:
            words = f"{found[0]}: give the model the checkpoint's inputs and units"
            raise UserError(f"the checkpoint does not fit: {way_out(checkpoint, words)}")

    def _measure(self, name: str, batch: tuple[Tensor, Tensor]) -> None:
        x = batch[0].flatten(1)
        error = (self(x) - x).square().mean(1).sqrt().mean()
        self.log(name, error, on_step=False, on_epoch=True, batch_size=len(x), sync_dist=True)


def kl_sparsity(means: Tensor, target: float) -> Tensor:
    """Return `sum_j KL(target || means_j)`, in nats (Ng 2011, section 3).

    Args:
        means: Mean activations `(units,)` in [0, 1].
        target: Between 0 and 1.

    Examples:
        >>> kl_sparsity(torch.tensor([0.1, 0.1]), 0.1)
        tensor(0.)
    """
    means = means.clamp(_NEAREST, 1 - _NEAREST)
    off = (1 - target) * ((1 - target) / (1 - means)).log()
    return (target * (target / means).log() + off).sum()


class FrozenLayer(nn.Sequential):
    """A layer with fixed weights, which in training stores its output for a repeated input.

    An optimiser with a closure evaluates the same batch many times in a step.
    """

    _seen: tuple[Tensor, int | None, Tensor] | None = None

    @classmethod
    def of(cls, layer: nn.Module, checkpoint: str) -> Self:
        """Return the layer with the encoder's weights of a `SparseAutoencoder`, frozen.

        Args:
            layer: A linear map first, then other modules.
            checkpoint: Path of the autoencoder's checkpoint.

        Raises:
            UserError: If there is no such file, or it is not of an autoencoder of these sizes.
        """
        frozen = cls(*layer.children())
        linear = frozen[0]
        state = _encoder_state(checkpoint)
        expected, found = tuple(linear.weight.shape), tuple(state["weight"].shape)  # type: ignore[arg-type]
        if found != expected:
            raise UserError(
                f"the encoder in '{checkpoint}' maps {found[1]} features to {found[0]} units, the "
                f"network {expected[1]} to {expected[0]}: give the model the encoder's widths"
            )
        linear.load_state_dict(state)
        return frozen.requires_grad_(False)

    def forward(self, input: Tensor) -> Tensor:
        """Compute as `nn.Sequential`."""
        if not self.training or input.requires_grad:
            return self._compute(input)
        if self._seen is None or not self._is_seen(input):
            # The input is kept with its output: its memory cannot become another one's.
            self._seen = (input, version(input), self._compute(input))
        return self._seen[2]

    def train(self, mode: bool = True) -> Self:
        """Set the mode as `nn.Module` does; drop the stored output."""
        self._seen = None
        return super().train(mode)

    def _compute(self, input: Tensor) -> Tensor:
        output: Tensor = super().forward(input)  # type: ignore[no-untyped-call]
        return output

    def _is_seen(self, input: Tensor) -> bool:
        assert self._seen is not None
        seen, before, _ = self._seen
        if before is None:
            return False
        same = (input.data_ptr(), input.shape, input.stride(), input.dtype, version(input))
        return same == (seen.data_ptr(), seen.shape, seen.stride(), seen.dtype, before)


def _encoder_state(checkpoint: str) -> dict[str, Any]:
    if not Path(checkpoint).is_file():
        raise UserError(
            f"no checkpoint '{checkpoint}' to take the encoder from: train a SparseAutoencoder "
            "first, or name its checkpoint as the model's `encoder`"
        )
    state = read_checkpoint(Path(checkpoint)).get("state_dict", {})
    names = ("hidden1.0.weight", "hidden1.0.bias")
    if "decoder.weight" not in state or not all(name in state for name in names):
        raise UserError(f"'{checkpoint}' holds no SparseAutoencoder: name a checkpoint of one")
    return {name.rpartition(".")[2]: state[name] for name in names}
