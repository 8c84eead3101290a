"""Sharding of any LightningModule with FSDP2, without a change to its code."""

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn
from torch.distributed.tensor import DTensor

from lit_intriguing.argument_types import checked_arguments
from lit_intriguing.errors import UserError
from lit_intriguing.hosts.sharding import shards_layers
from lit_intriguing.splice import submodule


@checked_arguments
class FullyShard(Callback):
    """Sharding of a module's layers over the processes of `ModelParallelStrategy` (FSDP2).

    Lightning leaves it to a module's `configure_model` to shard, so that the strategy refuses
    modules without one. This callback does it for them: `torch.distributed.fsdp.fully_shard` of
    each layer, and then of the whole, over the strategy's `data_parallel` mesh. What a module's own
    `configure_model` does comes first; a module that it has sharded is left as it is. Under other
    strategies nothing happens, so that a configuration serves on one process too.

    Buffers, such as the statistics of BatchNorm, are not sharded: each process has its own, and a
    checkpoint holds those of one.

    Args:
        layers: Names of the submodules that are sharded, each as one; by default each that has
            parameters of its own. Name the blocks of a large network: the weights of one are
            gathered at a time. Layers that share a weight must lie in one of them.

    Raises:
        UserError: When the run starts: a submodule is not there, or the mesh has no
            `data_parallel`.
    """

    def __init__(self, layers: list[str] | None = None) -> None:
        self.layers = layers

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Put the sharding into the module's `configure_model`, which Lightning calls next."""
        if not shards_layers(trainer.strategy):
            return
        own = pl_module.configure_model

        def configure_model() -> None:
            own()
            self._shard(pl_module)

        vars(pl_module)["configure_model"] = configure_model

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Give the module its own method back."""
        vars(pl_module).pop("configure_model", None)

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Give the module its own method back."""
        vars(pl_module).pop("configure_model", None)

    def _shard(self, module: LightningModule) -> None:
        from torch.distributed.fsdp import fully_shard

        if any(isinstance(one, DTensor) for one in module.parameters()):
            return
        mesh: Any = module.device_mesh
        if "data_parallel" not in (mesh.mesh_dim_names or ()):
            raise UserError(
                f"FullyShard needs a mesh with data_parallel, and this one has "
                f"{mesh.mesh_dim_names}: shard in the module's configure_model."
            )
        for one in [*self._parts(module), module]:
            fully_shard(one, mesh=mesh["data_parallel"])

    def _parts(self, module: LightningModule) -> list[nn.Module]:
        if self.layers is not None:
            return [submodule(module, name) for name in self.layers]
        return [
            one
            for one in module.modules()
            if one is not module and next(one.parameters(recurse=False), None) is not None
        ]
