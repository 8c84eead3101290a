"""Training of a QuocNet without labels."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn

from lit_intriguing.errors import UserError
from lit_intriguing.models.described import shapes_that_differ, way_out
from lit_intriguing.models.optimised import Optimised
from lit_intriguing.models.quocnet.local_filters import materialise
from lit_intriguing.models.quocnet.network import QuocNet, Stage
from lit_intriguing.models.quocnet.sharded import shard_positions
from lit_intriguing.models.quocnet.window_sums import wide

Batch = Tensor | tuple[Tensor, Tensor] | list[Tensor]


class Objective(NamedTuple):
    """What a stage is trained by, and what it hands on.

    Attributes:
        reconstruction: Squared error of the image rebuilt by all filters together, summed over
            pixels, mean over examples.
        sparsity: Sum of the pools, mean over examples.
        unexplained: The squared error as a share of the image's squares.
        pooled: The stage's pools, `(N, maps, rows, columns)`.
    """

    reconstruction: Tensor
    sparsity: Tensor
    unexplained: Tensor
    pooled: Tensor


def objective(stage: Stage, x: Tensor) -> Objective:
    """Return the objective of reconstruction TICA for one stage (Le et al. 2012, equation 1).

    `|W' W x - x|^2 + lambda * sum_j sqrt(eps + H_j (W x)^2)`: W are the stage's filters at all
    positions, so that they rebuild the whole image together; H_j are its pools. The groups that
    they pool overlap, which makes it topographic. An untied decoder has other filters in the place
    of W', so that the sum of pools alone can be made small by small W and large ones there.

    Sums over half precision are of float32.

    Args:
        stage: The stage.
        x: Its input, `(N, C, H, W)`.
    """
    y = stage.filters(x)
    pooled = stage.pool(y)
    error = wide(stage.filters.decode(y) - x).square().sum()
    squares = wide(x.detach()).square().sum()
    # An image of one colour has no contrast left to rebuild.
    share = error.detach() / squares.clamp(min=torch.finfo(squares.dtype).tiny)
    return Objective(error / len(x), wide(pooled).sum() / len(x), share, pooled)


class ReconstructionTICA(Optimised):
    """Reconstruction topographic independent component analysis of a QuocNet, without labels.

    The loss is the sum over stages of the squared error of their reconstruction and `sparsity`
    times the sum of their pools (see `objective`), all stages at once as in Le et al. 2012, where
    those above also train those below; or one stage after the other. Batches are images, or tuples
    that begin with them. The network is the submodule `network`. Under `ModelParallelStrategy`
    processes along `tensor_parallel` share the positions of each stage, and those along
    `data_parallel` the data: see `lit_intriguing.models.quocnet.sharded`.

    Logs, once an epoch, `train/loss`, and of stage 1 and so on `train/reconstruction_1` (the
    squared error), `train/sparsity_1` and `train/unexplained_1` (the squared error as a share, 1
    where nothing is rebuilt), and the same beginning with `val/` and `test/`.

    Args:
        network: A `QuocNet`.
        sparsity: Lambda, weight of the pools; see `recipes/quocnet_cifar.md`.
        epochs_a_stage: Epochs to train each stage, those below fixed, before the next one's turn;
            the last goes on to the run's end (null: all stages at once).
        optimizer: Makes the optimiser of the parameters.
        scheduler: Makes the schedule of the learning rate.
        scheduler_interval: "step" or "epoch": when the schedule moves on.

    Raises:
        UserError: For another network or an argument out of range; before a run, for images that
            the network does not take, or a run too short for all stages; in loading, for a
            checkpoint of another shape.
    """

    monitor = "val/loss"

    def __init__(
        self,
        network: nn.Module,
        sparsity: float = 0.1,
        epochs_a_stage: int | None = None,
        optimizer: OptimizerCallable = torch.optim.Adam,
        scheduler: LRSchedulerCallable | None = None,
        scheduler_interval: str = "step",
    ) -> None:
        super().__init__(optimizer, scheduler, scheduler_interval)
        self.remember(network=network)
        if not isinstance(network, QuocNet):
            raise UserError(
                f"ReconstructionTICA trains a QuocNet, not a {type(network).__name__}: give "
                "lit_intriguing.models.QuocNet"
            )
        if not sparsity >= 0 or (epochs_a_stage is not None and epochs_a_stage < 1):
            raise UserError(
                f"sparsity, {sparsity}, is at least 0; epochs_a_stage, {epochs_a_stage}, at least 1"
            )
        self.network, self.sparsity, self.epochs_a_stage = network, sparsity, epochs_a_stage

    def forward(self, x: Tensor) -> Tensor:
        """Return features `(N, maps, rows, columns)` of images `(N, C, H, W)`."""
        features: Tensor = self.network(x)
        return features

    def objectives(self, x: Tensor, trained: range) -> list[Objective]:
        """Return the objective of each stage that is trained, from the first on.

        Args:
            x: Images `(N, C, H, W)`, pixels in [0, 1].
            trained: Their numbers from 0. Those below are fixed, those above are left out.
        """
        with torch.no_grad():
            x = self.network.prepare(x)
            for stage in self.network.stages[: trained.start]:
                x = stage(x)
        found, below = list[Objective](), None
        for stage in self.network.stages[trained.start : trained.stop]:
            if below is not None:
                x = below.contrast(found[-1].pooled)
            found.append(objective(stage, x))
            below = stage
        return found

    def loss(self, found: Iterable[Objective]) -> Tensor:
        """Return the sum of the stages' objectives, `()`."""
        return torch.stack(
            [one.reconstruction + self.sparsity * one.sparsity for one in found]
        ).sum()

    def configure_model(self) -> None:
        """Share the positions of all stages among the processes of `ModelParallelStrategy`.

        A network that was made on the device meta gets its weights here: each process those of its
        own positions.

        Raises:
            UserError: If there are more processes than positions.
        """
        mesh = self.device_mesh
        if mesh is not None:
            for stage in self.network.stages:
                shard_positions(stage.filters, mesh)
        materialise(self.network)

    def setup(self, stage: str) -> None:
        """Refuse images of data that say what they are, if they do not fit; and too short a run.

        Raises:
            UserError: In that case.
        """
        data = getattr(self.trainer, "datamodule", None)
        shape = getattr(data, "image_shape", None)
        if shape is not None and tuple(shape) != self.network.input_shape:
            raise UserError(
                f"the data's images are {_by(shape)}, the network takes "
                f"{_by(self.network.input_shape)}: set its `input_shape` to the data's, or the "
                "data's `size` and `channels` to the network's"
            )
        least, most = self._epochs_of_lower_stages() + 1, self.trainer.max_epochs
        if stage == "fit" and most is not None and 0 <= most < least:
            raise UserError(
                f"with epochs_a_stage = {self.epochs_a_stage} the last of "
                f"{len(self.network.stages)} stages is trained from epoch {least} on, but the run "
                f"ends after {most}: raise max_epochs, or lower epochs_a_stage"
            )

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the loss of a batch; its labels, if any, are not used."""
        return self._measured("train", batch, self._trained_now())

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Measure all stages."""
        self._measured("val", batch, range(len(self.network.stages)))

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Measure all stages."""
        self._measured("test", batch, range(len(self.network.stages)))

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse the checkpoint of a network of other sizes.

        Raises:
            UserError: It is one, or in a later format.
        """
        super().on_load_checkpoint(checkpoint)
        state = checkpoint.get("state_dict", self.state_dict())
        check_shapes(self, state, checkpoint)

    def _measured(self, part: str, batch: Batch, trained: range) -> Tensor:
        x = batch if isinstance(batch, Tensor) else batch[0]
        found = self.objectives(x, trained)
        loss = self.loss(found)
        logged = {f"{part}/loss": loss.detach()}
        for number, one in zip(trained, found, strict=True):
            for name in ("reconstruction", "sparsity", "unexplained"):
                logged[f"{part}/{name}_{number + 1}"] = getattr(one, name).detach()
        self.log_dict(logged, on_step=False, on_epoch=True, batch_size=len(x), sync_dist=True)
        return loss

    def _trained_now(self) -> range:
        stages = len(self.network.stages)
        if self.epochs_a_stage is None:
            return range(stages)
        now = min(self.current_epoch // self.epochs_a_stage, stages - 1)
        return range(now, now + 1)

    def _epochs_of_lower_stages(self) -> int:
        return (self.epochs_a_stage or 0) * (len(self.network.stages) - 1)


def check_shapes(module: nn.Module, state: dict[str, Any], checkpoint: dict[str, Any]) -> None:
    """Refuse weights of another QuocNet.

    Raises:
        UserError: In that case, with the first that differs.
    """
    own = module.state_dict()
    differ = shapes_that_differ(module, state, own)
    odd = sorted(own.keys() ^ state.keys())
    if differ or odd:
        what = differ[0] if differ else f"only one of them has {odd[0]}"
        words = f"{what}: give the network the checkpoint's input_shape, stages, maps, kernel, ..."
        raise UserError(f"the checkpoint does not fit: {way_out(checkpoint, words)}")


def _by(shape: Any) -> str:
    return " by ".join(map(str, shape))
